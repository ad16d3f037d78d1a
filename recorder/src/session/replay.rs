//! The replay of a raw capture.

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::confine::{self, Reach};
use crate::containers::facts::{CgroupFact, CgroupKind};
use crate::output::upkeep::Upkeep;
use crate::output::{OpenOutput, Output};
use crate::pipeline::{CgroupRecord, Pipeline};
use crate::plan::Plan;
use crate::progress::Notice;
use crate::records::capture::{CaptureFrame, CaptureReader};
use crate::records::merge::FramedRecords;
use crate::records::note::{FactSource, Note};
use crate::report::warnings::warn;
use crate::report::{Report, prometheus};
use crate::session::confinement::confine_replay;
use crate::sink::stdout::closed_pipe_is_success;
use crate::sink::summary::Summary;

/// Replays the raw capture at `path` through the whole pipeline.
///
/// # Errors
/// The file is not a raw capture, or the output cannot be written.
pub(crate) fn replay(plan: &Plan, path: &Path) -> Result<ExitCode> {
    let output = Output::new(plan)?;
    let name = output.name();
    confine::set_reach(Reach {
        output: output.directories(),
        sockets: output.socket_directories(),
        ..Reach::default()
    });
    let report = Report::new(plan, &name, plan.metrics.map(prometheus::bind).transpose()?)?;
    let mut reader = CaptureReader::open(path)?;
    let machine = reader.machine.clone();
    let machine = machine.redacted(plan.redactor.as_ref());
    let OpenOutput {
        sink,
        upkeep,
        replaced,
    } = output.open(&machine)?;
    replaced.remove();
    let mut replay = Replay {
        pipeline: Pipeline::new(&machine, plan.memory, sink)?,
        upkeep,
        report,
        rings: vec![],
        facts: VecDeque::new(),
    };
    confine_replay(&replay.report);
    for frame in reader.by_ref() {
        if let Err(e) = replay.add(frame) {
            return closed_pipe_is_success(e);
        }
    }
    if reader.torn {
        // The records after the last complete step.
        replay.advance(u64::MAX)?;
    }
    match replay.finish() {
        Ok(summary) if !plan.quiet => {
            say!(
                "replayed {} events of {} to {name}",
                summary.events,
                path.display(),
            );
            warn(&summary);
        }
        Ok(_) => {}
        Err(e) => return closed_pipe_is_success(e),
    }
    if let Some(fault) = reader.fault {
        let path = path.display();
        bail!("cannot read {path}: {fault}; everything before was replayed");
    }
    if reader.torn && !plan.quiet {
        say!(
            "warning: {} breaks off: everything before the break was replayed",
            path.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

struct Replay {
    pipeline: Pipeline,
    upkeep: Option<Upkeep>,
    report: Report,
    /// The records that are not resolved yet, by CPU.
    rings: Vec<FramedRecords>,
    /// The facts that belong to cgroup records, in the order of the records.
    facts: VecDeque<CgroupFact>,
}

impl Replay {
    fn add(&mut self, frame: CaptureFrame) -> Result<()> {
        match frame {
            CaptureFrame::Ring(cpu, bytes) => {
                let cpu = usize::from(cpu);
                if self.rings.len() <= cpu {
                    self.rings.resize_with(cpu + 1, FramedRecords::default);
                }
                self.rings[cpu].extend(bytes);
            }
            CaptureFrame::Note(Note::Fact {
                when: FactSource::Record,
                fact,
                ..
            }) => self.facts.push_back(fact),
            CaptureFrame::Note(Note::Advance { boot_ns }) => {
                self.advance(boot_ns)?;
                let upkeep = self.upkeep.iter_mut();
                let notices = upkeep.flat_map(|upkeep| upkeep.poll(boot_ns, &mut self.pipeline));
                print(&self.report, notices);
                let mut progress = self.pipeline.progress();
                self.upkeep.iter().for_each(|u| u.add_to(&mut progress));
                self.report.update_metrics(&progress);
            }
            CaptureFrame::Note(note) => self.pipeline.note(&note),
        }
        Ok(())
    }

    /// Resolves the records up to the boot time `boot_ns`.
    fn advance(&mut self, boot_ns: u64) -> Result<()> {
        let Replay {
            pipeline,
            rings,
            facts,
            ..
        } = self;
        pipeline.advance(rings, boot_ns, |record| vec![next_fact(facts, &record)])
    }

    /// Writes the rest, and returns the summary.
    fn finish(mut self) -> Result<Summary> {
        let finished = self.pipeline.finish();
        let notices = self.upkeep.iter_mut().flat_map(Upkeep::finish);
        print(&self.report, notices);
        let (mut summary, _) = finished?;
        self.upkeep.iter().for_each(|u| u.correct(&mut summary));
        Ok(summary)
    }
}

/// Returns the fact that the recorder stored for a cgroup record. Without one (an incomplete capture), the cgroup is
/// undecided.
fn next_fact(facts: &mut VecDeque<CgroupFact>, record: &CgroupRecord<'_>) -> CgroupFact {
    facts.pop_front().unwrap_or_else(|| CgroupFact {
        boot_ns: record.head.time,
        cgroup: record.cgroup,
        path: String::new(),
        kind: CgroupKind::Undecided,
    })
}

fn print(report: &Report, notices: impl Iterator<Item = Notice>) {
    for notice in notices {
        report.print(&notice.text, notice.is_warning);
    }
}
