//! Creates the files of a recording.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use ctrace_format::names;
use ctrace_format::unclosed::journal;

use crate::limits::memory::Memory;
use crate::rows::Events;
use crate::rows::arrow::encoded_schema;
use crate::sink::parquet::Parquet;
use crate::sink::sqlite::Sqlite;
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, Sink};

/// Creates a Parquet file. The file appears under its name when it can be opened, because a recorder may be killed at
/// any time.
pub(crate) fn parquet(
    path: &Path,
    origin: Vec<(&'static str, String)>,
    force: bool,
    sync: Duration,
    memory: Memory,
) -> Result<Parquet> {
    let journal = journal::path(path);
    let is_orphan = journal.exists() && !path.exists();
    if is_orphan && !force {
        bail!(
            "{} exists: it holds the last events of a recording that was not closed; put it beside that recording, or add \
             --force to drop it",
            journal.display()
        );
    }
    check_writable(path, force)?;
    let special = path.metadata().is_ok_and(|m| !m.is_file());
    let partial = match special {
        true => path.to_path_buf(),
        false => names::partial(path),
    };
    let files = (create(&partial, true)?, create(&journal, true)?);
    let sink =
        Parquet::new(files, path, &encoded_schema(), origin, sync, memory).and_then(|sink| {
            if !special {
                std::fs::rename(&partial, path)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            Ok(sink)
        });
    if sink.is_err() && !special {
        let _ = std::fs::remove_file(&partial);
        let _ = std::fs::remove_file(&journal);
    }
    sink
}

/// Creates an SQLite database.
pub(crate) fn sqlite(path: &Path, origin: &[(&str, String)], force: bool) -> Result<Sqlite> {
    let file = create(path, force)?;
    // SQLite would read the companion files of a killed recorder, whose database is overwritten, as part of this
    // database.
    for suffix in names::SQLITE_COMPANIONS {
        let _ = std::fs::remove_file(names::with_suffix(path, suffix));
    }
    Sqlite::new(file, path, origin)
}

/// Checks that a file may be written: it must not be written by another recorder, nor exist unless `force` is given.
pub(crate) fn check_writable(path: &Path, force: bool) -> Result<()> {
    let name = path.display();
    if names::is_being_written(path) {
        return Err(written_by_another(path));
    }
    if path.exists() && !force {
        bail!("{name} exists: add --force to overwrite it, or choose another name");
    }
    Ok(())
}

fn written_by_another(path: &Path) -> Error {
    let name = path.display();
    anyhow!("{name} is being written by another ctrace-rec: choose another name")
}

/// Creates and locks a file, which has one writer.
///
/// # Errors
/// The file exists and `force` is not given, another recorder writes to the file, or the file cannot be created.
pub(crate) fn create(path: &Path, force: bool) -> Result<File> {
    check_writable(path, force)?;
    let name = path.display();
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if force {
        options.create(true);
    } else {
        options.create_new(true);
    }
    let file = options.open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("cannot write {name}: its directory does not exist; make it first")
        }
        _ => Error::new(e).context(format!("cannot write {name}")),
    })?;
    // Other errors are ignored: not every file system has locks.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(written_by_another(path));
    }
    // A pipe or device has no length.
    if file.metadata().is_ok_and(|m| m.is_file()) {
        file.set_len(0)
            .with_context(|| format!("cannot write {name}"))?;
    }
    Ok(file)
}

/// Returns `path`, or if a file with this name exists, a name in the same directory with the time `time_ns` (since 1970
/// UTC) added.
pub(crate) fn unused_name(path: &Path, time_ns: i64) -> Result<PathBuf> {
    let time = chrono::DateTime::from_timestamp_nanos(time_ns).format("%Y%m%dT%H%M%S%.6fZ");
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, ending) = (text(path.file_stem()), text(path.extension()));
    let ending = if ending.is_empty() {
        ending
    } else {
        format!(".{ending}")
    };
    let mut names = (0..).map(|n| match n {
        0 => path.to_path_buf(),
        1 => path.with_file_name(format!("{stem}-{time}{ending}")),
        n => path.with_file_name(format!("{stem}-{time}-{n}{ending}")),
    });
    let is_unused = |path: &PathBuf| !path.exists() && !journal::path(path).exists();
    names.find(is_unused).context("no name is left")
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
