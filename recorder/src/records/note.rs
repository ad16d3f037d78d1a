//! Notes: what a recording learns beside the records of the kernel.

use ctrace_schema::syscalls::Class;
use serde::{Deserialize, Serialize};

use crate::containers::facts::CgroupFact;
use crate::records::count::Count;
use crate::records::loss::{Cause, Loss, Misses};

/// When a fact was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactSource {
    /// Before the recording began.
    Found,
    /// By a cgroup record.
    Record,
    /// About a cgroup that was there already.
    Late,
}

/// What was learnt beside the records, stored as JSON. Times are CLOCK_BOOTTIME in ns.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(
    missing_docs,
    reason = "named after the pipeline's functions that take them"
)]
pub enum Note {
    Fact {
        when: FactSource,
        fact: CgroupFact,
    },
    Clock {
        boot: u64,
        wall: i64,
    },
    Gap {
        cgroup: u64,
        class: String,
        lost: u64,
        since: u64,
        until: u64,
        #[serde(default)]
        why: Cause,
        #[serde(default)]
        cpu: Option<u16>,
    },
    /// Entries of calls may have been missed until then.
    EntriesMissed {
        until: u64,
    },
    Counts {
        since: u64,
        counts: Vec<Count>,
    },
    Advance {
        boot: u64,
    },
    Missed(Misses),
    /// Definitions that were not used for long are forgotten, of files and sockets, and of `threads` too; the kernel side sends
    /// again what it uses. A replay does so where the recorder did, for a capture does not hold them again elsewhere.
    Forget {
        threads: bool,
    },
}

/// Events were lost between two instants (boot time, ns).
pub fn gap(loss: &Loss, (since, until): (u64, u64)) -> Note {
    Note::Gap {
        cgroup: loss.cgroup,
        class: loss.class.map_or("", Class::as_str).to_string(),
        lost: loss.events,
        since,
        until,
        why: loss.why,
        cpu: loss.cpu,
    }
}
