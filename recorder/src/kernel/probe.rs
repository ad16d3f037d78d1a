//! Checks the machine: whether the programs can be loaded at all, with an error that names the remedy, and which
//! optional features the kernel has.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Enum, Func};
use libbpf_rs::{Iter, libbpf_sys};

/// Capabilities that loading and attaching the programs needs: linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The oldest supported kernel.
const OLDEST: (u32, u32) = (5, 10);

/// Linux 6.18 runs the programs of a tracepoint with preemption off (include/trace/bpf_probe.h), 7.2 does not.
const PREEMPTIBLE: (u32, u32) = (6, 19);

/// Linux 5.18 compiles atomic operations that return a value for arm64: arch/arm64/net/bpf_jit_comp.c.
const EXCHANGING: (u32, u32) = (5, 18);

/// Returns the effective capabilities of this process, as bits: `CapEff` of /proc/self/status, proc(5).
fn effective_capabilities() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn kernel_release() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

/// Returns the major and minor version of the running kernel.
fn kernel_version() -> (u32, u32) {
    let release = kernel_release();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|n| n.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Returns the number of times that the kernel has skipped a program because the same program was active on that CPU.
/// None: the kernel does not report this number (before Linux 5.12).
fn recursion_misses(program: BorrowedFd<'_>) -> Option<u64> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut bytes = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `bytes` bytes into `info`, which contains only numbers.
    let failed = unsafe {
        libbpf_sys::bpf_obj_get_info_by_fd(
            program.as_raw_fd(),
            (&raw mut info).cast(),
            &raw mut bytes,
        )
    };
    (failed == 0).then_some(info.recursion_misses)
}

/// Checks that the programs can be loaded on this machine.
///
/// # Errors
/// Missing capabilities, no BTF, or a kernel that is too old. The error names the remedy.
pub(crate) fn check() -> Result<()> {
    let has = |effective: u64, cap: u32| effective & (1 << cap) != 0;
    if let Some(effective) = effective_capabilities()
        && !has(effective, CAP_SYS_ADMIN)
        && !(has(effective, CAP_BPF) && has(effective, CAP_PERFMON))
    {
        bail!(
            "recording needs root (or the capabilities CAP_BPF, CAP_PERFMON and CAP_DAC_READ_SEARCH): \
             run `sudo ctrace-rec ...`. A raw capture can be replayed without: `ctrace-rec --from-raw FILE --out run.parquet`"
        );
    }
    if kernel_version() < OLDEST {
        let (major, minor) = OLDEST;
        let release = kernel_release();
        bail!(
            "this kernel is Linux {release}, and recording needs {major}.{minor} or newer: boot a newer kernel"
        );
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        bail!(
            "this kernel has no BTF (/sys/kernel/btf/vmlinux is missing), from which the programs learn its layout: \
             boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian, Ubuntu, Fedora and RHEL are; \
             in a container, mount the host's /sys"
        );
    }
    Ok(())
}

/// Returns whether the kernel has `bpf_rdonly_cast`, Linux 6.2. The environment variable `CTRACE_NO_CAST`, if set,
/// denies it, so that the path of older kernels can be debugged on a newer one.
pub(super) fn can_cast(btf: &Btf<'_>) -> bool {
    let has = btf.type_by_name::<Func<'_>>("bpf_rdonly_cast").is_some();
    has && std::env::var_os("CTRACE_NO_CAST").is_none()
}

/// Returns whether the kernel has the helper `bpf_loop`, Linux 5.17, and all else that the usual programs need;
/// otherwise the legacy programs are loaded. The environment variable `CTRACE_LEGACY`, if set, forces the legacy
/// programs for debugging.
pub(super) fn has_loop(btf: &Btf<'_>) -> bool {
    let helpers = btf.type_by_name::<Enum<'_>>("bpf_func_id");
    let has = helpers.is_some_and(|e| e.iter().any(|m| m.name == Some("BPF_FUNC_loop".as_ref())));
    has && std::env::var_os("CTRACE_LEGACY").is_none()
}

/// Returns whether the programs can exchange values atomically. They take slots of threads so, and on arm64, whose stores
/// have no order, publish what they have written into memory that they share with the recorder.
pub(super) fn has_exchange(legacy: bool) -> bool {
    !legacy && (cfg!(target_arch = "x86_64") || kernel_version() >= EXCHANGING)
}

/// Returns whether the kernel runs the programs with preemption on.
pub(super) fn is_preemptible(btf: &Btf<'_>) -> bool {
    let disable = btf.type_by_name::<Func<'_>>("bpf_preempt_disable");
    kernel_version() >= PREEMPTIBLE && disable.is_some()
}

/// Returns the number of times that the kernel has skipped these programs, in total.
pub(super) fn skipped<const N: usize>(programs: [BorrowedFd<'_>; N]) -> u64 {
    let counts = programs.into_iter().filter_map(recursion_misses);
    counts.sum()
}

/// Runs an iterator program over all tasks once. The program writes records into the rings and prints nothing.
pub(super) fn walk_tasks(prog: &mut libbpf_rs::ProgramMut<'_>) -> Result<()> {
    let link = prog
        .attach()
        .context("cannot attach the iterator over tasks")?;
    let mut iter = Iter::new(&link).context("cannot walk the tasks")?;
    std::io::copy(&mut iter, &mut std::io::sink()).context("cannot walk the tasks")?;
    Ok(())
}
