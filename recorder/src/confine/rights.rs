//! The rights of the recorder's process: it keeps the ones that recording needs.

use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// The capabilities with which a recording begins: capabilities(7). With any of them missing from the start, for example in a
/// service, the recorder works without it as far as the kernel allows.
pub(crate) const TO_BEGIN: [Capability; 6] = [
    // Reads the files of the runtimes and of /proc, whoever owns them.
    Capability::CAP_DAC_READ_SEARCH,
    // Connects to the sockets of other users' podman, and writes to the directory of the user of sudo(8).
    Capability::CAP_DAC_OVERRIDE,
    // Follows the links in /proc/PID of processes of others, which are read when the recording begins.
    Capability::CAP_SYS_PTRACE,
    // Raises the limit of locked memory for BPF maps before Linux 5.11.
    Capability::CAP_SYS_RESOURCE,
    // Loads BPF programs.
    Capability::CAP_BPF,
    // Attaches BPF programs to tracepoints.
    Capability::CAP_PERFMON,
];

/// The capabilities that the main thread keeps while it records, beside [`TO_USE_MAPS`].
const TO_RECORD: [Capability; 2] = [
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_DAC_OVERRIDE,
];

/// The capability that the maps of BPF programs need if the kernel keeps bpf(2) from others: before Linux 5.19, with
/// `kernel.unprivileged_bpf_disabled`, it does so even for maps that are open.
const TO_USE_MAPS: Capability = Capability::CAP_BPF;

/// Takes from this thread, and from those that it starts later, the capabilities that recording does not need and the way to
/// get them back by execve(2), and asks the kernel to end other processes first when memory is short. A command that is
/// recorded would inherit all of this, so it is started before.
pub(crate) fn keep_least() {
    // Needs CAP_SYS_RESOURCE. Every step that is refused leaves the process as it was.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-500");
    keep(&TO_BEGIN);
}

/// Takes from this thread all capabilities but those in `kept`, and the way to get others by execve(2).
pub(crate) fn keep(kept: &[Capability]) {
    for capability in caps::all().iter().filter(|c| !kept.contains(c)) {
        // Needs CAP_SETPCAP, which goes last: it is dropped from the other sets below.
        let _ = caps::drop(None, CapSet::Bounding, *capability);
    }
    // SAFETY: prctl(2) with numbers only; no memory is passed to the kernel.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // With the inheritable set, the kernel empties the ambient one.
    let _ = caps::clear(None, CapSet::Inheritable);
    // A capability that is not permitted cannot be effective.
    for set in [CapSet::Effective, CapSet::Permitted] {
        if let Ok(present) = caps::read(None, set) {
            let kept: CapsHashSet = present.into_iter().filter(|c| kept.contains(c)).collect();
            let _ = caps::set(None, set, &kept);
        }
    }
}

/// Takes from this thread the capabilities that a recording needs only to begin. `reads_maps`: whether a map of the BPF
/// programs can be read.
pub(crate) fn keep_to_record(reads_maps: impl FnOnce() -> bool) {
    let with_maps = [&TO_RECORD[..], &[TO_USE_MAPS]].concat();
    keep(&with_maps);
    let _ = caps::drop(None, CapSet::Effective, TO_USE_MAPS);
    match reads_maps() {
        true => keep(&TO_RECORD),
        false => {
            let _ = caps::raise(None, CapSet::Effective, TO_USE_MAPS);
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
