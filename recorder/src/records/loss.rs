//! Losses: events and parts of events that are missing in a recording, and the causes.

use std::collections::BTreeMap;

use ctrace_schema::syscalls::Class;
use serde::{Deserialize, Serialize};

/// Lost events of one class, container, cause and CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Key of the container's cgroup; 0: the host.
    pub(crate) cgroup: u64,
    /// Class of the calls. None: unknown.
    pub(crate) class: Option<Class>,
    pub(crate) cause: Cause,
    /// The CPU. None: unknown.
    pub(crate) cpu: Option<u16>,
    /// The number of lost events.
    pub(crate) events: u64,
}

/// The cause of a loss of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// A ring of the kernel side was full.
    #[default]
    Ring,
    /// The calls were dropped because of `--max-cpu`: see [`crate::kernel::Kernel::set_shed_level`].
    Shed,
    /// The kernel skipped the programs: see [`crate::kernel::Kernel::unseen`].
    NotRun,
    /// The disk was full, and so was the memory in which events wait until space is free again.
    DiskFull,
    /// The ring of the flight recorder (`--ring`) was full.
    Evicted,
    /// The kernel side had no slot for a cgroup: its events are recorded, perhaps without their container.
    NoSlot,
}

impl Cause {
    /// Returns the `action` of gap rows with this cause.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Cause::Ring => "ring full",
            Cause::Shed => "max-cpu",
            Cause::NotRun => "program not run",
            Cause::DiskFull => "disk full",
            Cause::Evicted => "evicted",
            Cause::NoSlot => "too many cgroups",
        }
    }
}

/// Counters of incomplete data since the recording began, by the names of `enum miss` in `bpf/wire.h`.
pub(crate) type Misses = BTreeMap<String, u64>;

/// Counters of unusable records, for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Records that could not be decoded.
    pub(crate) broken: u64,
    /// Calls of threads without a definition, and completions without a request.
    pub(crate) orphans: u64,
}
