//! The progress of a proof.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that were read so far, and those of all files that are known so far.
#[derive(Debug, Default)]
pub(crate) struct ReadBytes {
    done: AtomicU64,
    total: AtomicU64,
}

impl ReadBytes {
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn expect<'a>(&self, files: impl Iterator<Item = &'a Path>) {
        let lengths = files.filter_map(|path| path.metadata().ok());
        let total = lengths.map(|metadata| metadata.len()).sum();
        self.total.fetch_add(total, Ordering::Relaxed);
    }
}
