//! `top`: what containers do, on a terminal and as tables.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shell::Terminal;
use crate::support::incident::incident;
use crate::support::story::{Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};
use crate::{ask, recording, write_calls};

/// Returns the rows of a table as JSON.
fn rows(dir: &TempDir, args: &[&str]) -> Vec<Value> {
    let mut command = ctrace_query_in(dir.path());
    command
        .args(["-r", "run.parquet", "top", "--format", "ndjson"])
        .args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_table_has_the_containers() {
    let dir = recording();
    insta::assert_snapshot!(ask(dir.path(), &["top", "-n", "1"]));
}

#[test]
fn numbers_are_those_of_sql() {
    let dir = recording();
    let all = rows(&dir, &[]);
    let sql = "select container, count(*) as calls from syscalls where setup is not true and container is not null
        group by 1 order by 1";
    let mut command = ctrace_query_in(dir.path());
    command.args(["-r", "run.parquet", "--format", "ndjson", sql]);
    let wanted = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let wanted: Vec<Value> = wanted
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(wanted.len() > 2);
    for row in &wanted {
        let found = all
            .iter()
            .find(|found| found["container"] == row["container"])
            .unwrap();
        assert_eq!(found["calls"], row["calls"], "{row}");
    }
    let by_call = rows(&dir, &["--by", "call", "--container", "web"]);
    let sum: i64 = by_call
        .iter()
        .map(|row| row["calls"].as_i64().unwrap())
        .sum();
    let web = all.iter().find(|row| row["container"] == "web").unwrap();
    assert_eq!(sum, web["calls"].as_i64().unwrap());
    assert!(
        by_call
            .iter()
            .all(|row| row["syscall"].is_string() && row["pid"].is_number())
    );
}

/// A recording of a shell, which reads its terminal, and of a runtime that sets its container up.
fn noise() -> Story {
    let mut story = Story::default();
    footer(&mut story);
    let who = json!({ "container": "web", "container_id": "w", "pid": 7, "tid": 7, "comm": "sh" });
    let terminal = |path: &str| json!({ "class": "file", "path": path, "bytes": 1 });
    for ms in 0..5 {
        story.call(ms, &who, "read", 1, terminal("/dev/pts/0"));
    }
    story.call(
        6,
        &who,
        "ioctl",
        -25,
        json!({ "class": "file", "error": "ENOTTY" }),
    );
    story.call(7, &who, "read", 1, terminal("/etc/hosts"));
    story.call(
        8,
        &who,
        "mount",
        0,
        json!({ "class": "file", "setup": true }),
    );
    story
}

#[test]
fn set_up_and_terminals_are_left_out() {
    let dir = TempDir::new().unwrap();
    noise().write(dir.path(), "run.parquet");
    let calls = |args: &[&str]| rows(&dir, args)[0]["calls"].as_i64().unwrap();
    assert_eq!(calls(&[]), 1);
    assert_eq!(calls(&["--terminal"]), 7);
    assert_eq!(calls(&["--terminal", "--setup"]), 8);
    let mut top = Terminal::of_size(dir.path(), "-r run.parquet top", 120, 20);
    top.expect_on_screen("  web")
        .press("t")
        .expect_on_screen("with terminals");
    top.expect_screen("7 calls", |screen| {
        screen
            .lines()
            .any(|line| line.contains("web") && line.contains(" 7 "))
    });
    top.press("q");
    assert_eq!(top.exit().0, 0);
}

#[test]
fn a_growing_recording_is_followed() {
    let dir = TempDir::new().unwrap();
    let count = |count: i64| write_calls(dir.path(), count, |i| i);
    count(1234);
    let mut top = Terminal::of_size(dir.path(), "-r run.parquet top", 120, 20);
    top.expect_on_screen("● live").expect_on_screen("1,234");
    count(2345);
    top.expect_on_screen("2,345");
    // Down to the calls of the process, and back.
    top.press("\r")
        .expect_on_screen("PID COMMAND")
        .press("\r")
        .expect_on_screen("getpid");
    count(3456);
    top.expect_on_screen("3,456");
    top.press("\x1b")
        .expect_on_screen("PID COMMAND")
        .press("\x1b[D")
        .expect_on_screen("CONTAINER");
    top.press("?")
        .expect_on_screen("keys of top")
        .press("?")
        .press("q");
    assert_eq!(top.exit().0, 0);
}

#[test]
fn an_incident_is_seen_again() {
    let dir = recording();
    let mut top = Terminal::of_size(
        dir.path(),
        "-r run.parquet top --replay --speed 64x --delay 0.2",
        140,
        20,
    );
    top.expect_on_screen("client").expect_on_screen("■ the end");
    top.expect_screen("a container that stopped", |screen| {
        screen.lines().any(|line| line.starts_with("x client"))
    });
    top.press("10")
        .expect_on_screen("▶ 1x")
        .press(" ")
        .expect_on_screen("⏸ paused");
    top.press("/")
        .press("cli")
        .expect_on_screen("[cli]")
        .press("\r")
        .press("q");
    assert_eq!(top.exit().0, 0);
    // The end of a replay is the same as the whole.
    let end = rows(&dir, &["--replay", "--speed", "max"]);
    let whole = rows(&dir, &[]);
    let calls = |rows: &[Value]| {
        let pairs = rows
            .iter()
            .map(|row| (row["container"].to_string(), row["calls"].to_string()));
        pairs.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(calls(&end), calls(&whole));
}

#[test]
fn wrong_options_are_explained() {
    let dir = TempDir::new().unwrap();
    incident().write(dir.path(), "run.parquet");
    for (args, wanted) in [
        (&["--container", "wbe"][..], "there is no container `wbe`"),
        (&["--since", "04:00"], "nothing in the given time"),
        (&["--speed", "2x"], "--replay"),
        (&["--delay", "0"], "a number of seconds"),
    ] {
        let mut command = ctrace_query_in(dir.path());
        let text = transcript(command.args(["-r", "run.parquet", "top"]).args(args));
        assert!(
            text.starts_with("exit code 2\n") && text.contains(wanted),
            "{text}"
        );
    }
}
