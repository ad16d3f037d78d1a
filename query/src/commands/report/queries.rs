//! The queries of the page.

use std::collections::HashMap;

use anyhow::bail;
use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;

use crate::cli::Scope;
use crate::commands::answer::collect;
use crate::commands::containers::recording_contents;
use crate::commands::last_minute::{LastMinute, last_minutes};
use crate::commands::report::clock::{self, PageClock};
use crate::commands::report::counts::Counts;
use crate::commands::report::rows::AnswerRows;
use crate::commands::report::sections::{CountedRows, SECTIONS};
use crate::commands::report::summary::RecordingSummary;
use crate::commands::report::table::SectionTable;
use crate::commands::report::timeline::Timeline;
use crate::engine::{Engine, Losses, QueryError};
use crate::questions::{
    self, ParsedScope, ReadyQuestion, RecordingContents, TimeBuckets, container_condition,
    ready_question,
};
use crate::source::{TimeSpan, WindowEnd, resolve_time};

/// Buckets of the page's time.
const MAX_BUCKETS: usize = 240;
/// Containers whose last minute is told.
const MAX_STORIES: u64 = 12;

/// The last minute of a container, as the ready question `why` tells it.
pub(crate) struct Story {
    pub(crate) of: LastMinute,
    pub(crate) rows: AnswerRows,
}

/// The queries of a page about the recordings of `engine`.
pub(crate) struct ReportQueries<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) scope: &'a Scope,
    pub(crate) parsed: ParsedScope,
    pub(crate) span: TimeSpan,
    /// The time of the page.
    pub(crate) window: TimeSpan,
    pub(crate) buckets: TimeBuckets,
    pub(crate) contents: RecordingContents,
}

impl<'a> ReportQueries<'a> {
    pub(crate) async fn new(
        engine: &'a Engine,
        scope: &'a Scope,
    ) -> anyhow::Result<ReportQueries<'a>> {
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
            buckets: TimeBuckets::new(window, MAX_BUCKETS),
            contents: recording_contents(engine).await,
        })
    }

    pub(crate) fn clock(&self) -> PageClock {
        PageClock::new(self.window)
    }

    fn parsed_scope(&self, limit: Option<u64>) -> anyhow::Result<ParsedScope> {
        let scope = Scope {
            limit,
            ..self.scope.clone()
        };
        ParsedScope::parse(&scope).map_err(anyhow::Error::msg)
    }

    /// Answers a ready question.
    async fn answer(
        &self,
        question: &ReadyQuestion,
        scope: &ParsedScope,
    ) -> anyhow::Result<(DataFrame, Vec<RecordBatch>)> {
        let sql = questions::sql(question, scope, self.span, &self.contents);
        Ok(collect(self.engine, &sql).await?)
    }

    /// Returns the summary, and the lost events.
    pub(crate) async fn summary(&self) -> anyhow::Result<(RecordingSummary, Option<Losses>)> {
        let scope = self.parsed_scope(self.scope.limit)?;
        let (frame, batches) = self.answer(ready_question("summary")?, &scope).await?;
        let losses = self.engine.losses(&frame).await;
        let losses = losses.map_err(QueryError::from)?;
        let summary = RecordingSummary::new(&AnswerRows::new(&batches, usize::MAX)?);
        Ok((summary, losses))
    }

    /// Returns the condition for the events of the page.
    fn event_condition(&self) -> String {
        let not_setup = self.parsed.not_setup(&self.contents);
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

    /// Counts the calls of the page.
    pub(crate) async fn timeline(&self) -> anyhow::Result<Timeline> {
        let host = self.contents.several_hosts.then_some("host");
        let condition = self.event_condition();
        Timeline::new(self.engine, self.buckets, &condition, host).await
    }

    /// Computes the tables of all questions that the recordings can answer, each with at most `limit` rows.
    pub(crate) async fn tables(&self, limit: u64) -> anyhow::Result<Vec<SectionTable>> {
        let mut tables = Vec::new();
        for section in SECTIONS {
            let question = ready_question(section.question)?;
            if self.contents.only_counts && !question.supports_counts() {
                continue;
            }
            // One more row, to know whether the answer has more than `limit`.
            let scope = self.parsed_scope(Some(limit.saturating_add(1)))?;
            let (_, batches) = self.answer(question, &scope).await?;
            let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let limit = usize::try_from(limit)?;
            let mut rows = AnswerRows::new(&batches, limit)?;
            if !self.contents.several_hosts {
                // The top of the page has the only host.
                rows = rows.without("host");
            }
            let counts = match &section.counted {
                Some(counted) if rows.count > 0 && question.counts_by_time(&self.contents) => {
                    self.counts(question, counted, &rows).await?
                }
                _ => vec![],
            };
            tables.push(SectionTable {
                section,
                rows,
                is_cut: count > limit,
                counts,
            });
        }
        Ok(tables)
    }

    /// Counts the rows of an answer by time.
    async fn counts(
        &self,
        question: &ReadyQuestion,
        counted: &CountedRows,
        rows: &AnswerRows,
    ) -> anyhow::Result<Vec<Vec<Counts>>> {
        let mut scope = self.parsed_scope(None)?;
        scope.buckets = Some(self.buckets);
        let sql = questions::sql(question, &scope, self.span, &self.contents);
        let condition = match counted.subject {
            Some(subject) => subject_condition(subject, rows),
            None => "true".into(),
        };
        // Columns that an answer does not have are missing in both.
        let wanted = counted.key.iter().chain(counted.counts);
        let wanted = wanted.filter(|column| rows.has(column));
        let columns: Vec<_> = wanted.copied().collect();
        let sql = format!(
            "select bucket, {} from ({sql}) where {condition}",
            columns.join(", ")
        );
        let (_, batches) = collect(self.engine, &sql).await?;
        let by_time = AnswerRows::new(&batches, usize::MAX)?;
        let place = |row| (rows.key(counted.key, row), row);
        let places: HashMap<_, _> = (0..rows.count).map(place).collect();
        let mut counts = vec![vec![Counts::default(); counted.counts.len()]; rows.count];
        for row in 0..by_time.count {
            let bucket = by_time.number("bucket", row).unwrap_or(0);
            let bucket = self.buckets.clamped(bucket);
            let Some(place) = places.get(&by_time.key(counted.key, row)) else {
                continue;
            };
            for (column, counts) in counted.counts.iter().zip(&mut counts[*place]) {
                counts.add(bucket, by_time.number(column, row).unwrap_or(0));
            }
        }
        Ok(counts)
    }

    /// Returns the last minutes of the containers that ended badly, and of those that ended or were seen last.
    pub(crate) async fn stories(&self) -> anyhow::Result<Vec<Story>> {
        let question = ready_question("why")?;
        if self.contents.only_counts {
            return Ok(vec![]);
        }
        let mut stories = vec![];
        let scope = self.parsed_scope(None)?;
        for of in last_minutes(self.engine, &scope, MAX_STORIES).await? {
            let scope = of.scope(self.parsed_scope(None)?);
            let (_, batches) = self.answer(question, &scope).await?;
            let rows = AnswerRows::new(&batches, usize::MAX)?;
            if rows.count > 0 {
                stories.push(Story { of, rows });
            }
        }
        Ok(stories)
    }
}

/// Returns the condition that a column has a value that it has in `rows`, or none.
fn subject_condition(column: &str, rows: &AnswerRows) -> String {
    let values = (0..rows.count).filter_map(|row| rows.text(column, row));
    let values: Vec<_> = values.map(questions::literal).collect();
    match values.is_empty() {
        true => format!("{column} is null"),
        false => format!("({column} is null or {column} in ({}))", values.join(", ")),
    }
}
