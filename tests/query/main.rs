//! `ctrace-query` over small recordings that the tests compose. Needs no privileges and no recorder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support"]
mod support {
    pub(crate) mod bytes;
    pub(crate) mod command;
    pub(crate) mod gaps;
    pub(crate) mod incident;
    pub(crate) mod python;
    pub(crate) mod random;
    pub(crate) mod story;
    pub(crate) mod transcript;
    pub(crate) mod wait;
}

mod answers;
mod bounds;
mod causes;
mod cli;
mod confined;
mod cut;
mod diff;
mod dns;
mod exact;
mod follow;
mod functions;
mod headings;
mod identity;
mod joins;
mod links;
mod player;
mod questions;
mod redact;
mod refusals;
mod replaced;
mod replay;
mod report;
mod rules;
mod safety;
mod shell;
mod sources;
mod sqlite;
mod statements;
mod top;

use serde_json::json;
use std::path::Path;
use support::incident::incident;
use support::story::{Story, footer};
use support::transcript::{ctrace_query_in, transcript};
use tempfile::TempDir;

/// Creates a directory with the recording `run.parquet`, see [`incident`].
fn recording() -> TempDir {
    let dir = TempDir::new().unwrap();
    incident().write(dir.path(), "run.parquet");
    dir
}

/// Returns the transcript of `ctrace-query ARGS` over `run.parquet` in `dir`.
fn ask(dir: &Path, args: &[&str]) -> String {
    transcript(ctrace_query_in(dir).args(["-r", "run.parquet"]).args(args))
}

/// Writes a recording of `count` calls, which replaces the one before. `time` gives the time of each call in ms.
fn write_calls(dir: &Path, count: i64, time: impl Fn(i64) -> i64) {
    let mut story = Story::default();
    footer(&mut story);
    for i in 0..count {
        let who = json!({ "container": "web", "pid": 1, "tid": 1 });
        story.call(time(i), &who, "getpid", i, json!({ "class": "process" }));
    }
    // Like a recorder that closes a file: the file appears in one step.
    story.write(dir, "next");
    std::fs::rename(dir.join("next"), dir.join("run.parquet")).unwrap();
}
