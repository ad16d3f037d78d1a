//! Segments: Parquet files in a directory, rotated by size and age (`--rotate`) and removed by size and age (`--keep`).
//!
//! Each segment but the first begins with the rows about the containers and processes that live then ([`AliveRows`]). A
//! segment has a hidden name with the suffix `.open` while it is written ([`directory`]). Segments that killed
//! recorders left behind are finished in the background ([`unfinished`], [`finish`]).
//!
//! An error of a segment ends that segment and not the recording: its complete part stays, and the rows in hand go to the
//! next segment.

pub(crate) mod directory;
pub(crate) mod finish;
pub(crate) mod unfinished;

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use ctrace_format::names;

use crate::limits::files::SizeAndAge;
use crate::progress::Warnings;
use crate::records::machine::Machine;
use crate::rows::Events;
use crate::rows::single::SingleRows;
use crate::sink::alive::AliveRows;
use crate::sink::full::DiskFull;
use crate::sink::parquet::Parquet;
use crate::sink::segments::directory::Directory;
use crate::sink::{BatchPolicy, Sink, SinkCommand, Summary};

/// The most failures of segments, without a segment that was finished between them, before the recording ends.
const MAX_FAILURES: u32 = 100;

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
    /// Segments that failed since the last one that was finished.
    failures: u32,
    warnings: Warnings,
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
    /// about live containers and processes take at most `max_alive_bytes` of memory. `warnings` says which segments failed.
    pub(crate) fn new(
        directory: Directory,
        machine: &Machine,
        rotate: SizeAndAge,
        create: CreateSegment,
        max_alive_bytes: usize,
        warnings: Warnings,
    ) -> Segments {
        Segments {
            directory,
            machine: machine.clone(),
            create,
            rotate,
            current: None,
            alive: AliveRows::new(max_alive_bytes),
            finished_bytes: 0,
            failures: 0,
            warnings,
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
        names::rename_new(&names::open(path), path)
            .with_context(|| format!("cannot rename the segment to {}", path.display()))?;
        self.directory.remove_oldest(path);
        self.current = None;
        self.failures = 0;
        Ok(())
    }

    /// Calls `step`, and calls it again in the next segment if the current one fails.
    ///
    /// # Errors
    /// [`DiskFull`] if the disk is full, or if the next segment fails too: the call can be repeated later. Any other error
    /// after [`MAX_FAILURES`].
    fn attempt(&mut self, step: impl Fn(&mut Segments) -> Result<()>) -> Result<()> {
        let failed = |e: &Error| !e.is::<DiskFull>();
        let first = match step(self) {
            Err(e) if failed(&e) => e,
            done => return done,
        };
        self.give_up(first)?;
        match step(self) {
            Err(e) if failed(&e) => {
                self.current = None;
                Err(DiskFull(format!("{e:#}")).into())
            }
            done => done,
        }
    }

    /// Ends the current segment after the error `e`. Its complete part stays, and the next recorder finishes the file.
    fn give_up(&mut self, e: Error) -> Result<()> {
        self.failures += 1;
        if self.failures > MAX_FAILURES {
            return Err(e);
        }
        self.current = None;
        self.warnings.add(format!(
            "{e:#}; the recording continues in the next segment"
        ));
        Ok(())
    }

    fn write_to_current(&mut self, columns: &dyn Events) -> Result<()> {
        let segment = self.current()?;
        segment.sink.write(columns)?;
        segment.summary.count(columns, true);
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
        self.attempt(|segments| segments.current()?.sink.journal(columns))
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        self.attempt(|segments| segments.write_to_current(columns))?;
        self.alive.add_written(columns);
        let len = self
            .current
            .as_ref()
            .map_or(0, |segment| segment.sink.len());
        if self.rotate.bytes.is_some_and(|max| len >= max) {
            let finished = self.attempt(Segments::finish_current);
            // The rows are written. The next write tries again to finish the segment.
            return finished.or_else(|e| if e.is::<DiskFull>() { Ok(()) } else { Err(e) });
        }
        Ok(())
    }

    fn command(&mut self, command: SinkCommand) -> Result<()> {
        match command {
            SinkCommand::Retry => Ok(()),
            _ => self.attempt(Segments::finish_current),
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
