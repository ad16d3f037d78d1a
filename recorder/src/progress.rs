//! Progress of a recording, as numbers that the outputs of `report` show.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::records::loss::Misses;

/// The state of a recording.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Running containers.
    pub(crate) containers: usize,
    /// Events so far.
    pub(crate) events: u64,
    /// Events lost so far, by class.
    pub(crate) lost: BTreeMap<&'static str, u64>,
    /// Parts of events that could not be recorded so far.
    pub(crate) missed: Misses,
    /// Size of the output so far, in bytes; `None` if the output has no size.
    pub(crate) bytes: Option<u64>,
    /// Longest time that an event waited in the kernel's rings, since the last report.
    pub(crate) lag: Duration,
    /// Memory of events that wait because the disk is full; `None` if the disk is not full.
    pub(crate) spilled_bytes: Option<u64>,
    /// Use of the ring, if the recording has one.
    pub(crate) ring: Option<RingUse>,
}

impl Progress {
    /// Returns the number of events lost so far, of all classes.
    pub(crate) fn total_lost(&self) -> u64 {
        self.lost.values().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// The use of a ring in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RingUse {
    /// Memory of the ring.
    pub(crate) bytes: u64,
    /// Time from the oldest event to the newest.
    pub(crate) reach: Duration,
    /// Dumps that were written.
    pub(crate) dumps: u64,
}

/// Warnings from the threads that write, for the main thread to print. Clones share their warnings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a warning.
    pub(crate) fn add(&self, text: String) {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.push(text);
    }

    /// Returns the warnings since the last call.
    pub(crate) fn take(&self) -> impl Iterator<Item = Notice> + use<> {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = std::mem::take(&mut *texts);
        texts.into_iter().map(|text| Notice {
            text,
            is_warning: true,
        })
    }
}

/// A message for the user, printed by `report`.
pub(crate) struct Notice {
    pub(crate) text: String,
    /// True if the message is a warning, which `--quiet` does not silence.
    pub(crate) is_warning: bool,
}
