//! A redactor that remembers texts, because the texts of a recording repeat.

use std::collections::HashMap;
use std::sync::Arc;

use crate::redactor::{Redacted, Redactor};

/// Bytes of the texts that are remembered. When there are more, all are forgotten.
const MAX_BYTES: usize = 4 << 20;
/// Bytes of an entry besides its text.
const ENTRY_BYTES: usize = 64;

/// A redactor, and its answers so far.
#[derive(Debug)]
pub struct RedactionCache {
    redactor: Arc<Redactor>,
    answers: HashMap<&'static str, HashMap<Box<str>, Option<Redacted>>>,
    bytes: usize,
}

impl RedactionCache {
    /// Creates a cache without answers.
    pub fn new(redactor: Arc<Redactor>) -> RedactionCache {
        RedactionCache {
            redactor,
            answers: HashMap::new(),
            bytes: 0,
        }
    }

    /// Returns the redactor.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Redacts a value of a text column, as [`Redactor::text`] does.
    pub fn text(&mut self, column: &'static str, text: &str) -> Option<Redacted> {
        if !self.redactor.applies_to(column) {
            return None;
        }
        if let Some(answer) = self.answers.get(column).and_then(|known| known.get(text)) {
            return answer.clone();
        }
        let answer = self.redactor.text(column, text);
        let new = answer.as_ref().map_or(0, |redacted| redacted.text.len());
        self.bytes += text.len() + new + ENTRY_BYTES;
        if self.bytes > MAX_BYTES {
            self.answers.clear();
            self.bytes = 0;
        }
        let known = self.answers.entry(column).or_default();
        known.insert(text.into(), answer.clone());
        answer
    }

    /// Redacts the value of `path_arg` in a row. If a part of `path` was replaced, and no rule finds anything in `path_arg`, all of
    /// `path_arg` is replaced: it is another name of the same file, such as one relative to a directory.
    pub fn path_arg(&mut self, path: Option<&str>, path_arg: &str) -> Option<Redacted> {
        let own = self.text("path_arg", path_arg);
        let path = path.filter(|path| own.is_none() && *path != path_arg);
        match path.and_then(|path| self.text("path", path)) {
            Some(of_path) => self.redactor.as_a_whole(of_path, path_arg),
            None => own,
        }
    }
}
