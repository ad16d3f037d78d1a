//! The SQL from the command line, a file or stdin.

use std::io::{IsTerminal, stdin, stdout};
use std::path::Path;

use anyhow::{Context, bail};
use ctrace_common::nearest::suggest;
use ctrace_schema::text::path_text;

use crate::cli::{CliTask, Invocation, Query};
use crate::questions::QUESTIONS;

/// Returns the invocation with the SQL from the command line, a file or stdin as its query. A shell has none yet.
///
/// # Errors
/// The errors of [`given_sql`].
pub(crate) fn with_given_sql(invocation: Invocation) -> anyhow::Result<Invocation> {
    let CliTask::Sql { sql, file } = &invocation.task else {
        return Ok(invocation);
    };
    if sql.is_none() && file.is_none() && is_terminal() {
        return Ok(invocation);
    }
    let query = Query::Sql(given_sql(sql.as_deref(), file.as_deref())?);
    Ok(Invocation {
        task: CliTask::Query(query),
        ..invocation
    })
}

/// Returns whether stdin and stdout are a terminal, so that the user can type.
pub(crate) fn is_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Returns the SQL of the user.
///
/// # Errors
/// The file or stdin cannot be read, or the text is not SQL.
pub(crate) fn given_sql(sql: Option<&str>, file: Option<&Path>) -> anyhow::Result<String> {
    if let Some(path) = file {
        return std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path_text(path)));
    }
    let Some(sql) = sql.filter(|sql| *sql != "-") else {
        let sql = std::io::read_to_string(stdin()).context("cannot read SQL from stdin")?;
        if sql.trim().is_empty() {
            bail!(
                "there is no question: write SQL, or one of: {}. See `ctrace-query --help`",
                question_names()
            );
        }
        return Ok(sql);
    };
    let sql = sql.trim();
    let keywords = ["select", "with", "describe", "explain", "values", "show"];
    let word = sql.to_lowercase();
    if sql.contains(char::is_whitespace) || keywords.iter().any(|k| word.starts_with(k)) {
        return Ok(sql.to_string());
    }
    let names = QUESTIONS.iter().map(|q| q.name).chain(["describe", "help"]);
    let suggestion = suggest(&word, names);
    if !suggestion.is_empty() {
        bail!("`{sql}` is not a question{suggestion}");
    }
    bail!(
        "`{sql}` is neither a question nor SQL: write SQL, or one of: {}",
        question_names()
    )
}

fn question_names() -> String {
    let names: Vec<_> = QUESTIONS.iter().map(|q| q.name).collect();
    names.join(", ")
}
