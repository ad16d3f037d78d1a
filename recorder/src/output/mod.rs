//! The output of a recording: opens the sink that rows are written to, and creates its periodic work ([`upkeep`]).

pub(crate) mod create;
pub(crate) mod upkeep;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ctrace_common::paths::directory_of;
use ctrace_format::names;
use ctrace_rules::RuleSet;
use ctrace_schema::human;

use crate::files::{self, Replaced};
use crate::flight::dump::{OpenDump, StartedDump};
use crate::flight::trigger::{LeftOut, Trigger};
use crate::flight::{Flight, socket};
use crate::limits::memory::Memory;
use crate::output::create::{NullSink, ParquetOptions, make_room, parquet, sqlite};
use crate::output::upkeep::Upkeep;
use crate::plan::{Destination, FileOptions, Plan, RingOptions};
use crate::records::capture::CaptureWriter;
use crate::records::machine::Machine;
use crate::rows::batch::Boot;
use crate::sink::Sink;
use crate::sink::json::JsonLines;
use crate::sink::proof::Proof;
use crate::sink::proof::manifest::Manifest;
use crate::sink::proof::sign::Signer;
use crate::sink::redacting::Redacting;
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
    proof: Proof,
}

/// Prints how many rules are triggers, and which are none, by the reason.
fn tell_triggers(rules: &RuleSet, left_out: &[LeftOut]) {
    let all = rules.rules().len();
    if all == 0 {
        return;
    }
    say!("triggers: {} of {all} rules", all - left_out.len());
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, reason) in left_out {
        reasons.entry(reason).or_default().push(name);
    }
    for (reason, names) in reasons {
        say!("no triggers: {}: {reason}", names.join(", "));
    }
}

/// The open output of a recording.
pub(crate) struct OpenOutput {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) upkeep: Option<Upkeep>,
    /// The files that the recording replaces and creates.
    pub(crate) replaced: Replaced,
}

impl Output<'_> {
    /// Checks the output that the plan asks for.
    ///
    /// # Errors
    /// The trigger is not a valid condition, or the key cannot sign.
    pub(crate) fn new(plan: &Plan) -> Result<Output<'_>> {
        let trigger = |ring: &RingOptions| {
            let (trigger, left_out) = Trigger::new(ring.trigger.as_deref(), &ring.trigger_rules)?;
            if !plan.quiet {
                tell_triggers(&ring.trigger_rules, &left_out);
            }
            Ok::<_, anyhow::Error>(trigger)
        };
        let ring = plan.ring.as_ref();
        let key = plan.files.sign.as_deref();
        let signer = key.map(Signer::read).transpose()?.map(Arc::new);
        Ok(Output {
            destination: &plan.destination,
            files: plan.files.clone(),
            memory: plan.memory,
            ring: ring
                .map(|ring| Ok::<_, anyhow::Error>((ring, trigger(ring)?)))
                .transpose()?,
            proof: Proof {
                signer,
                ..Proof::default()
            },
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

    /// Returns the directories in which files are written. A directory of segments that is removed is made again, so its
    /// parent is the place to write to, unless nobody can remove it.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let directory = match self.destination {
            Destination::Segments(out) if files::is_mount_point(out) => out,
            Destination::Segments(out) => match directory_of(out) {
                parent if parent == Path::new("/") => out,
                parent => parent,
            },
            Destination::Parquet(path) | Destination::Sqlite(path) => directory_of(path),
            Destination::Json | Destination::Table | Destination::RawOnly => return vec![],
        };
        vec![directory.to_path_buf()]
    }

    /// Returns the directories of the sockets on which requests for dumps arrive.
    pub(crate) fn socket_directories(&self) -> Vec<PathBuf> {
        let ring = self.ring.as_ref();
        ring.and_then(|_| socket::directory().ok())
            .into_iter()
            .collect()
    }

    /// Opens the sink for a recording of `machine`, with its upkeep.
    ///
    /// # Errors
    /// A file exists and may not be overwritten, another recorder writes to it, it cannot be written, or dumps cannot
    /// go to the destination.
    pub(crate) fn open(mut self, machine: &Machine) -> Result<OpenOutput> {
        let mut replaced = Replaced::default();
        if self.ring.is_some() {
            self.check_dumps()?;
        }
        let (mut directory, mut unfinished) = (None, None);
        if let Destination::Segments(out) = self.destination {
            directory = Some(self.directory(out, machine)?);
            unfinished = Some(UnfinishedSegments::new(
                &names::node_directories(out, &machine.host),
                self.memory.batch_bytes(),
                self.proof.clone(),
            ));
        }
        let (sink, upkeep) = match self.ring {
            Some(_) => self.open_ring(machine, directory)?,
            None => self.open_files(machine, directory, &mut replaced)?,
        };
        let upkeep = upkeep.map(|upkeep| match unfinished {
            Some(segments) => upkeep.with_unfinished(segments),
            None => upkeep,
        });
        let redaction = machine.redaction.as_ref();
        let redactor = redaction.map(|redaction| redaction.redactor.clone());
        Ok(OpenOutput {
            sink: match redactor {
                Some(redactor) => Box::new(Redacting::new(sink, redactor)),
                None => sink,
            },
            upkeep,
            replaced,
        })
    }

    fn parquet_options(&self) -> ParquetOptions {
        ParquetOptions {
            sync: self.files.sync,
            memory: self.memory,
            proof: self.proof.clone(),
        }
    }

    fn open_ring(
        self,
        machine: &Machine,
        directory: Option<Directory>,
    ) -> Result<(Box<dyn Sink>, Option<Upkeep>)> {
        let open = self.dumps(machine, directory)?;
        let Some((ring, trigger)) = self.ring else {
            bail!("there is no ring to open");
        };
        let when = (trigger, ring.after);
        let flight = Flight::new(ring.limits, self.memory, when, machine, open)?;
        let upkeep = Upkeep::for_ring(flight.shared(), ring.after, self.proof.warnings)?;
        Ok((Box::new(flight), Some(upkeep)))
    }

    fn open_files(
        self,
        machine: &Machine,
        directory: Option<Directory>,
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
            Destination::Segments(_) => Box::new(self.segments(directory, machine)?),
            Destination::Sqlite(path) => Box::new(sqlite(path, &origin, &self.proof)?),
            Destination::Json => return Ok((Box::new(JsonLines::new()), None)),
            Destination::Table => return Ok((Box::new(StraceLines::new(&machine.arch)), None)),
            Destination::RawOnly => return Ok((Box::new(NullSink), None)),
        };
        if let Some(path) = self.destination.file().filter(|p| !files::is_special(p)) {
            replaced.add_created(path);
        }
        let spill = Spill::new(sink, &boot, self.memory)?;
        let upkeep = Upkeep::for_disk(spill.disk(), self.proof.warnings);
        Ok((Box::new(spill), Some(upkeep)))
    }

    /// Returns the function that creates the file of each dump. No dump overwrites a file: a name in use gets the time
    /// of the dump added.
    fn dumps(&self, machine: &Machine, directory: Option<Directory>) -> Result<OpenDump> {
        let (owner, options) = (machine.clone(), self.parquet_options());
        let proof = self.proof.clone();
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
                        sink: Box::new(sqlite(&path, &origin(request, alive), &proof)?),
                        path,
                        on_finished: Box::new(|| Ok(())),
                    })
                })
            }
            Destination::Segments(_) => {
                let directory = Arc::new(directory.context("there is no directory")?);
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
    fn segments(&self, directory: Option<Directory>, machine: &Machine) -> Result<Segments> {
        let directory = directory.context("there is no directory")?;
        let options = self.parquet_options();
        let begin = Box::new(move |path: &Path, summary: &Summary| {
            parquet(path, summary.origin(), &options)
        });
        let rotate = self.files.rotate.unwrap_or_default();
        let alive = self.memory.alive();
        let warnings = self.proof.warnings.clone();
        Ok(Segments::new(
            directory, machine, rotate, begin, alive, warnings,
        ))
    }

    /// Creates and locks the directory of this host in `out`, which has one writer, and opens its manifest.
    fn directory(&mut self, out: &Path, machine: &Machine) -> Result<Directory> {
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
        let Proof {
            signer, warnings, ..
        } = self.proof.clone();
        let manifest = Arc::new(Manifest::open(path, signer, warnings));
        self.proof.manifest = Some(manifest.clone());
        Ok(Directory::new(paths, machine, keep, manifest, locks))
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
        false => {
            let file = files::create(path)?;
            replaced.add_created(path);
            file
        }
    };
    let writer = CaptureWriter::new(file, machine)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(writer))
}
