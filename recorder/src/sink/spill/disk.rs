//! The state of the disk: written by the encoder thread in [`crate::sink::spill`], read by the main thread for reports
//! and for the final summary.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::progress::Progress;
use crate::records::loss::Cause;
use crate::ring::frame::Frame;
use crate::sink::summary::Summary;

/// The state of a full disk, and the losses that it caused.
#[derive(Debug, Default)]
pub(crate) struct DiskStatus {
    full: AtomicBool,
    waiting_bytes: AtomicU64,
    losses: Mutex<SpillLosses>,
}

#[derive(Debug, Default)]
struct SpillLosses {
    /// Messages for the user that were not reported yet.
    messages: Vec<String>,
    /// Rows that were evicted from memory before they could be written.
    evicted_rows: u64,
    /// Gap rows that were written about evicted events.
    gap_rows: u64,
    /// Evicted events by class, without events that an evicted gap row had already counted as lost.
    lost: BTreeMap<&'static str, u64>,
}

impl DiskStatus {
    fn lock(&self) -> MutexGuard<'_, SpillLosses> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Sets whether the disk is full, with a message for the user.
    pub(super) fn set_full(&self, full: bool, message: String) {
        self.full.store(full, Ordering::Relaxed);
        self.lock().messages.push(message);
    }

    /// Sets how many bytes wait in memory until there is space on the disk.
    pub(super) fn set_waiting(&self, bytes: u64) {
        self.waiting_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Counts frames that were evicted from memory.
    pub(super) fn add_evicted(&self, frames: &[Arc<Frame>]) {
        let mut losses = self.lock();
        for frame in frames {
            losses.evicted_rows += frame.rows as u64;
            for tally in &frame.tallies {
                *losses.lost.entry(tally.class).or_default() += tally.events - tally.in_gap_rows;
            }
        }
    }

    /// Counts gap rows that were written about evicted events.
    pub(super) fn add_gap_rows(&self, rows: u64) {
        self.lock().gap_rows += rows;
    }

    /// Returns the number of evicted events so far.
    pub(super) fn lost_events(&self) -> u64 {
        self.lock().lost.values().sum()
    }

    /// Returns the messages since the last call.
    pub(crate) fn take_messages(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().messages)
    }

    /// Corrects a summary of all rows that were to be written: evicted events move from `events` to `lost`.
    pub(crate) fn correct(&self, summary: &mut Summary) {
        let losses = self.lock();
        summary.events = summary.events.saturating_sub(losses.evicted_rows) + losses.gap_rows;
        for (class, lost) in &losses.lost {
            summary.add_lost(class, Cause::DiskFull.as_str(), *lost);
        }
    }

    /// Corrects the progress likewise, and adds the bytes that wait.
    pub(crate) fn report_to(&self, progress: &mut Progress) {
        let waiting_bytes = self.waiting_bytes.load(Ordering::Relaxed);
        progress.spilled_bytes = self.is_full().then_some(waiting_bytes);
        let losses = self.lock();
        progress.events = progress.events.saturating_sub(losses.evicted_rows) + losses.gap_rows;
        for (class, lost) in &losses.lost {
            *progress.lost.entry(class).or_default() += lost;
        }
    }
}
