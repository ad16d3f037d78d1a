//! The numbers that reports about a recording are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::records::loss::Misses;

/// How a recording goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Containers that are there.
    pub(crate) containers: usize,
    /// Events so far.
    pub(crate) events: u64,
    /// Events lost so far, by class.
    pub(crate) lost: BTreeMap<&'static str, u64>,
    /// Parts of events that could not be recorded so far.
    pub(crate) missed: Misses,
    /// Bytes of the output so far; None: it has no size.
    pub(crate) bytes: Option<u64>,
    /// How long events waited in the kernel at most, since this was told last.
    pub(crate) lag: Duration,
    /// Bytes that wait in memory because the disk is full; None: it is not.
    pub(crate) spilled_bytes: Option<u64>,
    /// What is in the ring, if there is one.
    pub(crate) ring: Option<RingUse>,
}

impl Progress {
    /// Events lost so far, of all classes.
    pub(crate) fn total_lost(&self) -> u64 {
        self.lost.values().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// What a ring holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RingUse {
    /// Bytes of memory.
    pub(crate) bytes: u64,
    /// From its oldest event to its newest.
    pub(crate) reach: Duration,
    /// How often it was written out.
    pub(crate) dumps: u64,
}

/// What somebody is to be told.
pub(crate) struct Notice {
    /// A sentence.
    pub(crate) text: String,
    /// Whether it is one that nobody may silence.
    pub(crate) is_warning: bool,
}
