//! Notes: all input of the pipeline besides the kernel side's records. A raw capture stores them as JSON, so that a
//! replay repeats the recording exactly.

use ctrace_schema::syscalls::Class;
use serde::{Deserialize, Serialize};

use crate::containers::facts::CgroupFact;
use crate::containers::mounts::HostMount;
use crate::containers::processes::RunningProcess;
use crate::records::count::Count;
use crate::records::loss::{Cause, Loss, Misses};

/// The way in which the recorder learnt a fact about a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FactSource {
    /// The scan of existing cgroups, before the recording began, or a later decision about one of them.
    Found,
    /// A cgroup record. A replay applies the fact when it reads that record.
    Record,
    /// A decision without a record of its own, about a cgroup that was created during the recording.
    Late,
}

/// An input of the pipeline. Times are CLOCK_BOOTTIME in ns, except `wall_ns`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Note {
    /// A cgroup is, or ceased to be, a container's, the host's or undecided.
    Fact { when: FactSource, fact: CgroupFact },
    /// A process of a container that ran when the recording began, at `boot_ns`.
    Process {
        #[serde(rename = "boot")]
        boot_ns: u64,
        cgroup: u64,
        process: RunningProcess,
    },
    /// Simultaneous readings of CLOCK_BOOTTIME and of the wall clock, ns since 1970 UTC.
    Clock {
        #[serde(rename = "boot")]
        boot_ns: u64,
        #[serde(rename = "wall")]
        wall_ns: i64,
    },
    /// Events were lost: see [`Loss`]. `class` is empty if unknown.
    Gap {
        cgroup: u64,
        class: String,
        lost: u64,
        #[serde(rename = "since")]
        since_ns: u64,
        #[serde(rename = "until")]
        until_ns: u64,
        #[serde(rename = "why", default)]
        cause: Cause,
        #[serde(default)]
        cpu: Option<u16>,
    },
    /// Entries of calls may have been missed before `until_ns`.
    EntriesMissed {
        #[serde(rename = "until")]
        until_ns: u64,
    },
    /// Calls counted since `since_ns`.
    Counts {
        #[serde(rename = "since")]
        since_ns: u64,
        counts: Vec<Count>,
    },
    /// All rings have been read up to `boot_ns`: the watermark of `merge`.
    Advance {
        #[serde(rename = "boot")]
        boot_ns: u64,
    },
    /// The mounts of the machine, from now on.
    Mounts { mounts: Vec<HostMount> },
    /// The current counters of incomplete data.
    Missed(Misses),
    /// Definitions of files and sockets that were not used recently are dropped, and with `threads` those of threads
    /// too; the kernel side sends definitions again when it uses them. A replay must drop them at the same point as the
    /// recorder: only after this point does the capture contain them again.
    Forget { threads: bool },
}

/// Returns the note of a loss between two boot times.
pub(crate) fn gap(loss: &Loss, (since_ns, until_ns): (u64, u64)) -> Note {
    Note::Gap {
        cgroup: loss.cgroup,
        class: loss.class.map_or("", Class::as_str).to_string(),
        lost: loss.events,
        since_ns,
        until_ns,
        cause: loss.cause,
        cpu: loss.cpu,
    }
}
