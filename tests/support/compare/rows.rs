//! The rows of a recording in JSON lines.

use serde::Deserialize;
use std::fs;
use std::path::Path;

/// The columns that the tests compare.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) kind: String,
    pub(crate) action: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) pid: i64,
    pub(crate) tid: i64,
    pub(crate) comm: String,
    pub(crate) syscall: String,
    pub(crate) compat: bool,
    pub(crate) denied: bool,
    pub(crate) ret: Option<i64>,
    pub(crate) duration: Option<i64>,
    pub(crate) error: Option<String>,
    pub(crate) arg0: Option<i64>,
    pub(crate) arg1: Option<i64>,
    pub(crate) arg2: Option<i64>,
    pub(crate) arg3: Option<i64>,
    pub(crate) arg4: Option<i64>,
    pub(crate) arg5: Option<i64>,
    pub(crate) path: Option<String>,
    pub(crate) path_arg: Option<String>,
    pub(crate) path2: Option<String>,
    pub(crate) dev: Option<String>,
    pub(crate) inode: Option<i64>,
    pub(crate) family: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) local_addr: Option<String>,
    pub(crate) local_port: Option<i64>,
    pub(crate) peer_addr: Option<String>,
    pub(crate) peer_port: Option<i64>,
    pub(crate) peer_path: Option<String>,
    pub(crate) dns_name: Option<String>,
    pub(crate) argv: Option<String>,
    pub(crate) child_pid: Option<i64>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) exit_signal: Option<i64>,
    pub(crate) lost: Option<i64>,
}

impl Row {
    /// Returns an argument by its index.
    pub(crate) fn arg(&self, i: usize) -> Option<i64> {
        [
            self.arg0, self.arg1, self.arg2, self.arg3, self.arg4, self.arg5,
        ][i]
    }
}

/// Reads the rows of a container from a file of JSON lines.
pub(crate) fn read(path: &Path, container: &str) -> Vec<Row> {
    let text = fs::read_to_string(path).unwrap();
    let rows = text
        .lines()
        .map(|l| serde_json::from_str::<Row>(l).unwrap());
    rows.filter(|r| r.container.as_deref() == Some(container))
        .collect()
}
