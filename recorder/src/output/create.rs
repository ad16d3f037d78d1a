//! Creates the sinks of a recording, with the files that they write to.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ctrace_format::names;
use ctrace_format::unclosed::journal;

use crate::files::{self, Replaced};
use crate::limits::memory::Memory;
use crate::rows::Events;
use crate::rows::arrow::encoded_schema;
use crate::sink::parquet::Parquet;
use crate::sink::proof::Proof;
use crate::sink::sqlite::Sqlite;
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, Sink};

/// The settings with which Parquet files are created.
#[derive(Clone)]
pub(crate) struct ParquetOptions {
    /// The longest time between two calls of fdatasync(2).
    pub(crate) sync: Duration,
    pub(crate) memory: Memory,
    pub(crate) proof: Proof,
}

/// Makes sure that a file can be created at `path`. An existing file is refused or, with `force`, set aside until the
/// recording has begun.
///
/// # Errors
/// The file exists and `force` is not given, or another recorder writes to it.
pub(crate) fn make_room(path: &Path, force: bool, replaced: &mut Replaced) -> Result<()> {
    let name = path.display();
    if files::is_special(path) && force {
        return Ok(());
    }
    if files::is_being_written(path) {
        return Err(files::written_by_another(path));
    }
    let journal = journal::path(path);
    if !force && files::exists(path) {
        bail!("{name} exists: add --force to overwrite it, or choose another name");
    }
    if !force && files::exists(&journal) {
        bail!(
            "{} exists: it holds the last events of a recording that was not closed; put it beside that recording, or add \
             --force to drop it",
            journal.display()
        );
    }
    if let Some(parent) = path.parent() {
        let directory = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        if let Some(danger) = files::danger_of(directory) {
            say!(
                "warning: the directory of {name} {danger}, who could replace or remove the recording: choose another directory"
            );
        }
    }
    match force {
        true => replaced.set_aside(path),
        false => Ok(()),
    }
}

/// Creates a Parquet file at a name that nothing has. The file appears under its name when it can be opened, because a
/// recorder may be killed at any time.
///
/// # Errors
/// The name exists, or the file cannot be written.
pub(crate) fn parquet(
    path: &Path,
    origin: Vec<(&'static str, String)>,
    options: &ParquetOptions,
) -> Result<Parquet> {
    let ParquetOptions {
        sync,
        memory,
        proof,
    } = options;
    let journal = journal::path(path);
    let partial = names::partial(path);
    let special = files::is_special(path);
    let file = match special {
        true => files::open_special(path)?,
        false => files::create_anew(&partial)?,
    };
    let journal_file = match files::create_anew(&journal) {
        Ok(file) => file,
        // The journal that is there may be that of another recorder.
        Err(e) => {
            if !special {
                let _ = std::fs::remove_file(&partial);
            }
            return Err(e);
        }
    };
    let created = || {
        let files = (file, journal_file);
        let schema = encoded_schema();
        let sink = Parquet::new(files, path, &schema, origin, *sync, *memory, proof.clone())?;
        if !special {
            names::rename_new(&partial, path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(sink)
    };
    let sink = created();
    if sink.is_err() && !special {
        let _ = std::fs::remove_file(&partial);
        let _ = std::fs::remove_file(&journal);
    }
    sink
}

/// Creates an SQLite database at a name that nothing has.
///
/// # Errors
/// The name exists, or the file cannot be written.
pub(crate) fn sqlite(path: &Path, origin: &[(&str, String)], proof: &Proof) -> Result<Sqlite> {
    let file = files::create(path)?;
    // SQLite would read the companion files of a recorder whose database is gone as part of this database.
    remove_companions(path);
    let sink = Sqlite::new(file, path, origin, proof.clone());
    if sink.is_err() {
        remove_companions(path);
        let _ = std::fs::remove_file(path);
    }
    sink
}

/// Removes the files that SQLite keeps beside the database `path`.
fn remove_companions(path: &Path) {
    for suffix in names::SQLITE_COMPANIONS {
        let _ = std::fs::remove_file(names::with_suffix(path, suffix));
    }
}

/// A sink that drops all rows, for a recording that only writes a raw capture.
pub(crate) struct NullSink;

impl Sink for NullSink {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy::batches(8192, None)
    }

    fn write(&mut self, _: &dyn Events) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>, _: &Summary) -> Result<u64> {
        Ok(0)
    }
}
