//! Reading SQLite leaves no files behind, and invalid rows are refused.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::transcript::{ctrace_query_in, transcript};
use crate::{ask, recording};

/// Creates the directory of [`recording`] with the same recording as `run.sqlite`.
fn sqlite() -> TempDir {
    let dir = recording();
    let said = ask(dir.path(), &["convert", "run.parquet", "run.sqlite"]);
    assert!(said.starts_with("exit code 0"), "{said}");
    dir
}

fn change(dir: &Path, sql: &str) {
    let mut sqlite3 = Command::new("sqlite3");
    let changed = sqlite3.current_dir(dir).args(["run.sqlite", sql]).output();
    let changed = changed.unwrap();
    assert!(changed.status.success(), "{changed:?}");
}

fn count(dir: &Path) -> String {
    let args = [
        "-r",
        "run.sqlite",
        "--format",
        "csv",
        "select count(*) from events",
    ];
    transcript(ctrace_query_in(dir).args(args))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_database_with_a_write_ahead_log_is_read_without_a_trace() {
    let dir = sqlite();
    let closed = count(dir.path());
    change(
        dir.path(),
        "pragma journal_mode = wal; create table other (x)",
    );
    let before = names(dir.path());
    assert_eq!(count(dir.path()), closed);
    assert_eq!(names(dir.path()), before);
    // A copy of a database that is open, with its log but without the index of the log.
    let copy = TempDir::new().unwrap();
    let script = ".shell cp run.sqlite run.sqlite-wal \"$COPY\"";
    let sql = format!("delete from event where id = 1;\n{script}\n");
    fs::write(dir.path().join("script"), sql).unwrap();
    let mut sqlite3 = Command::new("sqlite3");
    let copied = sqlite3
        .current_dir(dir.path())
        .env("COPY", copy.path())
        .args(["run.sqlite", ".read script"])
        .output();
    assert!(copied.unwrap().status.success());
    assert_eq!(names(copy.path()), ["run.sqlite", "run.sqlite-wal"]);
    let answer = count(copy.path());
    assert!(
        answer.starts_with("exit code 0") && answer != closed,
        "{answer}"
    );
    assert_eq!(names(copy.path()), ["run.sqlite", "run.sqlite-wal"]);
}

#[test]
fn a_row_with_an_id_below_1_is_refused() {
    for id in ["0", "-5", "-9223372036854775808"] {
        let dir = sqlite();
        change(
            dir.path(),
            &format!("update event set id = {id} where id = 1"),
        );
        let said = count(dir.path());
        assert!(said.starts_with("exit code 2"), "{id}\n{said}");
        assert!(said.contains("an id less than 1"), "{id}\n{said}");
    }
}
