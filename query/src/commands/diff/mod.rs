//! `diff`: what changed between two recordings, two times or two containers.

mod read;
mod table;

use std::path::PathBuf;

use anyhow::bail;
use ctrace_schema::human;
use ctrace_schema::text::path_text;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

use crate::cli::{AnswerOptions, Diff, DiffSide};
use crate::commands::answer::with_mode;
use crate::commands::filters::RecordedCalls;
use crate::commands::selection::selected;
use crate::diff::{Change, ChangeKind, DiffSettings, SideFacts, compare};
use crate::engine::Engine;
use crate::messages;
use crate::output::{self, AnswerDestination, AnswerFormat};
use read::SideReader;

/// The answer that something is new, after all changes were written.
#[derive(Debug, thiserror::Error)]
#[error("something is new")]
pub(crate) struct SomethingNew;

/// The least factor between the lengths of the sides from which on there is a warning.
const LONGER: f64 = 2.0;

/// Writes the changes from the good side to the bad one.
///
/// # Errors
/// [`SomethingNew`], or a side is wrong or cannot be read, or the destination cannot be written.
pub(super) async fn diff(
    diff: &Diff,
    options: &AnswerOptions,
    engine: &Engine,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    check_sides(diff, options)?;
    let engines = [&diff.good, &diff.bad].map(|side| engine_of(side, engine));
    let [good_engine, bad_engine] = engines.each_ref().map(|own| own.as_ref().unwrap_or(engine));
    let good = read_side("good", &diff.good, good_engine).await?;
    let bad = read_side("bad", &diff.bad, bad_engine).await?;
    warn_of_differences(good_engine, bad_engine, &good, &bad).await?;
    let settings = DiffSettings {
        as_one: diff.as_one,
        all: diff.good.selection.scope.all,
    };
    let changes = compare(&good, &bad, settings);
    let shown = diff.limit.map_or(changes.len(), |limit| {
        changes
            .len()
            .min(usize::try_from(limit).unwrap_or(usize::MAX))
    });
    let format = options.format.unwrap_or(AnswerFormat::Table);
    let batch = table::batch(&changes[..shown])?;
    let rows = stream::iter([Ok(batch.clone())]);
    let rows = Box::pin(RecordBatchStreamAdapter::new(batch.schema(), rows));
    // Whoever may read the file may read the recordings of both sides.
    let to = match (with_mode(good_engine, to)?, with_mode(bad_engine, to)?) {
        (AnswerDestination::File(path, good), AnswerDestination::File(_, bad)) => {
            AnswerDestination::File(path, good & bad)
        }
        (to, _) => to,
    };
    output::write(rows, format, to.open(format)?, vec![], None).await?;
    if let AnswerDestination::File(path, _) = to {
        messages::status("wrote", &path_text(path));
    }
    messages::status("changes", &summary(&changes));
    match changes.iter().any(|change| change.kind == ChangeKind::New) {
        true => Err(SomethingNew.into()),
        false => Ok(()),
    }
}

/// Checks that there are two sides.
fn check_sides(diff: &Diff, options: &AnswerOptions) -> anyhow::Result<()> {
    let (good, bad) = (&diff.good, &diff.bad);
    let named = usize::from(good.recording.is_some()) + usize::from(bad.recording.is_some());
    if named > 0 && options.recordings.len() > named {
        bail!(
            "name the recordings as GOOD and BAD, or the one that has both sides with --recording"
        );
    }
    let scopes = [&good.selection.scope, &bad.selection.scope];
    let [good, bad] = scopes.map(|scope| (&scope.since, &scope.until, &scope.containers));
    if named == 0 && good == bad {
        bail!(
            "both sides are the same: name two recordings, as in `ctrace-query diff good.parquet bad.parquet`, two times with --good \
             and --bad, or two containers with --good-container and --bad-container"
        );
    }
    Ok(())
}

/// Returns the engine of a side that has a recording of its own.
fn engine_of(side: &DiffSide, engine: &Engine) -> Option<Engine> {
    let recording: Option<PathBuf> = side.recording.clone();
    recording.map(|path| engine.with_recordings(vec![path]))
}

/// Reads a side, and warns of what it lacks.
async fn read_side(
    name: &'static str,
    side: &DiffSide,
    engine: &Engine,
) -> anyhow::Result<SideFacts> {
    let chosen = selected(engine, &side.selection).await;
    let (events, scope) = chosen.map_err(|error| error.context(format!("the {name} side")))?;
    let recordings = engine.recordings().await?;
    if recordings.count_recordings() == recordings.files.len() {
        bail!(
            "the {name} side contains only counts of calls (ctrace-rec --mode counts), without the events that are compared"
        );
    }
    let calls = RecordedCalls::of(recordings);
    let reader = SideReader::new(name, engine, scope, events).await?;
    reader.read(Box::new(move |call| calls.has(call))).await
}

/// Warns of what makes the sides hard to compare.
async fn warn_of_differences(
    good_engine: &Engine,
    bad_engine: &Engine,
    good: &SideFacts,
    bad: &SideFacts,
) -> anyhow::Result<()> {
    let filters = [good_engine, bad_engine].map(async |engine: &Engine| {
        let recordings = engine.recordings().await?;
        anyhow::Ok(RecordedCalls::of(recordings).command_line())
    });
    let [of_good, of_bad] = filters;
    let (of_good, of_bad) = (of_good.await?, of_bad.await?);
    if of_good != of_bad {
        messages::warning(&format!(
            "the sides were recorded with other filters (good: {of_good}; bad: {of_bad}): calls that one of them did not record are not compared"
        ));
    }
    let length = |side: &SideFacts| side.span.1.saturating_sub(side.span.0);
    let lengths = [length(good), length(bad)];
    if lengths[0] as f64 * LONGER < lengths[1] as f64 {
        let [good, bad] = lengths.map(human::duration);
        messages::warning(&format!(
            "the good side is shorter than the bad one ({good} and {bad}): what is rare may seem new"
        ));
    }
    Ok(())
}

/// Returns the numbers of changes by kind, such as `3 new, 1 slower`.
fn summary(changes: &[Change]) -> String {
    const KINDS: [ChangeKind; 6] = [
        ChangeKind::New,
        ChangeKind::Slower,
        ChangeKind::More,
        ChangeKind::Vanished,
        ChangeKind::Faster,
        ChangeKind::Less,
    ];
    let counts = KINDS.map(|kind| {
        (
            kind,
            changes.iter().filter(|change| change.kind == kind).count(),
        )
    });
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let texts: Vec<_> = counts
        .map(|(kind, count)| format!("{} {}", human::count(count as u64), kind.name()))
        .collect();
    match texts.is_empty() {
        true => "none".into(),
        false => texts.join(", "),
    }
}
