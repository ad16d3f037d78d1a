//! Keeps a recording running while the disk is full. Rows that cannot be written go to a ring in memory and are
//! written, oldest first, when there is space again. Rows evicted from a full ring are counted, and gap rows in the
//! recording say what was lost.

pub(crate) mod disk;

use std::sync::Arc;

use anyhow::{Result, bail};
use ctrace_schema::human::{bytes, count};

use crate::limits::files::SizeAndAge;
use crate::limits::memory::Memory;
use crate::records::loss::Cause;
use crate::ring::Ring;
use crate::ring::evicted::Evicted;
use crate::ring::frame::read_frames;
use crate::rows::Events;
use crate::rows::batch::Boot;
use crate::rows::single::SingleRows;
use crate::sink::full::DiskFull;
use crate::sink::spill::disk::DiskStatus;
use crate::sink::{BatchPolicy, Sink, SinkCommand, Summary};

/// A sink that keeps rows in memory while the disk under `sink` is full.
pub(crate) struct Spill {
    sink: Box<dyn Sink>,
    ring: Ring,
    max_ring_bytes: usize,
    /// The limit for decompressed rows of one write while the ring is drained.
    max_write_bytes: usize,
    /// Evicted events about which no gap row has been written yet.
    evicted: Vec<Evicted>,
    boot: Boot,
    disk: Arc<DiskStatus>,
    /// The error of the last write that failed.
    failed: String,
}

impl Spill {
    /// Wraps `sink`. `boot` is the machine of gap rows.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn new(sink: Box<dyn Sink>, boot: &Boot, memory: Memory) -> Result<Spill> {
        Spill::with_limits(sink, boot, memory.spill_bytes(), memory.spill_batch_bytes())
    }

    /// Wraps `sink` with a ring of `max_ring_bytes`, which is written in pieces of `max_write_bytes`, decompressed.
    pub(crate) fn with_limits(
        sink: Box<dyn Sink>,
        boot: &Boot,
        max_ring_bytes: usize,
        max_write_bytes: usize,
    ) -> Result<Spill> {
        Ok(Spill {
            sink,
            ring: Ring::new(SizeAndAge {
                bytes: Some(max_ring_bytes as u64),
                age: None,
            })?,
            max_ring_bytes,
            max_write_bytes,
            evicted: vec![],
            boot: boot.clone(),
            disk: Arc::default(),
            failed: String::new(),
        })
    }

    pub(crate) fn disk(&self) -> Arc<DiskStatus> {
        self.disk.clone()
    }

    /// Returns whether `result` is a success, and false if the disk is full, which is then reported.
    ///
    /// # Errors
    /// Every other error.
    fn check_disk(&mut self, result: Result<()>) -> Result<bool> {
        let full = match result {
            Ok(()) => return Ok(true),
            Err(e) => e.downcast::<DiskFull>()?,
        };
        if !self.disk.is_full() {
            let max = bytes(self.max_ring_bytes as u64);
            self.disk.set_full(
                true,
                format!(
                    "{full}; events are kept in memory, up to {max}, until they can be written"
                ),
            );
        }
        self.failed = full.to_string();
        Ok(false)
    }

    /// Writes the rows of the ring, oldest first, until the ring is empty or the disk is full again.
    fn drain(&mut self) -> Result<()> {
        // One batch first: there may be no space yet.
        let mut max_rows = 1;
        loop {
            let group = self.ring.oldest(max_rows, self.max_write_bytes);
            max_rows = self.sink.batch_policy().max_rows;
            let Some(batch) = group.last().map(|frame| frame.batch) else {
                break;
            };
            let written = self.sink.write(&read_frames(&group)?);
            if !self.check_disk(written)? {
                return Ok(());
            }
            self.ring.remove(batch);
            self.disk.set_waiting(self.ring.bytes() as u64);
        }
        if !self.write_gaps()? || !self.disk.is_full() {
            return Ok(());
        }
        let lost = match self.disk.lost_events() {
            0 => "nothing was lost".to_string(),
            lost => format!(
                "{} events have been lost while the disk was full",
                count(lost)
            ),
        };
        self.disk
            .set_full(false, format!("the disk has free space again: {lost}"));
        Ok(())
    }

    /// Writes gap rows about evicted events. Returns false if there is no space for them.
    fn write_gaps(&mut self) -> Result<bool> {
        self.evicted.extend(self.ring.take_evicted());
        let mut gap_rows = SingleRows::new();
        for evicted in &self.evicted {
            evicted.push_gaps(&mut gap_rows, &self.boot, Cause::DiskFull.as_str());
        }
        if gap_rows.rows() == 0 {
            return Ok(true);
        }
        let written = self.sink.write(&gap_rows);
        if !self.check_disk(written)? {
            return Ok(false);
        }
        self.evicted.clear();
        self.disk.add_gap_rows(gap_rows.rows() as u64);
        Ok(true)
    }
}

impl Sink for Spill {
    fn batch_policy(&self) -> BatchPolicy {
        self.sink.batch_policy()
    }

    fn journal(&mut self, events: &dyn Events) -> Result<()> {
        if !self.disk.is_full() {
            // Rows that do not fit are not lost: they come again in the complete batch.
            let done = self.sink.journal(events);
            self.check_disk(done)?;
        }
        Ok(())
    }

    fn write(&mut self, events: &dyn Events) -> Result<()> {
        if !self.disk.is_full() {
            let written = self.sink.write(events);
            if self.check_disk(written)? {
                return Ok(());
            }
        }
        let change = self.ring.add(events)?;
        self.disk.add_evicted(&change.removed);
        self.disk.set_waiting(self.ring.bytes() as u64);
        Ok(())
    }

    fn command(&mut self, command: SinkCommand) -> Result<()> {
        if self.disk.is_full() {
            self.drain()?;
        }
        if !self.disk.is_full() {
            let done = self.sink.command(command);
            self.check_disk(done)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        if self.disk.is_full() {
            self.drain()?;
        }
        if self.disk.is_full() {
            // Rows in memory are lost when the process ends. There may still be space for gap rows.
            let evicted = self.ring.evict_all();
            self.disk.add_evicted(&evicted);
            self.write_gaps()?;
        }
        let unreported: u64 = self.evicted.iter().map(|evicted| evicted.rows).sum();
        let mut summary = summary.clone();
        self.disk.correct(&mut summary);
        let finished = self.sink.finish(&summary);
        if unreported > 0 {
            let cause = finished.err().map_or(String::new(), |e| format!("; {e:#}"));
            bail!(
                "{}: {} events in memory are lost, and gap rows that report them could not be written{cause}; all events \
                 written earlier are safe",
                self.failed,
                count(unreported)
            );
        }
        finished
    }
}
