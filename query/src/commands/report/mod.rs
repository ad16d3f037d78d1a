//! `report`: what happened, on one page of HTML that needs nothing beside it. A recording may come from a stranger, and
//! the page goes to others: every text is escaped, and the page forbids the browser to run or fetch anything.

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

use crate::commands::answer::{To, spare_recordings};
use crate::commands::{check_container, only_counts, print};
use crate::cli::{Report, Scope};
use crate::engine::{AskError, Engine};
use crate::engine::losses::{self, Losses};
use crate::questions::{self, Narrowed, QUESTIONS, Question};
use crate::questions::window::{self, Bound, Span};
use clock::Clock;
use page::Page;
use summary::Summary;
use table::{Column, Rows};
use timeline::Timeline;

/// Rows of a table, where `--limit` says nothing else.
const ROWS: u64 = 25;
/// Names in the head, at most.
const NAMES: usize = 5;
/// What the ready question `errors` takes for a failure.
const FAILED: &str = "kind = 'syscall' and error not in ('EAGAIN', 'EINPROGRESS') and error not like 'ERESTART%' \
                      and comm not like 'runc:[%'";

/// A table of the page.
struct Section {
    title: &'static str,
    /// What it shows, in a sentence.
    note: &'static str,
    /// The ready question that it answers.
    question: &'static str,
    columns: &'static [Column],
}

const fn section(
    title: &'static str,
    question: &'static str,
    columns: &'static [Column],
    note: &'static str,
) -> Section {
    Section {
        title,
        note,
        question,
        columns,
    }
}

const SECTIONS: &[Section] = &[
    section(
        "Containers",
        "containers",
        table::CONTAINERS,
        "Which ran, and how busy they were. Errors are all errnos, also those that are no failures, such as EAGAIN.",
    ),
    section(
        "Failures",
        "errors",
        table::ERRORS,
        "What failed, the most frequent first: without \"not yet\" of non-blocking I/O (EAGAIN, EINPROGRESS), and without what \
         the kernel makes again after a signal.",
    ),
    section(
        "Refused by seccomp",
        "denied",
        table::DENIED,
        "Calls that seccomp did not allow.",
    ),
    section("Files", "files", table::FILES, "The most used first."),
    section(
        "Peers",
        "peers",
        table::PEERS,
        "Whom containers called (out), and who called them (in).",
    ),
    section(
        "Links",
        "links",
        table::LINKS,
        "Which container talks to which, by connections, sockets and shared files.",
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
        "Each below the one that started it.",
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
/// That the recordings cannot be read, or that there is no such container.
pub async fn report(wanted: &Report, engine: &Engine, screen: To<'_>) -> anyhow::Result<()> {
    let to = wanted.common.output.as_deref().map_or(screen, To::File);
    for name in &wanted.scope.containers {
        check_container(engine, name).await?;
    }
    let asked = Asked::of(engine, &wanted.scope).await?;
    if let To::File(path) = to {
        spare_recordings(engine, path)?;
    }
    let (summary, lost) = asked.summary().await?;
    let drawn = timeline::draw(engine, asked.window, &asked.within()).await?;
    let limit = wanted.scope.limit.unwrap_or(ROWS);
    let tables = asked.tables(limit).await?;
    let title = match wanted.scope.containers.as_slice() {
        [] => "What happened".to_string(),
        names => format!("What happened in {}", some(names, names.len())),
    };
    let clock = Clock::of(asked.window);
    let mut page = Page::new(&title, &clock.window());
    page.facts(
        &asked.facts(&summary, &tables).await?,
        &numbers(&summary, &drawn),
    );
    if let Some(losses) = lost {
        page.lost(&losses.to_string());
    }
    page.contents(&contents(&tables, limit));
    page.section("summary", "What stands out", "", &summary.cards());
    page.section("timeline", "Timeline", "", &drawn.drawn);
    for (section, rows, more) in &tables {
        let mut content = match rows.count {
            0 => "<p>None.</p>\n".to_string(),
            _ => table::table(rows, section.columns, clock),
        };
        if *more {
            content += &format!(
                "<p class=\"note\">These are the first {}; <code>ctrace-query {}</code> has all.</p>\n",
                human::count(limit),
                section.question
            );
        }
        // What is counted is less than what the sentence says.
        let note = if asked.counts { "" } else { section.note };
        page.section(section.question, section.title, note, &content);
    }
    print(&page.end(), to)
}

/// A table, and whether there is more than it has.
type Table = (&'static Section, Rows, bool);

/// What the page is to be about.
struct Asked<'a> {
    engine: &'a Engine,
    scope: &'a Scope,
    span: Span,
    window: Span,
    /// Whether the recordings hold counts of calls alone.
    counts: bool,
}

impl<'a> Asked<'a> {
    async fn of(engine: &'a Engine, scope: &'a Scope) -> anyhow::Result<Asked<'a>> {
        let narrowed = Narrowed::parse(scope).map_err(anyhow::Error::msg)?;
        let span = engine.span().await?;
        let at = |given, bound| window::resolve(given, bound, span);
        let window = Span {
            start: narrowed.since.map_or(span.start, |t| at(t, Bound::Since)),
            end: narrowed.until.map_or(span.end, |t| at(t, Bound::Until)),
        };
        if window.start > window.end {
            bail!("--since is after --until");
        }
        Ok(Asked {
            engine,
            scope,
            span,
            window,
            counts: only_counts(engine).await,
        })
    }

    /// The answer of a ready question, of at most `limit` rows.
    async fn answer(
        &self,
        question: &Question,
        limit: Option<u64>,
    ) -> anyhow::Result<(DataFrame, Vec<RecordBatch>)> {
        let scope = Scope {
            limit,
            ..self.scope.clone()
        };
        let narrowed = Narrowed::parse(&scope).map_err(anyhow::Error::msg)?;
        let sql = questions::sql(question, &narrowed, self.span, self.counts);
        rows(self.engine, &sql).await
    }

    /// What stands out, and what was lost.
    async fn summary(&self) -> anyhow::Result<(Summary, Option<Losses>)> {
        let (frame, batches) = self.answer(question("summary")?, None).await?;
        let lost = losses::of(self.engine, &frame)
            .await
            .map_err(AskError::from)?;
        let mut summary = Summary::of(&Rows::of(&batches, usize::MAX)?);
        if !self.counts {
            // Those of the table of failures: `summary` counts what runc tries, too.
            let sql = format!(
                "select '{}' as section, syscall || ' ' || error as item, count(*) as value
                from events where {FAILED} and {} group by syscall, error order by value desc, item limit 5",
                summary::FAILURES,
                self.within()
            );
            let (_, batches) = rows(self.engine, &sql).await?;
            summary.replace(summary::FAILURES, &Rows::of(&batches, usize::MAX)?);
        }
        Ok((summary, lost))
    }

    /// A condition that is true of the events that the page is about.
    fn within(&self) -> String {
        let (start, end) = (clock::ns(self.window.start), clock::ns(self.window.end));
        let time =
            format!("time between to_timestamp_nanos({start}) and to_timestamp_nanos({end})");
        match self.scope.containers.as_slice() {
            [] => time,
            names => format!("{time} and ({})", questions::container_is(names)),
        }
    }

    /// Every table that these recordings have.
    async fn tables(&self, limit: u64) -> anyhow::Result<Vec<Table>> {
        let mut tables = Vec::new();
        for section in SECTIONS {
            let question = question(section.question)?;
            // Recordings of counts have no answer to the others.
            if self.counts && !question.takes_counts() {
                continue;
            }
            // One more tells that there are more.
            let (_, batches) = self.answer(question, Some(limit.saturating_add(1))).await?;
            let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let limit = usize::try_from(limit)?;
            tables.push((section, Rows::of(&batches, limit)?, count > limit));
        }
        Ok(tables)
    }

    /// What was recorded, and where.
    async fn facts(
        &self,
        summary: &Summary,
        tables: &[Table],
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
        if let Some((_, rows, _)) = tables.first() {
            let mut seen = HashSet::new();
            let ran = |row| {
                let name = rows.text("container", row)?;
                // Of a loss, the id may not be known: the name stands in another row then.
                seen.insert(name).then(|| match rows.text("image", row) {
                    Some(image) => format!("{name} ({image})"),
                    None => name.to_string(),
                })
            };
            let ran: Vec<_> = (0..rows.count).filter_map(ran).collect();
            let all = summary.count("calls of container");
            facts.push(("Containers", some(&ran, all.max(ran.len()))));
        }
        for (name, item) in [
            ("Host", "host"),
            ("Kernel", "kernel"),
            ("Machine", "arch"),
            ("Recorded by", "producer"),
        ] {
            facts.extend(summary.fact(item).map(|fact| (name, fact.to_string())));
        }
        facts.push(("Recording", recordings));
        Ok(facts)
    }
}

fn question(name: &str) -> anyhow::Result<&'static Question> {
    let question = QUESTIONS.iter().find(|question| question.name == name);
    question.ok_or_else(|| anyhow::anyhow!("there is no ready question `{name}`"))
}

/// How much there is of everything.
fn numbers(summary: &Summary, drawn: &Timeline) -> Vec<(&'static str, String)> {
    let count = |n: i64| human::count(n.unsigned_abs());
    let share = drawn.failed as f64 / drawn.calls.max(1) as f64 * 100.0;
    let failed = match drawn.failed {
        0 => "0".to_string(),
        failed => format!("{} ({share:.1}%)", count(failed)),
    };
    let of = |section| human::count(summary.count(section) as u64);
    vec![
        ("Containers", of("calls of container")),
        ("Calls", count(drawn.calls)),
        ("Failed", failed),
        (
            "Events lost",
            table::thousands(summary.fact("lost").unwrap_or("0")),
        ),
    ]
}

fn contents(tables: &[Table], limit: u64) -> Vec<(&'static str, &'static str, String)> {
    let mut contents = vec![
        ("summary", "What stands out", String::new()),
        ("timeline", "Timeline", String::new()),
    ];
    contents.extend(tables.iter().map(|(section, rows, more)| {
        let much = match more {
            true => format!("{limit}+"),
            false => rows.count.to_string(),
        };
        (section.question, section.title, much)
    }));
    contents
}

/// The first of `all` names, and how many more there are.
fn some(names: &[String], all: usize) -> String {
    let first = &names[..names.len().min(NAMES)];
    match all - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The rows of an answer.
async fn rows(engine: &Engine, sql: &str) -> anyhow::Result<(DataFrame, Vec<RecordBatch>)> {
    let frame = engine.plan(sql).await?;
    let batches = frame.clone().collect().await.map_err(AskError::from)?;
    Ok((frame, batches))
}

#[cfg(test)]
mod tests {
    use super::FAILED;

    #[test]
    fn failures_are_those_of_the_ready_question() {
        let errors = include_str!("../questions/errors.sql");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(errors).contains(&words(FAILED)), "{errors}");
    }
}
