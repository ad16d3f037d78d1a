//! A recording that is replayed from a raw capture.

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::containers::facts::{CgroupFact, CgroupKind};
use crate::output::Output;
use crate::output::upkeep::Upkeep;
use crate::pipeline::{CgroupRecord, Pipeline};
use crate::plan::Plan;
use crate::records::capture::{CaptureFrame, CaptureReader};
use crate::records::merge::Frames;
use crate::records::note::{FactSource, Note};
use crate::report::Report;
use crate::report::warnings::warn;
use crate::sink::stdout::closed_pipe_is_success;

/// Replays a raw capture through the whole pipeline.
///
/// # Errors
/// It is none, or the output cannot be written.
pub(crate) fn replay(plan: &Plan, path: &Path) -> Result<ExitCode> {
    let output = Output::new(plan)?;
    let name = output.name();
    let report = Report::new(plan, &name)?;
    let mut reader = CaptureReader::open(path)?;
    let (sink, mut upkeep) = output.open(&reader.machine)?;
    let mut pipeline = Pipeline::new(&reader.machine, plan.memory, sink)?;
    let mut rings: Vec<Frames> = vec![];
    // The facts of cgroup records, in the order of the records.
    let mut facts: VecDeque<CgroupFact> = VecDeque::new();
    for frame in reader.by_ref() {
        match frame {
            CaptureFrame::Ring(cpu, bytes) => {
                let cpu = usize::from(cpu);
                if rings.len() <= cpu {
                    rings.resize_with(cpu + 1, Frames::default);
                }
                rings[cpu].extend(bytes);
            }
            CaptureFrame::Note(Note::Fact {
                when: FactSource::Record,
                fact,
                ..
            }) => facts.push_back(fact),
            CaptureFrame::Note(Note::Advance { boot }) => {
                let advanced = pipeline.advance(&mut rings, boot, |record| {
                    let unknown = || CgroupFact {
                        boot: record.head.time,
                        cgroup: record.cgroup,
                        path: String::new(),
                        kind: CgroupKind::Undecided,
                    };
                    vec![facts.pop_front().unwrap_or_else(unknown)]
                });
                if let Err(e) = advanced {
                    return closed_pipe_is_success(e);
                }
                for said in upkeep.iter_mut().flat_map(|c| c.poll(boot, &mut pipeline)) {
                    report.print(&said.text, said.is_warning);
                }
                let mut progress = pipeline.progress();
                upkeep.iter().for_each(|c| c.add_to(&mut progress));
                report.serve(&progress);
            }
            CaptureFrame::Note(note) => pipeline.note(&note),
        }
    }
    if reader.torn {
        // What came after the last step that is whole.
        let unknown = |record: CgroupRecord<'_>| {
            let undecided = CgroupFact {
                boot: record.head.time,
                cgroup: record.cgroup,
                path: String::new(),
                kind: CgroupKind::Undecided,
            };
            vec![facts.pop_front().unwrap_or(undecided)]
        };
        pipeline.advance(&mut rings, u64::MAX, unknown)?;
    }
    let finished = pipeline.finish();
    for said in upkeep.iter_mut().flat_map(Upkeep::finish) {
        report.print(&said.text, said.is_warning);
    }
    match finished {
        Ok((mut summary, _)) if !plan.quiet => {
            upkeep.iter().for_each(|c| c.correct(&mut summary));
            eprintln!(
                "replayed {} events of {} to {name}",
                summary.events,
                path.display(),
            );
            warn(&summary);
        }
        Ok(_) => {}
        Err(e) => return closed_pipe_is_success(e),
    }
    if reader.torn && !plan.quiet {
        eprintln!(
            "warning: {} breaks off: what it holds up to there was replayed",
            path.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}
