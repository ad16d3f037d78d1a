//! The flight recorder (`--ring`): a sink that keeps recent events in a ring, and dumps them to a file on request.
//!
//! A dump is requested with `ctrace-rec dump` ([`socket`]), SIGUSR1, or an event that meets the condition of
//! `--trigger` or of a rule of `--trigger-rules` ([`trigger`]). The file begins with the rows of live containers and processes ([`crate::sink::alive`]),
//! contains the ring, and receives new events for the time `--after`. A thread writes the file ([`dump`]) while the
//! recording continues.

pub(crate) mod dump;
pub(crate) mod shared;
pub(crate) mod socket;
pub(crate) mod trigger;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

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
use crate::rows::batch::Boot;
use crate::rows::single::SingleRows;
use crate::sink::alive::AliveRows;
use crate::sink::summary::{DumpRequest, Summary};
use crate::sink::{BatchPolicy, Sink, SinkCommand, WRITE_AFTER};

/// Rows of live containers and processes may use 1/16 of the ring.
const ALIVE_SHARE: u64 = 16;
/// Minimum time without an event that meets a condition, before the condition is armed again.
const MIN_QUIET: Duration = Duration::from_secs(1);
/// Minimum and maximum time after which a batch ends: events of a batch are compressed together and removed together.
const BATCH_TIME: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// A sink that keeps events in a ring, and writes dumps of the ring.
pub(crate) struct Flight {
    ring: Ring,
    alive: AliveRows,
    trigger: Option<Trigger>,
    /// Time for which a dump continues to receive new events (`--after`).
    after: Duration,
    shared: Arc<FlightShared>,
    open: OpenDump,
    dump: Option<Dump>,
    /// True if the dump receives new events.
    dump_receives: bool,
    boot: Boot,
    /// Sequence number of the next gap row of a dump.
    next_gap_seq: i64,
    /// Sequence number of the last row that the trigger has checked.
    last_checked_seq: i64,
    /// For each condition of the trigger, the `time` of the last event that met it, ns since 1970 UTC.
    last_met_ns: Vec<Option<i64>>,
    batch_time: Duration,
    /// Memory for decompressed rows of a dump.
    max_unpacked_bytes: usize,
}

impl Flight {
    /// Creates a ring with the size and age of `limits` for a recording of `machine`, with `memory` for everything
    /// else. The function `open` creates the file of each dump.
    ///
    /// # Errors
    /// zstd cannot allocate memory.
    pub(crate) fn new(
        limits: SizeAndAge,
        memory: Memory,
        (trigger, after): (Option<Trigger>, Duration),
        machine: &Machine,
        open: OpenDump,
    ) -> Result<Flight> {
        let bytes = limits.bytes.unwrap_or(0);
        let alive_bytes = bytes / ALIVE_SHARE;
        let ring = Ring::new(SizeAndAge {
            bytes: Some(bytes - alive_bytes),
            ..limits
        })?;
        let conditions = trigger.as_ref().map_or(0, Trigger::conditions);
        let batch_time = limits.age.map_or(BATCH_TIME.1, |age| age / 60);
        Ok(Flight {
            ring,
            alive: AliveRows::new(alive_bytes as usize),
            trigger,
            after,
            shared: Arc::default(),
            open,
            dump: None,
            dump_receives: false,
            boot: Boot::new(&machine.host, &machine.boot_id),
            next_gap_seq: -1,
            last_checked_seq: -1,
            last_met_ns: vec![None; conditions],
            batch_time: batch_time.clamp(BATCH_TIME.0, BATCH_TIME.1),
            max_unpacked_bytes: memory.batches_bytes(),
        })
    }

    pub(crate) fn shared(&self) -> Arc<FlightShared> {
        self.shared.clone()
    }

    /// Requests a dump if an event meets a condition of the trigger for the first time for a while.
    fn check_trigger(&mut self, events: &dyn Events) {
        let Some(trigger) = &self.trigger else {
            return;
        };
        let found = trigger.find(events, self.last_checked_seq);
        let last = events
            .column("seq")
            .runs()
            .iter()
            .filter_map(|run| run.value())
            .max();
        self.last_checked_seq = self.last_checked_seq.max(last.unwrap_or(-1));
        let found = match found {
            Ok(found) => found,
            Err(e) => {
                // Warn once; the recording continues without the trigger.
                self.shared
                    .with_messages(|messages| messages.warning = Some(e.to_string()));
                self.trigger = None;
                return;
            }
        };
        let quiet_ns = self.after.max(MIN_QUIET).as_nanos() as i64;
        let mut armed = vec![];
        for (condition, time) in found {
            let last_met_ns = &mut self.last_met_ns[condition];
            if last_met_ns.is_none_or(|met| time.saturating_sub(met) >= quiet_ns) {
                armed.push((time, condition));
            }
            *last_met_ns = Some(last_met_ns.unwrap_or(time).max(time));
        }
        let first = armed.into_iter().min();
        let request = first.and_then(|(time, condition)| {
            let reason = trigger.reason(condition)?.clone();
            Some(DumpRequest { reason, time })
        });
        if request.is_some() && self.dump.as_ref().is_none_or(|dump| !dump.is_running()) {
            self.shared
                .with_messages(|messages| messages.trigger_request = request);
        }
    }

    /// Starts a dump of the ring.
    fn begin(&mut self, request: DumpRequest) -> Result<()> {
        // This dump also answers a request by the trigger that nobody has read yet.
        let _ = self.shared.take_trigger_request();
        let expired = self.ring.expire(request.time);
        self.alive.add(&expired)?;
        let alive = self.alive.to_rows();
        let started = match (self.open)(&request, alive.rows() as u64) {
            Ok(started) => started,
            Err(e) => {
                self.shared.report_ended(Err(e));
                return Ok(());
            }
        };
        let mut gaps = SingleRows::new();
        let mut evicted = self.ring.evicted(self.ring.start_ns().unwrap_or(i64::MIN));
        number_gaps(&mut evicted, &mut self.next_gap_seq);
        for evicted in &mut evicted {
            self.alive.subtract_from(evicted);
            evicted.push_gaps(&mut gaps, &self.boot, Cause::Evicted.as_str());
        }
        let dump = Dump::begin(
            started,
            request,
            self.max_unpacked_bytes,
            self.shared.clone(),
        );
        let dump = match dump {
            Ok(dump) => dump,
            Err(e) => {
                self.shared.report_ended(Err(e));
                return Ok(());
            }
        };
        dump.add_alive(alive);
        dump.add_rows(gaps);
        dump.add_frames(self.ring.frames());
        (self.dump, self.dump_receives) = (Some(dump), true);
        Ok(())
    }

    fn end(&mut self, summary: &Summary) {
        if std::mem::take(&mut self.dump_receives)
            && let Some(dump) = &self.dump
        {
            dump.end(summary);
        }
    }

    /// Reports the use of the ring to the main thread.
    fn report_use(&self) {
        let bytes = self.ring.bytes() + self.alive.bytes();
        self.shared.bytes.store(bytes as u64, Ordering::Relaxed);
        self.shared
            .reach_ns
            .store(self.ring.reach_ns(), Ordering::Relaxed);
    }
}

/// Numbers the gap rows with negative sequence numbers from `next` down, which no event has: gap rows sort before all
/// events. The numbers are unique among all dumps of the recording.
fn number_gaps(evicted: &mut [Evicted], next: &mut i64) {
    for tally in evicted.iter_mut().flat_map(|e| &mut e.tallies) {
        tally.seq = *next;
        *next = next.saturating_sub(1);
    }
}

impl Sink for Flight {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy {
            max_rows: 32_768,
            max_wait: self.trigger.as_ref().map(|_| WRITE_AFTER),
            regroups: true,
            command_after: Some(self.batch_time),
        }
    }

    fn journal(&mut self, events: &dyn Events) -> Result<()> {
        self.check_trigger(events);
        Ok(())
    }

    fn write(&mut self, events: &dyn Events) -> Result<()> {
        self.check_trigger(events);
        let change = self.ring.add(events)?;
        self.alive.add(&change.removed)?;
        if let Some(dump) = self.dump.as_ref().filter(|_| self.dump_receives) {
            dump.add_frames(change.added);
        }
        drop(change.removed);
        // A dump references the frames that it has not written. If they use too much memory, wait for it: then the
        // kernel's rings fill up, and the losses are counted.
        while self.ring.is_over() && self.dump.as_ref().is_some_and(Dump::is_running) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.report_use();
        Ok(())
    }

    fn command(&mut self, command: SinkCommand) -> Result<()> {
        match command {
            SinkCommand::Next | SinkCommand::Retry => Ok(()),
            SinkCommand::Begin(request) => self.begin(request),
            SinkCommand::End(summary) => {
                self.end(&summary);
                Ok(())
            }
        }
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        if !self.dump_receives
            && let Some(request) = self.shared.take_trigger_request()
        {
            self.begin(request)?;
        }
        self.end(summary);
        if let Some(dump) = self.dump.take() {
            dump.join();
        }
        Ok(0)
    }
}
