//! SQLite output: each batch is one transaction, which is in the file when the write returns.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ctrace_format::digest;
use ctrace_format::sqlite::Writer;

use crate::files::NamedFile;
use crate::rows::Events;
use crate::sink::full::DiskFull;
use crate::sink::proof::Proof;
use crate::sink::{BatchPolicy, Sink, Summary, WRITE_AFTER};

pub(crate) struct Sqlite {
    path: PathBuf,
    writer: Writer,
    /// The file's name and a locked descriptor, which keeps other recorders away. Dropped after `writer` has closed the file: closing any descriptor of a file drops
    /// all POSIX locks of the process on it, and those include the locks of SQLite (fcntl_locking(2)).
    named: NamedFile,
    /// The greatest size of the file that was seen, in bytes.
    seen_bytes: u64,
    proof: Proof,
}

impl Sqlite {
    /// Creates the database in the empty, locked `file` at `path`. `origin` is the metadata that the file has until
    /// [`Sink::finish`] adds the rest. If another program removes or truncates the file, the warnings of `proof` say so.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn new(
        file: File,
        path: &Path,
        origin: &[(&str, String)],
        proof: Proof,
    ) -> Result<Sqlite> {
        let writer = Writer::create(path, origin)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Sqlite {
            path: path.to_path_buf(),
            writer,
            named: NamedFile::new(file, path),
            seen_bytes: 0,
            proof,
        })
    }

    fn failed(&self) -> String {
        let path = self.path.display();
        format!("cannot write {path}; earlier events are safe, and the file can be opened")
    }
}

impl Sink for Sqlite {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy::batches(32_768, Some(WRITE_AFTER))
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        let written = self.writer.write(&columns.record_batch()?);
        written
            .with_context(|| self.failed())
            .map_err(DiskFull::detect)?;
        let warning = self.named.check(self.seen_bytes);
        let warnings = &self.proof.warnings;
        warning.into_iter().for_each(|text| warnings.add(text));
        self.seen_bytes = self.seen_bytes.max(self.named.len());
        Ok(())
    }

    fn finish(self: Box<Self>, summary: &Summary) -> Result<u64> {
        let failed = self.failed();
        let finished = self.writer.finish(&summary.metadata());
        let placeholder = finished.context(failed.clone())?;
        if let Some(placeholder) = &placeholder {
            digest::seal(self.named.file(), placeholder).context(failed)?;
        }
        let bytes = self.named.len();
        let mut path = self.path;
        if let Some((name, warning)) = self.named.put_back(bytes.max(self.seen_bytes))? {
            self.proof.warnings.add(warning);
            path = name;
        }
        match placeholder {
            Some(_) => self.proof.sign(self.named.file(), &path),
            None => self.proof.warnings.add(format!(
                "{} has no digest, because another program reads it: `ctrace-query verify` cannot prove it",
                path.display()
            )),
        }
        Ok(bytes)
    }
}
