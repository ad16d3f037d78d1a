//! Completion with Tab. Depending on the position of the cursor: commands, ready questions and their options, keywords, tables,
//! columns, functions, and the values that a text is compared with.

use ctrace_schema::errno;

use crate::cli;
use crate::output::AnswerFormat;
use crate::shell::commands::COMMANDS;
use crate::shell::input::{first_word, items};
use crate::shell::lex::{Token, TokenKind, tokens};
use crate::shell::words::{CompletionWords, TableColumns, is_safe};

/// The completions at the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Completions {
    /// Byte offset of the text that is completed.
    pub(crate) start: usize,
    pub(crate) words: Vec<String>,
    /// True if names of files are completed instead.
    pub(crate) files: bool,
}

/// Maximum number of completions.
const MAX_WORDS: usize = 1000;

/// SQL keywords; the first [`STATEMENT_STARTS`] begin a statement.
pub(crate) const KEYWORDS: &[&str] = &[
    "select",
    "with",
    "describe",
    "explain",
    "values",
    "show",
    "from",
    "where",
    "group",
    "by",
    "order",
    "having",
    "limit",
    "offset",
    "join",
    "left",
    "right",
    "full",
    "inner",
    "cross",
    "on",
    "using",
    "as",
    "and",
    "or",
    "not",
    "in",
    "is",
    "null",
    "like",
    "ilike",
    "between",
    "exists",
    "case",
    "when",
    "then",
    "else",
    "end",
    "distinct",
    "union",
    "all",
    "except",
    "intersect",
    "asc",
    "desc",
    "nulls",
    "first",
    "last",
    "over",
    "partition",
    "rows",
    "filter",
    "within",
    "cast",
    "interval",
    "timestamp",
    "true",
    "false",
    "recursive",
    "analyze",
    "tables",
    "escape",
    "lateral",
];
const STATEMENT_STARTS: usize = 6;

/// Returns the completions at the end of `head`, the input before the cursor.
pub(crate) fn completions(head: &str, ready: &[&str], words: &CompletionWords) -> Completions {
    let (_, rest) = items(head, |word| ready.contains(&word));
    // The line or the statement with the cursor.
    let line_start = head.rfind('\n').map_or(0, |at| at + 1);
    let line = head[line_start..].trim_start();
    let is_command =
        line.starts_with('\\') || ready.contains(&first_word(line)) && line.contains(' ');
    let (at, mut found) = if is_command && rest.is_empty() {
        (head.len() - line.len(), in_command(line, ready, words))
    } else {
        let rest = if rest.is_empty() { line } else { rest };
        (head.len() - rest.len(), in_sql(rest, ready, words))
    };
    found.start += at;
    found.words.truncate(MAX_WORDS);
    found
}

/// Returns the words that begin with `prefix`, in any case; in upper case if the prefix is.
fn with_prefix<'a>(prefix: &str, words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let is_upper =
        prefix.chars().any(char::is_uppercase) && !prefix.chars().any(char::is_lowercase);
    let lower = prefix.to_lowercase();
    let matching = words
        .into_iter()
        .filter(|word| word.to_lowercase().starts_with(&lower));
    let cased = |word: &str| {
        if is_upper {
            word.to_uppercase()
        } else {
            word.to_string()
        }
    };
    matching.map(cased).collect()
}

/// Completes a command or a ready question, which consist of words.
fn in_command(line: &str, ready: &[&str], words: &CompletionWords) -> Completions {
    let start = line.rfind([' ', ',']).map_or(0, |at| at + 1);
    let written = &line[start..];
    let before: Vec<&str> = line[..start].split_whitespace().collect();
    let matching = |all: &[&str]| {
        let matching = all.iter().filter(|word| word.starts_with(written));
        matching.map(|word| word.to_string()).collect()
    };
    let mut found = Completions {
        start,
        ..Completions::default()
    };
    match before.as_slice() {
        [] => {
            let commands = COMMANDS.iter().map(|c| c.name.to_string());
            let all: Vec<String> = commands
                .chain(ready.iter().map(|q| format!("\\{q}")))
                .collect();
            found.words = all
                .into_iter()
                .filter(|word| word.starts_with(written))
                .collect();
        }
        ["\\d", ..] | ["describe", ..] => {
            let tables = words.tables();
            found.words = matching(
                &tables
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect::<Vec<_>>(),
            );
        }
        ["\\format", ..] | [.., "--format"] => {
            let names: Vec<_> = AnswerFormat::ALL.iter().map(|f| f.name()).collect();
            found.words = matching(&names);
        }
        ["\\timing" | "\\pager", ..] => found.words = matching(&["on", "off"]),
        ["\\h" | "\\?" | "help", ..] => {
            let topics = ["questions", "functions"].iter().chain(ready);
            found.words = matching(&topics.copied().collect::<Vec<_>>());
        }
        ["\\o" | "\\r", ..] | [.., "-o" | "--output" | "-r" | "--recording"] => found.files = true,
        [.., "--container" | "-c"] => {
            let values = words.values();
            let names = values.containers.iter().map(String::as_str);
            // Names that need quotes are not completed.
            let plain = names.filter(|name| !name.contains([' ', ',', '\'', '"']));
            found.words = matching(&plain.collect::<Vec<_>>());
        }
        [question, ..] => {
            let long = cli::long_options(question.trim_start_matches('\\'));
            let matching = long.into_iter().filter(|long| long.starts_with(written));
            found.words = matching.collect();
        }
    }
    found
}

fn in_sql(sql: &str, ready: &[&str], words: &CompletionWords) -> Completions {
    let all = tokens(sql);
    let (written, before) = match all.split_last() {
        Some((last, before))
            if !matches!(
                last.kind,
                TokenKind::Space | TokenKind::Other | TokenKind::End
            ) =>
        {
            (Some(*last), before)
        }
        _ => (None, all.as_slice()),
    };
    let before: Vec<&Token> = before.iter().filter(|t| t.is_significant()).collect();
    let start = written.map_or(sql.len(), |token| token.start);
    let prefix = written.map_or("", |token| token.text);
    match written.map(|token| token.kind) {
        Some(TokenKind::Text { closed: false }) => in_text(&prefix[1..], start + 1, &before, words),
        None | Some(TokenKind::Word) => Completions {
            start,
            words: names(prefix, sql, &before, ready, words),
            files: false,
        },
        Some(_) => Completions::default(),
    }
}

/// Completes a quoted text with the values of the column that the text is compared with.
fn in_text(written: &str, start: usize, before: &[&Token], words: &CompletionWords) -> Completions {
    let mut found = Completions {
        start,
        ..Completions::default()
    };
    // The column may be before a list, as in `container in ('a', 'b'`.
    let compared = before.iter().rev().find(|token| {
        let is_symbol = matches!(token.text, "=" | "<" | ">" | "!" | "(" | ",");
        let is_operator = ["in", "not", "like", "ilike"]
            .iter()
            .any(|word| token.is(word));
        !is_symbol && !is_operator && !matches!(token.kind, TokenKind::Text { .. })
    });
    let Some(column) = compared else { return found };
    let values = || words.values();
    let all: Vec<String> = match column.text.to_lowercase().as_str() {
        "from" | "join" => {
            found.files = true;
            return found;
        }
        "container" | "source" | "target" => values().containers.clone(),
        "syscall" => values().syscalls.clone(),
        "error" => (1..=errno::LAST)
            .filter_map(errno::name)
            .map(String::from)
            .collect(),
        _ => return found,
    };
    let quoted = all
        .iter()
        .map(|value| format!("{}'", value.replace('\'', "''")));
    found.words = quoted.filter(|value| value.starts_with(written)).collect();
    found
}

/// Completes a name or a keyword.
fn names(
    written: &str,
    sql: &str,
    before: &[&Token],
    ready: &[&str],
    words: &CompletionWords,
) -> Vec<String> {
    let tables = words.tables();
    let table_names = || tables.iter().map(|(name, _)| name.as_str());
    let Some(last) = before.last() else {
        let starts = KEYWORDS[..STATEMENT_STARTS]
            .iter()
            .chain(ready)
            .chain(&["quit"]);
        return with_prefix(written, starts.copied());
    };
    if last.text == "." {
        let table = before.len().checked_sub(2).map(|at| before[at].text);
        let exact: Vec<&TableColumns> = tables
            .iter()
            .filter(|(name, _)| Some(name.as_str()) == table)
            .collect();
        let columns = match exact.is_empty() {
            true => columns(sql, &tables),
            false => exact
                .iter()
                .flat_map(|(_, columns)| columns)
                .map(String::as_str)
                .collect(),
        };
        return with_prefix(written, columns);
    }
    if last.is("from") || last.is("join") || last.is("describe") {
        return with_prefix(written, table_names());
    }
    let mut offered = with_prefix(written, columns(sql, &tables));
    offered.extend(with_prefix(written, table_names()));
    if !written.is_empty() {
        let functions = with_prefix(written, words.functions.iter().map(String::as_str));
        offered.extend(functions.into_iter().map(|name| format!("{name}(")));
        offered.extend(with_prefix(written, KEYWORDS.iter().copied()));
    }
    let mut seen = std::collections::HashSet::new();
    offered.retain(|word| is_safe(word) && seen.insert(word.clone()));
    offered
}

/// Returns the columns of the tables that a statement names, or of all tables if there are none.
fn columns<'a>(sql: &str, tables: &'a [TableColumns]) -> Vec<&'a str> {
    let tokens = tokens(sql);
    let is_named = |table: &str| tokens.iter().any(|token| token.is(table));
    let any = tables.iter().any(|(name, _)| is_named(name));
    let shown = tables.iter().filter(|(name, _)| !any || is_named(name));
    let mut columns: Vec<&str> = shown
        .flat_map(|(_, columns)| columns)
        .map(String::as_str)
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}
