//! Opens what a recording is written to.

pub mod create;
pub mod upkeep;

use crate::output::create::{Nothing, create, ending, free, parquet, sqlite};
use crate::records::machine::Machine;
use crate::sink::summary::Summary;
use crate::sink::summary::Why;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Error, Result, bail};
use ctrace_schema::human;

use crate::cli::{Format, Record};
use crate::flight::Flight;
use crate::flight::dump::{Begun, Open};
use crate::flight::trigger::Trigger;
use crate::limits::files::Limits;
use crate::limits::memory::Memory;
use crate::output::upkeep::Control;
use crate::rows::Events;
use crate::sink::Sink;
use crate::sink::json::JsonLines;
use crate::sink::segments::Segments;
use crate::sink::segments::directory::{Directory, of_host, open};
use crate::sink::segments::unfinished::Left;
use crate::sink::spill::Spill;
use crate::sink::strace::Table;

/// Where a recording goes, decided before anything is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Parquet file.
    Parquet(PathBuf),
    /// Parquet files in a directory, one after the other.
    Segments(PathBuf),
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
        let directory = out.filter(|out| out.is_dir() || out.to_string_lossy().ends_with('/'));
        match (directory, flags.format) {
            (Some(out), None | Some(Format::Parquet)) => {
                return Ok(Target::Segments(out.to_path_buf()));
            }
            (Some(out), _) => bail!(
                "{} is a directory, in which recordings are Parquet: leave --format away, or name a file",
                out.display()
            ),
            (None, _) if flags.rotate.is_some() || flags.keep.is_some() => {
                bail!("--rotate and --keep need a directory: `--out DIR/`")
            }
            (None, _) => {}
        }
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
            Target::Parquet(path) | Target::Segments(path) | Target::Sqlite(path) => {
                path.display().to_string()
            }
            Target::Json | Target::Table => "stdout".to_string(),
            Target::RawOnly => "a raw capture".to_string(),
        }
    }

    /// The file that it is.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Target::Parquet(path) | Target::Sqlite(path) => Some(path),
            Target::Segments(_) | Target::Json | Target::Table | Target::RawOnly => None,
        }
    }

    /// Opens it, for a recording of `machine`.
    ///
    /// # Errors
    /// It exists and is not to be overwritten, another recorder writes to it, or it cannot be written.
    pub fn open(&self, machine: &Machine, flags: &Record) -> Result<Box<dyn Sink>> {
        let (origin, force) = (Summary::new(machine).origin(), flags.force);
        Ok(match self {
            Target::Parquet(path) => {
                Box::new(parquet(path, origin, force, flags.sync, flags.memory)?)
            }
            Target::Segments(out) => Box::new(segments(out, machine, origin, flags)?),
            Target::Sqlite(path) => Box::new(sqlite(path, &origin, force)?),
            Target::Json => Box::new(JsonLines::new()),
            Target::Table => Box::new(Table::new(&machine.arch)),
            Target::RawOnly => Box::new(Nothing),
        })
    }
}

impl Target {
    /// What begins a file for each dump of a ring of `machine`, within `memory`. Each has a name that nothing has: that of the
    /// target, or it with the time in it.
    ///
    /// # Errors
    /// It is nothing that dumps can go to.
    pub fn dumps(&self, machine: &Machine, memory: Memory, flags: &Record) -> Result<Open> {
        let (owner, sync) = (machine.clone(), flags.sync);
        let origin = move |why: &Why| Summary::of_dump(&owner, why).origin();
        if flags.rotate.is_some() {
            bail!("--rotate and --ring do not go together: each dump is a file of its own");
        }
        if let Some(parent) = self.file().and_then(Path::parent)
            && !parent.as_os_str().is_empty()
            && !parent.is_dir()
        {
            bail!(
                "there is no directory {} for dumps: make it first",
                parent.display()
            );
        }
        Ok(match self {
            Target::Parquet(path) => {
                let path = path.clone();
                Box::new(move |why| {
                    let path = free(&path, why.time)?;
                    let sink = Box::new(parquet(&path, origin(why), false, sync, memory)?);
                    let end = Box::new(|| Ok(()));
                    Ok(Begun { sink, path, end })
                })
            }
            Target::Sqlite(path) => {
                let path = path.clone();
                Box::new(move |why| {
                    let path = free(&path, why.time)?;
                    let sink = Box::new(sqlite(&path, &origin(why), false)?);
                    let end = Box::new(|| Ok(()));
                    Ok(Begun { sink, path, end })
                })
            }
            Target::Segments(out) => {
                let directory = Arc::new(directory(out, machine, flags)?);
                Box::new(move |why| {
                    let path = directory.name()?;
                    let sink = Box::new(parquet(&open(&path), origin(why), false, sync, memory)?);
                    let (directory, to) = (directory.clone(), path.clone());
                    let end = Box::new(move || {
                        std::fs::rename(open(&to), &to)
                            .with_context(|| format!("cannot name {}", to.display()))?;
                        directory.remove_oldest();
                        Ok(())
                    });
                    Ok(Begun { sink, path, end })
                })
            }
            Target::Json | Target::Table | Target::RawOnly => {
                bail!("--ring needs a file or a directory for its dumps: add `--out DIR/`")
            }
        })
    }
}

/// What rows go into: the target itself, or a ring from which dumps go there.
pub struct Into {
    memory: Memory,
    /// Its limits, and when it is written out.
    ring: Option<(Limits, Option<Trigger>)>,
}

impl Into {
    /// What the flags ask for.
    ///
    /// # Errors
    /// The ring is too large, or the trigger is no condition.
    pub fn new(flags: &Record) -> Result<Into> {
        let Some(limits) = flags.ring else {
            let (memory, ring) = (flags.memory, None);
            return Ok(Into { memory, ring });
        };
        let (memory, bytes) = flags.memory.beside(limits.bytes).map_err(Error::msg)?;
        let bytes = Some(bytes);
        let trigger = flags.trigger.as_deref().map(Trigger::new).transpose()?;
        let ring = Some((Limits { bytes, ..limits }, trigger));
        Ok(Into { memory, ring })
    }

    /// What the recorder may take beside the ring.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// What the progress line calls it.
    pub fn name(&self, target: &Target) -> String {
        match &self.ring {
            None => target.name(),
            Some((limits, _)) => {
                let bytes = human::bytes(limits.bytes.unwrap_or(0));
                let age = limits.age.map(humantime::format_duration);
                let age = age.map_or(String::new(), |age| format!("{age}, "));
                format!(
                    "a ring in memory ({age}{bytes}), its dumps to {}",
                    target.name()
                )
            }
        }
    }

    /// Opens it, for a recording of `machine`; and what has to be seen to meanwhile.
    ///
    /// # Errors
    /// Those of [`Target::open`] and [`Target::dumps`].
    pub fn open(
        self,
        target: &Target,
        machine: &Machine,
        flags: &Record,
    ) -> Result<(Box<dyn Sink>, Option<Control>)> {
        let most = self.memory.batch();
        let (sink, control) = self.sink(target, machine, flags)?;
        let control = match target {
            Target::Segments(out) => {
                let left = Left::new(&of_host(out, &machine.host), most);
                control.map(|control| control.finishing(left))
            }
            _ => control,
        };
        Ok((sink, control))
    }

    /// Likewise, and no more than what rows go into.
    fn sink(
        self,
        target: &Target,
        machine: &Machine,
        flags: &Record,
    ) -> Result<(Box<dyn Sink>, Option<Control>)> {
        let Some((limits, trigger)) = self.ring else {
            let sink = target.open(machine, flags)?;
            return Ok(match target {
                Target::Parquet(_) | Target::Segments(_) | Target::Sqlite(_) => {
                    let spill = Spill::new(sink, &machine.host, self.memory)?;
                    let control = Control::of_disk(spill.disk());
                    (Box::new(spill), Some(control))
                }
                Target::Json | Target::Table | Target::RawOnly => (sink, None),
            });
        };
        let open = target.dumps(machine, self.memory, flags)?;
        let when = (trigger, flags.after);
        let flight = Flight::new(limits, self.memory, when, machine, open)?;
        let control = Control::of_ring(flight.shared(), flags.after)?;
        Ok((Box::new(flight), Some(control)))
    }
}

/// Begins segments in a directory, which has one writer for each host.
fn segments(
    out: &Path,
    machine: &Machine,
    origin: Vec<(&'static str, String)>,
    flags: &Record,
) -> Result<Segments> {
    let directory = directory(out, machine, flags)?;
    let (sync, memory) = (flags.sync, flags.memory);
    let begin = Box::new(move |path: &Path| parquet(path, origin.clone(), false, sync, memory));
    let rotate = flags.rotate.unwrap_or_default();
    Ok(Segments::new(directory, machine, rotate, begin))
}

/// The files of this machine in `out`, which have one writer.
fn directory(out: &Path, machine: &Machine, flags: &Record) -> Result<Directory> {
    let path = of_host(out, &machine.host);
    std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let lock = create(&path.join(".lock"), true)?;
    let keep = flags.keep.unwrap_or_default();
    Ok(Directory::new(path, machine, keep, lock))
}

/// Makes the raw capture that was asked for.
///
/// # Errors
/// It exists, or cannot be made.
pub fn create_raw(
    flags: &Record,
    machine: &Machine,
) -> Result<Option<crate::records::capture::Writer>> {
    let Some(path) = &flags.raw else {
        return Ok(None);
    };
    let file = create(path, flags.force)?;
    let writer = crate::records::capture::Writer::new(file, machine)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(writer))
}
