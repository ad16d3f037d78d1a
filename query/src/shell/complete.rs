//! What Tab offers: by where the cursor stands, commands, ready questions and their options, keywords, tables, columns,
//! functions, and the values that a text is compared with.

use clap::{CommandFactory, ValueEnum};
use ctrace_schema::errno;

use crate::shell::commands::COMMANDS;
use crate::shell::input::{first_word, items};
use crate::shell::lex::{Kind, Token, tokens};
use crate::shell::words::{Table, Words, is_safe};
use crate::cli::{Cli, Format};

/// What can stand at the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The first byte of what is completed.
    pub start: usize,
    /// What can stand there.
    pub words: Vec<String>,
    /// Whether names of files can, too.
    pub files: bool,
}

/// More help nobody.
const MOST: usize = 1000;

/// Keywords, those that begin a statement first.
pub const KEYWORDS: &[&str] = &[
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
/// How many of them begin a statement.
const BEGIN: usize = 6;

/// What can stand at the end of `head`, which is all that stands before the cursor.
pub fn offer(head: &str, ready: &[&str], words: &Words) -> Offer {
    let (_, rest) = items(head, |word| ready.contains(&word));
    // The line or the statement that the cursor is in.
    let line_start = head.rfind('\n').map_or(0, |at| at + 1);
    let line = head[line_start..].trim_start();
    let of_line = line.starts_with('\\') || ready.contains(&first_word(line)) && line.contains(' ');
    let (at, mut offer) = if of_line && rest.is_empty() {
        (head.len() - line.len(), of_words(line, ready, words))
    } else {
        let rest = if rest.is_empty() { line } else { rest };
        (head.len() - rest.len(), of_sql(rest, ready, words))
    };
    offer.start += at;
    offer.words.truncate(MOST);
    offer
}

/// Of `words`, those that begin with what is written, in the case in which it is written.
fn beginning<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let upper = written.chars().any(char::is_uppercase) && !written.chars().any(char::is_lowercase);
    let lower = written.to_lowercase();
    let fit = words
        .into_iter()
        .filter(|word| word.to_lowercase().starts_with(&lower));
    let cased = |word: &str| {
        if upper {
            word.to_uppercase()
        } else {
            word.to_string()
        }
    };
    fit.map(cased).collect()
}

/// In a command or a ready question, whose parts stand between spaces.
fn of_words(line: &str, ready: &[&str], words: &Words) -> Offer {
    let start = line.rfind([' ', ',']).map_or(0, |at| at + 1);
    let written = &line[start..];
    let before: Vec<&str> = line[..start].split_whitespace().collect();
    let fit = |all: &[&str]| {
        let fit = all.iter().filter(|word| word.starts_with(written));
        fit.map(|word| word.to_string()).collect()
    };
    let mut offer = Offer {
        start,
        ..Offer::default()
    };
    match before.as_slice() {
        [] => {
            let commands = COMMANDS.iter().map(|c| c.name.to_string());
            let all: Vec<String> = commands
                .chain(ready.iter().map(|q| format!("\\{q}")))
                .collect();
            offer.words = all
                .into_iter()
                .filter(|word| word.starts_with(written))
                .collect();
        }
        ["\\d", ..] | ["describe", ..] => {
            let tables = words.tables();
            offer.words = fit(&tables
                .iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>());
        }
        ["\\format", ..] | [.., "--format"] => {
            let formats = Format::value_variants()
                .iter()
                .filter_map(ValueEnum::to_possible_value);
            let names: Vec<_> = formats.map(|f| f.get_name().to_string()).collect();
            offer.words = names
                .into_iter()
                .filter(|name| name.starts_with(written))
                .collect();
        }
        ["\\timing" | "\\pager", ..] => offer.words = fit(&["on", "off"]),
        ["\\h" | "\\?" | "help", ..] => {
            let topics = ["questions", "functions"].iter().chain(ready);
            offer.words = fit(&topics.copied().collect::<Vec<_>>());
        }
        ["\\o" | "\\r", ..] | [.., "-o" | "--output" | "-r" | "--recording"] => offer.files = true,
        [.., "--container" | "-c"] => {
            let values = words.values();
            let names = values.containers.iter().map(String::as_str);
            // What a quote or a comma would break is typed by hand.
            let plain = names.filter(|name| !name.contains([' ', ',', '\'', '"']));
            offer.words = fit(&plain.collect::<Vec<_>>());
        }
        [question, ..] => offer.words = options(question.trim_start_matches('\\'), written),
    }
    offer
}

/// The options of a ready question that begin with what is written.
fn options(question: &str, written: &str) -> Vec<String> {
    let cli = Cli::command();
    let Some(command) = cli.find_subcommand(question) else {
        return Vec::new();
    };
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let long = shown
        .filter_map(|arg| arg.get_long())
        .map(|long| format!("--{long}"));
    long.filter(|long| long.starts_with(written)).collect()
}

fn of_sql(sql: &str, ready: &[&str], words: &Words) -> Offer {
    let all = tokens(sql);
    let (written, before) = match all.split_last() {
        Some((last, before)) if !matches!(last.kind, Kind::Space | Kind::Other | Kind::End) => {
            (Some(*last), before)
        }
        _ => (None, all.as_slice()),
    };
    let said: Vec<&Token> = before.iter().filter(|t| t.says()).collect();
    let start = written.map_or(sql.len(), |token| token.start);
    let prefix = written.map_or("", |token| token.text);
    match written.map(|token| token.kind) {
        Some(Kind::Text { closed: false }) => of_text(&prefix[1..], start + 1, &said, words),
        None | Some(Kind::Word) => Offer {
            start,
            words: of_names(prefix, sql, &said, ready, words),
            files: false,
        },
        Some(_) => Offer::default(),
    }
}

/// Within a text in quotes: what the column that it is compared with holds.
fn of_text(written: &str, start: usize, said: &[&Token], words: &Words) -> Offer {
    let mut offer = Offer {
        start,
        ..Offer::default()
    };
    // `in ('a', 'b'`
    let compared = said.iter().rev().find(|token| {
        let other = matches!(token.text, "=" | "<" | ">" | "!" | "(" | ",");
        let operator = ["in", "not", "like", "ilike"]
            .iter()
            .any(|word| token.is(word));
        !other && !operator && !matches!(token.kind, Kind::Text { .. })
    });
    let Some(column) = compared else { return offer };
    let values = || words.values();
    let fit: Vec<String> = match column.text.to_lowercase().as_str() {
        "from" | "join" => {
            offer.files = true;
            return offer;
        }
        "container" | "source" | "target" => values().containers.clone(),
        "syscall" => values().syscalls.clone(),
        "error" => (1..=errno::LAST)
            .filter_map(errno::name)
            .map(String::from)
            .collect(),
        _ => return offer,
    };
    let quoted = fit
        .iter()
        .map(|value| format!("{}'", value.replace('\'', "''")));
    offer.words = quoted.filter(|value| value.starts_with(written)).collect();
    offer
}

/// A name or a keyword.
fn of_names(
    written: &str,
    sql: &str,
    said: &[&Token],
    ready: &[&str],
    words: &Words,
) -> Vec<String> {
    let tables = words.tables();
    let names = || tables.iter().map(|(name, _)| name.as_str());
    let Some(last) = said.last() else {
        let begin = KEYWORDS[..BEGIN].iter().chain(ready).chain(&["quit"]);
        return beginning(written, begin.copied());
    };
    if last.text == "." {
        let of = said.len().checked_sub(2).map(|at| said[at].text);
        let exact: Vec<&Table> = tables
            .iter()
            .filter(|(name, _)| Some(name.as_str()) == of)
            .collect();
        let columns = match exact.is_empty() {
            true => columns(sql, &tables),
            false => exact
                .iter()
                .flat_map(|(_, columns)| columns)
                .map(String::as_str)
                .collect(),
        };
        return beginning(written, columns);
    }
    if last.is("from") || last.is("join") || last.is("describe") {
        return beginning(written, names());
    }
    let mut offered = beginning(written, columns(sql, &tables));
    offered.extend(beginning(written, names()));
    if !written.is_empty() {
        let functions = beginning(written, words.functions.iter().map(String::as_str));
        offered.extend(functions.into_iter().map(|name| format!("{name}(")));
        offered.extend(beginning(written, KEYWORDS.iter().copied()));
    }
    let mut seen = std::collections::HashSet::new();
    offered.retain(|word| is_safe(word) && seen.insert(word.clone()));
    offered
}

/// The columns of the tables that a statement names; of all, if it names none yet.
fn columns<'a>(sql: &str, tables: &'a [Table]) -> Vec<&'a str> {
    let named = tokens(sql);
    let named = |table: &str| named.iter().any(|token| token.is(table));
    let some = tables.iter().any(|(name, _)| named(name));
    let of = tables.iter().filter(|(name, _)| !some || named(name));
    let mut columns: Vec<&str> = of
        .flat_map(|(_, columns)| columns)
        .map(String::as_str)
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}
