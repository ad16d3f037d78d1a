//! What goes on where the disk is full: what cannot be written is kept in a ring until there is room again, and what the ring
//! has no room for is counted.

pub mod disk;

use std::sync::Arc;

use anyhow::{Result, bail};
use ctrace_schema::human::{bytes, count};

use crate::limits::files::SizeAndAge;
use crate::limits::memory::Memory;
use crate::records::loss::Cause;
use crate::ring::Ring;
use crate::ring::evicted::Evicted;
use crate::rows::Events;
use crate::rows::single::SingleRows;
use crate::rows::stored::StoredRows;
use crate::sink::full::DiskFull;
use crate::sink::spill::disk::DiskStatus;
use crate::sink::{BatchPolicy, Sink, SinkCommand, Summary};

/// A sink that may have no room at times.
pub struct Spill {
    sink: Box<dyn Sink>,
    ring: Ring,
    /// Bytes of the ring, and of rows that are written at once.
    most: (usize, usize),
    /// What was given up and is not written yet.
    evicted: Vec<Evicted>,
    host: String,
    disk: Arc<DiskStatus>,
}

impl Spill {
    /// Over `sink`, on the machine `host`, within `memory`.
    ///
    /// # Errors
    /// zstd has no memory.
    pub fn new(sink: Box<dyn Sink>, host: &str, memory: Memory) -> Result<Spill> {
        Spill::over(sink, host, (memory.spill(), memory.spill_batch()))
    }

    /// Likewise, with so many bytes of the ring, and of rows that are written at once.
    pub fn over(sink: Box<dyn Sink>, host: &str, most: (usize, usize)) -> Result<Spill> {
        Ok(Spill {
            sink,
            ring: Ring::new(SizeAndAge {
                bytes: Some(most.0 as u64),
                age: None,
            })?,
            most,
            evicted: vec![],
            host: host.to_string(),
            disk: Arc::default(),
        })
    }

    /// What it tells.
    pub fn disk(&self) -> Arc<DiskStatus> {
        self.disk.clone()
    }

    /// Nothing where `done` was done or the disk is full, which is then told.
    fn unless_full(&self, done: Result<()>) -> Result<bool> {
        let full = match done {
            Ok(()) => return Ok(true),
            Err(e) => e.downcast::<DiskFull>()?,
        };
        if !self.disk.is_full() {
            let most = bytes(self.most.0 as u64);
            self.disk.set(
                true,
                format!(
                    "{full}; the recording goes on in memory, up to {most}, until there is room on the disk"
                ),
            );
        }
        Ok(false)
    }

    /// Writes what waits, the oldest first, as long as there is room.
    fn drain(&mut self) -> Result<()> {
        // Little at first, for there may be no room yet.
        let mut rows = 1;
        loop {
            let group = self.ring.oldest(rows, self.most.1);
            rows = self.sink.wants().rows;
            let Some(batch) = group.last().map(|frame| frame.batch) else {
                break;
            };
            let written = self.sink.write(&StoredRows::read(&group)?);
            if !self.unless_full(written)? {
                return Ok(());
            }
            self.ring.remove(batch);
            self.disk.wait(self.ring.bytes() as u64);
        }
        if !self.write_gaps()? || !self.disk.is_full() {
            return Ok(());
        }
        let lost = match self.disk.lost() {
            0 => "nothing was lost".to_string(),
            lost => format!("{} events were lost for want of it so far", count(lost)),
        };
        self.disk
            .set(false, format!("there is room on the disk again: {lost}"));
        Ok(())
    }

    /// Says in the recording what was given up. False: there is no room.
    fn write_gaps(&mut self) -> Result<bool> {
        self.evicted.extend(self.ring.take_evicted());
        let mut lines = SingleRows::new();
        for evicted in &self.evicted {
            evicted.push_gaps(&mut lines, &self.host, Cause::DiskFull.as_str());
        }
        if lines.rows() == 0 {
            return Ok(true);
        }
        let written = self.sink.write(&lines);
        if !self.unless_full(written)? {
            return Ok(false);
        }
        self.evicted.clear();
        self.disk.tell(lines.rows() as u64);
        Ok(true)
    }
}

impl Sink for Spill {
    fn wants(&self) -> BatchPolicy {
        self.sink.wants()
    }

    fn keep(&mut self, events: &dyn Events) -> Result<()> {
        if !self.disk.is_full() {
            // They come again in the whole batch.
            let kept = self.sink.keep(events);
            self.unless_full(kept)?;
        }
        Ok(())
    }

    fn write(&mut self, events: &dyn Events) -> Result<()> {
        if !self.disk.is_full() {
            let written = self.sink.write(events);
            if self.unless_full(written)? {
                return Ok(());
            }
        }
        let change = self.ring.add(events)?;
        self.disk.lose(&change.gone);
        self.disk.wait(self.ring.bytes() as u64);
        Ok(())
    }

    fn turn(&mut self, turn: SinkCommand) -> Result<()> {
        if self.disk.is_full() {
            self.drain()?;
        }
        if !self.disk.is_full() {
            let turned = self.sink.turn(turn);
            self.unless_full(turned)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        if self.disk.is_full() {
            self.drain()?;
        }
        if self.disk.is_full() {
            // What is in memory goes with us; there may be room to say so.
            let gone = self.ring.evict_all();
            self.disk.lose(&gone);
            self.write_gaps()?;
        }
        let left: u64 = self.evicted.iter().map(|evicted| evicted.rows).sum();
        let mut summary = summary.clone();
        self.disk.correct(&mut summary);
        let finished = self.sink.finish(&summary);
        if left > 0 {
            let why = finished.err().map_or(String::new(), |e| format!(": {e:#}"));
            bail!(
                "the disk is full: {} events that were in memory are lost, and there was no room to say so in the \
                 recording{why}; what was written before is kept",
                count(left)
            );
        }
        finished
    }
}
