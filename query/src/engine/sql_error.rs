//! What is wrong with a statement, where, and what was probably meant.

use std::fmt;

use datafusion::common::{DataFusionError, Diagnostic, SchemaError, Span};
use datafusion::sql::sqlparser::parser::ParserError;

use crate::engine::types;

/// An error in a statement, with its place.
#[derive(Debug, thiserror::Error)]
pub struct SqlError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Line and column, from 1, and the text of that line.
    pub place: Option<(usize, usize, String)>,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some((line, column, text)) = &self.place {
            // Tabs would move the caret.
            let text = text.replace('\t', " ");
            let (text, caret) = around(&text, *column);
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

/// The part of a line that is worth showing, and a caret under its `column`.
fn around(text: &str, column: usize) -> (String, String) {
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
    /// An error at a line and column, from 1, of `sql`.
    pub fn at(
        sql: &str,
        place: Option<(usize, usize)>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        let place = place.and_then(|(line, column)| {
            let text = sql.lines().nth(line.checked_sub(1)?)?;
            Some((line, column, text.to_string()))
        });
        SqlError {
            message: message.into(),
            help,
            place,
        }
    }

    /// An error about `word`, where it stands first as a word of its own.
    pub fn about(sql: &str, word: &str, message: impl Into<String>, help: Option<String>) -> Self {
        Self::at(sql, find_word(sql, word), message, help)
    }

    /// What DataFusion says about `sql`; `functions` are those that it knows.
    pub fn from_datafusion(sql: &str, error: &DataFusionError, functions: &[String]) -> Self {
        let mut diagnostic = None;
        let root = peel(error, &mut diagnostic);
        let span = diagnostic.and_then(|d| d.span).and_then(place);
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
                let (text, at) = split_place(&text);
                Self::at(
                    sql,
                    at.or(span),
                    format!("this is no SQL that can be read: {text}"),
                    None,
                )
            }
            DataFusionError::SchemaError(schema, _) => Self::from_schema(sql, schema, span),
            other => {
                let all = plain(other);
                let text = readable(diagnostic.map_or(&all, |d| &d.message));
                let text = text.split("\nDid you mean").next().unwrap_or_default();
                let help = diagnostic.and_then(|d| d.helps.first().map(|h| h.message.clone()));
                Self::said(sql, text, span, help, functions)
            }
        }
    }

    /// What DataFusion says in a text alone, in the user's words where that is known.
    fn said(
        sql: &str,
        text: &str,
        span: Option<(usize, usize)>,
        help: Option<String>,
        functions: &[String],
    ) -> Self {
        let quoted = text.split('\'').nth(1).unwrap_or_default();
        let at = || span.or_else(|| find_named(sql, text));
        if text.starts_with("Invalid function '") {
            // DataFusion suggests a function for any name, however far.
            let help = match nearest(quoted, functions.iter().map(String::as_str)) {
                Some(name) => format!("Did you mean `{name}`?"),
                None => "`ctrace-query help functions` lists those that there are.".into(),
            };
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
                format!("`{quoted}` is no time"),
                Some(help.into()),
            );
        }
        if text.contains("Divide by zero") || text.contains("divide by zero") {
            let help = "Divide by nullif(x, 0), which gives null where x is 0.";
            let message = "this divides by zero";
            return Self::at(
                sql,
                span.or_else(|| the_division(sql)),
                message,
                Some(help.into()),
            );
        }
        Self::at(sql, at(), types::spelled(text), help)
    }

    fn from_schema(sql: &str, error: &SchemaError, span: Option<(usize, usize)>) -> Self {
        match error {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let at = field.spans().first().and_then(place).or(span);
                let at = at.or_else(|| find_word(sql, &field.name));
                if at.is_some_and(|at| word_at(sql, at).eq_ignore_ascii_case("strace")) {
                    let message = format!("`strace` finds no column `{}` here", field.name);
                    let help = "It prints the calls of `events` and `syscalls`, or of a part with all their columns.";
                    return Self::at(sql, at, message, Some(help.into()));
                }
                let names = valid_fields.iter().map(|c| c.name.as_str());
                let quoted = at.is_some_and(|at| rest_at(sql, at).starts_with('"'));
                let help = match nearest(&field.name, names) {
                    Some(name) => Some(format!("Did you mean `{name}`?")),
                    None if quoted => Some(format!(
                        "Double quotes are for names: text is written '{}'.",
                        field.name
                    )),
                    None if valid_fields.is_empty() => None,
                    None => Some("`ctrace-query describe events` lists the columns.".into()),
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
                        "`strace` does not know of which table here",
                        Some("Write strace(t) for the calls of the table with the name or alias `t`.".into()),
                    ),
                    false => Self::at(
                        sql,
                        at,
                        format!("more than one table has a column `{}`", field.name),
                        Some(format!("Write t.{} for that of the table with the name or alias `t`.", field.name)),
                    ),
                }
            }
            other => Self::at(sql, span, types::spelled(&other.to_string()), None),
        }
    }
}

/// The part of a message that is about the statement.
fn readable(text: &str) -> &str {
    if text.starts_with("The context currently only supports a single SQL statement") {
        return "this is more than one statement: ask one at a time";
    }
    // What surrounds the words of our own functions is about their making.
    if let Some((_, message)) = text.split_once("user-defined coercion failed with: ") {
        let message = message.trim_start_matches("Error during planning: ");
        return message
            .split_once(" No function matches")
            .map_or(message, |(message, _)| message.trim_end_matches('.'));
    }
    // All that was tried stands before it.
    text.find("No function matches")
        .map_or(text, |at| &text[at..])
}

/// The error below contexts, collections and shared errors, and the innermost diagnostic on the way.
fn peel<'a>(
    error: &'a DataFusionError,
    diagnostic: &mut Option<&'a Diagnostic>,
) -> &'a DataFusionError {
    match error {
        DataFusionError::Context(_, inner) => peel(inner, diagnostic),
        DataFusionError::Shared(inner) => peel(inner, diagnostic),
        DataFusionError::Diagnostic(found, inner) => {
            *diagnostic = Some(found);
            peel(inner, diagnostic)
        }
        DataFusionError::Collection(errors) if !errors.is_empty() => peel(&errors[0], diagnostic),
        other => other,
    }
}

/// The message of an error of DataFusion, without the name of the stage that it comes from.
pub fn plain(error: &DataFusionError) -> String {
    let mut diagnostic = None;
    match peel(error, &mut diagnostic) {
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::ResourcesExhausted(text) => text.clone(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::ParquetError(error) => error.to_string(),
        other => other.strip_backtrace(),
    }
}

fn place(span: Span) -> Option<(usize, usize)> {
    let line = usize::try_from(span.start.line).ok()?;
    let column = usize::try_from(span.start.column).ok()?;
    (line > 0 && column > 0).then_some((line, column))
}

/// The parser says ` at Line: 1, Column: 8` at the end of its message.
fn split_place(text: &str) -> (&str, Option<(usize, usize)>) {
    let read = || {
        let (message, place) = text.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, (line.parse().ok()?, column.parse().ok()?)))
    };
    match read() {
        Some((message, place)) => (message, Some(place)),
        None => (text, None),
    }
}

/// The place of the only division in a statement; none: there are several.
fn the_division(sql: &str) -> Option<(usize, usize)> {
    let divides = |(_, c): &(usize, char)| matches!(c, '/' | '%');
    let lines = sql.lines().enumerate();
    let mut found = lines.flat_map(|(number, line)| {
        let columns = line.chars().enumerate().filter(divides);
        columns.map(move |(column, _)| (number + 1, column + 1))
    });
    found.next().filter(|_| found.next().is_none())
}

/// What follows a line and column, from 1, on that line.
fn rest_at(sql: &str, (line, column): (usize, usize)) -> &str {
    let line = sql.lines().nth(line - 1).unwrap_or_default();
    let start = line.char_indices().nth(column - 1);
    &line[start.map_or(line.len(), |(at, _)| at)..]
}

/// The word that begins at a line and column, from 1.
fn word_at(sql: &str, place: (usize, usize)) -> &str {
    let rest = rest_at(sql, place);
    rest.split(|c| !is_of_word(c)).next().unwrap_or_default()
}

/// Where that stands which a message names: one of our functions, another function with its types, or a constant.
fn find_named(sql: &str, message: &str) -> Option<(usize, usize)> {
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

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find_word(sql: &str, word: &str) -> Option<(usize, usize)> {
    if word.is_empty() {
        return None;
    }
    for (number, line) in sql.lines().enumerate() {
        // Only ASCII changes case here, so that byte positions stay.
        let (lower, word) = (line.to_ascii_lowercase(), word.to_ascii_lowercase());
        for (at, found) in lower.match_indices(&word) {
            let before = lower[..at].chars().next_back();
            let after = lower[at + found.len()..].chars().next();
            if !before.is_some_and(is_of_word) && !after.is_some_and(is_of_word) {
                return Some((number + 1, line[..at].chars().count() + 1));
            }
        }
    }
    None
}

/// The name that is most like `wanted`, if one is like it at all.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&wanted, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(wanted.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_shown() {
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
    fn words_are_whole() {
        assert_eq!(
            find_word("select path2, PATH from x", "path"),
            Some((1, 15))
        );
        assert_eq!(find_word("select 1", "path"), None);
    }

    #[test]
    fn what_a_message_names_is_found() {
        let sql = "select sum(comm)\nfrom events where pid = 'abc'";
        let place = |message| find_named(sql, message);
        assert_eq!(place("`sum` takes numbers"), Some((1, 8)));
        assert_eq!(place("No function matches 'sum(Utf8View)'"), Some((1, 8)));
        assert_eq!(place("Cannot cast string 'abc' to value"), Some((2, 25)));
        assert_eq!(place("Cannot cast string 'x' to value"), None);
        assert_eq!(place("something else"), None);
    }

    #[test]
    fn only_similar_names_are_suggested() {
        let names = ["container", "comm", "path"];
        assert_eq!(nearest("contaner", names.into_iter()), Some("container"));
        assert_eq!(nearest("xyzzy", names.into_iter()), None);
    }
}
