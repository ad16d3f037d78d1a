//! `report`: what happened, on one page of HTML that needs nothing beside it. A recording may come from a stranger, and
//! the page goes to others: every text is escaped, and the page forbids the browser to run or fetch anything.

mod page;
mod timeline;

use anyhow::bail;
use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;

use crate::answer::{To, spare_recordings};
use crate::ask::{check_container, only_counts, print};
use crate::cli::{Report, Scope};
use crate::engine::{AskError, Engine};
use crate::losses::{self, Losses};
use crate::questions::{self, Narrowed, QUESTIONS};
use crate::window::{self, Bound, Span};
use page::Page;

/// Rows of a table, where `--limit` says nothing else.
const ROWS: u64 = 25;

/// A table of the page.
struct Section {
    title: &'static str,
    /// What it shows, in a sentence.
    note: &'static str,
    /// The ready question that it answers.
    question: &'static str,
}

const fn section(title: &'static str, question: &'static str, note: &'static str) -> Section {
    Section {
        title,
        note,
        question,
    }
}

const SECTIONS: &[Section] = &[
    section(
        "Summary",
        "summary",
        "What is in the recording, and what stands out.",
    ),
    section(
        "Containers",
        "containers",
        "Which ran, and how busy they were.",
    ),
    section(
        "Failures",
        "errors",
        "What failed, the most frequent first.",
    ),
    section(
        "Refused by seccomp",
        "denied",
        "Calls that seccomp did not allow.",
    ),
    section("Files", "files", "The most used first."),
    section(
        "Peers",
        "peers",
        "Whom containers called, and who called them.",
    ),
    section("Links", "links", "Which container talks to which."),
    section(
        "Calls",
        "syscalls",
        "The most frequent first; times in microseconds.",
    ),
    section(
        "Processes",
        "processes",
        "Each below the one that started it.",
    ),
    section("Gaps", "gaps", "When events were lost, and how many."),
];

/// Writes the page.
///
/// # Errors
/// That the recordings cannot be read, or that there is no such container.
pub async fn report(wanted: &Report, engine: &Engine, screen: To<'_>) -> anyhow::Result<()> {
    for name in &wanted.scope.containers {
        check_container(engine, name).await?;
    }
    let limit = wanted.scope.limit.unwrap_or(ROWS);
    // One more tells that there are more.
    let scope = Scope {
        limit: Some(limit.saturating_add(1)),
        ..wanted.scope.clone()
    };
    let narrowed = Narrowed::parse(&scope).map_err(anyhow::Error::msg)?;
    let span = engine.span().await?;
    let counts = only_counts(engine).await;
    let window = Span {
        start: narrowed
            .since
            .map_or(span.start, |t| window::resolve(t, Bound::Since, span)),
        end: narrowed
            .until
            .map_or(span.end, |t| window::resolve(t, Bound::Until, span)),
    };
    if window.start > window.end {
        bail!("--since is after --until");
    }
    let files = &engine.recordings().await?.files;
    let names = files.iter().map(|file| file.path.display().to_string());
    let mut page = Page::new(
        &names.collect::<Vec<_>>().join(", "),
        window,
        &scope.containers,
    );
    let drawn = timeline::draw(engine, &scope.containers, window).await?;
    let mut lost = None;
    for section in SECTIONS {
        let Some(question) = QUESTIONS.iter().find(|q| q.name == section.question) else {
            continue;
        };
        // Recordings of counts have no answer to the others.
        if counts && !question.takes_counts() {
            continue;
        }
        let sql = questions::sql(question, &narrowed, span, counts);
        let (frame, batches) = rows(engine, &sql).await?;
        if lost.is_none() && question.name == "summary" {
            lost = losses::of(engine, &frame).await.map_err(AskError::from)?;
            head(&mut page, lost.as_ref(), &drawn);
        }
        let command = format!("ctrace-query {}", section.question);
        page.table(
            section.title,
            section.note,
            &batches,
            usize::try_from(limit)?,
            &command,
        )?;
    }
    let to = wanted.common.output.as_deref().map_or(screen, To::File);
    if let To::File(path) = to {
        spare_recordings(engine, path)?;
    }
    print(&page.end(), to)
}

fn head(page: &mut Page, lost: Option<&Losses>, drawn: &str) {
    if let Some(losses) = lost {
        page.lost(&losses.to_string());
    }
    page.drawing("Timeline", drawn);
}

/// The rows of an answer.
async fn rows(engine: &Engine, sql: &str) -> anyhow::Result<(DataFrame, Vec<RecordBatch>)> {
    let frame = engine.plan(sql).await?;
    let batches = frame.clone().collect().await.map_err(AskError::from)?;
    Ok((frame, batches))
}
