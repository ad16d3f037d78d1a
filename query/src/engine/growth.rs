//! The growth of recordings that are being written.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ctrace_format::names;

use crate::engine::error::QueryError;
use crate::engine::session::Engine;

/// Interval between checks of the files for a new answer.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Number of checks during which a recording may be missing, because it is being moved or rotated.
const MAX_FAILED_CHECKS: u32 = 10;
/// The suffixes of a recording and of the files with its newest events: SQLite's write-ahead log, or a journal.
const SUFFIXES: [&str; 3] = ["", names::SQLITE_WAL, names::JOURNAL];

/// The size and the modification time of the files of the recordings, which change when a recording grows.
type FileStates = Vec<(PathBuf, Option<(u64, SystemTime)>)>;

/// Sees recordings grow.
pub(crate) struct RecordingWatcher {
    engine: Engine,
    /// Interval between checks of the files.
    interval: Duration,
    seen: Option<FileStates>,
    /// The number of checks, one after the other, that failed.
    failures: u32,
}

impl RecordingWatcher {
    pub(crate) fn new(engine: Engine, interval: Duration) -> Self {
        RecordingWatcher {
            engine,
            interval,
            seen: None,
            failures: 0,
        }
    }

    /// Waits until the files differ from the last call, and returns an engine with the present recordings. The recordings
    /// are opened after the check, so growth in between is noticed by the next call.
    ///
    /// # Errors
    /// A recording cannot be read, for longer than it takes to move it.
    pub(crate) async fn changed(&mut self) -> Result<Engine, QueryError> {
        loop {
            if let Some(engine) = self.check().await? {
                return Ok(engine);
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Returns an engine with the present recordings, if the files differ from the last call.
    ///
    /// # Errors
    /// As [`RecordingWatcher::changed`].
    pub(crate) async fn check(&mut self) -> Result<Option<Engine>, QueryError> {
        match file_states(&self.engine.reopened()).await {
            Ok(states) if self.seen.as_ref() != Some(&states) => {
                self.seen = Some(states);
                self.failures = 0;
                Ok(Some(self.engine.reopened()))
            }
            Ok(_) => {
                self.failures = 0;
                Ok(None)
            }
            Err(_) if self.seen.is_some() && self.failures < MAX_FAILED_CHECKS => {
                self.failures += 1;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Treats the files as changed at the next check.
    pub(crate) fn forget(&mut self) {
        self.seen = None;
    }
}

async fn file_states(engine: &Engine) -> Result<FileStates, QueryError> {
    let mut states = FileStates::new();
    for file in &engine.recordings().await?.files {
        for suffix in SUFFIXES {
            let path = names::with_suffix(&file.path, suffix);
            let state = path.metadata().ok();
            let state = state.and_then(|m| Some((m.len(), m.modified().ok()?)));
            states.push((path, state));
        }
    }
    Ok(states)
}
