//! The rights of the recorder's process: it keeps the ones that recording needs.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// The capabilities that are kept: capabilities(7). With any of them missing from the start, for example in a service, the
/// recorder works without it as far as the kernel allows.
const KEPT: [u32; 6] = [
    // Reads the files of the runtimes and of /proc, whoever owns them.
    CAP_DAC_READ_SEARCH,
    // Connects to the sockets of other users' podman, and writes to the directory of the user of sudo(8).
    CAP_DAC_OVERRIDE,
    // Follows the links in /proc/PID of processes of others.
    CAP_SYS_PTRACE,
    // Raises the limit of locked memory for BPF maps before Linux 5.11.
    CAP_SYS_RESOURCE,
    // Loads BPF programs and updates their maps.
    CAP_BPF,
    // Attaches BPF programs to tracepoints.
    CAP_PERFMON,
];

// include/uapi/linux/capability.h
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_RESOURCE: u32 = 24;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
/// The version of the header for capability sets of 64 bits.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`: 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Takes from this thread, and from the threads that it starts later, the capabilities that recording does not need and the
/// way to get them back by execve(2), and asks the kernel to end other processes first when memory is short. Not for a
/// recorder that runs a command, which would inherit all of this.
pub(crate) fn keep_least() {
    // Needs CAP_SYS_RESOURCE. Every step that is refused leaves the process as it was.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-500");
    // SAFETY: prctl(2) with numbers only; no memory is passed to the kernel.
    unsafe {
        for capability in (0..64).filter(|capability| !KEPT.contains(capability)) {
            libc::prctl(
                libc::PR_CAPBSET_DROP,
                libc::c_ulong::from(capability),
                0,
                0,
                0,
            );
        }
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut sets = [CapabilityData::default(); 2];
    // SAFETY: capget(2) writes two sets of this version to `sets`, and capset(2) reads them.
    unsafe {
        if libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) == 0 {
            for (first, set) in [0, 32].into_iter().zip(&mut sets) {
                let bits = KEPT.iter().filter(|c| (first..first + 32).contains(*c));
                let kept = bits.fold(0, |kept, c| kept | 1 << (c - first));
                set.effective &= kept;
                set.permitted &= kept;
                set.inheritable = 0;
            }
            libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr());
        }
    }
}

/// Keeps the memory of this process, which has what all containers do, from other processes of its user and from core
/// files.
pub(crate) fn hide_memory() {
    // Refused steps leave the process as it was.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}
