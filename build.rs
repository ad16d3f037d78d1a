//! Compiles the kernel side (`bpf/`) into a skeleton in `OUT_DIR`. Does nothing without the feature `record`, so that
//! the query program builds with no clang.

fn main() {
    #[cfg(feature = "record")]
    skeleton::build();
}

#[cfg(feature = "record")]
mod skeleton {
    use std::{env, path::PathBuf};

    pub fn build() {
        println!("cargo::rerun-if-changed=bpf");
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
            .join("ctrace.skel.rs");
        let arch = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
            Ok("x86_64") => "x86",
            Ok("aarch64") => "arm64",
            arch => panic!(
                "ctrace-rec runs on x86-64 and aarch64, not on {arch:?}: build with --features query only"
            ),
        };
        // v3 has 32-bit jumps and ALU, which every kernel from 5.10 on takes.
        libbpf_cargo::SkeletonBuilder::new()
            .source("bpf/ctrace.bpf.c")
            .clang_args([
                "-mcpu=v3",
                "-Wall",
                "-Werror",
                &format!("-D__TARGET_ARCH_{arch}"),
            ])
            .build_and_generate(&out)
            .unwrap_or_else(|e| {
                panic!("bpf/ does not compile; it needs clang 14 or newer and libelf: {e:#}")
            });
    }
}
