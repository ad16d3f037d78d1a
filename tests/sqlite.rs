//! A recording in SQLite holds what the same recording in Parquet holds.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// The stdout of a command that must succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!("{command:?}: {e}; `packaging/setup.sh test` installs it");
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The capture in `fixtures/`, replayed into `dir`/`name`.
fn replay(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-rec"));
    run(command
        .arg("--from-raw")
        .arg(capture)
        .arg("--out")
        .arg(&path));
    path
}

/// The rows that `ctrace-query` gives, without their nulls, in an order that depends on nothing but them.
fn query(recording: &Path, sql: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-query"));
    command.arg("-r").arg(recording);
    rows(&run(command.args(["--format", "json", sql])))
}

/// The rows that plain `sqlite3` gives, likewise.
fn sqlite3(recording: &Path, sql: &str) -> Vec<String> {
    rows(&run(Command::new("sqlite3")
        .arg("-json")
        .arg(recording)
        .arg(sql)))
}

fn rows(json: &str) -> Vec<String> {
    // sqlite3 prints nothing where there is no row.
    let rows: Vec<Value> = if json.trim().is_empty() {
        vec![]
    } else {
        serde_json::from_str(json).unwrap()
    };
    let mut rows: Vec<String> = rows
        .into_iter()
        .map(|mut row| {
            let columns = row.as_object_mut().unwrap();
            columns.retain(|_, value| !value.is_null());
            row.to_string()
        })
        .collect();
    rows.sort_unstable();
    rows
}

/// `events` and the views, each with its columns as SQLite stores them: times and booleans are numbers.
fn tables(recording: &Path) -> Vec<(&'static str, String)> {
    let views = ctrace_schema::views::VIEWS.iter().map(|v| v.name);
    let columns = |table: &str| {
        let described = query(recording, &format!("describe {table}"));
        let column = |row: &String| {
            let row: Value = serde_json::from_str(row).unwrap();
            let name = row["column"].as_str().unwrap().to_owned();
            match row["type"].as_str().unwrap() {
                "timestamp" | "boolean" => format!("cast({name} as bigint) as {name}"),
                _ => name,
            }
        };
        described.iter().map(column).collect::<Vec<_>>().join(", ")
    };
    let tables = std::iter::once("events").chain(views);
    tables.map(|table| (table, columns(table))).collect()
}

#[test]
fn plain_sqlite3_shows_every_view() {
    let dir = tempfile::tempdir().unwrap();
    let (parquet, sqlite) = (replay(&dir, "a.parquet"), replay(&dir, "a.sqlite"));
    for (table, columns) in tables(&parquet) {
        let sql = format!("select {columns} from {table}");
        let rows = sqlite3(&sqlite, &sql);
        assert!(!rows.is_empty() || table == "gaps", "{table} has no rows");
        assert!(rows == query(&parquet, &sql), "{table} differs");
    }
    let meta = "select key, value from meta";
    assert_eq!(
        sqlite3(&sqlite, meta),
        query(&parquet, &format!("{meta} where key like 'ctrace.%'"))
    );
}

#[test]
fn a_finished_recording_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    replay(&dir, "a.sqlite");
    let files: Vec<_> = dir.path().read_dir().unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}
