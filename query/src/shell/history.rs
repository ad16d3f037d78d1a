//! What was asked before, kept in a file.

use std::path::{Path, PathBuf};

use rustyline::Editor;
use rustyline::history::FileHistory;

use crate::shell::helper::Typing;
use crate::output::say;

/// How many entries are kept.
pub const MOST: usize = 1000;

/// The file of the history; none where it has no place, or cannot be written.
pub struct History(Option<PathBuf>);

impl History {
    /// Reads what was kept before.
    pub fn load(editor: &mut Editor<Typing, FileHistory>) -> Self {
        let Some(path) = place() else {
            return History(None);
        };
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let loaded = match (made, path.exists()) {
            (Ok(()), false) => Ok(()),
            (Ok(()), true) => editor.load_history(&path).map_err(|e| e.to_string()),
            (Err(error), _) => Err(error.to_string()),
        };
        match loaded {
            Ok(()) => History(Some(path)),
            Err(reason) => {
                refused(&path, &reason);
                History(None)
            }
        }
    }

    /// Adds what was typed. It is in the file at once: a shell may be killed.
    pub fn add(&mut self, editor: &mut Editor<Typing, FileHistory>, input: &str) {
        let input = input.trim_end();
        let new = !input.is_empty() && editor.add_history_entry(input).unwrap_or(false);
        let Some(path) = self.0.as_ref().filter(|_| new) else {
            return;
        };
        if let Err(error) = editor.append_history(path) {
            refused(path, &error.to_string());
            self.0 = None;
        }
    }
}

fn refused(path: &Path, reason: &str) {
    let path = path.display();
    say(
        "warning",
        &format!("the history is not kept: cannot use {path}: {reason}"),
    );
}

/// `ctrace/query_history` in the directory for state (XDG Base Directory Specification).
fn place() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("ctrace/query_history"))
}
