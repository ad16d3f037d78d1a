//! What is known of a disk that is full: shared by who writes and who tells.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::progress::Progress;
use crate::records::loss::Cause;
use crate::ring::frame::Frame;
use crate::sink::summary::Summary;

/// A disk.
#[derive(Debug, Default)]
pub struct DiskStatus {
    full: AtomicBool,
    /// Bytes that wait in memory.
    waiting: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    said: Vec<String>,
    /// Rows that were given up, and rows that say so.
    gone: u64,
    rows: u64,
    /// Events that no gap row told of, by class.
    lost: BTreeMap<&'static str, u64>,
}

impl DiskStatus {
    fn told<T>(&self, with: impl FnOnce(&mut Told) -> T) -> T {
        with(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it is full.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Bytes that wait in memory until it is not.
    fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// It is full, or it is not any more; and what there is to say about it.
    pub fn set(&self, full: bool, say: String) {
        self.full.store(full, Ordering::Relaxed);
        self.told(|told| told.said.push(say));
    }

    /// So many bytes wait.
    pub fn wait(&self, bytes: u64) {
        self.waiting.store(bytes, Ordering::Relaxed);
    }

    /// Frames were given up.
    pub fn lose(&self, gone: &[Arc<Frame>]) {
        self.told(|told| {
            for frame in gone {
                told.gone += frame.rows as u64;
                for tally in &frame.tallies {
                    *told.lost.entry(tally.class).or_default() += tally.events - tally.in_gap_rows;
                }
            }
        });
    }

    /// So many rows of the recording tell of it.
    pub fn tell(&self, rows: u64) {
        self.told(|told| told.rows += rows);
    }

    /// Events that were given up so far.
    pub fn lost(&self) -> u64 {
        self.told(|told| told.lost.values().sum())
    }

    /// What there is to say since the last time.
    pub fn said(&self) -> Vec<String> {
        self.told(|told| std::mem::take(&mut told.said))
    }

    /// Takes what was given up out of a summary of what was to be written.
    pub fn correct(&self, summary: &mut Summary) {
        self.told(|told| {
            summary.events = summary.events.saturating_sub(told.gone) + told.rows;
            for (class, lost) in &told.lost {
                summary.lose(class, Cause::DiskFull.as_str(), *lost);
            }
        });
    }

    /// Likewise, of what is told while it goes on.
    pub fn tell_of(&self, progress: &mut Progress) {
        progress.spilled_bytes = self.is_full().then(|| self.waiting());
        self.told(|told| {
            progress.events = progress.events.saturating_sub(told.gone) + told.rows;
            for (class, lost) in &told.lost {
                *progress.lost.entry(class).or_default() += lost;
            }
        });
    }
}
