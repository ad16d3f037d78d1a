//! `replay`: events in the order of time and in their rhythm.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use ctrace_schema::meta;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::incident::incident;
use super::support::story::{Story, footer};
use super::support::transcript::{ctrace_query_in, transcript};
use super::{ask, recording};

/// Returns the lines of a replay at full speed.
fn lines(dir: &Path, args: &[&str]) -> Vec<String> {
    let mut command = ctrace_query_in(dir);
    let output = command
        .args(["replay", "--speed", "max"])
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_string).collect()
}

/// Returns the events of a replay as JSON.
fn events(dir: &Path, args: &[&str]) -> Vec<Value> {
    let lines = lines(dir, &[args, &["--format", "json"]].concat());
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn events_are_lines_as_the_recorder_prints_them() {
    let dir = recording();
    let text = ask(
        dir.path(),
        &["replay", "--speed", "max", "--container", "client"],
    );
    insta::assert_snapshot!(text);
}

#[test]
fn several_recordings_are_played_in_the_order_of_time() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    // Events are known by their boot.
    let mut other = incident();
    other.meta(meta::KEY_BOOT_ID, "b").write(dir, "run.parquet");
    for row in &mut other.rows {
        row["host"] = "node2".into();
        row["time"] = (row["time"].as_i64().unwrap() + 500_000).into();
    }
    other.write(dir, "other.parquet");
    // The same events again, in another format.
    let convert = ctrace_query_in(dir)
        .args(["convert", "run.parquet", "again.sqlite"])
        .status();
    assert!(convert.unwrap().success());
    let events = events(
        dir,
        &[
            "-r",
            "run.parquet",
            "-r",
            "other.parquet",
            "-r",
            "again.sqlite",
            "--setup",
        ],
    );
    assert_eq!(events.len(), 2 * incident().rows.len());
    let keys: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["time"].as_str().unwrap().replace('Z', ""),
                event["seq"].as_i64().unwrap(),
            )
        })
        .collect();
    assert!(keys.is_sorted(), "{keys:?}");
    let hosts: Vec<_> = events
        .iter()
        .map(|event| event["host"].as_str().unwrap())
        .collect();
    assert!(
        hosts.windows(2).filter(|pair| pair[0] != pair[1]).count() > 10,
        "{hosts:?}"
    );
}

#[test]
fn conditions_select_events() {
    let dir = recording();
    let dir = dir.path();
    let all = events(dir, &["-r", "run.parquet"]);
    let failed = events(
        dir,
        &[
            "-r",
            "run.parquet",
            "--where",
            "error is not null -- failed",
        ],
    );
    let wanted: Vec<_> = all
        .iter()
        .filter(|event| event.get("error").is_some())
        .cloned()
        .collect();
    assert!(!wanted.is_empty());
    assert_eq!(failed, wanted);
    let files = events(
        dir,
        &["-r", "run.parquet", "--set", "file", "--container", "web"],
    );
    assert!(
        !files.is_empty()
            && files
                .iter()
                .all(|event| event["class"] == "file" && event["container"] == "web")
    );
    let minute = events(
        dir,
        &[
            "-r",
            "run.parquet",
            "--since",
            "03:12:02",
            "--until",
            "03:12:02.100",
            "--limit",
            "3",
        ],
    );
    assert_eq!(minute.len(), 3);
    assert_eq!(minute[0]["time"], "2026-11-21T03:12:02Z");
}

#[test]
fn a_part_is_played_without_its_earlier_rows() {
    let dir = recording();
    let dir = dir.path();
    let cut = ctrace_query_in(dir)
        .args([
            "-r",
            "run.parquet",
            "cut",
            "--since",
            "03:12:02",
            "-o",
            "part.parquet",
        ])
        .status();
    assert!(cut.unwrap().success());
    let whole = events(dir, &["-r", "run.parquet", "--since", "03:12:02"]);
    assert_eq!(events(dir, &["-r", "part.parquet"]), whole);
}

#[test]
fn lines_end_with_the_event_that_passes_a_condition() {
    let dir = recording();
    let dir = dir.path();
    let all = events(dir, &["-r", "run.parquet"]);
    let wanted = all
        .iter()
        .position(|event| event["syscall"] == "accept4")
        .unwrap();
    let until = [
        "-r",
        "run.parquet",
        "--until-condition",
        "syscall = 'accept4' -- stop",
    ];
    assert_eq!(events(dir, &until), all[..=wanted]);
    let some = [&until[..], &["--limit", "2"]].concat();
    assert_eq!(events(dir, &some), all[..2]);
    let wrong = ask(dir, &["replay", "--until-condition", "eror is null"]);
    assert!(
        wrong.starts_with("exit code 2\n")
            && wrong.contains("--until-condition `eror is null`: there is no column"),
        "{wrong}"
    );
}

/// A recording of three calls, each ten seconds after the one before.
fn slow() -> Story {
    let mut story = Story::default();
    footer(&mut story);
    for i in 0..3 {
        let who = json!({ "container": "web", "pid": 1, "tid": 1 });
        story.call(i * 10_000, &who, "getpid", 1, json!({ "class": "process" }));
    }
    story
}

#[test]
fn shortened_pauses_are_told() {
    let dir = TempDir::new().unwrap();
    slow().write(dir.path(), "run.parquet");
    let text = ask(dir.path(), &["replay", "--idle", "1ms"]);
    assert!(text.starts_with("exit code 0\n"), "{text}");
    assert_eq!(text.matches("getpid() = 1").count(), 3, "{text}");
    assert_eq!(
        text.matches("idle: 10.00s without events, shortened")
            .count(),
        2,
        "{text}"
    );
    let text = ask(dir.path(), &["replay", "--idle", "often"]);
    assert!(text.contains("--idle: `often` is not a duration"), "{text}");
    let text = ask(dir.path(), &["replay", "--speed", "fast"]);
    assert!(text.contains("realtime, max, or a factor"), "{text}");
}

/// Starts a replay that waits after its first line, and reads that line.
fn waiting(dir: &Path) -> (std::process::Child, String) {
    slow().write(dir, "run.parquet");
    let mut command: Command = ctrace_query_in(dir);
    command
        .args(["-r", "run.parquet", "replay"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line)
}

#[test]
fn ctrl_c_ends_a_replay() {
    let dir = TempDir::new().unwrap();
    let start = Instant::now();
    let (child, line) = waiting(dir.path());
    assert!(line.contains("getpid() = 1"), "{line}");
    // SAFETY: the child has not been waited for, so its pid is its own.
    unsafe { libc::kill(child.id().try_into().unwrap(), libc::SIGINT) };
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // The next line was due after ten seconds.
    assert!(start.elapsed().as_secs() < 10);
}

#[test]
fn a_closed_pipe_ends_a_replay() {
    let dir = recording();
    let mut child = ctrace_query_in(dir.path())
        .args(["-r", "run.parquet", "replay", "--speed", "max"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn counts_cannot_be_played() {
    let dir = TempDir::new().unwrap();
    let mut story = slow();
    story
        .meta("ctrace.filters", r#"{"mode":"counts"}"#)
        .write(dir.path(), "run.parquet");
    let text = transcript(ctrace_query_in(dir.path()).args(["-r", "run.parquet", "replay"]));
    assert!(
        text.starts_with("exit code 2\n") && text.contains("only counts"),
        "{text}"
    );
}
