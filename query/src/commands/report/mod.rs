//! `report`: a self-contained page of HTML about what happened. Recordings may come from untrusted sources, and the page is
//! passed on: all text is escaped, and the page forbids the browser to run other scripts than its own or to fetch anything.
//!
//! The engine aggregates what the page shows, by time. Without scripts, the page has the first rows of each table; with them, its
//! data, JSON in the page, are zoomed, filtered and sorted.

mod assets;
mod clock;
mod command_line;
mod counts;
mod data;
mod facts;
mod graph;
mod markup;
mod page;
mod queries;
mod rows;
mod sections;
mod summary;
mod table;
mod timeline;

use crate::cli::Scope;
use crate::commands::answer::with_mode;
use crate::commands::containers::{check_container, check_descriptions};
use crate::commands::filters::filter_warnings;
use crate::commands::verify::ReportProof;
use crate::engine::Engine;
use crate::output::AnswerDestination;
use crate::questions::ParsedScope;
use data::{PageData, container_names};
use facts::{first_names, numbers, recording_facts, top_facts};
use graph::Graph;
use page::{PageParts, html_page};
use queries::ReportQueries;
use table::SectionTable;

/// Rows of a table without `--limit`.
const DEFAULT_ROWS: u64 = 200;

/// Writes the page, with the `proof` of its recordings.
///
/// # Errors
/// A recording cannot be read, or there is no such container.
pub(crate) async fn report(
    scope: &Scope,
    proof: ReportProof,
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
    let mut tables = queries.tables(limit).await?;
    if let Some(containers) = table(&mut tables, "containers") {
        timeline.count(containers);
    }
    let stories = queries.stories().await?;
    let title = match scope.containers.as_slice() {
        [] => "What happened".to_string(),
        names => format!("What happened in {}", first_names(names, names.len())),
    };
    let losses = losses.map(|losses| losses.to_string());
    let incomplete = filter_warnings("report", engine.recordings().await?);
    let warnings = losses.into_iter().chain(incomplete).chain(proof.warning);
    let mut recording = recording_facts(&queries, &summary).await?;
    recording.push(("Proof", proof.fact));
    let top = top_facts(&queries, &summary, &tables).await?;
    let numbers = numbers(&summary, &timeline);
    let mut data = PageData {
        queries: &queries,
        buckets: queries.buckets,
        names: container_names(&tables, &timeline),
        graph: graph(&tables),
        timeline,
        tables,
        stories,
    };
    let json = data.text();
    to.print(&html_page(&PageParts {
        title: &title,
        data: &data,
        json: &json,
        limit,
        top_facts: &top,
        recording_facts: &recording,
        numbers: &numbers,
        warnings: &warnings.collect::<Vec<_>>(),
        cards: &summary.cards(),
    })?)
}

fn table<'a>(tables: &'a mut [SectionTable], question: &str) -> Option<&'a mut SectionTable> {
    tables
        .iter_mut()
        .find(|table| table.section.question == question)
}

fn graph(tables: &[SectionTable]) -> Graph {
    let rows = |question: &str| {
        let table = tables.iter().find(|t| t.section.question == question);
        table.map(|table| &table.rows)
    };
    match (rows("links"), rows("peers")) {
        (Some(links), Some(peers)) => Graph::new(links, peers),
        _ => Graph::default(),
    }
}
