//! Rollups of recordings give the answers that the events give.

mod forged;
mod statements;

use crate::support::incident::incident;
use crate::support::replay::record_fixture;
use crate::support::story::QUESTIONS;
use crate::support::transcript::{ctrace_query_in, transcript};
use statements::statements;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Records the fixture into a directory.
fn record(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    record_fixture(&path, &["--quiet"]);
    path
}

/// Records the fixture into a directory, and cuts off the end of the file like a killed recorder.
fn record_unclosed(dir: &Path, name: &str) {
    let path = record(dir, name);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 8]).unwrap();
}

/// Returns the transcript of `ctrace-query --format csv ARGS`, which must succeed. `rules` may also report an alert.
fn ask(dir: &Path, args: &[&str]) -> String {
    let answer = transcript(ctrace_query_in(dir).args(["--format", "csv"]).args(args));
    let alert = args[0] == "rules" && answer.starts_with("exit code 1");
    assert!(
        alert || answer.starts_with("exit code 0"),
        "{args:?}: {answer}"
    );
    answer
}

/// Returns the tables that the plan of a statement scans.
fn tables(dir: &Path, recording: &str, sql: &str) -> Vec<String> {
    let plan = ask(dir, &["-r", recording, &format!("explain {sql}")]);
    let scans = plan.split("TableScan: ").skip(1);
    let name = |scan: &str| scan.split([' ', '\\', '\n']).next().unwrap().to_string();
    scans.map(name).collect()
}

/// Checks that statements have the same answers with and without rollups. Returns how many statements rollups answered.
fn compare(dir: &Path, recordings: &[&str], statements: &[String]) -> usize {
    let from: Vec<&str> = recordings.iter().flat_map(|r| ["-r", r]).collect();
    let asked = |args: &[&str]| ask(dir, &[&from, args].concat());
    let mut answered = 0;
    for some in statements.chunks(24) {
        let each =
            |(i, sql): (usize, &String)| format!("select {i} as number, q.* from ({sql}) as q");
        let each: Vec<String> = some.iter().enumerate().map(each).collect();
        let sql = format!("{} order by 1, 2, 3, 4", each.join(" union all "));
        let (with, without) = (asked(&[&sql]), asked(&[&sql, "--no-rollups"]));
        let differs = with.lines().zip(without.lines()).find(|(a, b)| a != b);
        if let Some((with, without)) = differs {
            let number: usize = with.split(',').next().unwrap().parse().unwrap();
            panic!("{with} and not {without}: {}", some[number]);
        }
        assert_eq!(with.len(), without.len(), "{sql}");
        let plan = asked(&[&format!("explain {sql}")]);
        let logical = plan.split("physical_plan").next().unwrap();
        answered += logical.matches("TableScan: rollup_").count();
    }
    answered
}

#[test]
fn rollups_give_the_answers_of_the_events() {
    let dir = TempDir::new().unwrap();
    record(dir.path(), "demo.parquet");
    let statements = statements(120);
    let answered = compare(dir.path(), &["demo.parquet"], &statements);
    assert!(
        answered > 30,
        "only {answered} of {} statements",
        statements.len()
    );
}

#[test]
fn files_without_rollups_are_read_together_with_the_others() {
    let dir = TempDir::new().unwrap();
    record(dir.path(), "demo.parquet");
    record(dir.path(), "second.parquet");
    incident().write(dir.path(), "incident.parquet");
    let all = ["demo.parquet", "second.parquet", "incident.parquet"];
    let answered = compare(dir.path(), &all, &statements(48));
    assert!(answered > 10, "only {answered}");
}

#[test]
fn unclosed_files_and_sqlite_are_read_together_with_the_others() {
    let dir = TempDir::new().unwrap();
    record(dir.path(), "demo.parquet");
    record(dir.path(), "old.sqlite");
    record_unclosed(dir.path(), "cut.parquet");
    let all = ["demo.parquet", "cut.parquet", "old.sqlite"];
    let answered = compare(dir.path(), &all, &statements(24));
    assert!(answered > 5, "only {answered}");
}

/// Statements that one rollup answers, and its name.
const ONE_ROLLUP: &[(&str, &str)] = &[
    (
        "calls",
        "select syscall, ret < 0, sum(bytes), max(duration) from events group by 1, 2 order by 1, 2",
    ),
    (
        "latency",
        "select syscall, p50(duration), p99(duration) from events group by 1 order by 1",
    ),
    (
        "activity",
        "select date_trunc('minute', time), count(error) from events group by 1 order by 1",
    ),
    (
        "directories",
        "select split_part(path, '/', 3), min(time) from events where path is not null group by 1 order by 1",
    ),
    (
        "files",
        "select path, comm, count(*) from events where path is not null group by 1, 2 order by 1, 2",
    ),
];

#[test]
fn converted_and_recovered_files_have_rollups() {
    let dir = TempDir::new().unwrap();
    record_unclosed(dir.path(), "cut.parquet");
    record(dir.path(), "demo.sqlite");
    let done = |args: &[&str]| {
        let output = transcript(ctrace_query_in(dir.path()).args(args));
        assert!(output.starts_with("exit code 0"), "{output}");
    };
    done(&["recover", "cut.parquet"]);
    done(&["convert", "demo.sqlite", "converted.parquet"]);
    record(dir.path(), "demo.parquet");
    for made in ["cut.parquet", "converted.parquet"] {
        let answered = compare(dir.path(), &[made], &statements(48));
        assert!(answered > 10, "{made}: only {answered}");
        for (rollup, sql) in ONE_ROLLUP {
            let name = [format!("rollup_{rollup}")];
            assert_eq!(tables(dir.path(), made, sql), name, "{made}");
            assert_eq!(tables(dir.path(), "demo.parquet", sql), name);
            let answer = |file| ask(dir.path(), &["-r", file, sql]);
            assert_eq!(answer(made), answer("demo.parquet"), "{sql}");
        }
    }
}

#[test]
fn ready_questions_have_the_same_answers() {
    let dir = TempDir::new().unwrap();
    record(dir.path(), "demo.parquet");
    for question in QUESTIONS {
        for more in [
            &[][..],
            &["--container", "demo-web"],
            &["--since", "13:52:54"],
        ] {
            let mut args = vec![*question, "-r", "demo.parquet"];
            args.extend(more);
            let with = ask(dir.path(), &args);
            args.push("--no-rollups");
            assert_eq!(with, ask(dir.path(), &args), "{args:?}");
        }
    }
    let shown = ask(dir.path(), &["summary", "--show-sql", "-r", "demo.parquet"]);
    let sql = shown.split_once("--- stdout\n").unwrap().1;
    let read = tables(dir.path(), "demo.parquet", sql);
    // Rules, failures with their subjects, calls that wait, programs from outside, and rows of rare kinds read events.
    let of_rollups = read.iter().filter(|t| t.starts_with("rollup_")).count();
    let of_events = read.iter().filter(|t| *t == "events").count();
    assert!(of_rollups >= 10 && of_events <= 15, "{read:?}");
}

#[test]
fn the_smallest_rollup_that_answers_is_read() {
    let dir = TempDir::new().unwrap();
    record(dir.path(), "demo.parquet");
    let prefix = "split_part(path, '/', 2) || '/' || split_part(path, '/', 3)";
    for (from, group, sum, filter) in [
        ("latency", "syscall", "p99(duration)", "syscall is not null"),
        ("programs", "path", "min(time)", "syscall = 'execve'"),
        (
            "destinations",
            "peer_port",
            "sum(bytes)",
            "syscall in ('connect', 'sendto')",
        ),
        (
            "sources",
            "peer_addr",
            "count(*)",
            "syscall in ('accept4', 'recvfrom')",
        ),
        ("directories", prefix, "max(time)", "path is not null"),
        (
            "directories",
            "container",
            "count(*)",
            "path like '/usr/lib/%'",
        ),
        ("files", "container", "count(*)", "path like '/usr/lib/x%'"),
    ] {
        let sql = format!("select {group}, {sum} from events where {filter} group by 1");
        let read = tables(dir.path(), "demo.parquet", &sql);
        assert_eq!(read, [format!("rollup_{from}")], "{sql}");
    }
}
