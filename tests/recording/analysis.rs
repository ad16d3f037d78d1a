//! The cookbook, the notebooks and the examples of the documentation work as published, over the captures in `fixtures/` and
//! with the Python packages of `tests/scripts/requirements.txt`.

use crate::support::command::run;
use crate::support::programs::ctrace_query;
use crate::support::python::script;
use crate::support::replay::{record_fixture, replay};
use std::fs;
use std::path::{Path, PathBuf};

/// The notebooks, and the number of plots of each.
const NOTEBOOKS: &[(&str, u32)] = &[
    ("first-look.ipynb", 4),
    ("network-and-files.ipynb", 4),
    ("two-runs.ipynb", 3),
];

/// Returns the path of a file of the repository.
fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Makes the recording of the cookbook.
fn recording(dir: &Path) -> PathBuf {
    let path = dir.join("run.parquet");
    record_fixture(&path, &[]);
    path
}

#[test]
fn the_cookbook_gives_the_answers_that_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    for page in [
        "README.md",
        "processes.md",
        "files.md",
        "network.md",
        "calls.md",
    ] {
        let mut command = script("cookbook.py");
        command
            .arg(env!("CARGO_BIN_EXE_ctrace-query"))
            .arg(&recording);
        run(command.arg(here("docs/cookbook").join(page)));
    }
}

/// Returns the directory of the programs.
fn programs() -> &'static Path {
    let query = Path::new(env!("CARGO_BIN_EXE_ctrace-query"));
    query.parent().unwrap()
}

/// Executes a notebook over the recordings that environment variables name, or else over its example, and checks the number of
/// plots.
fn execute(name: &str, recordings: &[(&str, &Path)]) {
    let (_, plots) = NOTEBOOKS.iter().find(|(known, _)| *known == name).unwrap();
    let mut command = script("notebook.py");
    command.arg(programs()).arg(here("notebooks").join(name));
    for (variable, recording) in recordings {
        command.arg(format!("{variable}={}", recording.display()));
    }
    assert_eq!(run(&mut command).trim(), format!("{plots} plots"), "{name}");
}

#[test]
fn each_notebook_gives_the_outputs_that_it_shows() {
    let files = fs::read_dir(here("notebooks")).unwrap();
    let mut found: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".ipynb"))
        .collect();
    found.sort();
    let known: Vec<_> = NOTEBOOKS.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, known);
    for name in known {
        execute(name, &[]);
    }
}

#[test]
fn each_notebook_runs_over_other_recordings() {
    let dir = tempfile::tempdir().unwrap();
    let demo = recording(dir.path());
    let part = dir.path().join("part.parquet");
    let shop = dir.path().join("segments/");
    run(replay(&here("fixtures/shop-1.raw"), &shop).arg("--quiet"));
    let mut cut = ctrace_query();
    cut.arg("-r").arg(&demo).arg("cut").arg("-o").arg(&part);
    run(cut.args(["--container", "demo-web"]));
    execute("first-look.ipynb", &[("CTRACE_RECORDING", &shop)]);
    execute("network-and-files.ipynb", &[("CTRACE_RECORDING", &demo)]);
    execute("network-and-files.ipynb", &[("CTRACE_RECORDING", &part)]);
    execute("two-runs.ipynb", &[("CTRACE_RECORDING", &demo)]);
    let both: [(&str, &Path); 2] = [("CTRACE_BASELINE", &shop), ("CTRACE_RECORDING", &part)];
    execute("two-runs.ipynb", &both);
}

#[test]
fn the_examples_of_the_documentation_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = script("examples.py");
    let said = run(command.arg(programs()).arg(dir.path()));
    let count = said.split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(count > 80, "{said}");
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
        .args(["--seed", "1", "--seconds", "60"]);
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
