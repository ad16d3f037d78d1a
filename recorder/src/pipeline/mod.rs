//! The way of an event above the kernel, the same for a live recording and for a replayed one: merge, decode,
//! resolve, batch, encode, sink.

pub(crate) mod cutter;
pub(crate) mod encoder;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use ctrace_schema::syscalls::Class;

use crate::calls::Calls;
use crate::containers::facts::CgroupFact;
use crate::limits::memory::Memory;
use crate::pipeline::cutter::{Cutter, PendingPart};
use crate::pipeline::encoder::{EncoderThread, InFlight, ToEncoder, encode};
use crate::progress::Progress;
use crate::records::decode::{self, Body, Head};
use crate::records::loss::Loss;
use crate::records::machine::Machine;
use crate::records::merge::{self, Source};
use crate::records::note::{FactSource, Note};
use crate::resolve::Resolver;
use crate::resolve::registry::Registry;
use crate::rows::batch::Batch;
use crate::sink::summary::Summary;
use crate::sink::{Sink, SinkCommand};

/// Batches that wait for the encoder at most; a recorder that is further behind loses events in the ring, and says so.
const WAITING: usize = 2;

/// For how long batches wait while a cgroup is in doubt, and how many of the largest size.
pub(crate) const MAX_HOLD: Duration = Duration::from_millis(500);
const HELD: usize = 2;

/// A cgroup record, as the pipeline hands it to whoever knows what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CgroupRecord<'a> {
    /// Time and flags.
    pub(crate) head: Head,
    /// Key of the cgroup.
    pub(crate) cgroup: u64,
    /// Comm of the task that made or removed it.
    pub(crate) comm: &'a [u8],
    /// Its path.
    pub(crate) path: &'a [u8],
    /// Whether it is undecided what it is, and a process has been in it.
    pub(crate) entered: bool,
}

/// Records go in, a recording comes out.
pub(crate) struct Pipeline {
    resolver: Resolver,
    encoder: Option<EncoderThread>,
    memory: Memory,
    in_flight: Arc<InFlight>,
    cutter: Cutter,
    /// What waits until it is known whose rows it has.
    held: VecDeque<PendingPart>,
    clocks: Vec<(u64, i64)>,
    now: i64,
    summary: Summary,
}

impl Pipeline {
    /// A pipeline for a recording of `machine` into `sink`, which keeps within `memory`.
    ///
    /// # Errors
    /// The machine's architecture is none that can be recorded.
    pub(crate) fn new(machine: &Machine, memory: Memory, sink: Box<dyn Sink>) -> Result<Pipeline> {
        let cutter = Cutter::new(sink.batch_policy());
        let (parts, waiting) = sync_channel(WAITING);
        let host = machine.host.clone();
        let calls = Arc::new(Calls::new(&machine.arch)?);
        let in_flight = Arc::new(InFlight::default());
        let thread = std::thread::Builder::new()
            .name("encoder".to_string())
            .spawn({
                let (calls, in_flight) = (calls.clone(), in_flight.clone());
                move || encode(&waiting, &host, &calls, sink, &in_flight)
            })
            .context("cannot start a thread")?;
        Ok(Pipeline {
            resolver: Resolver::new(calls, Registry::new(machine.record_host), memory),
            encoder: Some(EncoderThread { parts, thread }),
            memory,
            in_flight,
            cutter,
            held: VecDeque::new(),
            clocks: vec![],
            now: 0,
            summary: Summary::new(machine),
        })
    }

    /// Takes a note in. `Advance` is [`Pipeline::advance`]'s.
    pub(crate) fn note(&mut self, note: &Note) {
        match note {
            Note::Fact { when, fact } => self.resolver.learn(fact, *when == FactSource::Found),
            Note::Clock { boot, wall } => {
                self.resolver.clock.read(*boot, *wall);
                self.keep_clock(*boot, *wall);
                self.summary.extend_to(*wall);
                self.now = *wall;
            }
            Note::Gap {
                cgroup,
                class,
                lost,
                since,
                until,
                why,
                cpu,
            } => {
                let known = |name: &str| Class::from_name(name).unwrap_or(Class::Other);
                let class = Some(class.as_str()).filter(|name| !name.is_empty());
                let loss = Loss {
                    cgroup: *cgroup,
                    class: class.map(known),
                    why: *why,
                    cpu: *cpu,
                    events: *lost,
                };
                self.resolver.gap(&loss, (*since, *until));
            }
            Note::EntriesMissed { until } => self.resolver.entries_missed = *until,
            Note::Counts { since, counts } => {
                for count in counts {
                    self.resolver.count(*since, count);
                }
            }
            Note::Missed(misses) => self.summary.missed = misses.clone(),
            Note::Forget { threads } => self.resolver.forget(*threads),
            Note::Advance { .. } => {}
        }
    }

    /// Keeps a pair of clock readings for the metadata where it says something new: every minute, and at a step.
    fn keep_clock(&mut self, boot: u64, wall: i64) {
        let new = self.clocks.last().is_none_or(|&(last_boot, last_wall)| {
            let drift = wall
                .wrapping_sub(last_wall)
                .wrapping_sub(boot.wrapping_sub(last_boot) as i64);
            boot.saturating_sub(last_boot) >= 60_000_000_000 || drift.unsigned_abs() >= 1_000_000
        });
        if new {
            self.clocks.push((boot, wall));
        }
    }

    /// Resolves every record of `sources`, one for each CPU, up to `boot`, and hands full batches on. `on_cgroup` says what a cgroup record means:
    /// the last fact is the record's, those before it are what is learnt by it.
    ///
    /// # Errors
    /// The sink could not be written.
    pub(crate) fn advance(
        &mut self,
        sources: &mut [impl Source],
        boot: u64,
        mut on_cgroup: impl FnMut(CgroupRecord<'_>) -> Vec<CgroupFact>,
    ) -> Result<()> {
        let doubt = self.in_doubt();
        let most = self.memory.batch();
        let Pipeline {
            cutter,
            resolver,
            held,
            ..
        } = self;
        let rows = cutter.policy.max_rows;
        let full = |batch: &Batch| batch.len() >= rows || batch.whole_bytes() >= most;
        // Counts come by notes alone.
        if full(&resolver.batch) {
            held.push_back(cutter.cut(resolver, MAX_HOLD, true));
        }
        merge::drain(sources, boot, |bytes| match decode::decode(bytes) {
            Some((head, Body::Cgroup { cgroup, comm, path })) => {
                let entered = resolver.registry.is_entered(cgroup);
                let record = CgroupRecord {
                    head,
                    cgroup,
                    comm,
                    path,
                    entered,
                };
                for fact in on_cgroup(record) {
                    resolver.learn(&fact, false);
                }
            }
            Some((head, body)) => {
                resolver.record(head, body);
                if full(&resolver.batch) {
                    held.push_back(cutter.cut(resolver, MAX_HOLD, true));
                }
            }
            None => resolver.faults.broken += 1,
        });
        held.extend(cutter.due(resolver, MAX_HOLD, doubt));
        self.release()
    }

    /// Has the sink do this after what has come up to now.
    pub(crate) fn command(&mut self, command: SinkCommand) {
        self.cutter.command(command);
    }

    /// Whether the sink has not been told yet.
    pub(crate) fn has_command(&self) -> bool {
        self.cutter.has_command()
    }

    /// The wall clock as it was read last, ns since 1970 UTC.
    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// What is known of the recording so far.
    pub(crate) fn summary(&self) -> Summary {
        let mut summary = self.summary.clone();
        summary.clocks = self.clocks.clone();
        summary.faults = self.resolver.faults;
        summary
    }

    /// Whether there is a cgroup in doubt whose processes' rows would be taken for the host's.
    pub(crate) fn in_doubt(&self) -> bool {
        self.resolver.registry.in_doubt()
    }

    /// Hands held batches on, unless a cgroup is in doubt: the answer is a few milliseconds away. Nothing is held for
    /// long, nor much.
    fn release(&mut self) -> Result<()> {
        // Of now: while one is sent, which may take long, nobody looks for the answer.
        let now = Instant::now();
        while let Some(first) = self.held.front() {
            let bytes: usize = self.held.iter().map(|held| held.part.batch.bytes()).sum();
            let little = bytes <= HELD * self.memory.batch();
            if self.in_doubt() && now < first.until && little {
                break;
            }
            let Some(held) = self.held.pop_front() else {
                break;
            };
            self.send(held)?;
        }
        Ok(())
    }

    fn send(&mut self, held: PendingPart) -> Result<()> {
        let registry = &mut self.resolver.registry;
        for (container, events) in held.events() {
            registry.hand_on(container, events);
        }
        let names = registry.names();
        held.count(&names, &mut self.summary);
        self.wait_for_room(held.part.batch.bytes());
        match &self.encoder {
            Some(encoder)
                if encoder
                    .parts
                    .send(ToEncoder::Part(Box::new(held.part), names))
                    .is_ok() =>
            {
                Ok(())
            }
            // The encoder has stopped: it says why when it is joined.
            _ => Err(self
                .join()
                .err()
                .unwrap_or_else(|| anyhow!("the output has been closed"))),
        }
    }

    /// Waits until the encoder has let go of so much that `bytes` more are within the bound, and as much again for their
    /// encoding. Meanwhile the rings fill up, and what they do not hold is counted as lost.
    fn wait_for_room(&self, bytes: usize) {
        let ended = || self.encoder.as_ref().is_none_or(|e| e.thread.is_finished());
        let fits = || {
            let in_flight = self.in_flight.bytes.load(Ordering::Relaxed);
            in_flight + bytes <= self.memory.batches() && bytes <= self.memory.available()
        };
        // One that has nothing to do lets go of nothing: what it has gathered waits for what is to be sent.
        while self.in_flight.parts.load(Ordering::Acquire) > 0 && !fits() && !ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.in_flight.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.in_flight.parts.fetch_add(1, Ordering::Relaxed);
    }

    fn join(&mut self) -> Result<u64> {
        let Some(encoder) = self.encoder.take() else {
            return Ok(0);
        };
        drop(encoder.parts);
        encoder
            .thread
            .join()
            .map_err(|_| anyhow!("the encoder has failed; please report this"))?
    }

    /// What is to be noted where definitions fill so much memory that the kernel side should send them anew.
    pub(crate) fn note_to_forget(&self) -> Option<Note> {
        let (full, threads) = self.resolver.is_full();
        full.then_some(Note::Forget { threads })
    }

    /// Whether it is undecided what a cgroup is, and a process has been in it.
    pub(crate) fn is_entered(&self, cgroup: u64) -> bool {
        self.resolver.registry.is_entered(cgroup)
    }

    /// Events so far, batches that are not full yet included.
    fn events(&self) -> u64 {
        let held: usize = self.held.iter().map(PendingPart::len).sum();
        self.summary.events + (held + self.resolver.batch.rows.len()) as u64
    }

    /// How the recording goes, as far as it is known here.
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            containers: self.resolver.registry.alive(),
            events: self.events(),
            lost: self.summary.lost.clone(),
            missed: self.summary.missed.clone(),
            ..Progress::default()
        }
    }

    /// Ends the recording: what there is is written, and the file closed. Returns the summary and the file's bytes.
    ///
    /// # Errors
    /// The sink could not be written.
    pub(crate) fn finish(mut self) -> Result<(Summary, u64)> {
        if self.has_command() {
            self.held
                .extend(self.cutter.due(&mut self.resolver, MAX_HOLD, false));
        }
        if self.resolver.batch.len() > 0 {
            let last = self.cutter.cut(&mut self.resolver, MAX_HOLD, true);
            self.held.push_back(last);
        }
        while let Some(held) = self.held.pop_front() {
            self.send(held)?;
        }
        self.summary = self.summary();
        if let Some(encoder) = &self.encoder {
            let end = ToEncoder::End(Box::new(self.summary.clone()));
            let _ = encoder.parts.send(end);
        }
        let bytes = self.join()?;
        Ok((self.summary, bytes))
    }
}
