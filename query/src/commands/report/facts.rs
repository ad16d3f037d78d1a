//! Facts about the recordings, and the most important numbers.

use std::collections::HashSet;

use ctrace_schema::human;

use crate::commands::query::setup_note;
use crate::commands::report::queries::ReportQueries;
use crate::commands::report::summary::RecordingSummary;
use crate::commands::report::table::{SectionTable, thousands};
use crate::commands::report::timeline::Timeline;

/// Names listed at the top.
const MAX_NAMES: usize = 5;

/// A fact or a number: its name and its value.
pub(crate) type Fact = (&'static str, String);

/// Returns the facts at the top of the page.
///
/// # Errors
/// A recording cannot be read.
pub(crate) async fn top_facts(
    queries: &ReportQueries<'_>,
    summary: &RecordingSummary,
    tables: &[SectionTable],
) -> anyhow::Result<Vec<Fact>> {
    let mut facts = vec![];
    let containers = tables
        .iter()
        .find(|table| table.section.question == "containers");
    if let Some(containers) = containers {
        let rows = &containers.rows;
        let mut seen = HashSet::new();
        let container = |row| {
            let name = rows.text("container", row)?;
            // A gap without an id is another row of the same container.
            seen.insert(name).then(|| match rows.text("image", row) {
                Some(image) => format!("{name} ({image})"),
                None => name.to_string(),
            })
        };
        let containers: Vec<_> = (0..rows.count).filter_map(container).collect();
        let all = summary.count("calls of container");
        let names = first_names(&containers, all.max(containers.len()));
        facts.push(("Containers", names));
    }
    facts.extend(summary.fact("host").map(|fact| ("Host", fact.to_string())));
    facts.push(("Recording", recording_files(queries).await?));
    Ok(facts)
}

/// Returns the facts about how it was recorded.
///
/// # Errors
/// A recording cannot be read.
pub(crate) async fn recording_facts(
    queries: &ReportQueries<'_>,
    summary: &RecordingSummary,
) -> anyhow::Result<Vec<Fact>> {
    let mut facts = vec![("Recording", recording_files(queries).await?)];
    for (name, item) in [
        ("Host", "host"),
        ("Kernel", "kernel"),
        ("Machine", "arch"),
        ("Recorded by", "producer"),
        ("Recorded with", "filters"),
        ("Redacted by", "redacted"),
    ] {
        facts.extend(summary.fact(item).map(|fact| (name, fact.to_string())));
    }
    let ReportQueries {
        engine,
        parsed,
        span,
        contents,
        ..
    } = queries;
    let setup = setup_note(engine, parsed, *span, contents).await?;
    facts.extend(setup.map(|note| ("Runtime set-up", note)));
    Ok(facts)
}

/// Returns the names of the files.
async fn recording_files(queries: &ReportQueries<'_>) -> anyhow::Result<String> {
    let files = &queries.engine.recordings().await?.files;
    let names = files.iter().map(|file| file.path.display().to_string());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    Ok(match names.as_slice() {
        [first, .., last] if names.len() > 2 => {
            format!(
                "{} files, {first} to {last}",
                human::count(names.len() as u64)
            )
        }
        few => few.join(", "),
    })
}

/// Returns the most important numbers.
pub(crate) fn numbers(summary: &RecordingSummary, timeline: &Timeline) -> Vec<Fact> {
    let count = |n: i64| human::count(n.unsigned_abs());
    let share = timeline.failed as f64 / timeline.calls.max(1) as f64 * 100.0;
    let failed = match timeline.failed {
        0 => "0".to_string(),
        failed => format!("{} ({share:.1}%)", count(failed)),
    };
    let containers = summary.count("calls of container");
    vec![
        ("Containers", human::count(containers as u64)),
        ("Calls", count(timeline.calls)),
        ("Failed", failed),
        (
            "Events lost",
            thousands(summary.fact("lost").unwrap_or("0")),
        ),
    ]
}

/// Returns the first of `all` names, and the number of the others.
pub(crate) fn first_names(names: &[String], all: usize) -> String {
    let first = &names[..names.len().min(MAX_NAMES)];
    match all - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
