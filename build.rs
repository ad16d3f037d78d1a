//! Compiles the kernel side (`bpf/`) into a skeleton and two compressed objects in `OUT_DIR`: the build script of the
//! crate `recorder`.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=../bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let skeleton = out.join("ctrace.skel.rs");
    let arch = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => "x86",
        Ok("aarch64") => "arm64",
        arch => panic!(
            "ctrace-rec runs on x86-64 and aarch64, not on {arch:?}: build with --no-default-features --features query"
        ),
    };
    // v3 adds 32-bit jumps and 32-bit arithmetic. Every kernel from 5.10 on accepts it.
    let target = format!("-D__TARGET_ARCH_{arch}");
    let args = ["-mcpu=v3", "-Wall", "-Werror", &target];
    for (name, more) in [("ctrace", None), ("legacy", Some("-DLEGACY"))] {
        let object = out.join(name).with_extension("bpf.o");
        let mut builder = libbpf_cargo::SkeletonBuilder::new();
        builder
            .source("../bpf/ctrace.bpf.c")
            .clang_args(args.into_iter().chain(more))
            .obj(&object);
        must(builder.build());
        // Both objects have the same maps and programs, so one skeleton serves both.
        if more.is_none() {
            must(builder.generate(&skeleton));
        }
        compress(&object);
    }
    open_chosen_object(&skeleton);
}

/// Compresses an object to a fifth of its size: uncompressed, the objects are a tenth of the program.
fn compress(object: &Path) {
    let bytes = fs::read(object).expect("the object was compiled");
    let small = zstd::bulk::compress(&bytes, 19).expect("bytes can be compressed");
    fs::write(object.with_extension("o.zst"), small).expect("the object can be written");
}

fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|e| {
        panic!("bpf/ does not compile; it needs clang 14 or newer and libelf: {e:#?}")
    })
}

/// Makes the skeleton open the object that `object()` in recorder/src/wire.rs returns instead of its embedded copy.
fn open_chosen_object(skeleton: &Path) {
    let text = fs::read_to_string(skeleton).expect("the skeleton was generated");
    let changed = text.replacen(
        "ConfigBuilder::new(&DATA)",
        "ConfigBuilder::new(super::object())",
        1,
    );
    assert_ne!(
        text, changed,
        "libbpf-cargo no longer generates `ConfigBuilder::new(&DATA)`"
    );
    fs::write(skeleton, changed).expect("the skeleton can be written");
}
