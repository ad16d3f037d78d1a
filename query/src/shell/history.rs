//! The history of the shell, in a file.

use std::path::{Path, PathBuf};

use ctrace_schema::text::path_text;
use rustyline::Editor;
use rustyline::history::FileHistory;

use crate::messages;
use crate::shell::helper::LineHelper;

pub(crate) const MAX_ENTRIES: usize = 1000;

/// The file of the history; `None`: there is no directory for the file, or it cannot be written.
pub(crate) struct HistoryFile(Option<PathBuf>);

impl HistoryFile {
    /// Loads the history of earlier shells.
    pub(crate) fn load(editor: &mut Editor<LineHelper, FileHistory>) -> Self {
        let Some(path) = history_path() else {
            return HistoryFile(None);
        };
        let created = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let loaded = match (created, path.exists()) {
            (Ok(()), false) => Ok(()),
            (Ok(()), true) => editor.load_history(&path).map_err(|e| e.to_string()),
            (Err(error), _) => Err(error.to_string()),
        };
        match loaded {
            Ok(()) => HistoryFile(Some(path)),
            Err(reason) => {
                warn_unusable(&path, &reason);
                HistoryFile(None)
            }
        }
    }

    /// Adds an input, and appends it to the file at once, because the shell may be killed.
    pub(crate) fn add(&mut self, editor: &mut Editor<LineHelper, FileHistory>, input: &str) {
        let input = input.trim_end();
        let is_new = !input.is_empty() && editor.add_history_entry(input).unwrap_or(false);
        let Some(path) = self.0.as_ref().filter(|_| is_new) else {
            return;
        };
        if let Err(error) = editor.append_history(path) {
            warn_unusable(path, &error.to_string());
            self.0 = None;
        }
    }
}

fn warn_unusable(path: &Path, reason: &str) {
    let path = path_text(path);
    messages::warning(&format!(
        "the history is not saved: cannot use {path}: {reason}"
    ));
}

/// Returns `ctrace/query_history` in the state directory of the XDG Base Directory Specification.
fn history_path() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state =
        variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    Some(state.join("ctrace/query_history"))
}
