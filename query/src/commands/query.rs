//! Answers queries: SQL, ready questions, and `describe`.

use std::time::Instant;

use anyhow::bail;
use ctrace_schema::human;
use ctrace_schema::text::path_text;

use crate::cli::{AnswerOptions, Query, Scope};
use crate::commands::answer::{answer, check_replaceable};
use crate::commands::containers::{check_container, check_descriptions, recording_contents};
use crate::commands::filters::filter_warnings;
use crate::commands::follow::follow;
use crate::commands::last_minute::last_minute;
use crate::engine::{Engine, EngineLimits, QueryError, RecordingNotice, SqlError};
use crate::messages;
use crate::output::{AnswerDestination, AnswerFormat, PUBLIC_MODE};
use crate::questions::{
    self, ParsedScope, QUESTIONS, ReadyQuestion, RecordingContents, ready_question, setup_calls_sql,
};
use crate::source::TimeSpan;

/// Creates an engine for the recordings of `options`.
pub(crate) fn new_engine(options: &AnswerOptions, cores: usize) -> Engine {
    let limits = EngineLimits::new(cores);
    let engine = Engine::new(options.recordings.clone(), limits, print_notice);
    with_settings(engine, options)
}

/// Creates the engine for a query with `options` that differ from those of `engine`; `None`: they do not differ.
pub(crate) fn other_engine(engine: &Engine, options: &AnswerOptions) -> Option<Engine> {
    let AnswerOptions {
        recordings,
        no_rollups,
        strict,
        memory_bytes,
        ..
    } = options;
    if recordings.is_empty() && !no_rollups && !strict && memory_bytes.is_none() {
        return None;
    }
    let other = match recordings.is_empty() {
        true => engine.reopened(),
        false => engine.with_recordings(recordings.clone()),
    };
    Some(with_settings(other, options))
}

/// Returns the engine with the settings that `options` contain.
fn with_settings(mut engine: Engine, options: &AnswerOptions) -> Engine {
    if let Some(bytes) = options.memory_bytes {
        engine = engine.with_memory(bytes);
    }
    if options.strict {
        engine = engine.strict();
    }
    if options.no_rollups {
        engine = engine.without_rollups();
    }
    engine
}

/// Prints a notice of an engine.
fn print_notice(notice: RecordingNotice) {
    match notice {
        RecordingNotice::DefaultRecording(path) => {
            messages::status("reading", &path_text(&path));
        }
        RecordingNotice::Warning(warning) => messages::warning(&warning),
    }
}

/// Answers a query. `screen` is the destination if `options` names no file.
///
/// # Errors
/// The errors of [`answer`].
pub(crate) async fn answer_query(
    engine: &Engine,
    query: &Query,
    options: &AnswerOptions,
    screen: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    if query.shows_sql() {
        return screen.print(query_sql(query, engine).await?.trim_end());
    }
    // An answer without an end cannot be paged.
    let screen = match options.follow {
        true => AnswerDestination::Stdout,
        false => screen,
    };
    let to = destination(engine, options, screen).await?;
    let format = options.format.unwrap_or(AnswerFormat::Table);
    if options.follow {
        if let Query::Ready {
            question, scope, ..
        } = query
        {
            let question = ready_question(question)?;
            warn_of_filters(question, engine).await?;
            tell_setup(question, scope, engine).await?;
        }
        let sql = async |engine: &Engine| query_sql(query, engine).await;
        return follow(engine.reopened(), sql, format, to).await;
    }
    if let Query::Ready {
        question, scope, ..
    } = query
    {
        check(ready_question(question)?, scope, engine).await?;
    }
    for _ in 0..options.times.unwrap_or(1) {
        let start = Instant::now();
        let answered = answer(engine, &query_sql(query, engine).await?, format, to).await;
        answered.map_err(|error| match query {
            Query::Sql(_) => error,
            // The user did not write the SQL.
            Query::Ready { .. } | Query::Describe { .. } => without_position(error),
        })?;
        if options.times.is_some() {
            messages::elapsed(start);
        }
    }
    if let Query::Ready {
        question, scope, ..
    } = query
    {
        tell_setup(ready_question(question)?, scope, engine).await?;
    }
    Ok(())
}

/// Prints the number of calls of set-up that the answer leaves out.
pub(super) async fn tell_setup(
    question: &ReadyQuestion,
    scope: &Scope,
    engine: &Engine,
) -> anyhow::Result<()> {
    if !question.leaves_setup_out() {
        return Ok(());
    }
    let (scope, span) = parsed_scope(question, scope, engine).await?;
    let contents = recording_contents(engine).await;
    if let Some(note) = setup_note(engine, &scope, span, &contents).await? {
        messages::status("runtime set-up", &note);
    }
    Ok(())
}

/// Returns a note about the calls of set-up in a scope, unless they are part of the answer.
///
/// # Errors
/// A recording cannot be read.
pub(crate) async fn setup_note(
    engine: &Engine,
    scope: &ParsedScope,
    span: TimeSpan,
    contents: &RecordingContents,
) -> anyhow::Result<Option<String>> {
    if scope.setup {
        return Ok(None);
    }
    let sql = setup_calls_sql(scope, span, contents);
    let calls = engine.first_column(&sql).await?;
    let calls = calls.first().and_then(|text| text.parse::<u64>().ok());
    Ok(calls.filter(|calls| *calls > 0).map(|calls| {
        format!(
            "{} calls, not shown; `--setup` shows them",
            human::count(calls)
        )
    }))
}

/// Returns the destination of an answer. `screen` is the destination if `options` names no file.
///
/// # Errors
/// The file is a recording, which only `--force` replaces.
pub(crate) async fn destination<'a>(
    engine: &Engine,
    options: &'a AnswerOptions,
    screen: AnswerDestination<'a>,
) -> anyhow::Result<AnswerDestination<'a>> {
    let Some(path) = options.output.as_deref() else {
        return Ok(screen);
    };
    check_replaceable(engine, path, options.force).await?;
    Ok(AnswerDestination::File(path, PUBLIC_MODE))
}

/// Removes the position from an error in a statement.
fn without_position(error: anyhow::Error) -> anyhow::Error {
    let error = match error.downcast::<QueryError>() {
        Ok(QueryError::Sql(error)) => error.into(),
        Ok(error) => error.into(),
        Err(error) => error,
    };
    match error.downcast::<SqlError>() {
        Ok(error) => SqlError {
            position: None,
            ..error
        }
        .into(),
        Err(error) => error,
    }
}

/// Returns the SQL of a query. Opens the recordings only if the SQL depends on them.
///
/// # Errors
/// A time cannot be parsed, or a recording cannot be read.
async fn query_sql(query: &Query, engine: &Engine) -> anyhow::Result<String> {
    match query {
        Query::Sql(sql) => Ok(sql.clone()),
        Query::Ready {
            question, scope, ..
        } => ready_sql(ready_question(question)?, scope, engine).await,
        Query::Describe { table, .. } => Ok(match table {
            Some(table) => format!("describe \"{}\"", table.replace('"', "\"\"")),
            None => "show tables".into(),
        }),
    }
}

/// Returns the SQL of a ready question.
///
/// # Errors
/// A time cannot be parsed, or a recording cannot be read.
pub(crate) async fn ready_sql(
    question: &ReadyQuestion,
    scope: &Scope,
    engine: &Engine,
) -> anyhow::Result<String> {
    let (scope, span) = parsed_scope(question, scope, engine).await?;
    let contents = recording_contents(engine).await;
    Ok(questions::sql(question, &scope, span, &contents))
}

/// Parses the scope of a question. Returns it with the span of the recordings, if a time is relative to the span.
///
/// # Errors
/// A time cannot be parsed, the time window is empty, or a recording cannot be read.
async fn parsed_scope(
    question: &ReadyQuestion,
    scope: &Scope,
    engine: &Engine,
) -> anyhow::Result<(ParsedScope, TimeSpan)> {
    let (mut scope, span) = window(scope, engine).await?;
    if question.name == "why" {
        let Some(of_one) = last_minute(engine, scope).await? else {
            bail!("the recording has no such container: `ctrace-query summary` tells what it has");
        };
        scope = of_one;
    }
    Ok((scope, span))
}

/// Parses a scope. Returns it with the span of the recordings, if a time is relative to the span.
///
/// # Errors
/// A time cannot be parsed, the time window is empty, or a recording cannot be read.
pub(super) async fn window(
    scope: &Scope,
    engine: &Engine,
) -> anyhow::Result<(ParsedScope, TimeSpan)> {
    let scope = ParsedScope::parse(scope).map_err(anyhow::Error::msg)?;
    let span = match scope.needs_span() {
        true => engine.span().await?,
        false => TimeSpan::EPOCH,
    };
    scope.check_window(span).map_err(anyhow::Error::msg)?;
    Ok((scope, span))
}

/// Checks the scope of a ready question, and warns if the recordings cannot answer the question.
///
/// # Errors
/// There is no such container, or the time window is empty.
pub(crate) async fn check(
    question: &ReadyQuestion,
    scope: &Scope,
    engine: &Engine,
) -> anyhow::Result<()> {
    let scope = ParsedScope::parse(scope).map_err(anyhow::Error::msg)?;
    for wanted in scope.containers() {
        check_container(engine, wanted).await?;
    }
    check_descriptions(engine, &scope).await?;
    if scope.since.or(scope.until).is_some() {
        let span = engine.span().await?;
        scope.check_window(span).map_err(anyhow::Error::msg)?;
        if let Some(warning) = scope.outside_warning(span) {
            messages::warning(&warning);
        }
    }
    warn_of_filters(question, engine).await?;
    let recordings = engine.recordings().await?;
    let (counts, all) = (recordings.count_recordings(), recordings.files.len());
    if counts == all && !question.supports_counts() {
        messages::warning(&only_counts_warning());
    } else if counts > 0 && counts < all {
        messages::warning(&some_counts_warning(counts, all));
    }
    Ok(())
}

/// Warns of filters of the recordings that make the answer incomplete.
///
/// # Errors
/// A recording cannot be read.
async fn warn_of_filters(question: &ReadyQuestion, engine: &Engine) -> anyhow::Result<()> {
    for warning in filter_warnings(question.name, engine.recordings().await?) {
        messages::warning(&warning);
    }
    Ok(())
}

fn some_counts_warning(counts: usize, all: usize) -> String {
    format!(
        "{counts} of {all} recordings contain only counts of calls (ctrace-rec --mode counts), which are not part of this answer: they are in the table `counts`"
    )
}

fn only_counts_warning() -> String {
    let able = QUESTIONS.iter().filter(|q| q.supports_counts());
    let able: Vec<_> = able.map(|q| format!("`{}`", q.name)).collect();
    format!(
        "this recording contains only counts of calls (ctrace-rec --mode counts), without details: it can answer {}, and SQL over the table `counts`",
        able.join(", ")
    )
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use datafusion::execution::memory_pool::MemoryLimit;

    use super::*;

    #[test]
    fn a_line_of_the_shell_may_have_settings_of_its_own() {
        let engine = new_engine(&AnswerOptions::default(), 1);
        assert!(other_engine(&engine, &AnswerOptions::default()).is_none());
        const MEMORY_BYTES: usize = 100_000_000;
        let options = AnswerOptions {
            memory_bytes: Some(MEMORY_BYTES),
            ..AnswerOptions::default()
        };
        let other = other_engine(&engine, &options).unwrap();
        let pool = other.session().runtime_env().memory_pool.memory_limit();
        assert!(matches!(pool, MemoryLimit::Finite(MEMORY_BYTES)));
        // Other recordings are read with the settings of the shell.
        let options = AnswerOptions {
            recordings: vec!["other.parquet".into()],
            ..AnswerOptions::default()
        };
        let third = other_engine(&other, &options).unwrap();
        assert_eq!(third.limits().memory_bytes, MEMORY_BYTES);
    }
}
