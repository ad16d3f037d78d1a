//! Losses: events and parts of events that could not be recorded, and why.

use std::collections::BTreeMap;

use ctrace_schema::syscalls::Class;
use serde::{Deserialize, Serialize};

/// Events of one class and container that were lost on one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Key of the container's cgroup; 0: the host.
    pub cgroup: u64,
    /// Class of the calls; None: nobody knows.
    pub class: Option<Class>,
    /// Why.
    pub why: Cause,
    /// Where; None: nobody knows.
    pub cpu: Option<u16>,
    /// How many.
    pub events: u64,
}

/// Why events are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A ring was full.
    #[default]
    Ring,
    /// They were given up: see [`crate::kernel::Kernel::shed`].
    Shed,
    /// The kernel did not run the programs: see [`crate::kernel::Kernel::unseen`].
    NotRun,
    /// The disk was full, and so was the memory in which events wait for room.
    DiskFull,
    /// The ring of the flight recorder was full.
    Evicted,
}

impl Cause {
    /// The `action` of their gap rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Ring => "ring full",
            Cause::Shed => "max-cpu",
            Cause::NotRun => "program not run",
            Cause::DiskFull => "disk full",
            Cause::Evicted => "evicted",
        }
    }
}

/// What the kernel side could not do, since the beginning, by the names of `enum miss` in `bpf/wire.h`.
pub type Misses = BTreeMap<String, u64>;

/// What did not come as it should, for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Records that could not be decoded.
    pub broken: u64,
    /// Calls of a thread that was never defined.
    pub orphans: u64,
}
