//! Splits the input into shell commands, ready questions and statements.

use crate::shell::lex::{TokenKind, tokens};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InputItem<'a> {
    /// A command such as `\timing on`, without the backslash.
    Command(&'a str),
    /// A line such as `files --container web`.
    Ready(&'a str),
    /// A statement, without its semicolon.
    Sql(&'a str),
}

/// Splits `input` into items. The rest is an incomplete statement, or empty. `is_ready`: whether a word begins a ready
/// question.
pub(crate) fn items(input: &str, is_ready: impl Fn(&str) -> bool) -> (Vec<InputItem<'_>>, &str) {
    let mut items = Vec::new();
    let mut rest = input.trim_start();
    while !rest.is_empty() {
        let line = rest.lines().next().unwrap_or_default();
        let (item, used) = if let Some(command) = line.strip_prefix('\\') {
            (InputItem::Command(without_semicolon(command)), line.len())
        } else if is_ready(first_word(line)) || is_lone_word(rest) {
            (InputItem::Ready(without_semicolon(line)), line.len())
        } else {
            let all = tokens(rest);
            let Some(end) = all.iter().find(|t| t.kind == TokenKind::End) else {
                // The rest may be only a comment.
                let is_statement = all.iter().any(|t| t.is_significant());
                return (items, if is_statement { rest } else { "" });
            };
            let sql = rest[..end.start].trim_end();
            let is_empty = !tokens(sql).iter().any(|t| t.is_significant());
            rest = rest[end.start + 1..].trim_start();
            if !is_empty {
                items.push(InputItem::Sql(sql));
            }
            continue;
        };
        items.push(item);
        rest = rest[used..].trim_start();
    }
    (items, "")
}

/// Returns whether the text is a single word that begins no statement, probably a misspelt ready question.
fn is_lone_word(text: &str) -> bool {
    let word = text.trim_end().trim_end_matches(';').trim_end();
    let is_name = word.starts_with(char::is_alphabetic) && first_word(word) == word;
    is_name
        && !STATEMENT_KEYWORDS
            .iter()
            .any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// The words that begin a statement, including statements that are not allowed.
const STATEMENT_KEYWORDS: &[&str] = &[
    "select", "with", "explain", "describe", "show", "values", "table", "from", "create", "insert",
    "update", "delete", "drop", "alter", "set", "copy",
];

/// Returns the first word of a line.
pub(crate) fn first_word(line: &str) -> &str {
    let is_word_char = |c: char| c.is_alphanumeric() || c == '_';
    let line = line.trim_start();
    &line[..line.find(|c| !is_word_char(c)).unwrap_or(line.len())]
}

/// Removes a semicolon, which commands and ready questions do not need.
fn without_semicolon(line: &str) -> &str {
    line.trim_end().trim_end_matches(';').trim_end()
}

/// Splits a line into words. Quoted words may contain spaces.
///
/// # Errors
/// A quote is not closed.
pub(crate) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("the quote {open} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(input: &str) -> (Vec<InputItem<'_>>, &str) {
        items(input, |word| word == "files")
    }

    #[test]
    fn a_statement_ends_with_a_semicolon() {
        assert_eq!(
            split("select ';'\nfrom events;\n select 2 ; select"),
            (
                vec![
                    InputItem::Sql("select ';'\nfrom events"),
                    InputItem::Sql("select 2")
                ],
                "select"
            )
        );
        assert_eq!(split(" ;; \n"), (vec![], ""));
        assert_eq!(split("-- nothing yet"), (vec![], ""));
        assert_eq!(split("select 1 -- ;\n"), (vec![], "select 1 -- ;\n"));
    }

    #[test]
    fn commands_and_ready_questions_end_with_the_line() {
        assert_eq!(
            split("\\d events;\nfiles --limit 3\nselect files;"),
            (
                vec![
                    InputItem::Command("d events"),
                    InputItem::Ready("files --limit 3"),
                    InputItem::Sql("select files")
                ],
                ""
            )
        );
    }

    #[test]
    fn a_single_unknown_word_is_a_ready_question() {
        assert_eq!(split("sumary\n"), (vec![InputItem::Ready("sumary")], ""));
        assert_eq!(split("sumary;"), (vec![InputItem::Ready("sumary")], ""));
        assert_eq!(split("SELECT"), (vec![], "SELECT"));
        assert_eq!(split("sumary of"), (vec![], "sumary of"));
        assert_eq!(split("select 1\nfrom"), (vec![], "select 1\nfrom"));
    }

    #[test]
    fn quoted_words_may_contain_spaces() {
        assert_eq!(
            words("files --since '2026-11-21 03:10' \"a'b\"c ''"),
            Ok(["files", "--since", "2026-11-21 03:10", "a'bc", ""]
                .map(String::from)
                .to_vec())
        );
        assert!(words("files 'a").is_err());
    }
}
