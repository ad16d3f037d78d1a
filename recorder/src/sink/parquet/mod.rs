//! Parquet: a row group per batch, and a file that can be read whatever happened to the recorder, the disk or the machine.
//!
//! After each row group stands a block that says what it holds ([`ctrace_format::unclosed`]), so that the file is read
//! without its footer; rows that wait for their row group are in a journal beside it.

pub(crate) mod column;
pub(crate) mod column_chunk;
pub(crate) mod encodings;
pub(crate) mod journal;
pub(crate) mod medium;
pub(crate) mod row_groups;
pub(crate) mod sync;
pub(crate) mod value_encoding;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arrow::datatypes::Schema;
use ctrace_format::unclosed;

use crate::limits::memory::Memory;
use crate::rollups::Rollups;
use crate::rows::Events;
use crate::sink::full::DiskFull;
use crate::sink::parquet::journal::Journal;
use crate::sink::parquet::medium::{Durable, Medium};
use crate::sink::parquet::row_groups::{RowGroups, pairs};
use crate::sink::parquet::sync::Syncer;
use crate::sink::{BatchPolicy, Sink, Summary};

/// Bytes of a journal that is put on the disk out of turn, so that it can be emptied.
const JOURNAL_BYTES: u64 = 16 << 20;

/// A Parquet file that is being written.
pub(crate) struct Parquet {
    path: PathBuf,
    out: RowGroups,
    journal: Journal,
    sync: Syncer,
    /// Also the lock that keeps other recorders away.
    file: Box<dyn Durable>,
    rollups: Rollups,
}

impl Parquet {
    /// Begins a recording in the empty `file`, which stands at `path`, with its `journal`. `origin` is the metadata of one
    /// that is not closed. What is written is put on the disk at most `every` so often; sums keep within `memory`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn new(
        (file, journal): (File, File),
        path: &Path,
        schema: &Schema,
        origin: Vec<(&'static str, String)>,
        every: Duration,
        memory: Memory,
    ) -> Result<Parquet> {
        let failed = || format!("cannot write {}", path.display());
        let second = || -> io::Result<_> {
            let directory = path.parent().map(|parent| match parent.as_os_str() {
                none if none.is_empty() => Path::new("."),
                _ => parent,
            });
            let directory = directory.and_then(|directory| File::open(directory).ok());
            let files: Vec<Box<dyn Durable>> =
                vec![Box::new(file.try_clone()?), Box::new(journal.try_clone()?)];
            let sync = Syncer::new(every, directory, files)?;
            Ok((sync, Box::new(file.try_clone()?)))
        };
        let (sync, second) = second().with_context(failed)?;
        let mediums: (Box<dyn Medium>, Box<dyn Medium>) = (Box::new(file), Box::new(journal));
        let rollups = Rollups::new(memory);
        Parquet::over(mediums, (second, sync, rollups), path, schema, origin).with_context(failed)
    }

    /// Likewise, over what it is written through.
    fn over(
        (out, journal): (Box<dyn Medium>, Box<dyn Medium>),
        (file, sync, rollups): (Box<dyn Durable>, Syncer, Rollups),
        path: &Path,
        schema: &Schema,
        origin: Vec<(&'static str, String)>,
    ) -> Result<Parquet> {
        Ok(Parquet {
            path: path.to_path_buf(),
            out: RowGroups::new(out, schema, origin)?,
            journal: Journal::new(journal)?,
            sync,
            file,
            rollups,
        })
    }

    /// Bytes that are written.
    pub(crate) fn len(&self) -> u64 {
        self.out.len()
    }

    /// Before something is written: whether the disk has taken what was. If not it is asked once more, for the next time.
    fn ready(&mut self) -> Result<()> {
        self.sync.check().map_err(|e| {
            self.sync.ask(self.out.len());
            self.refused(e.into())
        })
    }

    /// After something was written: has it put on the disk if it is time to.
    fn written(&mut self) {
        if self.sync.is_due() || self.journal.len() >= JOURNAL_BYTES {
            self.sync.ask(self.out.len());
        }
    }

    /// Empties the journal where its rows are on the disk in row groups.
    fn empty_journal(&mut self) -> Result<()> {
        if self.sync.reached() >= self.out.len() {
            self.journal.empty()?;
        }
        Ok(())
    }

    /// What to do about an error that ends the recording.
    fn failed(&self, e: &anyhow::Error) -> anyhow::Error {
        let path = self.path.display();
        anyhow!(
            "cannot write {path}: {e:#}; what was recorded before is kept: ctrace-query reads it, and `ctrace-query \
             recover {path}` makes it a plain Parquet file"
        )
    }

    /// Likewise, but where there is no room it can be tried again.
    fn refused(&self, e: anyhow::Error) -> anyhow::Error {
        match DiskFull::detect(e) {
            full if full.is::<DiskFull>() => {
                DiskFull(format!("cannot write {}: {full}", self.path.display())).into()
            }
            other => self.failed(&other),
        }
    }

    /// Ends the file, or leaves it as it was.
    ///
    /// # Errors
    /// It cannot be written. [`DiskFull`]: it can be tried again.
    pub(crate) fn close(&mut self, summary: &Summary) -> Result<u64> {
        let pairs = pairs(summary.metadata());
        let closed = self.out.close(pairs, Some(&self.rollups), &*self.file);
        closed.map_err(|e| self.refused(e))?;
        // Nothing is in it that is not in the file.
        let _ = std::fs::remove_file(unclosed::journal::path(&self.path));
        Ok(self.out.len())
    }
}

impl Sink for Parquet {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy::GROUPS
    }

    fn journal(&mut self, columns: &dyn Events) -> Result<()> {
        self.ready()?;
        let kept = self
            .empty_journal()
            .and_then(|()| self.journal.append(columns));
        kept.map_err(|e| self.refused(e))?;
        self.written();
        Ok(())
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        self.ready()?;
        let written = self.out.write(columns, self.sync.done());
        written.map_err(|e| self.refused(e))?;
        self.journal.cover();
        self.rollups.add(columns);
        self.written();
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        let closed = self.close(summary);
        closed.map_err(|e| match e.downcast::<DiskFull>() {
            Ok(full) => self.failed(&full.into()),
            Err(e) => e,
        })
    }
}

#[cfg(test)]
mod tests;
