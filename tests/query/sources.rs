//! Several recordings, directories and patterns as one table.

use std::path::Path;

use ctrace_schema::meta;
use serde_json::json;
use tempfile::TempDir;

use crate::support::incident::incident;
use crate::support::story::{START, Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};

/// Creates an hour of a host, with a call in each minute.
fn hour(host: &str, hour: i64) -> Story {
    let mut story = Story::default();
    footer(&mut story);
    for minute in 0..60 {
        let ms = (hour * 60 + minute) * 60_000;
        let row = json!({ "kind": "syscall", "syscall": "getppid", "container": "web", "host": host, "pid": minute });
        story.row(ms, row);
    }
    story
}

/// Creates recordings of three hosts, two hours each, in the directories that a recorder with segments makes.
fn fleet() -> TempDir {
    let dir = TempDir::new().unwrap();
    for host in ["a", "b", "c"] {
        let day = dir.path().join(format!("runs/host={host}/date=2026-11-21"));
        std::fs::create_dir_all(&day).unwrap();
        for i in 0..2 {
            hour(host, i).write(&day, &format!("{i}.parquet"));
        }
    }
    dir
}

fn ask(dir: &Path, args: &[&str]) -> String {
    transcript(ctrace_query_in(dir).args(["--format", "csv"]).args(args))
}

fn rows(dir: &Path, args: &[&str]) -> Vec<String> {
    let answer = ask(dir, args);
    assert!(answer.starts_with("exit code 0"), "{answer}");
    answer.lines().skip(3).map(str::to_owned).collect()
}

#[test]
fn a_directory_is_one_table() {
    let dir = fleet();
    let sql = "select host, recording, count(*) from events group by 1, 2 order by 1, 2";
    let expected: Vec<String> = ["a", "b", "c"]
        .iter()
        .flat_map(|host| {
            (0..2).map(move |i| format!("{host},runs/host={host}/date=2026-11-21/{i}.parquet,60"))
        })
        .collect();
    assert_eq!(rows(dir.path(), &["-r", "runs", sql]), expected);
    assert_eq!(rows(dir.path(), &["-r", "runs/", sql]), expected);
    assert_eq!(
        rows(dir.path(), &["-r", "runs/*/*/*.parquet", sql]),
        expected
    );
    assert_eq!(
        rows(dir.path(), &["-r", "runs/host=b", sql]),
        expected[2..4]
    );
    let two = ["-r", "runs/host=[ab]/**/1.parquet", sql];
    assert_eq!(
        rows(dir.path(), &two),
        [expected[1].clone(), expected[3].clone()]
    );
    let named = "select count(*) from events where recording like '%/host=c/%' and pid < 30";
    assert_eq!(rows(dir.path(), &["-r", "runs", named]), ["60"]);
    let meta = "select count(distinct recording) from meta";
    assert_eq!(rows(dir.path(), &["-r", "runs", meta]), ["6"]);
}

#[test]
fn only_the_segments_that_can_match_are_read() {
    let dir = fleet();
    let plan = |filter: &str| {
        let sql = format!("explain select pid from events where {filter}");
        let plan = ask(dir.path(), &["-r", "runs", &sql]);
        (
            plan.matches("/0.parquet").count(),
            plan.matches("/1.parquet").count(),
        )
    };
    assert_eq!(plan("pid = 7"), (3, 3));
    assert_eq!(plan("time < '2026-11-21T04:00:00Z'"), (3, 0));
    assert_eq!(plan("time >= '2026-11-21T04:20:00Z' and pid = 7"), (0, 3));
    assert_eq!(
        plan("time between '2026-11-21T04:00:00Z' and '2026-11-21T04:30:00Z'"),
        (3, 3)
    );
    assert_eq!(plan("time > '2026-11-22'"), (0, 0));
    let count = "select count(*) from events where time < '2026-11-21T03:22:00Z'";
    assert_eq!(rows(dir.path(), &["-r", "runs", count]), ["30"]);
    let none = "select count(*) from events where time > '2026-11-22'";
    assert_eq!(rows(dir.path(), &["-r", "runs", none]), ["0"]);
}

#[test]
fn parquet_and_sqlite_mixed_are_one_table() {
    let dir = fleet();
    let from = "runs/host=a/date=2026-11-21/0.parquet";
    let to = "runs/host=a/date=2026-11-21/0.sqlite";
    let converted = transcript(ctrace_query_in(dir.path()).args(["convert", from, to]));
    assert_eq!(
        converted,
        format!("exit code 0\n--- stderr\nconverted: 60 events to {to}\n")
    );
    std::fs::remove_file(dir.path().join(from)).unwrap();
    let sql = "select host, count(*), min(pid), max(time) from events group by 1 order by 1";
    let mixed = rows(dir.path(), &["-r", "runs", sql]);
    assert_eq!(mixed, rows(fleet().path(), &["-r", "runs", sql]));
    let sql = "select distinct recording from events where recording like '%.sqlite'";
    assert_eq!(rows(dir.path(), &["-r", "runs", sql]), [to]);
}

#[test]
fn older_recordings_lack_columns() {
    let dir = TempDir::new().unwrap();
    incident().write(dir.path(), "new.parquet");
    let sql = "select * exclude (dns_name, labels, recording) from events";
    let args = [
        "-r",
        "new.parquet",
        "--format",
        "parquet",
        "--output",
        "old.parquet",
        sql,
    ];
    assert_eq!(
        transcript(ctrace_query_in(dir.path()).args(args)),
        "exit code 0\n--- stderr\nwrote: old.parquet\n"
    );
    let convert = ["convert", "old.parquet", "old.sqlite"];
    assert_eq!(
        transcript(ctrace_query_in(dir.path()).args(convert)),
        "exit code 0\n--- stderr\nconverted: 40 events to old.sqlite\n"
    );
    let sql = "select recording, count(*) > 0 as rows, count(dns_name) > 0 as names, count(labels) > 0 as labels
        from events group by 1 order by 1";
    assert_eq!(
        rows(dir.path(), &["-r", ".", sql]),
        [
            "new.parquet,true,true,true",
            "old.parquet,true,false,false",
            "old.sqlite,true,false,false"
        ]
    );
}

#[test]
fn other_files_are_skipped_in_a_directory_and_refused_in_a_pattern() {
    let dir = fleet();
    let other = [
        "-r",
        "runs",
        "--format",
        "parquet",
        "--output",
        "runs/other.parquet",
        "select 1 as x",
    ];
    assert_eq!(
        transcript(ctrace_query_in(dir.path()).args(other)),
        "exit code 0\n--- stderr\nwrote: runs/other.parquet\n"
    );
    let count = "select count(*) from events";
    assert_eq!(rows(dir.path(), &["-r", "runs", count]), ["360"]);
    let refused = |args: &[&str], reason: &str| {
        let answer = ask(dir.path(), args);
        assert!(
            answer.starts_with("exit code 2") && answer.contains(reason),
            "{answer}"
        );
    };
    refused(
        &["-r", "runs/*.parquet", count],
        "runs/other.parquet is not a recording",
    );
    refused(
        &["-r", "runs/*.nothing", count],
        "no file matches `runs/*.nothing`",
    );
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    refused(&["-r", "empty", count], "there is no recording in empty");
    // A damaged recording is not skipped: its rows would be missing.
    let segment = dir.path().join("runs/host=a/date=2026-11-21/0.parquet");
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    refused(&["-r", "runs", count], "host=a/date=2026-11-21/0.parquet");
    // A name that looks like a pattern is a name if that file exists.
    hour("d", 0).write(dir.path(), "odd[1].parquet");
    assert_eq!(rows(dir.path(), &["-r", "odd[1].parquet", count]), ["60"]);
}

#[test]
fn time_filters_end_at_the_last_event_if_the_metadata_ends_earlier() {
    let dir = TempDir::new().unwrap();
    let mut story = hour("a", 0);
    story.meta(meta::KEY_END, &START.to_string());
    story.write(dir.path(), "run.parquet");
    let convert = ["convert", "run.parquet", "run.sqlite"];
    transcript(ctrace_query_in(dir.path()).args(convert));
    for recording in ["run.parquet", "run.sqlite"] {
        // There is an event in each minute, the last in minute 59.
        let count = "select count(*) from events where time >= ago('10m')";
        assert_eq!(rows(dir.path(), &["-r", recording, count]), ["11"]);
        let last = ["-r", recording, "strace", "--since", "10m"];
        assert_eq!(rows(dir.path(), &last).len(), 11);
    }
}

#[test]
fn a_summary_of_many_recordings_lists_each_fact_once() {
    let dir = TempDir::new().unwrap();
    for (i, host) in ["a", "b", "c", "d", "e", "f", "g", "a"].iter().enumerate() {
        let mut story = hour(host, i as i64);
        story.meta(meta::KEY_HOST, host);
        story.write(dir.path(), &format!("{i}.parquet"));
    }
    let summary = rows(dir.path(), &["-r", ".", "summary"]);
    assert_eq!(
        summary[..8],
        [
            "recording,recordings,8",
            "recording,arch,x86_64",
            "recording,host,\"a (2), b (1), c (1), d (1), e (1) and 2 more\"",
            "recording,kernel,6.12.0",
            "recording,producer,ctrace-rec 0.1.0",
            "recording,from,2026-11-21 03:12:00.000",
            "recording,to,2026-11-21 11:11:00.000",
            "recording,events,480",
        ]
    );
}

#[test]
fn a_failed_conversion_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let path = hour("a", 0).write(dir.path(), "run.parquet");
    // Damages the pages of the first columns, and not the footer.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..600].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    for to in ["to.sqlite", "to.parquet"] {
        let answer = transcript(ctrace_query_in(dir.path()).args(["convert", "run.parquet", to]));
        assert!(answer.starts_with("exit code 2"), "{answer}");
    }
    let names = std::fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["run.parquet"]);
    let answer = transcript(ctrace_query_in(dir.path()).args(["convert", ".", "to.sqlite"]));
    assert!(
        answer.contains("error: . is a directory: name one recording in it"),
        "{answer}"
    );
}
