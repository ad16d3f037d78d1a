//! The helper of the line editor: completion, hints, colours, and the check for complete input.

use std::borrow::Cow;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::engine::FUNCTIONS;
use crate::shell::commands::COMMANDS;
use crate::shell::complete::{KEYWORDS, completions};
use crate::shell::input::{first_word, items};
use crate::shell::lex::{TokenKind, tokens};
use crate::shell::words::{CompletionWords, is_safe};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const BLUE: &str = "\x1b[1;34m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Completion, hints, highlighting and validation for the line editor.
pub(crate) struct LineHelper {
    pub(crate) words: CompletionWords,
    /// The words that begin a line without SQL.
    pub(crate) ready: Vec<&'static str>,
    files: FilenameCompleter,
    history: HistoryHinter,
}

impl LineHelper {
    pub(crate) fn new(words: CompletionWords, ready: Vec<&'static str>) -> Self {
        LineHelper {
            words,
            ready,
            files: FilenameCompleter::new(),
            history: HistoryHinter::new(),
        }
    }

    /// Returns whether a word begins a line without SQL.
    pub(crate) fn is_ready(&self, word: &str) -> bool {
        self.ready.contains(&word)
    }
}

impl Helper for LineHelper {}

impl Completer for LineHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let found = completions(&line[..pos], &self.ready, &self.words);
        if found.files {
            let (start, mut files) = self.files.complete_path(line, pos)?;
            files.retain(|file| is_safe(&file.display) && is_safe(&file.replacement));
            return Ok((start, files));
        }
        let pair = |word: String| Pair {
            display: word.clone(),
            replacement: word,
        };
        Ok((found.start, found.words.into_iter().map(pair).collect()))
    }
}

/// A hint after the cursor.
pub(crate) struct InlineHint {
    text: String,
    /// The text that the right arrow key inserts.
    completion: Option<String>,
}

impl Hint for InlineHint {
    fn display(&self) -> &str {
        &self.text
    }
    fn completion(&self) -> Option<&str> {
        self.completion.as_deref()
    }
}

impl Hinter for LineHelper {
    type Hint = InlineHint;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<InlineHint> {
        if pos < line.len() {
            return None;
        }
        if let Some(usage) = usage(line) {
            return Some(InlineHint {
                text: usage.to_string(),
                completion: None,
            });
        }
        let rest = self.history.hint(line, pos, ctx)?;
        let text = rest.lines().next().unwrap_or_default();
        is_safe(text).then(|| InlineHint {
            text: text.to_string(),
            completion: Some(rest.clone()),
        })
    }
}

/// Returns the arguments of a command, or of a function of this program, if none is written yet.
fn usage(line: &str) -> Option<&'static str> {
    if line.starts_with('\\') {
        let command = line.strip_suffix(' ')?;
        return COMMANDS
            .iter()
            .find(|c| c.name == command)
            .map(|c| c.arguments);
    }
    let all = tokens(line.strip_suffix('(')?);
    let name = all
        .last()
        .filter(|token| token.kind == TokenKind::Word)?
        .text
        .to_lowercase();
    let function = FUNCTIONS.iter().find(|f| f.name() == name)?;
    function
        .signature
        .split_once('(')
        .map(|(_, arguments)| arguments)
}

impl Highlighter for LineHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if line.trim_start().starts_with('\\') || self.is_ready(first_word(line)) {
            return Cow::Borrowed(line);
        }
        Cow::Owned(coloured(line))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Owned(format!("{BOLD}{prompt}{PLAIN}"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("{DIM}{hint}{PLAIN}"))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

fn coloured(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() * 2);
    for token in tokens(sql) {
        let keyword = || KEYWORDS.iter().any(|word| token.is(word));
        let colour = match token.kind {
            TokenKind::Word if keyword() => BLUE,
            TokenKind::Text { .. } => GREEN,
            TokenKind::Number => CYAN,
            TokenKind::Comment { .. } => DIM,
            _ => {
                out.push_str(token.text);
                continue;
            }
        };
        out.extend([colour, token.text, PLAIN]);
    }
    out
}

impl Validator for LineHelper {
    /// Ends complete input at Enter, and adds a line to an incomplete statement.
    fn validate(&self, ctx: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let (_, rest) = items(ctx.input(), |word| self.is_ready(word));
        Ok(match rest.is_empty() {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_coloured() {
        assert_eq!(
            coloured("select 'a', 1 from events"),
            "\x1b[1;34mselect\x1b[0m \x1b[32m'a'\x1b[0m, \x1b[36m1\x1b[0m \x1b[1;34mfrom\x1b[0m events"
        );
    }

    #[test]
    fn arguments_are_shown_as_a_hint() {
        assert_eq!(usage("\\watch "), Some("[SECONDS]"));
        assert_eq!(usage("\\watch 2"), None);
        assert_eq!(
            usage("select glob("),
            Some("text text, pattern text) -> boolean")
        );
        assert_eq!(usage("select count("), None);
    }
}
