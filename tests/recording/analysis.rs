//! The cookbook and the notebook work as published, over the capture in `fixtures/` and with the Python packages of
//! `tests/scripts/requirements.txt`.

use crate::support::command::run;
use crate::support::python::script;
use crate::support::replay::record_fixture;
use std::path::{Path, PathBuf};

/// Returns the path of a file of the repository.
fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Makes the recording of the cookbook and the notebook.
fn recording(dir: &Path) -> PathBuf {
    let path = dir.join("run.parquet");
    record_fixture(&path, &[]);
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

/// Compares random statements from rollups, events, SQLite, segments and DuckDB; `make fuzz-sql` continues with other
/// seeds.
#[test]
fn random_statements_have_the_same_answers_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = script("fuzz_sql.py");
    command.arg(env!("CARGO_BIN_EXE_ctrace-query"));
    command.arg(env!("CARGO_BIN_EXE_ctrace-rec"));
    command
        .arg(dir.path())
        .args(["--seed", "1", "--seconds", "90"]);
    let said = run(&mut command);
    let count = said.split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(count > 30, "{said}");
}

#[test]
fn duckdb_gives_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = script("compare_duckdb.py");
    command.arg(env!("CARGO_BIN_EXE_ctrace-query"));
    command.arg(env!("CARGO_BIN_EXE_ctrace-rec"));
    command.arg(recording(dir.path())).arg(dir.path());
    assert_eq!(run(&mut command).trim(), "21 questions");
}
