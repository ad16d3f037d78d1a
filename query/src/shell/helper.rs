//! What the line editor asks: what completes a line, what is shown beside it and in which colours, whether it is whole.

use std::borrow::Cow;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::shell::commands::COMMANDS;
use crate::shell::complete::{KEYWORDS, offer};
use crate::shell::input::{first_word, items};
use crate::shell::lex::{Kind, tokens};
use crate::shell::words::{Words, is_safe};
use crate::engine::functions::FUNCTIONS;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const BLUE: &str = "\x1b[1;34m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// The side of the shell that the line editor sees.
pub struct Typing {
    /// What the recordings hold.
    pub words: Words,
    /// The names of what is asked without SQL.
    pub ready: Vec<&'static str>,
    files: FilenameCompleter,
    history: HistoryHinter,
}

impl Typing {
    /// For recordings with these words.
    pub fn new(words: Words, ready: Vec<&'static str>) -> Self {
        Typing {
            words,
            ready,
            files: FilenameCompleter::new(),
            history: HistoryHinter::new(),
        }
    }

    /// Whether a word begins a line that is no SQL.
    pub fn is_ready(&self, word: &str) -> bool {
        self.ready.contains(&word)
    }
}

impl Helper for Typing {}

impl Completer for Typing {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let offer = offer(&line[..pos], &self.ready, &self.words);
        if offer.files {
            let (start, mut files) = self.files.complete_path(line, pos)?;
            files.retain(|file| is_safe(&file.display) && is_safe(&file.replacement));
            return Ok((start, files));
        }
        let pair = |word: String| Pair {
            display: word.clone(),
            replacement: word,
        };
        Ok((offer.start, offer.words.into_iter().map(pair).collect()))
    }
}

/// What is shown behind the cursor.
pub struct Shown {
    text: String,
    /// What the right arrow takes; nothing if it only tells.
    takes: Option<String>,
}

impl Hint for Shown {
    fn display(&self) -> &str {
        &self.text
    }
    fn completion(&self) -> Option<&str> {
        self.takes.as_deref()
    }
}

impl Hinter for Typing {
    type Hint = Shown;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<Shown> {
        if pos < line.len() {
            return None;
        }
        if let Some(usage) = usage(line) {
            return Some(Shown {
                text: usage.to_string(),
                takes: None,
            });
        }
        let rest = self.history.hint(line, pos, ctx)?;
        let text = rest.lines().next().unwrap_or_default();
        is_safe(text).then(|| Shown {
            text: text.to_string(),
            takes: Some(rest.clone()),
        })
    }
}

/// What a command or a function of ours takes, where nothing of it is written yet.
fn usage(line: &str) -> Option<&'static str> {
    if line.starts_with('\\') {
        let command = line.strip_suffix(' ')?;
        return COMMANDS.iter().find(|c| c.name == command).map(|c| c.takes);
    }
    let all = tokens(line.strip_suffix('(')?);
    let name = all
        .last()
        .filter(|token| token.kind == Kind::Word)?
        .text
        .to_lowercase();
    let function = FUNCTIONS.iter().find(|f| f.name() == name)?;
    function.signature.split_once('(').map(|(_, takes)| takes)
}

impl Highlighter for Typing {
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
            Kind::Word if keyword() => BLUE,
            Kind::Text { .. } => GREEN,
            Kind::Number => CYAN,
            Kind::Comment { .. } => DIM,
            _ => {
                out.push_str(token.text);
                continue;
            }
        };
        out.extend([colour, token.text, PLAIN]);
    }
    out
}

impl Validator for Typing {
    /// Enter ends what is whole, and begins another line of what is not.
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
    fn colours_change_nothing_but_colours() {
        assert_eq!(
            coloured("select 'a', 1 from events"),
            "\x1b[1;34mselect\x1b[0m \x1b[32m'a'\x1b[0m, \x1b[36m1\x1b[0m \x1b[1;34mfrom\x1b[0m events"
        );
    }

    #[test]
    fn usage_is_told_where_it_is_needed() {
        assert_eq!(usage("\\watch "), Some("[SECONDS]"));
        assert_eq!(usage("\\watch 2"), None);
        assert_eq!(
            usage("select glob("),
            Some("text text, pattern text) -> boolean")
        );
        assert_eq!(usage("select count("), None);
    }
}
