//! The output of a recording: opens the sink that rows are written to, and creates its periodic work ([`upkeep`]).

pub(crate) mod create;
pub(crate) mod upkeep;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ctrace_format::names;
use ctrace_schema::human;

use crate::files::{self, Replaced};
use crate::flight::Flight;
use crate::flight::dump::{OpenDump, StartedDump};
use crate::flight::trigger::Trigger;
use crate::limits::memory::Memory;
use crate::output::create::{NullSink, ParquetOptions, make_room, parquet, sqlite};
use crate::output::upkeep::Upkeep;
use crate::plan::{Destination, FileOptions, Plan, RingOptions};
use crate::progress::Warnings;
use crate::records::capture::CaptureWriter;
use crate::records::machine::Machine;
use crate::rows::batch::Boot;
use crate::sink::Sink;
use crate::sink::json::JsonLines;
use crate::sink::segments::Segments;
use crate::sink::segments::directory::Directory;
use crate::sink::segments::unfinished::UnfinishedSegments;
use crate::sink::spill::Spill;
use crate::sink::strace::StraceLines;
use crate::sink::summary::{DumpRequest, Summary};

/// The output of a recording, before it is opened.
pub(crate) struct Output<'a> {
    destination: &'a Destination,
    files: FileOptions,
    memory: Memory,
    ring: Option<(&'a RingOptions, Option<Trigger>)>,
    warnings: Warnings,
}

/// The open output of a recording.
pub(crate) struct OpenOutput {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) upkeep: Option<Upkeep>,
    /// The files that the recording replaces.
    pub(crate) replaced: Replaced,
}

impl Output<'_> {
    /// Checks the output that the plan asks for.
    ///
    /// # Errors
    /// The trigger is not a valid condition.
    pub(crate) fn new(plan: &Plan) -> Result<Output<'_>> {
        let trigger = |ring: &RingOptions| ring.trigger.as_deref().map(Trigger::new).transpose();
        let ring = plan.ring.as_ref();
        Ok(Output {
            destination: &plan.destination,
            files: plan.files,
            memory: plan.memory,
            ring: ring
                .map(|ring| Ok::<_, anyhow::Error>((ring, trigger(ring)?)))
                .transpose()?,
            warnings: Warnings::default(),
        })
    }

    /// Returns the name that the progress line shows.
    pub(crate) fn name(&self) -> String {
        let destination = self.destination.name();
        let Some((RingOptions { limits, .. }, _)) = &self.ring else {
            return destination;
        };
        let bytes = human::bytes(limits.bytes.unwrap_or(0));
        let age = limits.age.map(humantime::format_duration);
        let age = age.map_or(String::new(), |age| format!("{age}, "));
        format!("a ring in memory ({age}{bytes}), its dumps to {destination}")
    }

    /// Opens the sink for a recording of `machine`, with its upkeep.
    ///
    /// # Errors
    /// A file exists and may not be overwritten, another recorder writes to it, it cannot be written, or dumps cannot
    /// go to the destination.
    pub(crate) fn open(self, machine: &Machine) -> Result<OpenOutput> {
        let mut replaced = Replaced::default();
        let unfinished = match self.destination {
            Destination::Segments(out) => {
                let directories = names::node_directories(out, &machine.host);
                Some(UnfinishedSegments::new(
                    &directories,
                    self.memory.batch_bytes(),
                ))
            }
            _ => None,
        };
        let (sink, upkeep) = match self.ring {
            Some(_) => self.open_ring(machine)?,
            None => self.open_files(machine, &mut replaced)?,
        };
        let upkeep = upkeep.map(|upkeep| match unfinished {
            Some(segments) => upkeep.with_unfinished(segments),
            None => upkeep,
        });
        Ok(OpenOutput {
            sink,
            upkeep,
            replaced,
        })
    }

    fn parquet_options(&self) -> ParquetOptions {
        ParquetOptions {
            sync: self.files.sync,
            memory: self.memory,
            warnings: self.warnings.clone(),
        }
    }

    fn open_ring(self, machine: &Machine) -> Result<(Box<dyn Sink>, Option<Upkeep>)> {
        let open = self.dumps(machine)?;
        let Some((ring, trigger)) = self.ring else {
            bail!("there is no ring to open");
        };
        let when = (trigger, ring.after);
        let flight = Flight::new(ring.limits, self.memory, when, machine, open)?;
        let upkeep = Upkeep::for_ring(flight.shared(), ring.after, self.warnings)?;
        Ok((Box::new(flight), Some(upkeep)))
    }

    fn open_files(
        self,
        machine: &Machine,
        replaced: &mut Replaced,
    ) -> Result<(Box<dyn Sink>, Option<Upkeep>)> {
        let origin = Summary::new(machine).origin();
        let boot = Boot::new(&machine.host, &machine.boot_id);
        let force = self.files.force;
        if let Some(path) = self.destination.file() {
            make_room(path, force, replaced)?;
        }
        let sink: Box<dyn Sink> = match self.destination {
            Destination::Parquet(path) => Box::new(parquet(path, origin, &self.parquet_options())?),
            Destination::Segments(out) => Box::new(self.segments(out, machine)?),
            Destination::Sqlite(path) => Box::new(sqlite(path, &origin, &self.warnings)?),
            Destination::Json => return Ok((Box::new(JsonLines::new()), None)),
            Destination::Table => return Ok((Box::new(StraceLines::new(&machine.arch)), None)),
            Destination::RawOnly => return Ok((Box::new(NullSink), None)),
        };
        let spill = Spill::new(sink, &boot, self.memory)?;
        let upkeep = Upkeep::for_disk(spill.disk(), self.warnings);
        Ok((Box::new(spill), Some(upkeep)))
    }

    /// Returns the function that creates the file of each dump. No dump overwrites a file: a name in use gets the time
    /// of the dump added.
    fn dumps(&self, machine: &Machine) -> Result<OpenDump> {
        self.check_dumps()?;
        let (owner, options) = (machine.clone(), self.parquet_options());
        let warnings = self.warnings.clone();
        let origin = move |request: &DumpRequest, alive: u64| {
            Summary::for_dump(&owner, request, alive).origin()
        };
        let parquet = {
            let origin = origin.clone();
            move |path: &Path, request: &DumpRequest, alive: u64| {
                parquet(path, origin(request, alive), &options)
            }
        };
        Ok(match self.destination {
            Destination::Parquet(path) => {
                let path = path.clone();
                Box::new(move |request, alive| {
                    let path = files::unused_name(&path, request.time)?;
                    Ok(StartedDump {
                        sink: Box::new(parquet(&path, request, alive)?),
                        path,
                        on_finished: Box::new(|| Ok(())),
                    })
                })
            }
            Destination::Sqlite(path) => {
                let path = path.clone();
                Box::new(move |request, alive| {
                    let path = files::unused_name(&path, request.time)?;
                    Ok(StartedDump {
                        sink: Box::new(sqlite(&path, &origin(request, alive), &warnings)?),
                        path,
                        on_finished: Box::new(|| Ok(())),
                    })
                })
            }
            Destination::Segments(out) => {
                let directory = Arc::new(self.directory(out, machine)?);
                Box::new(move |request, alive| {
                    let path = directory.next_path()?;
                    let sink = Box::new(parquet(&names::open(&path), request, alive)?);
                    let (directory, to) = (directory.clone(), path.clone());
                    let on_finished = Box::new(move || {
                        names::rename_new(&names::open(&to), &to)
                            .with_context(|| format!("cannot name {}", to.display()))?;
                        directory.remove_oldest(&to);
                        Ok(())
                    });
                    Ok(StartedDump {
                        sink,
                        path,
                        on_finished,
                    })
                })
            }
            Destination::Json | Destination::Table | Destination::RawOnly => {
                bail!("--ring needs a file or a directory for its dumps: add `--out DIR/`")
            }
        })
    }

    /// Checks that dumps can go to the destination.
    fn check_dumps(&self) -> Result<()> {
        if self.files.rotate.is_some() {
            bail!("--rotate and --ring do not go together: each dump is a file of its own");
        }
        if let Some(parent) = self.destination.file().and_then(Path::parent)
            && !parent.as_os_str().is_empty()
            && !parent.is_dir()
        {
            bail!(
                "there is no directory {} for dumps: make it first",
                parent.display()
            );
        }
        Ok(())
    }

    /// Creates the sink of a directory of segments.
    fn segments(&self, out: &Path, machine: &Machine) -> Result<Segments> {
        let directory = self.directory(out, machine)?;
        let options = self.parquet_options();
        let begin = Box::new(move |path: &Path, summary: &Summary| {
            parquet(path, summary.origin(), &options)
        });
        let rotate = self.files.rotate.unwrap_or_default();
        let alive = self.memory.alive();
        let warnings = self.warnings.clone();
        Ok(Segments::new(
            directory, machine, rotate, begin, alive, warnings,
        ))
    }

    /// Creates and locks the directory of this host in `out`: each host has one writer.
    fn directory(&self, out: &Path, machine: &Machine) -> Result<Directory> {
        let paths = names::node_directories(out, &machine.host);
        let path = &paths[0];
        files::make_output_directory(out)?;
        files::make_directory(path)?;
        // A directory of an earlier recorder is used if it is there.
        let existing = paths.iter().filter(|path| files::exists(path));
        let locks = existing.map(|path| {
            files::make_directory(path)?;
            files::lock_directory(path)
        });
        let locks = locks.collect::<Result<Vec<_>>>()?;
        let keep = self.files.keep.unwrap_or_default();
        Ok(Directory::new(paths, machine, keep, locks))
    }
}

/// Creates the raw capture, if the plan asks for one.
///
/// # Errors
/// The file exists or cannot be created.
pub(crate) fn create_capture(
    plan: &Plan,
    machine: &Machine,
    replaced: &mut Replaced,
) -> Result<Option<CaptureWriter>> {
    let Some(path) = &plan.raw else {
        return Ok(None);
    };
    make_room(path, plan.files.force, replaced)?;
    let file = match files::is_special(path) {
        true => files::open_special(path)?,
        false => files::create(path)?,
    };
    let writer = CaptureWriter::new(file, machine)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(writer))
}
