//! What the recorder and the flight recorder tell each other.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::progress::RingUse;
use crate::sink::summary::DumpRequest;

/// What the recorder and its ring tell each other.
#[derive(Default)]
pub(crate) struct FlightShared {
    told: Mutex<Told>,
    pub(crate) bytes: AtomicU64,
    pub(crate) reach: AtomicU64,
    pub(crate) dumps: AtomicU64,
}

impl FlightShared {
    pub(crate) fn told<T>(&self, with: impl FnOnce(&mut Told) -> T) -> T {
        with(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The event that has met the condition since the last time.
    pub(crate) fn take_hit(&self) -> Option<DumpRequest> {
        self.told(|told| told.hit.take())
    }

    /// What has become of a dump since the last time.
    pub(crate) fn take_ended(&self) -> Option<Result<Dumped>> {
        self.told(|told| told.ended.take())
    }

    /// What somebody should be told.
    pub(crate) fn take_warning(&self) -> Option<String> {
        self.told(|told| told.warning.take())
    }

    /// This has become of a dump.
    pub(crate) fn ended(&self, dumped: Result<Dumped>) {
        if dumped.is_ok() {
            self.dumps.fetch_add(1, Ordering::Relaxed);
        }
        self.told(|told| told.ended = Some(dumped));
    }

    /// What there is in the ring.
    pub(crate) fn held(&self) -> RingUse {
        RingUse {
            bytes: self.bytes.load(Ordering::Relaxed),
            reach: Duration::from_nanos(self.reach.load(Ordering::Relaxed)),
            dumps: self.dumps.load(Ordering::Relaxed),
        }
    }
}

#[derive(Default)]
pub(crate) struct Told {
    pub(crate) hit: Option<DumpRequest>,
    pub(crate) ended: Option<Result<Dumped>>,
    pub(crate) warning: Option<String>,
}

/// A dump that is written.
#[derive(Clone, Debug)]
pub(crate) struct Dumped {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Events in it.
    pub(crate) events: u64,
    /// Bytes of it.
    pub(crate) bytes: u64,
    /// Why it was written.
    pub(crate) why: DumpRequest,
}
