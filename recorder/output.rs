//! Opens what a recording is written to.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::cli::{Format, Record};
use crate::columns::{Columns, encoded_schema};
use crate::raw::Machine;
use crate::sink::{JsonLines, Parquet, Sink, Sqlite, Summary, Table};

/// Where a recording goes, decided before anything is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Parquet file.
    Parquet(PathBuf),
    /// An SQLite database.
    Sqlite(PathBuf),
    /// JSON lines on stdout.
    Json,
    /// Lines on stdout.
    Table,
    /// Nothing but a raw capture.
    RawOnly,
}

impl Target {
    /// What the flags ask for.
    ///
    /// # Errors
    /// They contradict each other, or say nothing.
    pub fn new(flags: &Record) -> Result<Target> {
        let out = flags.out.as_deref();
        let stdout = out.is_none_or(|out| out == Path::new("-"));
        let format = flags.format.or_else(|| ending(out?));
        match (format, out) {
            (Some(Format::Json), _) if stdout => Ok(Target::Json),
            (Some(Format::Table), _) if stdout => Ok(Target::Table),
            (Some(Format::Json | Format::Table), Some(out)) => bail!(
                "--format json and table go to stdout, not to {}: leave --out away and redirect, `ctrace-rec --format json > {0}`",
                out.display()
            ),
            (Some(Format::Parquet), Some(out)) if !stdout => Ok(Target::Parquet(out.to_path_buf())),
            (Some(Format::Sqlite), Some(out)) if !stdout => Ok(Target::Sqlite(out.to_path_buf())),
            (Some(format), _) => {
                let name = if format == Format::Sqlite {
                    "sqlite"
                } else {
                    "parquet"
                };
                bail!("--format {name} needs a file: add `--out run.{name}`")
            }
            (None, Some(_)) if stdout => Ok(Target::Json),
            (None, Some(out)) => bail!(
                "the ending of {} says no format: name it .parquet or .sqlite, or add `--format parquet`",
                out.display()
            ),
            (None, None) if flags.raw.is_some() => Ok(Target::RawOnly),
            (None, None) if flags.from_raw.is_some() => {
                bail!(
                    "nothing says what to make of the capture: add `--out run.parquet` or `--format table`"
                )
            }
            (None, None) => bail!(
                "nothing says where to record to: `ctrace-rec --out run.parquet`, or `ctrace-rec --format table` to watch"
            ),
        }
    }

    /// What the progress line calls it.
    pub fn name(&self) -> String {
        match self {
            Target::Parquet(path) | Target::Sqlite(path) => path.display().to_string(),
            Target::Json | Target::Table => "stdout".to_string(),
            Target::RawOnly => "a raw capture".to_string(),
        }
    }

    /// The file that it is.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Target::Parquet(path) | Target::Sqlite(path) => Some(path),
            Target::Json | Target::Table | Target::RawOnly => None,
        }
    }

    /// How long rows may wait until they fill a batch; `None`: as long as that takes.
    pub fn patience(&self) -> Option<Duration> {
        match self {
            // Somebody watches.
            Target::Json | Target::Table => Some(Duration::from_millis(100)),
            // With the time for which rows are held at most, less than a second: what a kill may cost.
            Target::Sqlite(_) => Some(Duration::from_millis(250)),
            Target::Parquet(_) | Target::RawOnly => None,
        }
    }

    /// Opens it, for a recording of `machine`.
    ///
    /// # Errors
    /// It exists and `force` is not given, or cannot be written.
    pub fn open(&self, machine: &Machine, force: bool) -> Result<Box<dyn Sink>> {
        Ok(match self {
            Target::Parquet(path) => Box::new(Parquet::new(
                create(path, force)?,
                path,
                Arc::new(encoded_schema()),
                Summary::new(machine).origin(),
            )?),
            Target::Sqlite(path) => {
                create(path, force)?;
                // What a killed recorder left beside a file that is overwritten would be taken for a part of this one.
                for left in ["-wal", "-shm", "-journal"] {
                    let mut name = path.clone().into_os_string();
                    name.push(left);
                    let _ = std::fs::remove_file(name);
                }
                Box::new(Sqlite::new(path, &Summary::new(machine).origin())?)
            }
            Target::Json => Box::new(JsonLines::new()),
            Target::Table => Box::new(Table::new(&machine.arch)),
            Target::RawOnly => Box::new(Nothing),
        })
    }
}

/// The format that a file's ending says.
fn ending(out: &Path) -> Option<Format> {
    match out.extension()?.to_str()? {
        "parquet" => Some(Format::Parquet),
        "sqlite" | "sqlite3" | "db" => Some(Format::Sqlite),
        _ => None,
    }
}

/// Makes a file, which must not be there unless `force` is given.
///
/// # Errors
/// It exists, or cannot be made.
pub fn create(path: &Path, force: bool) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow!(
                "{} exists: add --force to overwrite it, or choose another name",
                path.display()
            )
        }
        io::ErrorKind::NotFound => {
            anyhow!(
                "cannot write {}: its directory does not exist; make it first",
                path.display()
            )
        }
        _ => anyhow!("cannot write {}: {e}", path.display()),
    })
}

/// A sink for a recording of which only the raw capture is wanted.
struct Nothing;

impl Sink for Nothing {
    fn rows(&self) -> usize {
        8192
    }

    fn write(&mut self, _: &Columns) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>, _: &Summary) -> Result<u64> {
        Ok(0)
    }
}

/// Makes the raw capture that was asked for.
///
/// # Errors
/// It exists, or cannot be made.
pub fn create_raw(flags: &Record, machine: &Machine) -> Result<Option<crate::raw::Writer>> {
    let Some(path) = &flags.raw else {
        return Ok(None);
    };
    let file = create(path, flags.force)?;
    let writer = crate::raw::Writer::new(file, machine)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(writer))
}
