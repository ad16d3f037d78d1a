//! Bounds of memory and time, for any statement.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::story::{Story, footer};
use crate::{ask, recording};

/// Writes a recording of `count` calls with long paths.
fn many_calls(count: i64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut story = Story::default();
    footer(&mut story);
    let who = json!({ "container": "web", "pid": 1, "tid": 1, "comm": "app" });
    for i in 0..count {
        let path = format!("/{:05}/{}", i * 7919 % count, "x".repeat(2000));
        story.call(i, &who, "stat", 0, json!({ "class": "file", "path": path }));
    }
    story.write(dir.path(), "run.parquet");
    dir
}

#[test]
fn too_little_memory_is_an_error_that_says_what_to_do() {
    let dir = many_calls(500);
    let sql = "select length(string_agg(path, ',')) from events cross join (select unnest(range(0, 500)) as i)";
    let said = ask(dir.path(), &["--memory", "64MB", sql]);
    assert!(
        said.starts_with("exit code 2\n--- stderr\nerror: this needs more memory"),
        "{said}"
    );
    assert!(said.contains("--memory"), "{said}");
    let said = ask(dir.path(), &["--memory", "1MB", "select 1"]);
    assert!(
        said.starts_with("exit code 2") && said.contains("at least 64MB"),
        "{said}"
    );
}

#[test]
fn memory_outside_of_sorts_and_joins_is_bounded_too() {
    let dir = recording();
    for sql in [
        "select length(repeat('x', 2000000000))",
        "select length(repeat(path, 20000000)) from events where path is not null",
    ] {
        let said = ask(dir.path(), &["--memory", "64MB", sql]);
        assert!(
            said.starts_with("exit code 2\n--- stderr\nerror: this needs more memory"),
            "{sql}\n{said}"
        );
    }
}

#[test]
fn long_chains_are_refused_in_a_sentence() {
    let dir = recording();
    let tables: Vec<_> = (0..40)
        .map(|i| format!("t{} as (select a.pid from t{i} a, t{i} b)", i + 1))
        .collect();
    for (sql, said) in [
        (format!("select {}", vec!["1"; 10_000].join("+")), "chain"),
        (
            format!(
                "select count(*) from events where {}",
                vec!["pid = 1"; 8000].join(" or ")
            ),
            "chain",
        ),
        (format!("select 1{}", "::bigint".repeat(50_000)), "chain"),
        (vec!["select 1, 2"; 20_000].join(" union all "), "chain"),
        (format!("select {}", "a".repeat(5_000_000)), "too long"),
        (format!("select 1 from {}", "a".repeat(50_000)), "too long"),
        (
            format!(
                "with t0 as (select pid from events), {} select count(*) from t40",
                tables.join(", ")
            ),
            "reads tables more than",
        ),
    ] {
        let path = dir.path().join("statement.sql");
        std::fs::write(&path, &sql).unwrap();
        let answer = ask(dir.path(), &["-f", "statement.sql"]);
        assert!(
            answer.starts_with("exit code 2\n--- stderr\nerror: "),
            "{sql:.60}\n{answer:.300}"
        );
        assert!(answer.contains(said), "{sql:.60}\n{answer:.300}");
    }
}

#[test]
fn chains_within_the_bounds_are_answered() {
    let dir = recording();
    let one_of: Vec<_> = (0..400).map(|i| format!("pid = {i}")).collect();
    let sum = vec!["pid"; 300].join(" + ");
    for sql in [
        format!("select count(*) from events where {}", one_of.join(" or ")),
        format!("select max({sum}) from events"),
    ] {
        let answer = ask(dir.path(), &[&sql]);
        assert!(answer.starts_with("exit code 0"), "{answer:.300}");
    }
}

#[test]
fn a_timeout_ends_a_statement() {
    let dir = recording();
    let sql = "select count(*) from (select unnest(range(0, 100000)) as a) cross join (select unnest(range(0, 100000)) as b) cross join (select unnest(range(0, 100000)) as c) where a * b % 7 = c % 11";
    let start = Instant::now();
    let said = ask(dir.path(), &["--timeout", "0.5", sql]);
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(
        said,
        "exit code 2\n--- stderr\nerror: there is no answer after 0.5 seconds (--timeout): select less, as with --since, --until and --container, or allow more time\n"
    );
    let said = ask(
        dir.path(),
        &["--timeout", "60", "--format", "csv", "select 1 as one"],
    );
    assert_eq!(said, "exit code 0\n--- stdout\none\n1\n");
    let said = ask(dir.path(), &["--timeout", "0", "select 1"]);
    assert!(
        said.starts_with("exit code 2") && said.contains("write a number of seconds"),
        "{said}"
    );
}
