//! Segments: Parquet files in a directory, rotated by size and age (`--rotate`) and removed by size and age (`--keep`).
//!
//! Each segment but the first begins with the rows about the containers and processes that live then ([`AliveRows`]). A
//! segment has a hidden name with the suffix `.open` while it is written ([`directory`]). Segments that killed
//! recorders left behind are finished in the background ([`unfinished`], [`finish`]).

pub(crate) mod directory;
pub(crate) mod finish;
pub(crate) mod unfinished;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ctrace_format::names;

use crate::limits::files::SizeAndAge;
use crate::records::machine::Machine;
use crate::rows::Events;
use crate::rows::single::SingleRows;
use crate::sink::alive::AliveRows;
use crate::sink::full::DiskFull;
use crate::sink::parquet::Parquet;
use crate::sink::segments::directory::Directory;
use crate::sink::{BatchPolicy, Sink, SinkCommand, Summary};

/// Function that creates the Parquet file of a segment at a path, with the metadata that a summary has at the start.
pub(crate) type CreateSegment = Box<dyn FnMut(&Path, &Summary) -> Result<Parquet> + Send>;

/// The segments of one host.
pub(crate) struct Segments {
    directory: Directory,
    machine: Machine,
    create: CreateSegment,
    rotate: SizeAndAge,
    current: Option<Segment>,
    /// The rows with which the next segment begins.
    alive: AliveRows,
    finished_bytes: u64,
}

/// The segment that is being written.
struct Segment {
    sink: Box<Parquet>,
    /// The final path, without the leading dot and `.open`.
    path: PathBuf,
    summary: Summary,
    /// The rows with which the segment begins, until they are written.
    alive: Option<SingleRows>,
}

impl Segments {
    /// Writes a recording of `machine` to `directory`. A segment ends when it reaches a limit of `rotate`. The rows
    /// about live containers and processes take at most `max_alive_bytes` of memory.
    pub(crate) fn new(
        directory: Directory,
        machine: &Machine,
        rotate: SizeAndAge,
        create: CreateSegment,
        max_alive_bytes: usize,
    ) -> Segments {
        Segments {
            directory,
            machine: machine.clone(),
            create,
            rotate,
            current: None,
            alive: AliveRows::new(max_alive_bytes),
            finished_bytes: 0,
        }
    }

    /// Returns the current segment, and creates one if there is none.
    fn current(&mut self) -> Result<&mut Segment> {
        if self.current.is_none() {
            let path = self.directory.next_path().map_err(DiskFull::detect)?;
            let alive = self.alive.to_rows();
            let summary = Summary::for_segment(&self.machine, alive.rows() as u64);
            let sink = (self.create)(&names::open(&path), &summary).map_err(DiskFull::detect)?;
            self.current = Some(Segment {
                sink: Box::new(sink),
                path,
                summary,
                alive: (alive.rows() > 0).then_some(alive),
            });
        }
        let segment = self.current.as_mut().context("there is no segment")?;
        if let Some(alive) = &segment.alive {
            segment.sink.begin(alive)?;
            segment.summary.count_alive(alive);
            segment.alive = None;
        }
        Ok(segment)
    }

    /// Finishes the current segment. If the disk is full, the segment stays current and can be finished later.
    fn finish_current(&mut self) -> Result<()> {
        let Some(segment) = &mut self.current else {
            return Ok(());
        };
        self.finished_bytes += segment.sink.close(&segment.summary)?;
        let path = &segment.path;
        fs::rename(names::open(path), path)
            .with_context(|| format!("cannot rename the segment to {}", path.display()))?;
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
        let max_bytes = self.rotate.bytes;
        let segment = self.current()?;
        segment.sink.write(columns)?;
        segment.summary.count(columns, true);
        let is_full = max_bytes.is_some_and(|max| segment.sink.len() >= max);
        self.alive.add_written(columns);
        if is_full {
            let finished = self.finish_current();
            // The rows are written. The next write tries again to finish the segment.
            return finished.or_else(|e| if e.is::<DiskFull>() { Ok(()) } else { Err(e) });
        }
        Ok(())
    }

    fn command(&mut self, command: SinkCommand) -> Result<()> {
        match command {
            SinkCommand::Retry => Ok(()),
            _ => self.finish_current(),
        }
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        if let Some(segment) = &mut self.current {
            segment.summary.clocks = summary.clocks.clone();
            segment.summary.missed = summary.missed.clone();
        }
        self.finish_current()?;
        Ok(self.finished_bytes)
    }
}
