//! The rows of a recording in JSON lines.

use serde::Deserialize;
use std::fs;
use std::path::Path;

/// The columns that the tests compare.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row {
    pub seq: i64,
    pub kind: String,
    pub action: Option<String>,
    pub class: Option<String>,
    pub container: Option<String>,
    pub pid: i64,
    pub tid: i64,
    pub comm: String,
    pub syscall: String,
    pub compat: bool,
    pub denied: bool,
    pub ret: Option<i64>,
    pub duration: Option<i64>,
    pub error: Option<String>,
    pub arg0: Option<i64>,
    pub arg1: Option<i64>,
    pub arg2: Option<i64>,
    pub arg3: Option<i64>,
    pub arg4: Option<i64>,
    pub arg5: Option<i64>,
    pub path: Option<String>,
    pub path_arg: Option<String>,
    pub path2: Option<String>,
    pub dev: Option<String>,
    pub inode: Option<i64>,
    pub family: Option<String>,
    pub protocol: Option<String>,
    pub local_addr: Option<String>,
    pub local_port: Option<i64>,
    pub peer_addr: Option<String>,
    pub peer_port: Option<i64>,
    pub peer_path: Option<String>,
    pub dns_name: Option<String>,
    pub argv: Option<String>,
    pub child_pid: Option<i64>,
    pub exit_code: Option<i64>,
    pub exit_signal: Option<i64>,
    pub lost: Option<i64>,
}

impl Row {
    /// Returns an argument by its index.
    pub fn arg(&self, i: usize) -> Option<i64> {
        [
            self.arg0, self.arg1, self.arg2, self.arg3, self.arg4, self.arg5,
        ][i]
    }
}

/// Reads the rows of a container from a file of JSON lines.
pub fn read(path: &Path, container: &str) -> Vec<Row> {
    let text = fs::read_to_string(path).unwrap();
    let rows = text
        .lines()
        .map(|l| serde_json::from_str::<Row>(l).unwrap());
    rows.filter(|r| r.container.as_deref() == Some(container))
        .collect()
}
