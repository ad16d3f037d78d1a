//! A recording from its beginning to its end: live, or replayed from a raw capture.

use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::containers::cgroups;
use crate::containers::cgroups::Hierarchies;
use crate::filters::Filters;
use crate::kernel::{Kernel, probe};
use crate::limits::cpu::{CallShedder, CpuLimit};
use crate::output::upkeep::Upkeep;
use crate::output::{Output, create_capture};
use crate::pipeline::{MAX_HOLD, Pipeline};
use crate::plan::{Destination, Plan};
use crate::progress::Progress;
use crate::records::capture::CaptureWriter;
use crate::records::loss::{Cause, Loss};
use crate::records::machine::Machine;
use crate::records::merge;
use crate::records::note::{FactSource, Note, gap};
use crate::report::Report;
use crate::session::clocks::{boot_now, read_clocks};
use crate::session::command::{exit_code, start, terminate};
use crate::session::watcher::Watcher;
use crate::sink::SinkCommand;
use crate::sink::stdout::closed_pipe_is_success;
use crate::sink::summary::Summary;

/// How often the rings are read. They hold far more than comes in this time; a wake-up per event would cost more than
/// the event.
const POLL: Duration = Duration::from_millis(10);
/// How often losses are read, which is how exactly a gap has a time.
const LOSSES: Duration = Duration::from_secs(1);

/// This machine, for the recording's metadata.
fn this_machine(filters: &Filters, max_cpu: Option<CpuLimit>) -> Machine {
    let uname = rustix::system::uname();
    let text = |s: &std::ffi::CStr| ctrace_schema::text::escape(s.to_bytes()).into_owned();
    let mut asked = filters.to_json();
    if let Some(limit) = max_cpu {
        asked["max-cpu"] = limit.to_string().into();
    }
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Machine {
        host: text(uname.nodename()),
        boot_id: boot_id.trim().to_string(),
        kernel: text(uname.release()),
        arch: text(uname.machine()),
        filters: asked,
        record_host: filters.host,
    }
}

/// Records this machine as the flags say.
///
/// # Errors
/// It cannot be recorded, or the output cannot be written.
pub(crate) fn record(plan: Plan) -> Result<ExitCode> {
    let output = Output::new(&plan)?;
    let mut report = Report::new(&plan, &output.name())?;
    probe::check()?;
    let machine = this_machine(&plan.filters, plan.max_cpu);
    let hierarchies = cgroups::probe(Path::new("/"))?;
    let kernel = Kernel::load(&plan.filters, &hierarchies, &machine.arch, plan.memory)?;
    // Before the output is made: a recording that cannot begin leaves nothing behind.
    let stop = stop_on_signals()?;
    let turn = Arc::new(AtomicBool::new(false));
    if matches!(plan.destination, Destination::Segments(_)) {
        signal_hook::flag::register(signal_hook::consts::SIGHUP, turn.clone())
            .context("cannot watch for signals")?;
    }
    let (sink, upkeep) = output.open(&machine)?;
    let raw = create_capture(&plan, &machine)?;
    let pipeline = Pipeline::new(&machine, plan.memory, sink)?;
    let watcher = Watcher::new(&hierarchies, plan.filters.clone());
    let mut live = LiveRecording {
        kernel,
        watcher,
        pipeline,
        raw,
        captured: vec![],
        losses_read: boot_now(),
        counts: plan.filters.counts,
        lag: 0,
        turn,
        upkeep,
        shedder: plan.max_cpu.map(CallShedder::new),
        skipped: None,
        unseen: 0,
    };
    live.begin(&hierarchies)?;

    report.begin();
    let child = match start(&plan.command) {
        Ok(child) => child,
        Err(e) => {
            let ring = live.upkeep.as_ref().is_some_and(Upkeep::is_ring);
            live.end()?;
            // Nothing was recorded of it.
            if let Some(path) = plan.destination.file().filter(|_| !ring) {
                let _ = std::fs::remove_file(path);
            }
            return Err(e);
        }
    };
    let code = live.run(&plan, report, child, &stop)?;
    Ok(code)
}

/// Set when the recording is to end: SIGINT, SIGTERM.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).context("cannot watch for signals")?;
    }
    Ok(stop)
}

struct LiveRecording {
    kernel: Kernel,
    watcher: Watcher,
    pipeline: Pipeline,
    raw: Option<CaptureWriter>,
    /// The buffer in which the records of one ring are copied for the raw capture.
    captured: Vec<u8>,
    losses_read: u64,
    /// Whether calls are counted, and not recorded one by one.
    counts: bool,
    /// How long records waited in the kernel at most since that was told last, ns.
    lag: u64,
    /// Set when the recording is to go on in another file: SIGHUP.
    turn: Arc<AtomicBool>,
    /// What has to be seen to where rows go into memory.
    upkeep: Option<Upkeep>,
    shedder: Option<CallShedder>,
    /// When programs were not run, from the first time to the last, and how many events left no trace.
    skipped: Option<(u64, u64)>,
    unseen: u64,
}

impl LiveRecording {
    /// Attaches. What runs already is known before the first event comes, and what starts meanwhile is not missed.
    fn begin(&mut self, hierarchies: &Hierarchies) -> Result<()> {
        self.kernel.attach_cgroups()?;
        let boot = boot_now();
        self.note(read_clocks())?;
        for fact in self.watcher.scan(boot, hierarchies) {
            self.note(Note::Fact {
                when: FactSource::Found,
                fact,
            })?;
        }
        self.tell_kernel(true);
        self.kernel.attach()?;
        self.losses_read = boot_now();
        self.kernel.begin(self.losses_read);
        Ok(())
    }

    fn note(&mut self, note: Note) -> Result<()> {
        if let Some(raw) = &mut self.raw {
            raw.note(&note).context("cannot write the raw capture")?;
        }
        self.pipeline.note(&note);
        Ok(())
    }

    /// Tells the kernel side what the watcher has found out.
    fn tell_kernel(&mut self, first_look: bool) {
        let mut told = false;
        for v in self.watcher.verdicts() {
            self.kernel.set_cgroup(v.cgroup, v.state, first_look);
            told = true;
        }
        if told {
            self.kernel.cgroups_changed();
        }
    }

    /// Takes in what has come since the last time, and returns up to when what was lost is known, boot time in ns.
    fn step(&mut self) -> Result<u64> {
        // Losses first: when the events up to now have been read, it is known whose they are.
        let now = boot_now();
        let ending = self.upkeep.as_ref().is_some_and(|c| c.is_ending(now));
        let due = ending || now.saturating_sub(self.losses_read) >= LOSSES.as_nanos() as u64;
        let lost = if due { self.losses(now) } else { vec![] };
        let boot = boot_now();
        self.note(read_clocks())?;
        if self.kernel.entries_missed() {
            self.note(Note::EntriesMissed { until: boot_now() })?;
        }
        self.look_again()?;
        self.read_rings(boot)?;
        self.tell_kernel(false);
        for note in lost {
            self.note(note)?;
        }
        if let Some(forget) = self.pipeline.note_to_forget() {
            self.note(forget)?;
            self.kernel.forget_definitions();
        }
        Ok(now)
    }

    /// Takes in the events up to `boot`.
    fn read_rings(&mut self, boot: u64) -> Result<()> {
        let LiveRecording {
            kernel,
            watcher,
            pipeline,
            raw,
            captured,
            ..
        } = self;
        kernel.look();
        if let Some(raw) = raw {
            for (cpu, ring) in (0u16..).zip(&mut kernel.rings) {
                captured.clear();
                ring.copy(captured);
                if !captured.is_empty() {
                    raw.ring(cpu, captured)
                        .context("cannot write the raw capture")?;
                }
            }
        }
        if let Some(oldest) = merge::oldest(&kernel.rings) {
            self.lag = self.lag.max(boot.saturating_sub(oldest));
        }
        let mut learnt = vec![];
        pipeline.advance(&mut kernel.rings, boot, |record| {
            let facts = watcher.on_cgroup(&record);
            for (i, fact) in facts.iter().enumerate() {
                let when = if i + 1 == facts.len() {
                    FactSource::Record
                } else {
                    FactSource::Late
                };
                learnt.push(Note::Fact {
                    when,
                    fact: fact.clone(),
                });
            }
            facts
        })?;
        if let Some(raw) = raw {
            for note in learnt {
                raw.note(&note)?;
            }
            raw.note(&Note::Advance { boot })?;
        }
        Ok(())
    }

    /// Learns what cgroups are that are undecided yet. Before events are read, for a runtime keeps a container's state
    /// before it runs anything there: what comes of it then is known for what it is.
    fn look_again(&mut self) -> Result<()> {
        for fact in self.watcher.late(|cgroup| self.pipeline.is_entered(cgroup)) {
            self.note(Note::Fact {
                when: FactSource::Late,
                fact,
            })?;
        }
        self.tell_kernel(false);
        Ok(())
    }

    /// What was lost or counted until now (boot time, ns), since the last time.
    fn losses(&mut self, until: u64) -> Vec<Note> {
        let since = std::mem::replace(&mut self.losses_read, until);
        if let Some(shedder) = &mut self.shedder {
            self.kernel.shed(shedder.update());
        }
        if self.kernel.programs_skipped() {
            self.skipped = Some((self.skipped.map_or(since, |(first, _)| first), until));
        }
        let counts = self.counts.then(|| Note::Counts {
            since,
            counts: self.kernel.counts(),
        });
        let losses = self.kernel.losses();
        let gaps = losses.iter().map(|loss| gap(loss, (since, until)));
        counts.into_iter().chain(gaps).collect()
    }

    fn read_losses(&mut self) -> Result<()> {
        let lost = self.losses(boot_now());
        lost.into_iter().try_for_each(|note| self.note(note))
    }

    /// Until something ends it.
    fn run(
        mut self,
        plan: &Plan,
        mut report: Report,
        child: Option<Child>,
        stop: &AtomicBool,
    ) -> Result<ExitCode> {
        let ring = self.upkeep.as_ref().is_some_and(Upkeep::is_ring);
        let file = plan.destination.file().filter(|_| !ring);
        let code = self.until_stopped(plan, &mut report, file, child, stop);
        report.stopping();
        // Whatever stopped it, what was recorded is written.
        let mut upkeep = self.upkeep.take();
        let written = self.end();
        for said in upkeep.iter_mut().flat_map(Upkeep::finish) {
            report.print(&said.text, said.is_warning);
        }
        match (code, written) {
            (Ok(code), Ok((mut summary, bytes))) => {
                upkeep.iter().for_each(|c| c.correct(&mut summary));
                report.end(&summary, file.map(|_| bytes));
                Ok(code)
            }
            (Err(e), _) | (_, Err(e)) => closed_pipe_is_success(e),
        }
    }

    /// Until something ends it; the exit code is that of the command.
    fn until_stopped(
        &mut self,
        plan: &Plan,
        report: &mut Report,
        file: Option<&Path>,
        mut child: Option<Child>,
        stop: &AtomicBool,
    ) -> Result<ExitCode> {
        let began = Instant::now();
        let mut told = false;
        while plan.duration.is_none_or(|d| began.elapsed() < d) {
            if let Some(running) = &mut child
                && let Some(exit) = running.try_wait().context("cannot wait for the command")?
            {
                return Ok(ExitCode::from(exit_code(exit)));
            }
            match (stop.swap(false, Ordering::Relaxed), &child) {
                (false, _) => {}
                // The recording ends with the command; a second signal does not wait for it.
                (true, Some(running)) if !told => {
                    told = true;
                    terminate(running);
                }
                (true, _) => break,
            }
            if self.turn.swap(false, Ordering::Relaxed) {
                self.pipeline.command(SinkCommand::Next);
            }
            let now = self.step()?;
            if let Some(upkeep) = &mut self.upkeep {
                for said in upkeep.poll(now, &mut self.pipeline) {
                    report.print(&said.text, said.is_warning);
                }
            }
            if report.is_due() {
                let bytes = file.and_then(|path| Some(path.metadata().ok()?.len()));
                let mut progress = Progress {
                    bytes,
                    missed: self.kernel.misses(),
                    lag: Duration::from_nanos(std::mem::take(&mut self.lag)),
                    ..self.pipeline.progress()
                };
                self.upkeep.iter().for_each(|c| c.add_to(&mut progress));
                report.update(&progress);
            }
            std::thread::sleep(POLL);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Detaches, takes in what is left, and writes it: all that can be, though something fails. The first failure counts.
    fn end(mut self) -> Result<(Summary, u64)> {
        self.unseen = self.kernel.unseen();
        let mut failed = self.kernel.detach(boot_now()).err();
        for last in [
            LiveRecording::settle,
            LiveRecording::read_losses,
            LiveRecording::read_unseen,
            LiveRecording::read_misses,
        ] {
            // A raw capture that cannot be written must not keep the recording from being.
            if let Err(e) = last(&mut self) {
                failed.get_or_insert(e);
                self.raw = None;
            }
        }
        let captured = self
            .raw
            .take()
            .map_or(Ok(()), CaptureWriter::finish)
            .context("cannot write the raw capture");
        let written = self.pipeline.finish();
        match failed {
            Some(e) => Err(e),
            None => captured.and(written),
        }
    }

    /// Takes in what is left, until it is known whose it is: a container that has just begun has no state yet.
    fn settle(&mut self) -> Result<()> {
        let since = Instant::now();
        loop {
            self.step()?;
            if !self.pipeline.in_doubt() || since.elapsed() >= MAX_HOLD {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Whose what left no trace was, nobody knows.
    fn read_unseen(&mut self) -> Result<()> {
        match (self.unseen, self.skipped) {
            (events @ 1.., Some(span)) => {
                let loss = Loss {
                    cgroup: 0,
                    class: None,
                    why: Cause::NotRun,
                    cpu: None,
                    events,
                };
                self.note(gap(&loss, span))
            }
            _ => Ok(()),
        }
    }

    fn read_misses(&mut self) -> Result<()> {
        self.note(Note::Missed(self.kernel.misses()))
    }
}
