//! `ctrace-query replay` of recordings of the recorder, beside what the recorder prints live.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::command::run;
use super::support::programs::{ctrace_query, ctrace_rec};
use super::support::replay::{fixture, record_fixture};

/// Returns the lines that the recorder prints.
fn live(format: &str) -> Vec<String> {
    let mut command = ctrace_rec();
    command
        .arg("--from-raw")
        .arg(fixture())
        .args(["--format", format, "--quiet"]);
    lines(&mut command)
}

fn played(recording: &Path, args: &[&str]) -> Vec<String> {
    let mut command = ctrace_query();
    command
        .arg("-r")
        .arg(recording)
        .args(["replay", "--speed", "max", "--setup"]);
    lines(command.args(args))
}

fn lines(command: &mut Command) -> Vec<String> {
    run(command).lines().map(str::to_string).collect()
}

/// Sorts events by their time and number.
fn sorted(lines: &[String]) -> Vec<Value> {
    let mut events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    events.sort_by_key(|event| {
        let time = event["time"].as_str().unwrap().replace('Z', "");
        (time, event["seq"].as_i64().unwrap())
    });
    events
}

#[test]
fn replayed_lines_are_those_of_the_recorder() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["run.parquet", "run.sqlite"] {
        let recording = dir.path().join(name);
        record_fixture(&recording, &[]);
        let (mut live_lines, mut played_lines) = (live("table"), played(&recording, &[]));
        assert!(played_lines.len() > 3000);
        // Live, calls are lines when they return; replayed, when they began.
        let clocks: Vec<_> = played_lines.iter().map(|line| &line[..15]).collect();
        assert!(clocks.is_sorted());
        live_lines.sort();
        played_lines.sort();
        assert_eq!(live_lines, played_lines, "{name}");
        // As JSON, the events are equal in all columns.
        let replayed = played(&recording, &["--format", "json"]);
        let events: Vec<Value> = replayed
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(events, sorted(&replayed), "{name}");
        assert_eq!(events, sorted(&live("json")), "{name}");
    }
}

#[test]
fn a_directory_of_segments_is_one_replay() {
    let dir = tempfile::tempdir().unwrap();
    let segments = dir.path().join("segments");
    record_fixture(&segments.join(""), &["--rotate", "400ms"]);
    let whole = dir.path().join("run.parquet");
    record_fixture(&whole, &[]);
    assert_eq!(played(&segments, &[]), played(&whole, &[]));
}

#[test]
fn a_directory_of_segments_is_cut_and_merged() {
    let dir = tempfile::tempdir().unwrap();
    let segments = dir.path().join("segments");
    record_fixture(&segments.join(""), &["--rotate", "400ms"]);
    let (part, all) = (
        dir.path().join("part.parquet"),
        dir.path().join("all.sqlite"),
    );
    let mut cut = ctrace_query();
    cut.arg("-r")
        .arg(&segments)
        .args(["cut", "--container", "demo-web", "--since", "1s"]);
    run(cut.arg("-o").arg(&part));
    let mut command = ctrace_query();
    command.arg("-r").arg(&segments).args([
        "strace",
        "--container",
        "demo-web",
        "--since",
        "1s",
        "--setup",
        "--format",
        "csv",
    ]);
    let wanted = run(&mut command);
    let mut command = ctrace_query();
    command
        .arg("-r")
        .arg(&part)
        .args(["strace", "--since", "1s", "--setup", "--format", "csv"]);
    assert_eq!(run(&mut command), wanted);
    assert!(wanted.lines().count() > 5, "{wanted}");
    let mut merge = ctrace_query();
    run(merge.arg("merge").arg(&segments).arg("-o").arg(&all));
    assert_eq!(played(&all, &[]), played(&segments, &[]));
}
