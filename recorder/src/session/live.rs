//! A live recording of this machine.
//!
//! Every 10 ms the main thread reads the clocks and the rings, resolves the records, and reports the watcher's verdicts
//! to the kernel side. Once a second it reads the losses. A raw capture of the recording contains everything that
//! [`crate::session::replay`] needs to repeat these steps.

use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::confine::{self, rights};
use crate::containers::cgroups;
use crate::containers::cgroups::Hierarchies;
use crate::kernel::{Kernel, probe};
use crate::limits::cpu::CallShedder;
use crate::limits::descriptors;
use crate::output::upkeep::Upkeep;
use crate::output::{OpenOutput, Output, create_capture};
use crate::pipeline::{MAX_HOLD, Pipeline};
use crate::plan::{Destination, Plan};
use crate::progress::Progress;
use crate::records::loss::{Cause, Loss};
use crate::records::machine::Machine;
use crate::records::merge;
use crate::records::note::{FactSource, Note, gap};
use crate::report::{Report, prometheus};
use crate::session::clocks::{boot_now, read_clocks, suspended_ns};
use crate::session::command::{exit_code, start, terminate};
use crate::session::confinement::{confine_main, reach};
use crate::session::mounts::MountReader;
use crate::session::raw_capture::RawCapture;
use crate::session::watcher::Watcher;
use crate::sink::SinkCommand;
use crate::sink::stdout::closed_pipe_is_success;
use crate::sink::summary::Summary;

/// The interval at which the rings are read. The rings have room for much more than arrives in this time, and a wake-up
/// per event would cost more than the event.
const POLL: Duration = Duration::from_millis(10);
/// The interval at which losses are read, which is the precision of the times of a gap.
const LOSSES: Duration = Duration::from_secs(1);

/// Describes this machine for the metadata of the recording.
fn this_machine(plan: &Plan) -> Machine {
    let filters = &plan.filters;
    let uname = rustix::system::uname();
    let escape = |bytes: &[u8]| ctrace_schema::text::escape(bytes).into_owned();
    let text = |s: &std::ffi::CStr| escape(s.to_bytes());
    let mut filters_json = filters.to_json();
    if let Some(limit) = plan.max_cpu {
        filters_json["max-cpu"] = limit.to_string().into();
    }
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Machine {
        host: match &plan.node {
            Some(name) => escape(name.as_bytes()),
            None => text(uname.nodename()),
        },
        boot_id: boot_id.trim().to_string(),
        kernel: text(uname.release()),
        arch: text(uname.machine()),
        filters: filters_json,
        record_host: filters.host,
        run: Some(boot_now()),
        redaction: None,
    }
}

/// Records this machine by the plan. Returns the exit code of the command, if there is one.
///
/// # Errors
/// This machine cannot be recorded, or the output cannot be written.
pub(crate) fn record(plan: Plan) -> Result<ExitCode> {
    let descriptors = descriptors::raise_limit();
    let metrics = plan.metrics.map(prometheus::bind).transpose()?;
    // Before any thread is started: each thread has rights of its own.
    if plan.command.is_empty() {
        rights::keep_least();
    }
    let output = Output::new(&plan)?;
    confine::set_reach(reach(&output));
    let mut report = Report::new(&plan, &output.name(), metrics)?;
    probe::check()?;
    let machine = this_machine(&plan);
    let machine = machine.redacted(plan.redactor.as_ref());
    let hierarchies = cgroups::probe(Path::new("/"))?;
    let kernel = Kernel::load(&plan.filters, &hierarchies, &machine.arch, plan.memory)?;
    // The output is created last, so that a recording that cannot start leaves no file behind.
    let stop = stop_on_signals()?;
    let rotate = rotate_on_signal(&plan)?;
    let OpenOutput {
        sink,
        upkeep,
        mut replaced,
    } = output.open(&machine)?;
    let raw = create_capture(&plan, &machine, &mut replaced)?;
    let pipeline = Pipeline::new(&machine, plan.memory, sink)?;
    let watcher = Watcher::new(&hierarchies, plan.filters.clone());
    let mut live = LiveRecording {
        kernel,
        watcher,
        pipeline,
        mounts: MountReader::default(),
        raw: RawCapture::new(raw),
        losses_read_ns: boot_now(),
        counts: plan.filters.counts,
        max_lag_ns: 0,
        rotate,
        upkeep,
        shedder: plan.max_cpu.map(CallShedder::new),
        skipped_span: None,
        unseen_events: 0,
        without_slot: 0,
        warning: None,
        begin_ns: 0,
        // A command may start the container.
        are_filters_unchecked: plan.command.is_empty(),
    };
    live.begin(&hierarchies)?;

    report.begin();
    let child = match start(&plan.command, descriptors) {
        Ok(child) => child,
        Err(e) => {
            let ring = live.upkeep.as_ref().is_some_and(Upkeep::is_ring);
            live.end()?;
            // The file contains no events of the command.
            if let Some(path) = plan.destination.file().filter(|_| !ring) {
                let _ = std::fs::remove_file(path);
            }
            return Err(e);
        }
    };
    replaced.remove();
    rights::hide_memory();
    confine_main(&live.kernel, &report, child.as_ref());
    let code = live.run(&plan, report, child, &stop)?;
    Ok(code)
}

/// Returns a flag that SIGINT and SIGTERM set to end the recording.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).context("cannot watch for signals")?;
    }
    Ok(stop)
}

/// Returns a flag that SIGHUP sets, if the recording has segments.
fn rotate_on_signal(plan: &Plan) -> Result<Arc<AtomicBool>> {
    let rotate = Arc::new(AtomicBool::new(false));
    if matches!(plan.destination, Destination::Segments(_)) {
        signal_hook::flag::register(signal_hook::consts::SIGHUP, rotate.clone())
            .context("cannot watch for signals")?;
    }
    Ok(rotate)
}

struct LiveRecording {
    kernel: Kernel,
    watcher: Watcher,
    pipeline: Pipeline,
    mounts: MountReader,
    raw: RawCapture,
    /// The boot time up to which losses have been read.
    losses_read_ns: u64,
    /// True if calls are counted instead of recorded one by one.
    counts: bool,
    /// The longest time for which a record waited in its ring since the last report.
    max_lag_ns: u64,
    /// A flag that SIGHUP sets to continue the recording in the next segment.
    rotate: Arc<AtomicBool>,
    upkeep: Option<Upkeep>,
    shedder: Option<CallShedder>,
    /// The boot times, in ns, between which the kernel did not run some of the programs.
    skipped_span: Option<(u64, u64)>,
    /// The number of events that left no trace because programs were not run.
    unseen_events: u64,
    /// The number of cgroups for which the kernel side had no slot when this was last read.
    without_slot: u64,
    /// A warning that has not been printed yet.
    warning: Option<String>,
    /// The boot time, in ns, from which calls are recorded.
    begin_ns: u64,
    /// True if it has not been checked yet whether the filters match containers that run.
    are_filters_unchecked: bool,
}

impl LiveRecording {
    /// Attaches the programs. The programs for cgroups come first: so no new cgroup is missed during the scan of the
    /// existing ones, and all are known before the first event.
    fn begin(&mut self, hierarchies: &Hierarchies) -> Result<()> {
        self.kernel.set_suspended(suspended_ns());
        self.kernel.attach_cgroups()?;
        let boot_ns = boot_now();
        self.note(read_clocks());
        self.note_mounts(boot_ns);
        for fact in self.watcher.scan(boot_ns, hierarchies) {
            self.note(Note::Fact {
                when: FactSource::Found,
                fact,
            });
        }
        self.send_verdicts();
        self.kernel.attach()?;
        self.losses_read_ns = boot_now();
        self.begin_ns = self.losses_read_ns;
        self.kernel.set_begin_time(self.begin_ns);
        self.note_processes();
        Ok(())
    }

    /// Notes the processes of containers that ran before the recording, as far as it is decided that they are recorded. A
    /// process that is forked since is recorded by its fork.
    fn note_processes(&mut self) {
        for (cgroup, process) in self.watcher.processes(self.begin_ns) {
            self.note(Note::Process {
                boot_ns: boot_now(),
                cgroup,
                process,
            });
        }
    }

    fn note(&mut self, note: Note) {
        self.raw.note(&note);
        self.pipeline.note(&note);
    }

    fn note_mounts(&mut self, boot_ns: u64) {
        if let Some(note) = self.mounts.note(boot_ns) {
            self.note(note);
        }
    }

    /// Sends the new verdicts of the watcher to the kernel side.
    fn send_verdicts(&mut self) {
        let mut changed = false;
        for verdict in self.watcher.verdicts() {
            changed |= self.kernel.set_cgroup(&verdict);
            self.mounts.set_due();
        }
        if changed {
            self.kernel.cgroups_changed();
        }
    }

    /// Processes everything that has arrived since the last call. Returns the boot time, in ns, up to which losses may
    /// have been read.
    fn poll(&mut self) -> Result<u64> {
        // Losses are read before the events and noted after them: by then, the owner of every cgroup is known.
        let now = boot_now();
        let ending = self.upkeep.as_ref().is_some_and(|u| u.is_ending(now));
        let due = ending || now.saturating_sub(self.losses_read_ns) >= LOSSES.as_nanos() as u64;
        let losses = if due { self.read_losses(now) } else { vec![] };
        let boot_ns = boot_now();
        self.kernel.set_suspended(suspended_ns());
        self.note(read_clocks());
        if self.kernel.entries_missed() {
            self.note(Note::EntriesMissed {
                until_ns: boot_now(),
            });
        }
        self.decide_cgroups();
        self.note_mounts(boot_ns);
        self.read_rings(boot_ns)?;
        self.send_verdicts();
        for note in losses {
            self.note(note);
        }
        if let Some(forget) = self.pipeline.note_to_forget() {
            self.note(forget);
            self.kernel.forget_definitions();
        }
        Ok(now)
    }

    /// Resolves the records up to the boot time `boot_ns`.
    fn read_rings(&mut self, boot_ns: u64) -> Result<()> {
        let LiveRecording {
            kernel,
            watcher,
            pipeline,
            raw,
            ..
        } = self;
        kernel.update_rings();
        raw.rings(&mut kernel.rings);
        if let Some(oldest) = merge::oldest(&kernel.rings) {
            self.max_lag_ns = self.max_lag_ns.max(boot_ns.saturating_sub(oldest));
        }
        let mut new_facts = vec![];
        let mut are_found = false;
        pipeline.advance(&mut kernel.rings, boot_ns, |record| {
            are_found |= record.is_found;
            let facts = watcher.on_cgroup(&record);
            for (i, fact) in facts.iter().enumerate() {
                let when = if i + 1 == facts.len() {
                    FactSource::Record
                } else {
                    FactSource::Late
                };
                new_facts.push(Note::Fact {
                    when,
                    fact: fact.clone(),
                });
            }
            facts
        })?;
        for note in new_facts {
            raw.note(&note);
        }
        raw.note(&Note::Advance { boot_ns });
        if are_found {
            self.note_processes();
        }
        Ok(())
    }

    /// Tries to decide the undecided cgroups, before events are read: a runtime writes a container's state before it
    /// runs a program in the container, so the owner of the program's events is known when they are read.
    fn decide_cgroups(&mut self) {
        let entered_by = |cgroup| self.pipeline.entered_by(cgroup);
        let mut are_found = false;
        for fact in self.watcher.late_facts(entered_by) {
            let when = self.watcher.source(&fact);
            are_found |= when == FactSource::Found;
            self.note(Note::Fact { when, fact });
        }
        self.send_verdicts();
        if are_found {
            self.note_processes();
        }
    }

    /// Reads losses and counts from the last reading to the boot time `until_ns`. Also updates the shed level.
    fn read_losses(&mut self, until_ns: u64) -> Vec<Note> {
        let since_ns = std::mem::replace(&mut self.losses_read_ns, until_ns);
        if let Some(shedder) = &mut self.shedder {
            self.kernel.set_shed_level(shedder.update());
        }
        if self.kernel.programs_skipped() {
            let first = self.skipped_span.map_or(since_ns, |(first, _)| first);
            self.skipped_span = Some((first, until_ns));
        }
        let counts = self.counts.then(|| Note::Counts {
            since_ns,
            counts: self.kernel.counts(),
        });
        let losses = self.kernel.losses();
        let unknown = self.read_slots();
        let losses = losses.iter().chain(&unknown);
        let gaps = losses.map(|loss| gap(loss, (since_ns, until_ns)));
        counts.into_iter().chain(gaps).collect()
    }

    /// Returns a loss of no events if there were cgroups without a slot since the last reading, and warns of the first.
    fn read_slots(&mut self) -> Option<Loss> {
        self.kernel.retry_cgroups();
        let now = self.kernel.cgroups_without_slot();
        let before = std::mem::replace(&mut self.without_slot, now);
        if before == 0 && now > 0 {
            let path = self.watcher.path_without_slot().unwrap_or("?");
            self.warning = Some(format!(
                "too many cgroups: there is no slot for new ones, such as {}. Nothing is lost: what runs in them is \
                 recorded, as container `unknown` if it stays unknown whose it is. Find out who makes them",
                ctrace_schema::text::escape(path.as_bytes())
            ));
        }
        (now > before).then_some(Loss {
            cgroup: 0,
            class: None,
            cause: Cause::NoSlot,
            cpu: None,
            events: 0,
        })
    }

    fn note_losses(&mut self) {
        let losses = self.read_losses(boot_now());
        losses.into_iter().for_each(|note| self.note(note));
    }

    /// Records until the recording ends, and reports the summary.
    fn run(
        mut self,
        plan: &Plan,
        mut report: Report,
        child: Option<Child>,
        stop: &AtomicBool,
    ) -> Result<ExitCode> {
        let ring = self.upkeep.as_ref().is_some_and(Upkeep::is_ring);
        let file = plan.destination.file().filter(|_| !ring);
        let code = self.poll_until_stopped(plan, &mut report, file, child, stop);
        report.stopping();
        // The last poll reads the records of the containers that the command started last.
        if !plan.command.is_empty() && self.poll().is_ok() {
            for warning in self.watcher.unmatched_to_the_end() {
                report.print(&warning, true);
            }
        }
        // Recorded events are written even if an error ended the recording.
        let mut upkeep = self.upkeep.take();
        let written = self.end();
        for notice in upkeep.iter_mut().flat_map(Upkeep::finish) {
            report.print(&notice.text, notice.is_warning);
        }
        match (code, written) {
            (Ok(code), Ok((mut summary, bytes))) => {
                upkeep.iter().for_each(|u| u.correct(&mut summary));
                report.end(&summary, file.map(|_| bytes));
                Ok(code)
            }
            (Err(e), _) | (_, Err(e)) => closed_pipe_is_success(e),
        }
    }

    /// Polls until the command ends, the duration is over, or a signal arrives. Returns the exit code of the command.
    fn poll_until_stopped(
        &mut self,
        plan: &Plan,
        report: &mut Report,
        file: Option<&Path>,
        mut child: Option<Child>,
        stop: &AtomicBool,
    ) -> Result<ExitCode> {
        let start = Instant::now();
        let mut terminated = false;
        while plan.duration.is_none_or(|d| start.elapsed() < d) {
            if let Some(running) = &mut child
                && let Some(exit) = running.try_wait().context("cannot wait for the command")?
            {
                return Ok(ExitCode::from(exit_code(exit)));
            }
            match (stop.swap(false, Ordering::Relaxed), &child) {
                (false, _) => {}
                // The first signal ends the command, and with the command the recording. A second signal ends the
                // recording at once.
                (true, Some(running)) if !terminated => {
                    terminated = true;
                    terminate(running);
                }
                (true, _) => break,
            }
            if self.rotate.swap(false, Ordering::Relaxed) {
                self.pipeline.command(SinkCommand::Next);
            }
            let now = self.poll()?;
            if self.are_filters_unchecked && !self.watcher.is_asking() {
                self.are_filters_unchecked = false;
                for warning in self.watcher.unmatched_filters() {
                    report.print(&warning, true);
                }
            }
            if let Some(upkeep) = &mut self.upkeep {
                for notice in upkeep.poll(now, &mut self.pipeline) {
                    report.print(&notice.text, notice.is_warning);
                }
            }
            for warning in [self.warning.take(), self.raw.take_warning()] {
                warning.iter().for_each(|text| report.print(text, true));
            }
            if report.is_due() {
                let bytes = file.and_then(|path| Some(path.metadata().ok()?.len()));
                let mut progress = Progress {
                    bytes,
                    missed: self.kernel.misses(),
                    lag: Duration::from_nanos(std::mem::take(&mut self.max_lag_ns)),
                    ..self.pipeline.progress()
                };
                self.upkeep.iter().for_each(|u| u.add_to(&mut progress));
                report.update(&progress);
            }
            std::thread::sleep(POLL);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Detaches the programs, and writes the remaining events. After an error, the remaining steps still run; the first
    /// error is returned.
    fn end(mut self) -> Result<(Summary, u64)> {
        self.unseen_events = self.kernel.unseen();
        let detached = self.kernel.detach(boot_now());
        let settled = self.settle();
        self.note_losses();
        self.note_unseen();
        self.note(Note::Missed(self.kernel.misses()));
        let captured = self.raw.finish();
        let written = self.pipeline.finish();
        detached.and(settled).and(captured).and(written)
    }

    /// Processes the remaining events until their owners are known: a container that has just started has no state yet.
    fn settle(&mut self) -> Result<()> {
        let since = Instant::now();
        loop {
            self.poll()?;
            if !self.pipeline.in_doubt() || since.elapsed() >= MAX_HOLD {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Records events that left no trace as a gap without a container: their owner is unknown.
    fn note_unseen(&mut self) {
        if let (events @ 1.., Some(span)) = (self.unseen_events, self.skipped_span) {
            let loss = Loss {
                cgroup: 0,
                class: None,
                cause: Cause::NotRun,
                cpu: None,
                events,
            };
            self.note(gap(&loss, span));
        }
    }
}
