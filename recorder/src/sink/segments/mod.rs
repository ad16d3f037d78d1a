//! Parquet files in a directory, one after the other.

pub(crate) mod directory;
pub(crate) mod finish;
pub(crate) mod unfinished;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::limits::files::SizeAndAge;
use crate::records::machine::Machine;
use crate::rows::Events;
use crate::sink::full::DiskFull;
use crate::sink::parquet::Parquet;
use crate::sink::segments::directory::{Directory, open_path};
use crate::sink::{BatchPolicy, Sink, SinkCommand, Summary};

/// Begins the Parquet file with this name.
pub(crate) type Begin = Box<dyn FnMut(&Path) -> Result<Parquet> + Send>;

/// Segments of this machine in a directory.
pub(crate) struct Segments {
    directory: Directory,
    machine: Machine,
    begin: Begin,
    rotate: SizeAndAge,
    current: Option<Segment>,
    /// Bytes of those that are finished.
    bytes: u64,
}

/// The one that is being written.
struct Segment {
    sink: Box<Parquet>,
    /// When it is finished.
    path: PathBuf,
    summary: Summary,
}

impl Segments {
    /// Of `machine` in `directory`. Each is ended at the limits of `rotate`.
    pub(crate) fn new(
        directory: Directory,
        machine: &Machine,
        rotate: SizeAndAge,
        begin: Begin,
    ) -> Segments {
        Segments {
            directory,
            machine: machine.clone(),
            begin,
            rotate,
            current: None,
            bytes: 0,
        }
    }

    /// The segment that is being written.
    fn current(&mut self) -> Result<&mut Segment> {
        if self.current.is_none() {
            let path = self.directory.next_path().map_err(DiskFull::detect)?;
            let sink = Box::new((self.begin)(&open_path(&path)).map_err(DiskFull::detect)?);
            let summary = Summary::new(&self.machine);
            self.current = Some(Segment {
                sink,
                path,
                summary,
            });
        }
        self.current.as_mut().context("there is no segment")
    }

    /// Ends the segment that is being written. Where there is no room for that, it goes on.
    fn end(&mut self) -> Result<()> {
        let Some(segment) = &mut self.current else {
            return Ok(());
        };
        self.bytes += segment.sink.close(&segment.summary)?;
        let path = &segment.path;
        fs::rename(open_path(path), path)
            .with_context(|| format!("cannot name {}", path.display()))?;
        self.current = None;
        self.directory.remove_oldest();
        Ok(())
    }
}

impl Sink for Segments {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy {
            command_after: self.rotate.age,
            ..BatchPolicy::GROUPS
        }
    }

    fn journal(&mut self, columns: &dyn Events) -> Result<()> {
        self.current()?.sink.journal(columns)
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        let most = self.rotate.bytes;
        let segment = self.current()?;
        segment.sink.write(columns)?;
        segment.summary.count(columns, true);
        if most.is_some_and(|most| segment.sink.len() >= most) {
            let ended = self.end();
            // The rows are written; the next ones try again.
            return ended.or_else(|e| if e.is::<DiskFull>() { Ok(()) } else { Err(e) });
        }
        Ok(())
    }

    fn command(&mut self, command: SinkCommand) -> Result<()> {
        match command {
            SinkCommand::Retry => Ok(()),
            _ => self.end(),
        }
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        if let Some(segment) = &mut self.current {
            segment.summary.clocks = summary.clocks.clone();
            segment.summary.missed = summary.missed.clone();
        }
        self.end()?;
        Ok(self.bytes)
    }
}
