//! The path of an event from the kernel's records to the sink: merge, decode, resolve, cut, encode, write.
//!
//! A live recording and a replay use the same pipeline. The thread of the caller runs everything up to the cutter; the
//! encoder thread owns the sink.

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
use crate::confine::{self, Needs};
use crate::containers::facts::CgroupFact;
use crate::containers::mounts::HostMounts;
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
use crate::rows::batch::{Batch, Boot};
use crate::sink::summary::Summary;
use crate::sink::{Sink, SinkCommand};

/// Maximum number of parts that wait for the encoder. A recorder that is further behind loses events in the kernel's
/// ring, and the losses are recorded.
const MAX_WAITING: usize = 2;

/// Maximum time that parts are pending while a cgroup is undecided.
pub(crate) const MAX_HOLD: Duration = Duration::from_millis(500);
/// Maximum memory of pending parts, in batches of the largest size.
const MAX_PENDING_BATCHES: usize = 2;

/// A record about a cgroup, for the caller of [`Pipeline::advance`] to interpret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CgroupRecord<'a> {
    pub(crate) head: Head,
    /// Key of the cgroup, or of a container without a cgroup.
    pub(crate) cgroup: u64,
    /// True if the container existed when the recording began.
    pub(crate) is_found: bool,
    /// The user in whose namespace the user namespace of a container without a cgroup is; without meaning for a cgroup.
    pub(crate) owner: u32,
    /// The inode number of the mount namespace of a container without a cgroup; without meaning for a cgroup.
    pub(crate) mount_ns: u32,
    /// Comm of the task that created or removed the cgroup.
    pub(crate) comm: &'a [u8],
    pub(crate) path: &'a [u8],
    /// Comm of the first thread that has been in the cgroup, if the cgroup is undecided: see [`Registry::entered_by`].
    pub(crate) entered_by: Option<&'a [u8]>,
}

/// Turns records and notes into a recording.
pub(crate) struct Pipeline {
    resolver: Resolver,
    encoder: Option<EncoderThread>,
    memory: Memory,
    in_flight: Arc<InFlight>,
    cutter: Cutter,
    /// Parts that wait for the decision about a cgroup, the oldest first.
    pending: VecDeque<PendingPart>,
    /// Boot time and wall clock time, ns, for the metadata.
    clocks: Vec<(u64, i64)>,
    /// Wall clock time of the last reading, ns since 1970 UTC.
    wall_ns: i64,
    summary: Summary,
}

impl Pipeline {
    /// Creates a pipeline for a recording of `machine` into `sink`, within the limits of `memory`.
    ///
    /// # Errors
    /// The machine's architecture is not supported.
    pub(crate) fn new(machine: &Machine, memory: Memory, sink: Box<dyn Sink>) -> Result<Pipeline> {
        let cutter = Cutter::new(sink.batch_policy());
        let (messages, received) = sync_channel(MAX_WAITING);
        let boot = Boot::new(&machine.host, &machine.boot_id);
        let calls = Arc::new(Calls::new(&machine.arch)?);
        let in_flight = Arc::new(InFlight::default());
        let thread = confine::spawn("encoder", Needs::Output, {
            let (calls, in_flight) = (calls.clone(), in_flight.clone());
            move || encode(&received, &boot, &calls, sink, &in_flight)
        });
        let thread = thread.context("cannot start a thread")?;
        Ok(Pipeline {
            resolver: Resolver::new(calls, Registry::new(machine.record_host), memory),
            encoder: Some(EncoderThread { messages, thread }),
            memory,
            in_flight,
            cutter,
            pending: VecDeque::new(),
            clocks: vec![],
            wall_ns: 0,
            summary: Summary::new(machine),
        })
    }

    /// Processes a note, except `Advance`: see [`Pipeline::advance`].
    pub(crate) fn note(&mut self, note: &Note) {
        match note {
            Note::Fact { when, fact } => self.resolver.learn(fact, *when == FactSource::Found),
            Note::Process {
                boot_ns,
                cgroup,
                process,
            } => self.resolver.found_process(*boot_ns, *cgroup, process),
            Note::Clock { boot_ns, wall_ns } => {
                self.resolver.clock.read(*boot_ns, *wall_ns);
                self.add_clock(*boot_ns, *wall_ns);
                self.summary.extend_to(*wall_ns);
                self.wall_ns = *wall_ns;
            }
            Note::Gap {
                cgroup,
                class,
                lost,
                since_ns,
                until_ns,
                cause,
                cpu,
            } => {
                let known = |name: &str| Class::from_name(name).unwrap_or(Class::Other);
                let class = Some(class.as_str()).filter(|name| !name.is_empty());
                let loss = Loss {
                    cgroup: *cgroup,
                    class: class.map(known),
                    cause: *cause,
                    cpu: *cpu,
                    events: *lost,
                };
                self.resolver.gap(&loss, (*since_ns, *until_ns));
            }
            Note::EntriesMissed { until_ns } => self.resolver.entries_missed_until_ns = *until_ns,
            Note::Counts { since_ns, counts } => {
                for count in counts {
                    self.resolver.count(*since_ns, count);
                }
            }
            Note::Mounts { mounts } => self.resolver.host_mounts = HostMounts::new(mounts),
            Note::Missed(misses) => self.summary.missed = misses.clone(),
            Note::Forget { threads } => self.resolver.forget(*threads),
            Note::Advance { .. } => {}
        }
    }

    /// Adds a pair of clock readings to the metadata every minute, and when the wall clock was set (by 1 ms or more).
    fn add_clock(&mut self, boot_ns: u64, wall_ns: i64) {
        let is_new = self.clocks.last().is_none_or(|&(last_boot, last_wall)| {
            let drift = wall_ns
                .wrapping_sub(last_wall)
                .wrapping_sub(boot_ns.wrapping_sub(last_boot) as i64);
            boot_ns.saturating_sub(last_boot) >= 60_000_000_000 || drift.unsigned_abs() >= 1_000_000
        });
        if is_new {
            self.clocks.push((boot_ns, wall_ns));
        }
    }

    /// Resolves all records of `sources`, one source for each CPU, up to the boot time `boot_ns`, and sends full
    /// batches to the encoder. `on_cgroup` interprets the record of a cgroup: the last fact that it returns is the
    /// record's own, the facts before were learnt from the record.
    ///
    /// # Errors
    /// The sink has failed.
    pub(crate) fn advance(
        &mut self,
        sources: &mut [impl Source],
        boot_ns: u64,
        mut on_cgroup: impl FnMut(CgroupRecord<'_>) -> Vec<CgroupFact>,
    ) -> Result<()> {
        let undecided = self.in_doubt();
        let max_bytes = self.memory.batch_bytes();
        let Pipeline {
            cutter,
            resolver,
            pending,
            ..
        } = self;
        let rows = cutter.policy.max_rows;
        let is_full = |batch: &Batch| batch.len() >= rows || batch.whole_bytes() >= max_bytes;
        // Notes may have filled the batch: counts arrive as notes.
        if is_full(&resolver.batch) {
            pending.push_back(cutter.cut(resolver, MAX_HOLD, true));
        }
        merge::drain(sources, boot_ns, |bytes| match decode::decode(bytes) {
            Some((
                head,
                Body::Cgroup {
                    cgroup,
                    is_found,
                    owner,
                    mount_ns,
                    comm,
                    path,
                },
            )) => {
                let entered_by = resolver.registry.entered_by(cgroup).map(<[u8]>::to_vec);
                let record = CgroupRecord {
                    head,
                    cgroup,
                    is_found,
                    owner,
                    mount_ns,
                    comm,
                    path,
                    entered_by: entered_by.as_deref(),
                };
                for fact in on_cgroup(record) {
                    resolver.learn(&fact, is_found);
                }
            }
            Some((head, body)) => {
                resolver.record(head, body);
                if is_full(&resolver.batch) {
                    pending.push_back(cutter.cut(resolver, MAX_HOLD, true));
                }
            }
            None => resolver.faults.broken += 1,
        });
        resolver.end_old_queries();
        pending.extend(cutter.cut_if_due(resolver, MAX_HOLD, undecided));
        self.send_pending()
    }

    /// Schedules a command for the sink, after the events up to now.
    pub(crate) fn command(&mut self, command: SinkCommand) {
        self.cutter.command(command);
    }

    /// Returns whether a command is scheduled that the sink has not received.
    pub(crate) fn has_command(&self) -> bool {
        self.cutter.has_command()
    }

    /// Returns the last reading of the wall clock, ns since 1970 UTC.
    pub(crate) fn wall_ns(&self) -> i64 {
        self.wall_ns
    }

    /// Returns the summary of the recording so far.
    pub(crate) fn summary(&self) -> Summary {
        let mut summary = self.summary.clone();
        summary.clocks = self.clocks.clone();
        summary.faults = self.resolver.faults;
        summary
    }

    /// Returns whether a cgroup is undecided, so that its rows would be taken for rows of the host.
    pub(crate) fn in_doubt(&self) -> bool {
        self.resolver.registry.has_undecided()
    }

    /// Sends the pending parts, unless a cgroup is undecided: the decision usually takes a few milliseconds. The time
    /// and the memory of pending parts are limited.
    fn send_pending(&mut self) -> Result<()> {
        // Read once, because sending may take long and no decision is made meanwhile.
        let now = Instant::now();
        while let Some(first) = self.pending.front() {
            let bytes: usize = self
                .pending
                .iter()
                .map(|pending| pending.part.batch.bytes())
                .sum();
            let fits = bytes <= MAX_PENDING_BATCHES * self.memory.batch_bytes();
            if self.in_doubt() && now < first.send_at && fits {
                break;
            }
            let Some(pending) = self.pending.pop_front() else {
                break;
            };
            self.send(pending)?;
        }
        Ok(())
    }

    fn send(&mut self, pending: PendingPart) -> Result<()> {
        let registry = &mut self.resolver.registry;
        for (container, events) in pending.events() {
            registry.count_left_out(container, events);
        }
        let names = registry.names();
        pending.count(&names, &mut self.summary);
        self.wait_for_memory(pending.part.batch.bytes());
        match &self.encoder {
            Some(encoder)
                if encoder
                    .messages
                    .send(ToEncoder::Part(Box::new(pending.part), names))
                    .is_ok() =>
            {
                Ok(())
            }
            // The encoder has stopped; joining its thread returns the reason.
            _ => Err(self
                .join()
                .err()
                .unwrap_or_else(|| anyhow!("the output has been closed"))),
        }
    }

    /// Waits until the encoder has freed enough memory for a part of `bytes` bytes and the same again for its encoding.
    /// Meanwhile the kernel's rings fill up, and events that do not fit are counted as lost.
    fn wait_for_memory(&self, bytes: usize) {
        let ended = || self.encoder.as_ref().is_none_or(|e| e.thread.is_finished());
        let fits = || {
            let in_flight = self.in_flight.bytes.load(Ordering::Relaxed);
            in_flight + bytes <= self.memory.batches_bytes()
                && bytes <= self.memory.available_bytes()
        };
        // Do not wait for an idle encoder: the parts that it has joined wait for the part that is to be sent.
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
        drop(encoder.messages);
        encoder
            .thread
            .join()
            .map_err(|_| anyhow!("the encoder has failed; please report this"))?
    }

    /// Returns a note if definitions use so much memory that they are to be forgotten and sent again by the kernel
    /// side.
    pub(crate) fn note_to_forget(&self) -> Option<Note> {
        let (is_full, threads) = self.resolver.is_full();
        is_full.then_some(Note::Forget { threads })
    }

    /// Returns what [`Registry::entered_by`] returns.
    pub(crate) fn entered_by(&self, cgroup: u64) -> Option<&[u8]> {
        self.resolver.registry.entered_by(cgroup)
    }

    /// Returns the number of events so far, including batches that are not full.
    fn events(&self) -> u64 {
        let pending: usize = self.pending.iter().map(PendingPart::len).sum();
        self.summary.events + (pending + self.resolver.batch.rows.len()) as u64
    }

    /// Returns the progress of the recording, without the fields that only the caller knows.
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            containers: self.resolver.registry.alive(),
            events: self.events(),
            lost: self.summary.lost.clone(),
            missed: self.summary.missed.clone(),
            ..Progress::default()
        }
    }

    /// Ends the recording: writes all rows, and finishes the output. Returns the summary and the size of the output in
    /// bytes.
    ///
    /// # Errors
    /// The sink has failed.
    pub(crate) fn finish(mut self) -> Result<(Summary, u64)> {
        self.resolver.end_queries();
        if self.has_command() {
            self.pending
                .extend(self.cutter.cut_if_due(&mut self.resolver, MAX_HOLD, false));
        }
        if self.resolver.batch.len() > 0 {
            let last = self.cutter.cut(&mut self.resolver, MAX_HOLD, true);
            self.pending.push_back(last);
        }
        while let Some(pending) = self.pending.pop_front() {
            self.send(pending)?;
        }
        self.summary = self.summary();
        if let Some(encoder) = &self.encoder {
            let end = ToEncoder::End(Box::new(self.summary.clone()));
            let _ = encoder.messages.send(end);
        }
        let bytes = self.join()?;
        Ok((self.summary, bytes))
    }
}
