//! Recordings made by replaying captures, which needs no privileges, and the answers over them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support"]
mod support {
    pub(crate) mod bytes;
    pub(crate) mod capture;
    pub(crate) mod command;
    pub(crate) mod dump;
    pub(crate) mod incident;
    pub(crate) mod metrics;
    pub(crate) mod paused;
    pub(crate) mod programs;
    pub(crate) mod python;
    pub(crate) mod random;
    pub(crate) mod refusal;
    pub(crate) mod replay;
    pub(crate) mod story;
    pub(crate) mod transcript;
    pub(crate) mod wait;
}

mod analysis;
mod faults;
mod hostile_files;
mod hostile_metrics;
mod killed;
mod mishaps;
mod played;
mod proof;
mod redact;
mod replay;
mod ring;
mod rollups;
mod segments;
mod service;
mod sqlite;

use std::path::Path;
use support::command::succeeds;
use support::programs::ctrace_query;

/// Returns the number of events in a recording and the stderr of `ctrace-query`.
fn count(path: &Path) -> (u64, String) {
    let mut command = ctrace_query();
    command
        .arg("-r")
        .arg(path)
        .args(["--format", "tsv", "select count(*) from events"]);
    let output = succeeds(&mut command);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let number = stdout.lines().nth(1).unwrap().parse().unwrap();
    (number, String::from_utf8(output.stderr).unwrap())
}
