//! A thread that syncs the files of a recording from time to time, so that a slow disk does not block the encoder
//! thread.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::confine::{self, Needs};
use crate::sink::parquet::medium::Durable;

/// Calls fdatasync(2) on the files of a recording in its own thread.
pub(crate) struct Syncer {
    /// The least time between two syncs.
    interval: Duration,
    last_request: Instant,
    /// Requests to the thread: the length of the first file in bytes.
    requests: Option<SyncSender<u64>>,
    state: Arc<SyncState>,
    thread: Option<JoinHandle<()>>,
}

/// The results of the thread.
#[derive(Default)]
struct SyncState {
    durable_bytes: AtomicU64,
    synced_bytes: AtomicU64,
    /// The error of the last sync; 0: success.
    errno: AtomicI32,
}

impl Syncer {
    /// Starts the thread for `files`, which first syncs the `directory` that contains them.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn new(
        interval: Duration,
        directory: Option<File>,
        files: Vec<Box<dyn Durable>>,
    ) -> io::Result<Syncer> {
        let state = Arc::new(SyncState::default());
        let (requests, receiver) = sync_channel(1);
        let thread = confine::spawn("sync", Needs::Nothing, {
            let state = state.clone();
            move || {
                // Some file systems cannot sync directories.
                let _ = directory.map(|directory| directory.sync_all());
                run(&receiver, &files, &state);
            }
        })?;
        Ok(Syncer {
            interval,
            last_request: Instant::now(),
            requests: Some(requests),
            state,
            thread: Some(thread),
        })
    }

    /// Returns a syncer for files whose bytes are durable as soon as they are written.
    #[cfg(test)]
    pub(crate) fn instant() -> Syncer {
        let state = SyncState::default();
        state.durable_bytes.store(u64::MAX, Ordering::Release);
        state.synced_bytes.store(u64::MAX, Ordering::Release);
        Syncer {
            interval: Duration::MAX,
            last_request: Instant::now(),
            requests: None,
            state: Arc::new(state),
            thread: None,
        }
    }

    /// Returns whether the interval since the last request has passed.
    pub(crate) fn is_due(&self) -> bool {
        self.last_request.elapsed() >= self.interval
    }

    /// Requests a sync; the first file has `len` bytes. Without effect while another request waits.
    pub(crate) fn request(&mut self, len: u64) {
        if self
            .requests
            .as_ref()
            .is_some_and(|requests| requests.try_send(len).is_ok())
        {
            self.last_request = Instant::now();
        }
    }

    /// Returns how many bytes of the first file are certainly on the disk: the length at the last sync before any
    /// error.
    pub(crate) fn durable_bytes(&self) -> u64 {
        self.state.durable_bytes.load(Ordering::Acquire)
    }

    /// Returns the length of the first file at the last successful sync. After an earlier error these bytes are not
    /// certainly on the disk: a second fdatasync(2) can succeed without writing the pages that failed before.
    pub(crate) fn synced_bytes(&self) -> u64 {
        self.state.synced_bytes.load(Ordering::Acquire)
    }

    /// Returns the result of the last sync.
    ///
    /// # Errors
    /// The disk has not accepted all written bytes.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.state.errno.load(Ordering::Acquire) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.requests = None;
        // The thread returns no value.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(requests: &Receiver<u64>, files: &[Box<dyn Durable>], state: &SyncState) {
    let mut no_errors = true;
    for len in requests {
        let synced = files.iter().try_for_each(|file| file.sync());
        let errno = synced.map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |()| 0);
        no_errors &= errno == 0;
        if errno == 0 {
            state.synced_bytes.store(len, Ordering::Release);
        }
        if no_errors {
            state.durable_bytes.store(len, Ordering::Release);
        }
        state.errno.store(errno, Ordering::Release);
    }
}
