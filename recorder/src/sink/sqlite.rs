//! SQLite: a transaction per batch, which is in the file when it is written.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ctrace_format::sqlite::Writer;

use crate::rows::Events;
use crate::sink::full::DiskFull;
use crate::sink::{BatchPolicy, KEPT_AFTER, Sink, Summary};

/// An SQLite database that is being written.
pub struct Sqlite {
    path: PathBuf,
    writer: Writer,
    /// Locked, so that no other recorder writes to it. Closed after SQLite has closed the file: a process that closes a
    /// file loses all of SQLite's own locks on it.
    _lock: File,
}

impl Sqlite {
    /// Begins a recording in the empty `file` at `path`, which is locked. `origin` is the metadata of one that breaks off.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(file: File, path: &Path, origin: &[(&str, String)]) -> Result<Sqlite> {
        let writer = Writer::create(path, origin)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Sqlite {
            path: path.to_path_buf(),
            writer,
            _lock: file,
        })
    }

    fn failed(&self) -> String {
        let path = self.path.display();
        format!("cannot write {path}; what was recorded before is kept, and the file opens")
    }
}

impl Sink for Sqlite {
    fn wants(&self) -> BatchPolicy {
        BatchPolicy::batches(32_768, Some(KEPT_AFTER))
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        let written = self.writer.write(&columns.record_batch()?);
        written.with_context(|| self.failed()).map_err(DiskFull::or)
    }

    fn finish(self: Box<Self>, summary: &Summary) -> Result<u64> {
        let failed = self.failed();
        self.writer.finish(&summary.metadata()).context(failed)?;
        Ok(self.path.metadata()?.len())
    }
}
