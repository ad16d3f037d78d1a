//! The answers of views and ready questions over a small recording.
// A failure to set up should stop the test.
#![allow(clippy::unwrap_used)]

mod query_support;

use std::path::Path;

use insta::assert_snapshot;
use query_support::{QUESTIONS, ask, incident};
use tempfile::TempDir;

fn recording() -> TempDir {
    let dir = TempDir::new().unwrap();
    incident().write(dir.path(), "run.parquet");
    dir
}

#[test]
fn ready_questions() {
    let dir = recording();
    for question in QUESTIONS {
        assert_snapshot!(*question, ask(dir.path(), &[question]));
    }
}

#[test]
fn sql_that_is_shown_gives_the_same_answer() {
    let dir = recording();
    let narrow = [
        "--container",
        "web,client",
        "--since",
        "03:12:01",
        "--until",
        "2026-11-21 03:12:20",
        "--limit",
        "4",
    ];
    for question in QUESTIONS {
        let args = [&[*question][..], &narrow].concat();
        let sql = ask(dir.path(), &[&args[..], &["--show-sql"]].concat());
        let sql = sql
            .strip_prefix("exit code 0\n--- stdout\n")
            .unwrap_or_else(|| panic!("{question}: {sql}"));
        assert_eq!(
            ask(dir.path(), &[sql]),
            ask(dir.path(), &args),
            "{question}: {sql}"
        );
    }
}

#[test]
fn views() {
    let dir = recording();
    for view in ctrace_schema::views::VIEWS {
        let sql = format!(
            "select * from {} order by 1, 2, 3, 4, 5, 6, 7, 8",
            view.name
        );
        let sql = if view.name == "syscalls" || view.name == "files" {
            format!("select * from {} order by seq limit 4", view.name)
        } else {
            sql
        };
        assert_snapshot!(
            format!("view_{}", view.name),
            ask(dir.path(), &["--format", "csv", &sql])
        );
        assert_snapshot!(
            format!("describe_{}", view.name),
            ask(dir.path(), &["describe", view.name])
        );
    }
}

#[test]
fn every_column_of_every_table_is_described() {
    let dir = recording();
    let tables = ctrace_schema::views::VIEWS.iter().map(|v| v.name);
    for table in tables.chain(["events", "meta"]) {
        let answer = ask(dir.path(), &["--format", "ndjson", "describe", table]);
        assert!(answer.starts_with("exit code 0"), "{answer}");
        assert!(!answer.contains("\"comment\":\"\""), "{table}: {answer}");
    }
}

#[test]
fn narrowed_questions() {
    let dir = recording();
    let count = |args: &[&str]| {
        let answer = ask(dir.path(), &[args, &["--format", "tsv"]].concat());
        assert!(answer.starts_with("exit code 0"), "{answer}");
        answer.lines().count() - 3
    };
    assert_eq!(count(&["containers"]), 3);
    assert_eq!(count(&["containers", "-c", "w*"]), 2);
    assert_eq!(count(&["containers", "-c", "?eb"]), 1);
    assert_eq!(count(&["containers", "-c", "c11e"]), 1);
    assert_eq!(count(&["containers", "-c", "web", "-c", "client"]), 2);
    assert_eq!(count(&["containers", "-c", "nobody"]), 0);
    assert_eq!(count(&["containers", "--limit", "1"]), 1);
    // The recording ends at 03:13: 03:12:08 and later is the client's end alone.
    assert_eq!(count(&["containers", "--since", "52s"]), 1);
    assert_eq!(count(&["processes", "--until", "03:12:01.005"]), 0);
    assert_eq!(count(&["links", "-c", "worker"]), 3);
}

#[test]
fn two_recordings_are_one_table() {
    let dir = recording();
    incident().write(dir.path(), "again.parquet");
    let sql = "select count(*) from events";
    let one: i64 = number(dir.path(), &[sql]);
    assert_eq!(number(dir.path(), &["-r", "again.parquet", sql]), 2 * one);
    assert_eq!(
        number(dir.path(), &["select count(*) from 'again.parquet'"]),
        one
    );
    assert_eq!(
        number(
            dir.path(),
            &["select count(*) from events e join 'again.parquet' a using (seq)"]
        ),
        one
    );
}

fn number(dir: &Path, args: &[&str]) -> i64 {
    let answer = ask(dir, args);
    answer
        .lines()
        .last()
        .unwrap()
        .trim()
        .parse()
        .unwrap_or_else(|e| panic!("{e}: {answer}"))
}

#[test]
fn gaps_are_warned_of_where_they_touch_the_answer() {
    let dir = TempDir::new().unwrap();
    let mut story = incident();
    story.gap(3000, Some("web"), "file", 1234);
    story.write(dir.path(), "run.parquet");
    let warning = |args: &[&str]| {
        let answer = ask(dir.path(), args);
        assert!(answer.starts_with("exit code 0"), "{answer}");
        answer
            .split_once("warning: ")
            .map(|(_, warning)| warning.to_string())
    };
    assert_snapshot!(warning(&["select count(*) from events"]).unwrap(), @"1,234 events were lost between 2026-11-21 03:12:03.000 and 2026-11-21 03:12:03.500 (container web, class file): this answer may be incomplete");
    let touched: &[&[&str]] = &[
        &["files"],
        &["processes"],
        &["links"],
        &["files", "--container", "web"],
        &["files", "--since", "03:12:03.400"],
        &["files", "--until", "03:12:03"],
        &["select count(*) from events where class = 'file' and syscall = 'read'"],
        &["select container, count(*) from syscalls group by 1"],
    ];
    for args in touched {
        assert!(warning(args).is_some(), "{args:?}");
    }
    let spared: &[&[&str]] = &[
        &["gaps"],
        &["files", "--container", "client"],
        &["files", "--since", "03:12:03.501"],
        &["files", "--until", "03:12:02"],
        &["select count(*) from events where class = 'network'"],
        &["select 1"],
        &["explain select * from events"],
    ];
    for args in spared {
        assert_eq!(warning(args), None, "{args:?}");
    }
}
