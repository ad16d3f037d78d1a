//! `report`: a self-contained page of HTML about what happened. Recordings may come from untrusted sources, and the page is
//! passed on: all text is escaped, and the page forbids the browser to run scripts or to fetch anything.

mod clock;
mod page;
mod summary;
mod table;
mod timeline;

use std::collections::HashSet;

use anyhow::bail;
use arrow::array::RecordBatch;
use ctrace_schema::human;
use datafusion::dataframe::DataFrame;

use crate::cli::Scope;
use crate::commands::answer::with_mode;
use crate::commands::containers::{check_container, check_descriptions, recording_contents};
use crate::commands::filters::filter_warnings;
use crate::commands::query::setup_note;
use crate::engine::{Engine, Losses, QueryError};
use crate::output::AnswerDestination;
use crate::questions::{
    self, ParsedScope, ReadyQuestion, RecordingContents, container_condition, ready_question,
};
use crate::source::{TimeSpan, WindowEnd, resolve_time};
use clock::PageClock;
use page::HtmlPage;
use summary::RecordingSummary;
use table::{AnswerRows, PageColumn};
use timeline::Timeline;

/// Rows of a table without `--limit`.
const DEFAULT_ROWS: u64 = 25;
/// Names listed in the header.
const MAX_NAMES: usize = 5;

/// A section of the page with a table.
struct ReportSection {
    title: &'static str,
    /// A sentence about the table.
    note: &'static str,
    /// The ready question whose answer the table shows.
    question: &'static str,
    columns: &'static [PageColumn],
}

const fn section(
    title: &'static str,
    question: &'static str,
    columns: &'static [PageColumn],
    note: &'static str,
) -> ReportSection {
    ReportSection {
        title,
        note,
        question,
        columns,
    }
}

const SECTIONS: &[ReportSection] = &[
    section(
        "Containers",
        "containers",
        table::CONTAINERS,
        "The containers that ran, and how busy they were. Errors are all errnos, including EAGAIN and others that are not failures.",
    ),
    section(
        "Powers",
        "powers",
        table::POWERS,
        "What containers may do and use on the machine, the most powerful first.",
    ),
    section(
        "Failures",
        "errors",
        table::ERRORS,
        "Failed calls: those at which the set-up of a container failed, then those of disks, connections and rights first, then missing files, and routine failures at the end. Without EAGAIN and EINPROGRESS of non-blocking I/O, and without calls that the kernel restarts after a signal.",
    ),
    section(
        "Refused by seccomp",
        "denied",
        table::DENIED,
        "Calls that seccomp did not allow.",
    ),
    section(
        "Programs from outside of the image",
        "drift",
        table::DRIFT,
        "Programs that containers had written, or that were on a mount or in memory.",
    ),
    section(
        "Calls that wait",
        "stuck",
        table::STUCK,
        "Calls that have not returned, or took 100 ms or more; waits for work, for time and for children come last.",
    ),
    section("Files", "files", table::FILES, "The most used first."),
    section(
        "Peers",
        "peers",
        table::PEERS,
        "The peers that containers connected to (out), and those that connected to containers (in).",
    ),
    section(
        "Links",
        "links",
        table::LINKS,
        "Which container talks to which, by connections, sockets and shared files.",
    ),
    section(
        "Names",
        "dns",
        table::DNS,
        "The names that containers asked name servers for: questions that failed or had no answer first.",
    ),
    section(
        "Calls",
        "syscalls",
        table::SYSCALLS,
        "The most frequent first.",
    ),
    section(
        "Processes",
        "processes",
        table::PROCESSES,
        "Each process below its parent.",
    ),
    section(
        "Gaps",
        "gaps",
        table::GAPS,
        "When events were lost, and how many.",
    ),
];

/// Writes the page.
///
/// # Errors
/// A recording cannot be read, or there is no such container.
pub(crate) async fn report(
    scope: &Scope,
    engine: &Engine,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    for name in &scope.containers {
        check_container(engine, name).await?;
    }
    let parsed = ParsedScope::parse(scope).map_err(anyhow::Error::msg)?;
    check_descriptions(engine, &parsed).await?;
    let queries = ReportQueries::new(engine, scope).await?;
    let to = with_mode(engine, to)?;
    let (summary, losses) = queries.summary().await?;
    let timeline = queries.timeline().await?;
    let limit = scope.limit.unwrap_or(DEFAULT_ROWS);
    let tables = queries.tables(limit).await?;
    let title = match scope.containers.as_slice() {
        [] => "What happened".to_string(),
        names => format!("What happened in {}", first_names(names, names.len())),
    };
    let clock = PageClock::new(queries.window);
    let mut page = HtmlPage::new(&title, &clock.window());
    page.facts(
        &queries.facts(&summary, &tables).await?,
        &numbers(&summary, &timeline),
    );
    let incomplete = filter_warnings("report", engine.recordings().await?);
    let losses = losses.map(|losses| losses.to_string());
    for text in losses.iter().chain(&incomplete) {
        page.warning(text);
    }
    page.contents(&contents(&tables, limit));
    page.section("summary", "What stands out", "", &summary.cards());
    let timeline = match queries.window.is_known() {
        true => timeline.html,
        false => "<p>None.</p>\n".to_string(),
    };
    page.section("timeline", "Timeline", "", &timeline);
    for table in &tables {
        let section = table.section;
        // The notes do not apply to recordings of counts, whose tables have fewer columns.
        let note = if queries.contents.only_counts {
            ""
        } else {
            section.note
        };
        let content = table.html(limit, clock);
        page.section(section.question, section.title, note, &content);
    }
    to.print(&page.finish())
}

/// A section with the rows of its table.
struct SectionTable {
    section: &'static ReportSection,
    rows: AnswerRows,
    /// True if the answer has more rows.
    is_cut: bool,
}

impl SectionTable {
    fn html(&self, limit: u64, clock: PageClock) -> String {
        let mut html = match self.rows.count {
            0 => "<p>None.</p>\n".to_string(),
            _ => table::html_table(&self.rows, self.section.columns, clock),
        };
        if self.is_cut {
            html += &format!(
                "<p class=\"note\">These are the first {}; <code>ctrace-query {}</code> shows all.</p>\n",
                human::count(limit),
                self.section.question
            );
        }
        html
    }
}

/// The queries of the page.
struct ReportQueries<'a> {
    engine: &'a Engine,
    scope: &'a Scope,
    parsed: ParsedScope,
    span: TimeSpan,
    window: TimeSpan,
    contents: RecordingContents,
}

impl<'a> ReportQueries<'a> {
    async fn new(engine: &'a Engine, scope: &'a Scope) -> anyhow::Result<ReportQueries<'a>> {
        let parsed = ParsedScope::parse(scope).map_err(anyhow::Error::msg)?;
        let span = engine.span().await?;
        let at = |time, end| resolve_time(time, end, span);
        let since = parsed.since.map(|time| at(time, WindowEnd::Since));
        let until = parsed.until.map(|time| at(time, WindowEnd::Until));
        let window = TimeSpan {
            start: since.unwrap_or(span.start),
            end: until.unwrap_or(span.end),
        };
        if window.start > window.end {
            bail!("--since is after --until");
        }
        Ok(ReportQueries {
            engine,
            scope,
            parsed,
            span,
            window,
            contents: recording_contents(engine).await,
        })
    }

    /// Answers a ready question with at most `limit` rows.
    async fn answer(
        &self,
        question: &ReadyQuestion,
        limit: Option<u64>,
    ) -> anyhow::Result<(DataFrame, Vec<RecordBatch>)> {
        let scope = Scope {
            limit,
            ..self.scope.clone()
        };
        let scope = ParsedScope::parse(&scope).map_err(anyhow::Error::msg)?;
        let sql = questions::sql(question, &scope, self.span, self.contents);
        Ok(self.engine.collect(&sql).await?)
    }

    /// Returns the summary, and the lost events.
    async fn summary(&self) -> anyhow::Result<(RecordingSummary, Option<Losses>)> {
        let (frame, batches) = self.answer(ready_question("summary")?, None).await?;
        let losses = self.engine.losses(&frame).await;
        let losses = losses.map_err(QueryError::from)?;
        let summary = RecordingSummary::new(&AnswerRows::new(&batches, usize::MAX)?);
        Ok((summary, losses))
    }

    /// Returns the condition for the events of the page.
    fn event_condition(&self) -> String {
        let not_setup = self.parsed.not_setup(self.contents);
        let (start, end) = (clock::ns(self.window.start), clock::ns(self.window.end));
        let time =
            format!("time between to_timestamp_nanos({start}) and to_timestamp_nanos({end})");
        let named = match self.scope.containers.as_slice() {
            [] => None,
            names => Some(format!("({})", container_condition(names))),
        };
        let described = self.parsed.described("container_id");
        let conditions = [Some(not_setup.to_string()), Some(time), named, described];
        let conditions: Vec<_> = conditions.into_iter().flatten().collect();
        conditions.join(" and ")
    }

    /// Charts the calls of the page.
    async fn timeline(&self) -> anyhow::Result<Timeline> {
        timeline::timeline(self.engine, self.window, &self.event_condition()).await
    }

    /// Computes the tables of all questions that the recordings can answer.
    async fn tables(&self, limit: u64) -> anyhow::Result<Vec<SectionTable>> {
        let mut tables = Vec::new();
        for section in SECTIONS {
            let question = ready_question(section.question)?;
            if self.contents.only_counts && !question.supports_counts() {
                continue;
            }
            // One more row, to know whether the answer has more than `limit`.
            let (_, batches) = self.answer(question, Some(limit.saturating_add(1))).await?;
            let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let limit = usize::try_from(limit)?;
            tables.push(SectionTable {
                section,
                rows: AnswerRows::new(&batches, limit)?,
                is_cut: count > limit,
            });
        }
        Ok(tables)
    }

    /// Lists facts about the recordings: name and value.
    async fn facts(
        &self,
        summary: &RecordingSummary,
        tables: &[SectionTable],
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        let files = &self.engine.recordings().await?.files;
        let names = files.iter().map(|file| file.path.display().to_string());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        let recordings = match names.as_slice() {
            [first, .., last] if names.len() > 2 => {
                format!(
                    "{} files, {first} to {last}",
                    human::count(names.len() as u64)
                )
            }
            few => few.join(", "),
        };
        let mut facts = vec![];
        if let Some(containers) = tables.first() {
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
        for (name, item) in [
            ("Host", "host"),
            ("Kernel", "kernel"),
            ("Machine", "arch"),
            ("Recorded by", "producer"),
        ] {
            facts.extend(summary.fact(item).map(|fact| (name, fact.to_string())));
        }
        facts.extend(
            summary
                .fact("filters")
                .map(|text| ("Recorded with", text.to_string())),
        );
        let setup = setup_note(self.engine, &self.parsed, self.span).await?;
        facts.extend(setup.map(|note| ("Runtime set-up", note)));
        facts.push(("Recording", recordings));
        Ok(facts)
    }
}

/// Returns the most important numbers: name and value.
fn numbers(summary: &RecordingSummary, timeline: &Timeline) -> Vec<(&'static str, String)> {
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
            table::thousands(summary.fact("lost").unwrap_or("0")),
        ),
    ]
}

fn contents(tables: &[SectionTable], limit: u64) -> Vec<(&'static str, &'static str, String)> {
    let mut contents = vec![
        ("summary", "What stands out", String::new()),
        ("timeline", "Timeline", String::new()),
    ];
    contents.extend(tables.iter().map(|table| {
        let rows = match table.is_cut {
            true => format!("{limit}+"),
            false => table.rows.count.to_string(),
        };
        (table.section.question, table.section.title, rows)
    }));
    contents
}

/// Returns the first of `all` names, and the number of the others.
fn first_names(names: &[String], all: usize) -> String {
    let first = &names[..names.len().min(MAX_NAMES)];
    match all - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn failures_are_those_of_the_ready_question() {
        let scope = ParsedScope::parse(&Scope::default()).unwrap();
        let sql = questions::sql(
            ready_question("errors").unwrap(),
            &scope,
            TimeSpan::EPOCH,
            RecordingContents::default(),
        );
        assert!(sql.contains(questions::FAILED_CALL), "{sql}");
    }
}
