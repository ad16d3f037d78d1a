//! `diff`: what changed between two recordings, two times, or two containers.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::incident::incident;
use super::support::story::{START, Story, footer};
use super::support::transcript::{ctrace_query_in, transcript};

const ID: &str = "aaaa5b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2";

/// Returns the columns of a process of the container `name`.
fn who(name: &str, pid: i32) -> Value {
    let id = format!("{}{name:0>4}", &ID[..60]);
    json!({ "container": name, "container_id": id, "pid": pid, "tid": pid, "ppid": 1, "ns_pid": 1, "uid": 0,
        "comm": "app", "exe": "/usr/bin/app" })
}

fn with(mut value: Value, more: Value) -> Value {
    super::support::story::merge(&mut value, more);
    value
}

/// Adds a container that runs from `ms` for 50 seconds: it starts, opens files, connects, and ends.
fn run(story: &mut Story, name: &str, pid: i32, ms: i64) {
    let who = who(name, pid);
    let row = |action: &str| {
        with(
            who.clone(),
            json!({ "kind": "container", "action": action, "image": "shop/app:1" }),
        )
    };
    story.row(ms, row("started"));
    let exec = json!({ "class": "process", "path": "/usr/bin/app", "path_arg": "/usr/bin/app", "argv": "app" });
    story.call(ms + 1, &who, "execve", 0, exec);
    for i in 0..100 {
        let at = ms + 10 + i * 480;
        let file = |path: String| json!({ "class": "file", "path": path });
        story.call(at, &who, "openat", 3, file("/etc/app.conf".into()));
        story.call(
            at + 1,
            &who,
            "openat",
            4,
            file(format!("/proc/{}/status", pid + 1)),
        );
        story.call(
            at + 2,
            &who,
            "write",
            9,
            file(format!("/tmp/tmp.{pid}xYz{i}")),
        );
        story.call(at + 3, &who, "close", 0, json!({ "class": "file" }));
        let temporary = json!({ "class": "network", "family": "inet", "protocol": "tcp", "local_addr": "172.17.0.9",
            "local_port": 40_000 + i, "peer_addr": "10.0.0.5", "peer_port": 5432, "dns_name": "db.shop" });
        story.call(at + 4, &who, "connect", 0, temporary);
        story.call(
            at + 5,
            &who,
            "fsync",
            0,
            json!({ "class": "file", "path": "/data/journal", "duration": 1_000_000 + i * 1000 }),
        );
    }
    story.row(ms + 50_000, row("stopped"));
}

/// Writes a recording of one run, to which `change` adds something.
fn write(dir: &Path, file: &str, pid: i32, change: impl Fn(&mut Story, &Value)) {
    let mut story = Story::default();
    footer(&mut story);
    run(&mut story, "app", pid, 100);
    change(&mut story, &who("app", pid));
    story.write(dir, file);
}

/// Returns the exit code, the rows as JSON, and stderr of a `diff`.
fn diff(dir: &Path, args: &[&str]) -> (i32, Vec<Value>, String) {
    let output = ctrace_query_in(dir)
        .args(["diff", "--format", "ndjson"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), rows, errors)
}

/// Returns the changes as `change what subject action`.
fn lines(rows: &[Value]) -> Vec<String> {
    let text = |row: &Value, column: &str| row[column].as_str().unwrap_or("-").to_string();
    let line = |row| {
        ["change", "what", "subject", "action"]
            .map(|column| text(row, column))
            .join(" ")
    };
    rows.iter().map(line).collect()
}

#[test]
fn two_runs_of_the_same_are_equal() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "good.parquet", 4000, |_, _| {});
    write(dir.path(), "bad.parquet", 7123, |_, _| {});
    let (code, rows, errors) = diff(dir.path(), &["good.parquet", "bad.parquet"]);
    assert_eq!((code, lines(&rows)), (0, vec![]), "{errors}");
    assert_eq!(errors, "changes: none\n");
}

/// A bad run: a new program, a file, a peer, a name, failures, a refused call, a crash, and slower and more calls.
fn bad(story: &mut Story, who: &Value) {
    let call = |class: &str, more: Value| with(json!({ "class": class }), more);
    let exec = json!({ "path": "/tmp/miner", "path_arg": "/tmp/miner", "argv": "miner" });
    story.call(20_000, who, "execve", 0, call("process", exec));
    story.call(
        20_001,
        who,
        "write",
        9,
        call("file", json!({ "path": "/etc/passwd" })),
    );
    let evil = json!({ "family": "inet", "protocol": "tcp", "local_addr": "172.17.0.9", "local_port": 41_000,
        "peer_addr": "203.0.113.66", "peer_port": 443 });
    story.call(20_002, who, "connect", 0, call("network", evil));
    let denied = json!({ "error": "EPERM", "denied": true });
    story.call(20_003, who, "ptrace", -1, call("process", denied));
    let refused = json!({ "path": "/etc/shadow", "error": "EACCES" });
    story.call(20_004, who, "openat", -13, call("file", refused));
    let lookup = with(
        who.clone(),
        json!({ "kind": "dns", "action": "answered", "dns_name": "evil.example", "dns_type": "A",
        "dns_code": "NOERROR", "dns_answers": "[\"203.0.113.66\"]", "peer_addr": "10.0.0.53", "peer_port": 53 }),
    );
    story.row(20_005, lookup);
    let crash = json!({ "kind": "process", "action": "exit", "exit_signal": 11 });
    story.row(20_006, with(who.clone(), crash));
    for i in 0..100 {
        let at = 115 + i * 480;
        for _ in 0..2 {
            story.call(at, who, "close", 0, json!({ "class": "file" }));
        }
    }
    for row in story
        .rows
        .iter_mut()
        .filter(|row| row["syscall"] == "fsync")
    {
        row["duration"] = (row["duration"].as_i64().unwrap() * 8).into();
    }
}

#[test]
fn a_bad_run_has_what_is_new_first() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "good.parquet", 4000, |_, _| {});
    write(dir.path(), "bad.parquet", 7123, bad);
    let (code, rows, errors) = diff(dir.path(), &["good.parquet", "bad.parquet"]);
    assert_eq!(code, 1, "{errors}");
    assert_eq!(
        lines(&rows),
        [
            "new denied call ptrace EPERM",
            "new exit /usr/bin/app SIGSEGV",
            "new executable /tmp/miner -",
            "new error /etc/shadow openat EACCES",
            "new peer 203.0.113.66:443 tcp out",
            "new dns name evil.example NOERROR",
            "new file /etc/passwd write",
            "slower call fsync -",
            "more call close -",
        ]
    );
    let fsync = &rows[7];
    assert!(
        (fsync["factor"].as_f64().unwrap() - 8.0).abs() < 0.5,
        "{fsync}"
    );
    let close = &rows[8];
    assert_eq!(
        (&close["good"], &close["bad"], &close["measure"]),
        (&json!(100.0), &json!(300.0), &json!("per run"))
    );
    assert_eq!(rows[2]["since"], "2026-11-21T03:12:20Z");
    assert_eq!(errors, "changes: 7 new, 1 slower, 1 more\n");
    // The other way round, nothing is new.
    let (code, back, _) = diff(dir.path(), &["bad.parquet", "good.parquet"]);
    assert_eq!(code, 0);
    assert!(
        lines(&back).contains(&"vanished executable /tmp/miner -".to_string()),
        "{back:?}"
    );
    let (code, rows, _) = diff(dir.path(), &["good.parquet", "bad.parquet", "--limit", "2"]);
    assert_eq!((code, rows.len()), (1, 2));
    let (code, rows, _) = diff(
        dir.path(),
        &[
            "good.parquet",
            "bad.parquet",
            "--set",
            "file",
            "--where",
            "path like '/etc/%'",
        ],
    );
    assert_eq!(
        (code, lines(&rows)[0].as_str()),
        (1, "new error /etc/shadow openat EACCES")
    );
}

#[test]
fn a_table_for_people() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "good.parquet", 4000, |_, _| {});
    write(dir.path(), "bad.parquet", 7123, bad);
    let text =
        transcript(ctrace_query_in(dir.path()).args(["diff", "good.parquet", "bad.parquet"]));
    insta::assert_snapshot!(text);
}

#[test]
fn two_times_and_two_containers_of_one_recording() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let mut story = Story::default();
    footer(&mut story);
    run(&mut story, "app-1", 4000, 100);
    run(&mut story, "app-2", 5000, 200);
    let exec =
        json!({ "class": "process", "path": "/bin/nc", "path_arg": "/bin/nc", "argv": "nc" });
    story.call(40_000, &who("app-2", 5000), "execve", 0, exec);
    story.write(dir, "run.parquet");
    let wanted = ["new executable /bin/nc -"];
    let of = [
        "-r",
        "run.parquet",
        "--good-container",
        "app-1",
        "--bad-container",
        "app-2",
    ];
    let (code, rows, errors) = diff(dir, &of);
    assert_eq!(
        (code, lines(&rows)),
        (1, wanted.map(String::from).to_vec()),
        "{errors}"
    );
    assert_eq!(rows[0]["container"], "app-2");
    for times in [
        &["--good", "03:12:10,03:12:30", "--bad", "03:12:30,03:12:50"][..],
        &["--bad", "03:12:25,"],
    ] {
        let (code, rows, errors) = diff(dir, &[&["-r", "run.parquet"], times].concat());
        assert_eq!(code, 1, "{errors}");
        let lines = lines(&rows);
        assert_eq!(lines[0], wanted[0], "{lines:?}");
        // The only exec of the bad time is that of the new program.
        let mut others = lines[1..].iter().filter(|line| line.starts_with("new"));
        assert!(others.all(|line| line == "new call execve -"), "{lines:?}");
    }
}

#[test]
fn halves_of_a_recording_differ_in_nothing_that_both_do() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "run.parquet", 4000, |_, _| {});
    let args = [
        "-r",
        "run.parquet",
        "--good",
        "03:12:05,03:12:25",
        "--bad",
        "03:12:25,03:12:45",
    ];
    let (code, rows, errors) = diff(dir.path(), &args);
    assert_eq!((code, lines(&rows)), (0, vec![]), "{errors}");
}

#[test]
fn filters_of_one_side_are_no_news() {
    let dir = TempDir::new().unwrap();
    let files = r#"{"set":["file"]}"#;
    write(dir.path(), "bad.parquet", 4000, bad);
    let mut story = Story::default();
    footer(&mut story);
    run(&mut story, "app", 4000, 100);
    story
        .rows
        .retain(|row| row["kind"] != "syscall" || row["class"] == "file");
    story
        .meta("ctrace.filters", files)
        .write(dir.path(), "good.parquet");
    let (code, rows, errors) = diff(dir.path(), &["good.parquet", "bad.parquet"]);
    assert_eq!(code, 1);
    assert!(
        errors.contains("with other filters (good: --set file; bad: no filter)"),
        "{errors}"
    );
    let lines = lines(&rows);
    assert!(
        lines.contains(&"new file /etc/passwd write".to_string()),
        "{lines:?}"
    );
    for absent in ["call ptrace", "peer", "executable"] {
        assert!(
            !lines.iter().any(|line| line.contains(absent)),
            "{absent}: {lines:?}"
        );
    }
}

#[test]
fn lost_events_and_a_short_good_side_are_told() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "good.parquet", 4000, |story, _| {
        let gap = json!({ "kind": "gap", "action": "ring full", "class": "file", "lost": 1234, "duration": 5000 });
        story.row(300, gap).meta("ctrace.lost", r#"{"file":1234}"#);
    });
    write(dir.path(), "bad.parquet", 4000, |story, _| {
        story.meta("ctrace.end", &(START + 200_000_000_000).to_string());
    });
    let (_, _, errors) = diff(dir.path(), &["good.parquet", "bad.parquet"]);
    assert!(
        errors.contains("the good side: 1,234 events were lost"),
        "{errors}"
    );
    assert!(errors.contains("the good side is shorter"), "{errors}");
}

#[test]
fn wrong_sides_are_explained() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    write(dir, "run.parquet", 4000, |_, _| {});
    incident()
        .meta("ctrace.filters", r#"{"mode":"counts"}"#)
        .write(dir, "counts.parquet");
    for (args, wanted) in [
        (&["-r", "run.parquet"][..], "both sides are the same"),
        (&["run.parquet"], "<BAD>"),
        (
            &["-r", "run.parquet", "run.parquet", "run.parquet"],
            "name the recordings as GOOD and BAD",
        ),
        (
            &["-r", "run.parquet", "--bad", "03:12"],
            "two times with a comma",
        ),
        (
            &["-r", "run.parquet", "--bad", "yesterday,"],
            "the good side: --until: cannot read `yesterday`",
        ),
        (
            &["-r", "run.parquet", "--bad-container", "app"],
            "--good-container",
        ),
        (&["run.parquet", "missing.parquet"], "missing.parquet"),
        (
            &["run.parquet", "run.parquet", "--container", "none"],
            "there is no container `none`",
        ),
        (&["counts.parquet", "run.parquet"], "only counts of calls"),
    ] {
        let (code, rows, errors) = diff(dir, args);
        assert_eq!((code, rows.len()), (2, 0), "{args:?}: {errors}");
        assert!(errors.contains(wanted), "{args:?}: {errors}");
    }
}

#[test]
fn changes_are_written_to_a_file_of_any_format() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    write(dir, "good.parquet", 4000, |_, _| {});
    write(dir, "bad.parquet", 7123, bad);
    let args = [
        "diff",
        "good.parquet",
        "bad.parquet",
        "--format",
        "parquet",
        "-o",
        "changes.parquet",
    ];
    let text = transcript(ctrace_query_in(dir).args(args));
    assert!(
        text.starts_with("exit code 1\n") && text.contains("wrote: changes.parquet"),
        "{text}"
    );
    // A text of a recording cannot drive a terminal.
    write(dir, "hostile.parquet", 7123, |story, who| {
        let exec = json!({ "class": "process", "path": "/tmp/\u{1b}[31mred", "argv": "x" });
        story.call(9_000, who, "execve", 0, exec);
    });
    let text = transcript(ctrace_query_in(dir).args(["diff", "good.parquet", "hostile.parquet"]));
    assert!(text.contains("red") && !text.contains('\u{1b}'), "{text:?}");
}
