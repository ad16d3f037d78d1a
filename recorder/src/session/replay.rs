//! A recording that is replayed from a raw capture.

use crate::cli::Record;
use crate::containers::facts::Fact;
use crate::containers::facts::Is;
use crate::output::Into;
use crate::output::Target;
use crate::output::upkeep::Control;
use crate::pipeline::CgroupRecord;
use crate::pipeline::Pipeline;
use crate::records::capture::Frame;
use crate::records::capture::Reader;
use crate::records::merge::Frames;
use crate::records::note::Note;
use crate::records::note::When;
use crate::report::Report;
use crate::report::warnings::warn;
use crate::sink::stdout::closed;
use anyhow::Result;
use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;

/// Replays a raw capture through the whole pipeline.
///
/// # Errors
/// It is none, or the output cannot be written.
pub fn replay(flags: &Record, path: &Path) -> Result<ExitCode> {
    let target = Target::new(flags)?;
    let into = Into::new(flags)?;
    let (memory, name) = (into.memory(), into.name(&target));
    let report = Report::new(flags, &name)?;
    let mut reader = Reader::open(path)?;
    let (sink, mut control) = into.open(&target, &reader.machine, flags)?;
    let mut pipeline = Pipeline::new(&reader.machine, memory, sink)?;
    let mut rings: Vec<Frames> = vec![];
    // The facts of cgroup records, in the order of the records.
    let mut facts: VecDeque<Fact> = VecDeque::new();
    for frame in reader.by_ref() {
        match frame {
            Frame::Ring(cpu, bytes) => {
                let cpu = usize::from(cpu);
                if rings.len() <= cpu {
                    rings.resize_with(cpu + 1, Frames::default);
                }
                rings[cpu].extend(bytes);
            }
            Frame::Note(Note::Fact {
                when: When::Record,
                fact,
                ..
            }) => facts.push_back(fact),
            Frame::Note(Note::Advance { boot }) => {
                let advanced = pipeline.advance(&mut rings, boot, |record| {
                    let unknown = || Fact {
                        boot: record.head.time,
                        cgroup: record.cgroup,
                        path: String::new(),
                        is: Is::Undecided,
                    };
                    vec![facts.pop_front().unwrap_or_else(unknown)]
                });
                if let Err(e) = advanced {
                    return closed(e);
                }
                for said in control.iter_mut().flat_map(|c| c.step(boot, &mut pipeline)) {
                    report.say(&said.text, said.error);
                }
                let mut progress = pipeline.progress();
                control.iter().for_each(|c| c.tell(&mut progress));
                report.serve(&progress);
            }
            Frame::Note(note) => pipeline.note(&note),
        }
    }
    if reader.torn {
        // What came after the last step that is whole.
        let unknown = |record: CgroupRecord<'_>| {
            let undecided = Fact {
                boot: record.head.time,
                cgroup: record.cgroup,
                path: String::new(),
                is: Is::Undecided,
            };
            vec![facts.pop_front().unwrap_or(undecided)]
        };
        pipeline.advance(&mut rings, u64::MAX, unknown)?;
    }
    let finished = pipeline.finish();
    for said in control.iter_mut().flat_map(Control::end) {
        report.say(&said.text, said.error);
    }
    match finished {
        Ok((mut summary, _)) if !flags.quiet => {
            control.iter().for_each(|c| c.correct(&mut summary));
            eprintln!(
                "replayed {} events of {} to {name}",
                summary.events,
                path.display(),
            );
            warn(&summary);
        }
        Ok(_) => {}
        Err(e) => return closed(e),
    }
    if reader.torn && !flags.quiet {
        eprintln!(
            "warning: {} breaks off: what it holds up to there was replayed",
            path.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}
