//! State shared by the flight recorder, which runs in the encoder's thread, its dump thread, and the main thread.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::progress::RingUse;
use crate::sink::summary::DumpRequest;

/// Messages and numbers from the flight recorder to the main thread.
#[derive(Default)]
pub(crate) struct FlightShared {
    messages: Mutex<FlightMessages>,
    /// Memory of the ring and of the rows of live containers and processes.
    pub(super) bytes: AtomicU64,
    /// Time from the oldest event in the ring to the newest.
    pub(super) reach_ns: AtomicU64,
    /// Dumps that were finished.
    dumps: AtomicU64,
}

impl FlightShared {
    /// Calls `access` with the messages, under their lock.
    pub(super) fn with_messages<T>(&self, access: impl FnOnce(&mut FlightMessages) -> T) -> T {
        access(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the request for a dump by an event that met the trigger's condition.
    pub(crate) fn take_trigger_request(&self) -> Option<DumpRequest> {
        self.with_messages(|messages| messages.trigger_request.take())
    }

    /// Takes the result of a dump that has ended.
    pub(crate) fn take_ended(&self) -> Option<Result<Dumped>> {
        self.with_messages(|messages| messages.ended.take())
    }

    /// Takes the warning for the user.
    pub(crate) fn take_warning(&self) -> Option<String> {
        self.with_messages(|messages| messages.warning.take())
    }

    /// Reports the result of a dump.
    pub(super) fn report_ended(&self, dumped: Result<Dumped>) {
        if dumped.is_ok() {
            self.dumps.fetch_add(1, Ordering::Relaxed);
        }
        self.with_messages(|messages| messages.ended = Some(dumped));
    }

    pub(crate) fn ring_use(&self) -> RingUse {
        RingUse {
            bytes: self.bytes.load(Ordering::Relaxed),
            reach: Duration::from_nanos(self.reach_ns.load(Ordering::Relaxed)),
            dumps: self.dumps.load(Ordering::Relaxed),
        }
    }
}

/// Messages that the main thread has not read yet.
#[derive(Default)]
pub(super) struct FlightMessages {
    pub(super) trigger_request: Option<DumpRequest>,
    pub(super) ended: Option<Result<Dumped>>,
    pub(super) warning: Option<String>,
}

/// A finished dump.
#[derive(Clone, Debug)]
pub(crate) struct Dumped {
    pub(crate) path: PathBuf,
    /// Events in the file.
    pub(crate) events: u64,
    /// Size of the file.
    pub(crate) bytes: u64,
    pub(crate) request: DumpRequest,
}
