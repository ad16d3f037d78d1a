//! What a user typed: commands of the shell, ready questions, statements.

use crate::shell::lex::{Kind, tokens};

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A command such as `\timing on`, without the backslash.
    Command(&'a str),
    /// A line such as `files --container web`.
    Ready(&'a str),
    /// A statement, without its semicolon.
    Sql(&'a str),
}

/// The things to do in `input`, and what is left of it: a statement without its end, or nothing. `is_ready`: whether a
/// word begins a ready question.
pub fn items(input: &str, is_ready: impl Fn(&str) -> bool) -> (Vec<Item<'_>>, &str) {
    let mut items = Vec::new();
    let mut rest = input.trim_start();
    while !rest.is_empty() {
        let line = rest.lines().next().unwrap_or_default();
        let (item, used) = if let Some(command) = line.strip_prefix('\\') {
            (Item::Command(without_end(command)), line.len())
        } else if is_ready(first_word(line)) || is_lone_word(rest) {
            (Item::Ready(without_end(line)), line.len())
        } else {
            let all = tokens(rest);
            let Some(end) = all.iter().find(|t| t.kind == Kind::End) else {
                // A comment alone is nothing to wait for.
                let says = all.iter().any(|t| t.says());
                return (items, if says { rest } else { "" });
            };
            let sql = rest[..end.start].trim_end();
            let empty = !tokens(sql).iter().any(|t| t.says());
            rest = rest[end.start + 1..].trim_start();
            if !empty {
                items.push(Item::Sql(sql));
            }
            continue;
        };
        items.push(item);
        rest = rest[used..].trim_start();
    }
    (items, "")
}

/// Whether it is one word and no more, which begins no statement: a ready question, mistyped.
fn is_lone_word(text: &str) -> bool {
    let word = text.trim_end().trim_end_matches(';').trim_end();
    let is_name = word.starts_with(char::is_alphabetic) && first_word(word) == word;
    is_name && !BEGIN.iter().any(|begin| begin.eq_ignore_ascii_case(word))
}

/// The words that begin a statement, also one that is refused.
const BEGIN: &[&str] = &[
    "select", "with", "explain", "describe", "show", "values", "table", "from", "create", "insert",
    "update", "delete", "drop", "alter", "set", "copy",
];

/// The word that a line begins with.
pub fn first_word(line: &str) -> &str {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let line = line.trim_start();
    &line[..line.find(|c| !is_of_word(c)).unwrap_or(line.len())]
}

/// A semicolon at the end of a line is a habit.
fn without_end(line: &str) -> &str {
    line.trim_end().trim_end_matches(';').trim_end()
}

/// The words of a line, of which quotes hold spaces.
///
/// # Errors
/// That a quote is not closed.
pub fn words(line: &str) -> Result<Vec<String>, String> {
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

    fn of(input: &str) -> (Vec<Item<'_>>, &str) {
        items(input, |word| word == "files")
    }

    #[test]
    fn a_statement_ends_with_a_semicolon() {
        assert_eq!(
            of("select ';'\nfrom events;\n select 2 ; select"),
            (
                vec![Item::Sql("select ';'\nfrom events"), Item::Sql("select 2")],
                "select"
            )
        );
        assert_eq!(of(" ;; \n"), (vec![], ""));
        assert_eq!(of("-- nothing yet"), (vec![], ""));
        assert_eq!(of("select 1 -- ;\n"), (vec![], "select 1 -- ;\n"));
    }

    #[test]
    fn commands_and_ready_questions_end_with_the_line() {
        assert_eq!(
            of("\\d events;\nfiles --limit 3\nselect files;"),
            (
                vec![
                    Item::Command("d events"),
                    Item::Ready("files --limit 3"),
                    Item::Sql("select files")
                ],
                ""
            )
        );
    }

    #[test]
    fn a_word_that_begins_nothing_is_no_statement() {
        assert_eq!(of("sumary\n"), (vec![Item::Ready("sumary")], ""));
        assert_eq!(of("sumary;"), (vec![Item::Ready("sumary")], ""));
        assert_eq!(of("SELECT"), (vec![], "SELECT"));
        assert_eq!(of("sumary of"), (vec![], "sumary of"));
        assert_eq!(of("select 1\nfrom"), (vec![], "select 1\nfrom"));
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(
            words("files --since '2026-11-21 03:10' \"a'b\"c ''"),
            Ok(["files", "--since", "2026-11-21 03:10", "a'bc", ""]
                .map(String::from)
                .to_vec())
        );
        assert!(words("files 'a").is_err());
    }
}
