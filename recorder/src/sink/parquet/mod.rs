//! Parquet output: one row group per batch, in a file that stays readable after a crash of the recorder, the disk or
//! the machine.
//!
//! A block after each row group describes the row group ([`ctrace_format::unclosed`]), so that the file can be read
//! without a footer. Rows that wait for their row group are in the [`journal`] beside the file. [`sync`] syncs both
//! from a separate thread.
//!
//! ```text
//! PAR1 │ block: schema, metadata │ row group │ block │ row group │ block │ … │ rollups │ footer
//! ```

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

use anyhow::{Context, Result, anyhow, bail};
use arrow::datatypes::Schema;
use ctrace_format::{names, unclosed};

use crate::files::{NameState, NamedFile};
use crate::limits::memory::Memory;
use crate::rollups::Rollups;
use crate::rows::Events;
use crate::sink::full::DiskFull;
use crate::sink::parquet::journal::Journal;
use crate::sink::parquet::medium::{Durable, Medium};
use crate::sink::parquet::row_groups::{RowGroups, pairs};
use crate::sink::parquet::sync::Syncer;
use crate::sink::proof::{Closed, Proof};
use crate::sink::{BatchPolicy, Sink, Summary};

/// The size in bytes from which on a journal is synced before the interval has passed, so that it can be emptied.
const MAX_JOURNAL_BYTES: u64 = 16 << 20;

/// A Parquet file that is being written.
pub(crate) struct Parquet {
    path: PathBuf,
    out: RowGroups,
    journal: Journal,
    sync: Syncer,
    /// A second descriptor of the file, for the sync at the end. The descriptor holds the lock that keeps other recorders away.
    file: Box<dyn Durable>,
    /// The file's name, which other programs may remove; `None` in tests without files.
    named: Option<NamedFile>,
    proof: Proof,
    rollups: Rollups,
}

impl Parquet {
    /// Begins a recording in the empty `file` at `path`, with its `journal`. `origin` is the metadata that the file has
    /// until it is closed. `memory` limits the rollups. If another program removes or truncates the file, the warnings of
    /// `proof` say so.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn new(
        (file, journal): (File, File),
        path: &Path,
        schema: &Schema,
        origin: Vec<(&'static str, String)>,
        sync_interval: Duration,
        memory: Memory,
        proof: Proof,
    ) -> Result<Parquet> {
        let failed = || format!("cannot write {}", path.display());
        let clones = || -> io::Result<_> {
            let directory = path.parent().map(|parent| match parent.as_os_str() {
                none if none.is_empty() => Path::new("."),
                _ => parent,
            });
            let directory = directory.and_then(|directory| File::open(directory).ok());
            let files: Vec<Box<dyn Durable>> =
                vec![Box::new(file.try_clone()?), Box::new(journal.try_clone()?)];
            let sync = Syncer::new(sync_interval, directory, files)?;
            let named = NamedFile::new(file.try_clone()?, path);
            Ok((sync, Box::new(file.try_clone()?), named))
        };
        let (sync, second, named) = clones().with_context(failed)?;
        let mediums: (Box<dyn Medium>, Box<dyn Medium>) = (Box::new(file), Box::new(journal));
        let rollups = Rollups::new(memory);
        let parquet = Parquet::with_mediums(mediums, (second, sync, rollups), path, schema, origin);
        Ok(Parquet {
            named: Some(named),
            proof,
            ..parquet.with_context(failed)?
        })
    }

    fn with_mediums(
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
            named: None,
            proof: Proof::default(),
            rollups,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.out.len()
    }

    /// Checks the length of the file and the result of the last sync before a write. After an error a new sync is requested, for the next check.
    fn check_sync(&mut self) -> Result<()> {
        self.check_len()?;
        self.sync.check().map_err(|e| {
            self.sync.request(self.out.len());
            self.write_error(e.into())
        })
    }

    /// Checks that no other program has truncated the file: what is written now would follow a hole.
    fn check_len(&self) -> Result<()> {
        let len = self.out.len();
        if self
            .named
            .as_ref()
            .is_some_and(|named| named.state(len) == NameState::Truncated)
        {
            bail!(
                "{} has been truncated by another program: its events are lost",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Requests a sync after a write if it is due.
    fn sync_if_due(&mut self) {
        if self.sync.is_due() || self.journal.len() >= MAX_JOURNAL_BYTES {
            self.sync.request(self.out.len());
            let warning = self
                .named
                .as_mut()
                .and_then(|named| named.check(self.out.len()));
            let warnings = &self.proof.warnings;
            warning.into_iter().for_each(|text| warnings.add(text));
        }
    }

    /// Empties the journal if its rows are in row groups, and these are synced.
    fn empty_journal(&mut self) -> Result<()> {
        if self.sync.synced_bytes() >= self.out.len() {
            self.journal.empty_if_covered()?;
        }
        Ok(())
    }

    /// Adds to a fatal error how the recording so far can be read.
    fn fatal(&self, e: &anyhow::Error) -> anyhow::Error {
        let path = self.path.display();
        anyhow!(
            "cannot write {path}: {e:#}; earlier events are safe: `ctrace-query` can read the file, and `ctrace-query \
             recover {path}` makes it a plain Parquet file"
        )
    }

    /// Returns [`DiskFull`] if the disk is full, and a fatal error otherwise.
    fn write_error(&self, e: anyhow::Error) -> anyhow::Error {
        match DiskFull::detect(e) {
            full if full.is::<DiskFull>() => {
                DiskFull(format!("cannot write {}: {full}", self.path.display())).into()
            }
            other => self.fatal(&other),
        }
    }

    /// Writes the rollups and the footer, syncs, signs, and removes the journal. Returns the size of the file in bytes. If
    /// another program has removed the file, it is written again.
    ///
    /// # Errors
    /// The file cannot be written and is left as it was, or another program has truncated it. After [`DiskFull`] the call
    /// can be repeated.
    pub(crate) fn close(&mut self, summary: &Summary) -> Result<u64> {
        self.check_len()?;
        let mut path = names::finished(&self.path);
        let (out, rollups, file) = (&mut self.out, &self.rollups, &*self.file);
        let closed = self.proof.close(&path, summary, |chain| {
            let pairs = pairs(summary.metadata().into_iter().chain(chain).collect());
            let digest = out.close(pairs, Some(rollups), file)?;
            let bytes = out.len();
            Ok(Closed { digest, bytes })
        });
        closed.map_err(|e| self.write_error(e))?;
        if let Some(named) = &self.named {
            if let Some((name, warning)) = named.put_back(self.out.len())? {
                self.proof.warnings.add(warning);
                path = names::finished(&name);
            }
            self.proof.sign(named.file(), &path);
        }
        // All rows of the journal are in the file.
        let _ = std::fs::remove_file(unclosed::journal::path(&self.path));
        Ok(self.out.len())
    }
}

impl Sink for Parquet {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy::GROUPS
    }

    /// Writes a row group that is in no rollup, because the rollups of earlier files count its rows.
    fn begin(&mut self, alive: &dyn Events) -> Result<()> {
        self.check_sync()?;
        let written = self.out.write(alive, self.sync.durable_bytes());
        written.map_err(|e| self.write_error(e))?;
        self.sync_if_due();
        Ok(())
    }

    fn journal(&mut self, columns: &dyn Events) -> Result<()> {
        self.check_sync()?;
        let appended = self
            .empty_journal()
            .and_then(|()| self.journal.append(columns));
        appended.map_err(|e| self.write_error(e))?;
        self.sync_if_due();
        Ok(())
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        self.check_sync()?;
        let written = self.out.write(columns, self.sync.durable_bytes());
        written.map_err(|e| self.write_error(e))?;
        self.journal.set_covered();
        self.rollups.add(columns);
        self.sync_if_due();
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        let closed = self.close(summary);
        closed.map_err(|e| match e.downcast::<DiskFull>() {
            Ok(full) => self.fatal(&full.into()),
            Err(e) => e,
        })
    }
}

#[cfg(test)]
mod tests;
