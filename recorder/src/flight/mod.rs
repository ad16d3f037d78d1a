//! The flight recorder: keeps the recent past in a ring, and writes it out when it is told to.

pub(crate) mod alive;
pub(crate) mod dump;
pub(crate) mod shared;
pub(crate) mod socket;
pub(crate) mod trigger;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use crate::flight::alive::Alive;
use crate::flight::dump::{Dump, OpenDump};
use crate::flight::shared::FlightShared;
use crate::flight::trigger::Trigger;
use crate::limits::files::SizeAndAge;
use crate::limits::memory::Memory;
use crate::records::loss::Cause;
use crate::records::machine::Machine;
use crate::ring::Ring;
use crate::ring::evicted::Evicted;
use crate::rows::Events;
use crate::sink::summary::{DumpReason, DumpRequest, Summary};
use crate::sink::{BatchPolicy, Sink, SinkCommand, WRITE_AFTER};

/// What may take how much of the ring: rows of what is alive, one part of so many.
const LIVING: u64 = 16;
/// A trigger is armed again when its condition has not been met for so long, at least.
const QUIET: Duration = Duration::from_secs(1);
/// How often a batch ends at least and at most: what is in one is compressed together, and is let go of together.
const EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// A ring that events go into, and out of which dumps are made.
pub(crate) struct Flight {
    ring: Ring,
    living: Alive,
    trigger: Option<Trigger>,
    /// How long a dump goes on.
    after: Duration,
    shared: Arc<FlightShared>,
    open: OpenDump,
    dump: Option<Dump>,
    /// Whether the dump takes what comes.
    grows: bool,
    host: String,
    /// The last row that the trigger has seen, by its number.
    seen: i64,
    /// When its condition was met last, ns since 1970 UTC.
    met: Option<i64>,
    every: Duration,
    /// Bytes of rows that a dump may unpack.
    unpacked: usize,
}

impl Flight {
    /// Keeps what `limits` say of `machine`, with `memory` beside the ring, and begins dumps with `open`.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn new(
        limits: SizeAndAge,
        memory: Memory,
        (trigger, after): (Option<Trigger>, Duration),
        machine: &Machine,
        open: OpenDump,
    ) -> Result<Flight> {
        let bytes = limits.bytes.unwrap_or(0);
        let living = bytes / LIVING;
        let ring = Ring::new(SizeAndAge {
            bytes: Some(bytes - living),
            ..limits
        })?;
        let every = limits.age.map_or(EVERY.1, |age| age / 60);
        Ok(Flight {
            ring,
            living: Alive::new(living as usize),
            trigger,
            after,
            shared: Arc::default(),
            open,
            dump: None,
            grows: false,
            host: machine.host.clone(),
            seen: -1,
            met: None,
            every: every.clamp(EVERY.0, EVERY.1),
            unpacked: memory.batches(),
        })
    }

    /// What it tells.
    pub(crate) fn shared(&self) -> Arc<FlightShared> {
        self.shared.clone()
    }

    /// Looks whether an event meets the condition.
    fn look(&mut self, events: &dyn Events) {
        let Some(trigger) = &self.trigger else {
            return;
        };
        let found = trigger.first(events, self.seen);
        let last = events
            .column("seq")
            .runs()
            .iter()
            .filter_map(|run| run.value())
            .max();
        self.seen = self.seen.max(last.unwrap_or(-1));
        let time = match found {
            Ok(Some(time)) => time,
            Ok(None) => return,
            Err(e) => {
                // Once; the recording goes on without it.
                self.shared.told(|told| told.warning = Some(e.to_string()));
                self.trigger = None;
                return;
            }
        };
        let quiet = self.after.max(QUIET).as_nanos() as i64;
        let armed = self.met.is_none_or(|met| time.saturating_sub(met) >= quiet);
        self.met = Some(self.met.unwrap_or(time).max(time));
        if armed && self.dump.as_ref().is_none_or(|dump| !dump.is_running()) {
            let reason = DumpReason::Trigger(trigger.condition().to_string());
            self.shared
                .told(|told| told.hit = Some(DumpRequest { reason, time }));
        }
    }

    /// Begins to write what there is.
    fn begin(&mut self, why: DumpRequest) -> Result<()> {
        // Whatever else was to have it written has it by this.
        let _ = self.shared.take_hit();
        let gone = self.ring.expire(why.time);
        self.living.learn(&gone)?;
        let begun = match (self.open)(&why) {
            Ok(begun) => begun,
            Err(e) => {
                self.shared.ended(Err(e));
                return Ok(());
            }
        };
        let mut lines = self.living.lines();
        let mut evicted = self.ring.evicted(self.ring.start().unwrap_or(i64::MIN));
        number(&mut evicted);
        for evicted in &mut evicted {
            self.living.take_from(evicted);
            evicted.push_gaps(&mut lines, &self.host, Cause::Evicted.as_str());
        }
        let dump = Dump::begin(begun, why, self.unpacked, self.shared.clone())?;
        dump.lines(lines);
        dump.frames(self.ring.frames());
        (self.dump, self.grows) = (Some(dump), true);
        Ok(())
    }

    fn end(&mut self, summary: &Summary) {
        if std::mem::take(&mut self.grows)
            && let Some(dump) = &self.dump
        {
            dump.end(summary);
        }
    }

    fn tell(&self) {
        let bytes = self.ring.bytes() + self.living.bytes();
        self.shared.bytes.store(bytes as u64, Ordering::Relaxed);
        self.shared
            .reach
            .store(self.ring.reach(), Ordering::Relaxed);
    }
}

/// Gives the rows numbers that no event has: they stand before all of them.
fn number(evicted: &mut [Evicted]) {
    let tallies = evicted.iter_mut().flat_map(|e| &mut e.tallies);
    for (tally, seq) in tallies.zip((i64::MIN..=-1).rev()) {
        tally.seq = seq;
    }
}

impl Sink for Flight {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy {
            max_rows: 32_768,
            max_wait: self.trigger.as_ref().map(|_| WRITE_AFTER),
            regroups: true,
            command_after: Some(self.every),
        }
    }

    fn journal(&mut self, events: &dyn Events) -> Result<()> {
        self.look(events);
        Ok(())
    }

    fn write(&mut self, events: &dyn Events) -> Result<()> {
        self.look(events);
        let change = self.ring.add(events)?;
        self.living.learn(&change.removed)?;
        if let Some(dump) = self.dump.as_ref().filter(|_| self.grows) {
            dump.frames(change.added);
        }
        drop(change.removed);
        // A dump holds what it has not written: where that is too much, the kernel's buffers fill up, and losses are counted.
        while self.ring.is_over() && self.dump.as_ref().is_some_and(Dump::is_running) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.tell();
        Ok(())
    }

    fn command(&mut self, command: SinkCommand) -> Result<()> {
        match command {
            SinkCommand::Next | SinkCommand::Retry => Ok(()),
            SinkCommand::Begin(why) => self.begin(why),
            SinkCommand::End(summary) => {
                self.end(&summary);
                Ok(())
            }
        }
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        if !self.grows
            && let Some(why) = self.shared.take_hit()
        {
            self.begin(why)?;
        }
        self.end(summary);
        if let Some(dump) = self.dump.take() {
            dump.join();
        }
        Ok(0)
    }
}
