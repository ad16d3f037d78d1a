//! Turns the flags into the plan of a recording, so that no other module depends on the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Error, Result, bail};
use ctrace_format::names::FileFormat;
use ctrace_redact::{Redactor, Switches};
use ctrace_rules::{Choice, RuleSet};

use crate::cli::{Format, Mode, Record};
use crate::filters::{FilterFlags, Filters};
use crate::limits::files::SizeAndAge;
use crate::limits::memory::Memory;
use crate::plan::{Destination, FileOptions, Plan, RingOptions};

impl Record {
    /// Returns the plan that the flags describe.
    ///
    /// # Errors
    /// The flags conflict, name unknown events or sets, or give no destination.
    pub(crate) fn plan(self) -> Result<Plan> {
        let filters = Filters::new(&FilterFlags {
            counts: self.mode == Mode::Counts,
            host: self.host,
            event: &self.event,
            exclude_event: &self.exclude_event,
            set: &self.set,
            exclude_set: &self.exclude_set,
            comm: &self.comm,
            exclude_comm: &self.exclude_comm,
            container: &self.container,
            exclude_container: &self.exclude_container,
            pod: &self.pod,
            namespace: &self.namespace,
            label: &self.label,
        })?;
        // clap does not check what a flag requires if another flag excludes it, as --force excludes --ring.
        if self.trigger.is_some() && self.ring.is_none() {
            bail!(
                "--trigger writes out a ring: add --ring, such as `--ring 15m`, and omit --force"
            );
        }
        let redactor = self.redactor()?;
        if !self.trigger_rules.is_empty() && self.ring.is_none() {
            bail!(
                "--trigger-rules writes out a ring: add --ring, such as `--ring 15m`, and omit --force"
            );
        }
        let destination = self.destination()?;
        let (memory, ring) = self.memory_and_ring()?;
        Ok(Plan {
            from_raw: self.from_raw,
            node: self.node,
            filters,
            destination,
            files: FileOptions {
                force: self.force,
                sync: self.sync,
                rotate: self.rotate,
                keep: self.keep,
                sign: self.sign,
            },
            memory,
            ring,
            raw: self.raw,
            redactor,
            max_cpu: self.max_cpu,
            duration: self.duration,
            command: self.run,
            quiet: self.quiet,
            metrics: self.metrics,
        })
    }

    /// Reads the rules and the key by which texts are replaced.
    fn redactor(&self) -> Result<Option<Arc<Redactor>>> {
        let Some(path) = &self.redact else {
            return Ok(None);
        };
        if self.raw.is_some() {
            bail!(
                "--raw and --redact do not go together: a raw capture has what the kernel said, which --redact must not write; \
                 omit --raw, or redact the replay with `ctrace-rec --from-raw`"
            );
        }
        let key = self.redact_key.as_deref();
        let redactor = Redactor::read(Some(path), key, &Switches::default())?;
        Ok(Some(Arc::new(redactor)))
    }

    /// Divides the memory between the ring and the rest of the recorder.
    fn memory_and_ring(&self) -> Result<(Memory, Option<RingOptions>)> {
        // A replay needs the same memory each time, whatever else the machine runs.
        let memory = match self.from_raw {
            Some(_) => self.memory.unwatched(),
            None => self.memory,
        };
        let Some(limits) = self.ring else {
            return Ok((memory, None));
        };
        let (memory, bytes) = memory.reserve_ring(limits.bytes).map_err(Error::msg)?;
        let bytes = Some(bytes);
        let ring = RingOptions {
            limits: SizeAndAge { bytes, ..limits },
            trigger: self.trigger.clone(),
            trigger_rules: self.trigger_rules()?,
            after: self.after,
        };
        Ok((memory, Some(ring)))
    }

    /// Reads the files of `--trigger-rules`.
    fn trigger_rules(&self) -> Result<RuleSet> {
        let (default, files): (Vec<_>, Vec<_>) = self
            .trigger_rules
            .iter()
            .cloned()
            .partition(|file| file == Path::new("default"));
        if default.is_empty() && files.is_empty() {
            return Ok(RuleSet::default());
        }
        let choice = Choice {
            files,
            without_default: default.is_empty(),
            ..Choice::default()
        };
        RuleSet::choose(&choice).context("--trigger-rules")
    }

    fn destination(&self) -> Result<Destination> {
        let out = self.out.as_deref();
        let directory = out.filter(|out| out.is_dir() || out.to_string_lossy().ends_with('/'));
        match (directory, self.format) {
            (Some(out), None | Some(Format::Parquet)) => {
                return Ok(Destination::Segments(out.to_path_buf()));
            }
            (Some(out), _) => bail!(
                "{} is a directory, which can only contain Parquet files: omit --format, or name a file",
                out.display()
            ),
            (None, _) if self.rotate.is_some() || self.keep.is_some() => {
                bail!("--rotate and --keep need a directory: `--out DIR/`")
            }
            (None, _) => {}
        }
        let file = out.filter(|out| *out != Path::new("-"));
        match (self.format.or_else(|| format_of(out?)), out) {
            (Some(format), _) => file_or_stdout(format, file),
            (None, Some(out)) if file.is_some() => bail!(
                "the extension of {} is not that of a format: name it .parquet or .sqlite, or add `--format parquet`",
                out.display()
            ),
            (None, Some(_)) => Ok(Destination::Json),
            (None, None) if self.raw.is_some() => Ok(Destination::RawOnly),
            (None, None) if self.from_raw.is_some() => {
                bail!(
                    "no output is given for the replay: add `--out run.parquet` or `--format table`"
                )
            }
            (None, None) => bail!(
                "no output is given: `ctrace-rec --out run.parquet`, or `ctrace-rec --format table` to watch"
            ),
        }
    }
}

/// Returns the destination of `format` in `file`, or on stdout without a file.
fn file_or_stdout(format: Format, file: Option<&Path>) -> Result<Destination> {
    let path = file.map(PathBuf::from);
    match (format, path) {
        (Format::Json, None) => Ok(Destination::Json),
        (Format::Table, None) => Ok(Destination::Table),
        (Format::Json | Format::Table, Some(out)) => bail!(
            "--format json and table write to stdout, not to {}: omit --out and redirect, `ctrace-rec --format json > {0}`",
            out.display()
        ),
        (Format::Parquet, Some(out)) => Ok(Destination::Parquet(out)),
        (Format::Sqlite, Some(out)) => Ok(Destination::Sqlite(out)),
        (Format::Parquet, None) => {
            bail!("--format parquet needs a file: add `--out run.parquet`")
        }
        (Format::Sqlite, None) => bail!("--format sqlite needs a file: add `--out run.sqlite`"),
    }
}

/// Returns the format that the extension of a file name selects.
fn format_of(out: &Path) -> Option<Format> {
    Some(match FileFormat::from_name(out)? {
        FileFormat::Parquet => Format::Parquet,
        FileFormat::Sqlite => Format::Sqlite,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn a_trigger_needs_a_ring() {
        let args = "ctrace-rec --out x.parquet --force --trigger denied";
        let cli = Cli::try_parse_from(args.split(' ')).expect("clap accepts the flags");
        let error = cli.record.plan().expect_err("there is no ring");
        assert!(error.to_string().contains("add --ring"), "{error}");
    }
}
