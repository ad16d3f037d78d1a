//! What analysts are shown, the cookbook and the notebook, works as it stands there: over the capture in `fixtures/`, with
//! the Python packages of `tests/requirements.txt`.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

#[path = "common/programs.rs"]
mod programs;

use programs::{ctrace_rec, fixture, script};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The stdout of a command that must succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!("{command:?}: {e}; `packaging/setup.sh test` installs it");
    });
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {stdout}{stderr}");
    stdout.into_owned()
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The recording that the pages are about.
fn recording(dir: &Path) -> PathBuf {
    let path = dir.join("run.parquet");
    let mut command = ctrace_rec();
    run(command
        .arg("--from-raw")
        .arg(fixture())
        .arg("--out")
        .arg(&path));
    path
}

#[test]
fn the_cookbook_gives_the_answers_that_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let query = env!("CARGO_BIN_EXE_ctrace-query");
    let mut command = script("cookbook.py");
    command.arg(query).arg(recording(dir.path()));
    run(command
        .arg(here("docs/cookbook.md"))
        .arg(here("schema/src/views")));
}

#[test]
fn the_notebook_runs_and_shows_its_plots() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = script("notebook.py");
    command.arg(here("notebooks/first-look.ipynb"));
    let query = Path::new(env!("CARGO_BIN_EXE_ctrace-query"));
    command
        .arg(recording(dir.path()))
        .arg(query.parent().unwrap());
    assert_eq!(run(&mut command).trim(), "4 plots");
}

#[test]
fn duckdb_gives_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = script("beside_duckdb.py");
    command.arg(env!("CARGO_BIN_EXE_ctrace-query"));
    command.arg(env!("CARGO_BIN_EXE_ctrace-rec"));
    command.arg(recording(dir.path())).arg(dir.path());
    assert_eq!(run(&mut command).trim(), "20 questions");
}
