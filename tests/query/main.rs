//! `ctrace-query` over small recordings that the tests compose. Needs no privileges and no recorder.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops with the reason"
)]

#[path = "../support"]
mod support {
    pub mod gaps;
    pub mod incident;
    pub mod story;
    pub mod transcript;
}

mod answers;
mod cli;
mod follow;
mod functions;
mod safety;
mod shell;
mod sources;

use std::path::Path;
use support::incident::incident;
use support::transcript::{ctrace_query_in, transcript};
use tempfile::TempDir;

/// A directory with the recording `run.parquet`, see [`incident`].
fn recording() -> TempDir {
    let dir = TempDir::new().unwrap();
    incident().write(dir.path(), "run.parquet");
    dir
}

/// The transcript of `ctrace-query ARGS` over `run.parquet` in `dir`.
fn ask(dir: &Path, args: &[&str]) -> String {
    transcript(ctrace_query_in(dir).args(["-r", "run.parquet"]).args(args))
}
