//! Has what was written put on the disk now and then, in a thread of its own: a slow disk must not keep the encoder.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sink::parquet::medium::Durable;

/// Calls fdatasync(2) on files, at most so often.
pub(crate) struct Syncer {
    every: Duration,
    last: Instant,
    ask: Option<SyncSender<u64>>,
    state: Arc<SyncState>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread has done.
#[derive(Default)]
struct SyncState {
    done: AtomicU64,
    reached: AtomicU64,
    /// Of the last time; 0: it was done.
    errno: AtomicI32,
}

impl Syncer {
    /// For `files`, and once for the directory that they were made in.
    ///
    /// # Errors
    /// There is no thread.
    pub(crate) fn new(
        every: Duration,
        directory: Option<File>,
        files: Vec<Box<dyn Durable>>,
    ) -> io::Result<Syncer> {
        let state = Arc::new(SyncState::default());
        let (ask, asked) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("sync".to_string())
            .spawn({
                let state = state.clone();
                move || {
                    // Not every file system can.
                    let _ = directory.map(|directory| directory.sync_all());
                    run(&asked, &files, &state);
                }
            })?;
        Ok(Syncer {
            every,
            last: Instant::now(),
            ask: Some(ask),
            state,
            thread: Some(thread),
        })
    }

    /// For files that are on the disk as soon as they are written.
    #[cfg(test)]
    pub(crate) fn instant() -> Syncer {
        let state = SyncState::default();
        state.done.store(u64::MAX, Ordering::Release);
        state.reached.store(u64::MAX, Ordering::Release);
        Syncer {
            every: Duration::MAX,
            last: Instant::now(),
            ask: None,
            state: Arc::new(state),
            thread: None,
        }
    }

    /// Whether it is time.
    pub(crate) fn is_due(&self) -> bool {
        self.last.elapsed() >= self.every
    }

    /// Asks that the files be put on the disk, the first of which has `len` bytes. Nothing where that is being done.
    pub(crate) fn ask(&mut self, len: u64) {
        if self
            .ask
            .as_ref()
            .is_some_and(|ask| ask.try_send(len).is_ok())
        {
            self.last = Instant::now();
        }
    }

    /// How many bytes of the first file are on the disk for sure.
    pub(crate) fn done(&self) -> u64 {
        self.state.done.load(Ordering::Acquire)
    }

    /// Up to how many bytes of it were put on the disk last. After a failure that is not for sure: what a disk did not take
    /// once it need not be asked for again.
    pub(crate) fn reached(&self) -> u64 {
        self.state.reached.load(Ordering::Acquire)
    }

    /// How it went the last time.
    ///
    /// # Errors
    /// The disk did not take what was written.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.state.errno.load(Ordering::Acquire) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.ask = None;
        // It has nothing to say.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(asked: &Receiver<u64>, files: &[Box<dyn Durable>], state: &SyncState) {
    let mut sure = true;
    for len in asked {
        let synced = files.iter().try_for_each(|file| file.sync());
        let errno = synced.map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |()| 0);
        sure &= errno == 0;
        if errno == 0 {
            state.reached.store(len, Ordering::Release);
        }
        if sure {
            state.done.store(len, Ordering::Release);
        }
        state.errno.store(errno, Ordering::Release);
    }
}
