//! Errors in SQL statements, with the position and a suggestion.

use std::collections::BTreeSet;
use std::fmt;

use ctrace_common::nearest::question;
use ctrace_schema::views::view;
use datafusion::common::{Column, DataFusionError, SchemaError, Span, TableReference};
use datafusion::sql::sqlparser::parser::ParserError;

use crate::engine::{types, unsupported};
use crate::errors;
use crate::source::EVENTS;

/// An error in a statement.
#[derive(Debug, thiserror::Error)]
pub(crate) struct SqlError {
    pub(crate) message: String,
    /// The suggested next step.
    pub(crate) help: Option<String>,
    /// Line and column, from 1, and the text of the line.
    pub(crate) position: Option<(usize, usize, String)>,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some((line, column, text)) = &self.position {
            // A tab would misplace the caret.
            let text = text.replace('\t', " ");
            let (text, caret) = excerpt(&text, *column);
            write!(
                f,
                "\n  at line {line}, column {column}:\n  | {text}\n  | {caret}"
            )?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{help}")?;
        }
        Ok(())
    }
}

/// Returns the part of a line around `column`, and a caret below the column.
fn excerpt(text: &str, column: usize) -> (String, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 100;
    let skipped = column.saturating_sub(1).saturating_sub(BEFORE);
    let shown: String = text.chars().skip(skipped).take(SHOWN).collect();
    let width: usize = unicode_width::UnicodeWidthStr::width(
        text.chars()
            .skip(skipped)
            .take(column.saturating_sub(1) - skipped)
            .collect::<String>()
            .as_str(),
    );
    (shown, format!("{}^", " ".repeat(width)))
}

impl SqlError {
    /// Creates an error at a line and column, from 1, of `sql`.
    pub(crate) fn at(
        sql: &str,
        position: Option<(usize, usize)>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        let position = position.and_then(|(line, column)| {
            let text = sql.lines().nth(line.checked_sub(1)?)?;
            Some((line, column, text.to_string()))
        });
        SqlError {
            message: message.into(),
            help,
            position,
        }
    }

    /// Creates an error at the first occurrence of `word`.
    pub(crate) fn about(
        sql: &str,
        word: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        Self::at(sql, find_word(sql, word), message, help)
    }

    /// Converts an error of DataFusion about `sql`. `functions` are the names of all functions.
    pub(crate) fn from_datafusion(
        sql: &str,
        error: &DataFusionError,
        functions: &[String],
    ) -> Self {
        let mut diagnostic = None;
        let root = errors::root(error, &mut diagnostic);
        let span = diagnostic.and_then(|d| d.span).and_then(position);
        match root {
            DataFusionError::SQL(parse, _) => {
                let text = match parse.as_ref() {
                    ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
                        text.clone()
                    }
                    ParserError::RecursionLimitExceeded => {
                        "the statement is nested too deeply".into()
                    }
                };
                let (text, at) = split_position(&text);
                Self::at(
                    sql,
                    at.or(span),
                    format!("this is not valid SQL: {text}"),
                    None,
                )
            }
            DataFusionError::SchemaError(schema, _) => Self::from_schema(sql, schema, span),
            other => {
                let all = errors::message(other);
                let text = relevant_part(diagnostic.map_or(&all, |d| &d.message));
                let text = text.split("\nDid you mean").next().unwrap_or_default();
                let help = diagnostic.and_then(|d| d.helps.first().map(|h| h.message.clone()));
                Self::from_message(sql, text, span, help, functions)
            }
        }
    }

    /// Converts an error of which only the message is known. Some messages are replaced by better ones.
    fn from_message(
        sql: &str,
        text: &str,
        span: Option<(usize, usize)>,
        help: Option<String>,
        functions: &[String],
    ) -> Self {
        let quoted = text.split('\'').nth(1).unwrap_or_default();
        let at = || span.or_else(|| find_quoted(sql, text));
        if text.starts_with("Invalid function '") {
            // DataFusion suggests a function for any name, however different.
            let help = question(quoted, functions.iter().map(String::as_str))
                .unwrap_or_else(|| "`ctrace-query help functions` lists the functions.".into());
            let message = format!("there is no function `{quoted}`");
            return Self::at(
                sql,
                span.or_else(|| find_word(sql, quoted)),
                message,
                Some(help),
            );
        }
        if text.contains("Error parsing timestamp from '") {
            let help =
                "Write '2026-11-21 03:12:05', or ago('1d'): a day before the end of the recording.";
            return Self::at(
                sql,
                at(),
                format!("`{quoted}` is not a time"),
                Some(help.into()),
            );
        }
        if text.contains("Divide by zero") || text.contains("divide by zero") {
            let help = "Divide by nullif(x, 0), which gives null where x is 0.";
            let message = "this divides by zero";
            return Self::at(
                sql,
                span.or_else(|| single_operator(sql, &['/', '%'])),
                message,
                Some(help.into()),
            );
        }
        if text.contains(" overflows: ") {
            let operators = [
                ("addition", '+'),
                ("subtraction", '-'),
                ("multiplication", '*'),
            ];
            let operator = operators.iter().find(|(name, _)| text.contains(name));
            let help = "Cast to a wider type first: cast(x as double), or cast(x as decimal(38, 0)), which is exact.";
            let at = operator.and_then(|(_, operator)| single_operator(sql, &[*operator]));
            return Self::at(sql, span.or(at), text, Some(help.into()));
        }
        if let Some((message, help)) = unsupported::described(text) {
            return Self::at(sql, at(), message, Some(help.into()));
        }
        Self::at(sql, at(), types::with_sql_names(text), help)
    }

    fn from_schema(sql: &str, error: &SchemaError, span: Option<(usize, usize)>) -> Self {
        match error {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let at = field.spans().first().and_then(position).or(span);
                let at = at.or_else(|| find_word(sql, &field.name));
                if at.is_some_and(|at| word_at(sql, at).eq_ignore_ascii_case("strace")) {
                    let message = format!("`strace` finds no column `{}` here", field.name);
                    let help = "It needs all columns of `events` or `syscalls`.";
                    return Self::at(sql, at, message, Some(help.into()));
                }
                let names = valid_fields.iter().map(|c| c.name.as_str());
                let quoted = at.is_some_and(|at| rest_at(sql, at).starts_with('"'));
                let help = match question(&field.name, names) {
                    Some(question) => Some(question),
                    None if quoted => Some(format!(
                        "Double quotes are for names: text is written '{}'.",
                        field.name
                    )),
                    None => columns_help(valid_fields),
                };
                Self::at(
                    sql,
                    at,
                    format!("there is no column `{}`", field.name),
                    help,
                )
            }
            SchemaError::AmbiguousReference { field } => {
                let at = span.or_else(|| find_word(sql, &field.name));
                match at.is_some_and(|at| word_at(sql, at).eq_ignore_ascii_case("strace")) {
                    true => Self::at(
                        sql,
                        at,
                        "`strace` is ambiguous here: more than one table has calls",
                        Some("Write strace(t) for the calls of the table with the name or alias `t`.".into()),
                    ),
                    false => Self::at(
                        sql,
                        at,
                        format!("more than one table has a column `{}`", field.name),
                        Some(format!("Write t.{} for the column of the table with the name or alias `t`.", field.name)),
                    ),
                }
            }
            other => Self::at(sql, span, types::with_sql_names(&other.to_string()), None),
        }
    }
}

/// Returns a sentence about the columns that there are, or about the command that lists them. `None`: there are none.
fn columns_help(columns: &[Column]) -> Option<String> {
    const MAX_LISTED: usize = 24;
    let tables: BTreeSet<_> = columns.iter().map(|c| c.relation.as_ref()).collect();
    let mut tables = tables
        .into_iter()
        .map(|table| table.map(TableReference::table));
    let table = tables.next()?.filter(|_| tables.next().is_none());
    if columns.len() <= MAX_LISTED {
        let names: Vec<_> = columns.iter().map(|c| c.name.as_str()).collect();
        let subject = table.map_or("There are the columns".into(), |table| {
            format!("`{table}` has")
        });
        return Some(format!("{subject} {}.", names.join(", ")));
    }
    let table = table.filter(|table| view(table).is_some());
    let table = table.unwrap_or(EVENTS);
    Some(format!(
        "`ctrace-query describe {table}` lists the columns."
    ))
}

/// Returns the part of a message that concerns the statement.
fn relevant_part(text: &str) -> &str {
    if text.starts_with("The context currently only supports a single SQL statement") {
        return "this is more than one statement: write one at a time";
    }
    // The messages of this program's functions are wrapped in text about type coercion.
    if let Some((_, message)) = text.split_once("user-defined coercion failed with: ") {
        let message = message.trim_start_matches("Error during planning: ");
        return message
            .split_once(" No function matches")
            .map_or(message, |(message, _)| message.trim_end_matches('.'));
    }
    // The text before it lists the attempted signatures.
    text.find("No function matches")
        .map_or(text, |at| &text[at..])
}

fn position(span: Span) -> Option<(usize, usize)> {
    let line = usize::try_from(span.start.line).ok()?;
    let column = usize::try_from(span.start.column).ok()?;
    (line > 0 && column > 0).then_some((line, column))
}

/// Splits the suffix ` at Line: 1, Column: 8` off a message of the parser.
fn split_position(text: &str) -> (&str, Option<(usize, usize)>) {
    let read = || {
        let (message, position) = text.rsplit_once(" at Line: ")?;
        let (line, column) = position.split_once(", Column: ")?;
        Some((message, (line.parse().ok()?, column.parse().ok()?)))
    };
    match read() {
        Some((message, position)) => (message, Some(position)),
        None => (text, None),
    }
}

/// Returns the position of the only operator of `operators` in a statement; `None`: there are several, or none.
fn single_operator(sql: &str, operators: &[char]) -> Option<(usize, usize)> {
    let is_operator = |(_, c): &(usize, char)| operators.contains(c);
    let lines = sql.lines().enumerate();
    let mut found = lines.flat_map(|(number, line)| {
        let columns = line.chars().enumerate().filter(is_operator);
        columns.map(move |(column, _)| (number + 1, column + 1))
    });
    found.next().filter(|_| found.next().is_none())
}

/// Returns the rest of a line from a column on; both count from 1.
fn rest_at(sql: &str, (line, column): (usize, usize)) -> &str {
    let line = sql.lines().nth(line - 1).unwrap_or_default();
    let start = line.char_indices().nth(column - 1);
    &line[start.map_or(line.len(), |(at, _)| at)..]
}

/// Returns the word that begins at a line and column, which count from 1.
fn word_at(sql: &str, position: (usize, usize)) -> &str {
    let rest = rest_at(sql, position);
    rest.split(|c| !is_word_char(c)).next().unwrap_or_default()
}

/// Returns the position of the thing that a message quotes: a function of this program, another function with its
/// types, or a constant.
fn find_quoted(sql: &str, message: &str) -> Option<(usize, usize)> {
    if let Some(name) = message.split('`').nth(1) {
        return find_word(sql, name);
    }
    let quoted = message.split('\'').nth(1)?;
    if let Some((function, _)) = quoted.split_once('(') {
        return find_word(sql, function);
    }
    let constant = format!("'{quoted}'");
    let found = |(number, line): (usize, &str)| {
        let at = line.find(&constant)?;
        Some((number + 1, line[..at].chars().count() + 1))
    };
    sql.lines().enumerate().find_map(found)
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find_word(sql: &str, word: &str) -> Option<(usize, usize)> {
    if word.is_empty() {
        return None;
    }
    for (number, line) in sql.lines().enumerate() {
        // Only ASCII is lowered, so that byte positions do not change.
        let (lower, word) = (line.to_ascii_lowercase(), word.to_ascii_lowercase());
        for (at, found) in lower.match_indices(&word) {
            let before = lower[..at].chars().next_back();
            let after = lower[at + found.len()..].chars().next();
            if !before.is_some_and(is_word_char) && !after.is_some_and(is_word_char) {
                return Some((number + 1, line[..at].chars().count() + 1));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_shown() {
        let error = SqlError::about(
            "select 1\nfrom evnets",
            "evnets",
            "there is no table `evnets`",
            None,
        );
        assert_eq!(
            error.to_string(),
            "there is no table `evnets`\n  at line 2, column 6:\n  | from evnets\n  |      ^"
        );
    }

    #[test]
    fn only_whole_words_are_found() {
        assert_eq!(
            find_word("select path2, PATH from x", "path"),
            Some((1, 15))
        );
        assert_eq!(find_word("select 1", "path"), None);
    }

    #[test]
    fn quoted_functions_and_constants_are_found() {
        let sql = "select sum(comm)\nfrom events where pid = 'abc'";
        let position = |message| find_quoted(sql, message);
        assert_eq!(position("`sum` takes numbers"), Some((1, 8)));
        assert_eq!(
            position("No function matches 'sum(Utf8View)'"),
            Some((1, 8))
        );
        assert_eq!(position("Cannot cast string 'abc' to value"), Some((2, 25)));
        assert_eq!(position("Cannot cast string 'x' to value"), None);
        assert_eq!(position("something else"), None);
    }
}
