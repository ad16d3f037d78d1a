//! Several recordings, directories and patterns as one table.

use std::path::Path;

use ctrace_schema::meta;
use serde_json::json;
use tempfile::TempDir;

use crate::support::incident::incident;
use crate::support::story::{START, Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};

/// Creates an hour of a host, with a call in each minute.
pub(crate) fn hour(host: &str, hour: i64) -> Story {
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

pub(crate) fn rows(dir: &Path, args: &[&str]) -> Vec<String> {
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
    // A name that looks like a pattern is a name if that file exists.
    hour("d", 0).write(dir.path(), "odd[1].parquet");
    assert_eq!(rows(dir.path(), &["-r", "odd[1].parquet", count]), ["60"]);
}

/// Returns the warnings and the rows of an answer.
pub(crate) fn warned(dir: &Path, args: &[&str]) -> (Vec<String>, Vec<String>) {
    let answer = ask(dir, args);
    assert!(answer.starts_with("exit code 0"), "{answer}");
    let (rows, messages) = answer.split_once("--- stderr\n").unwrap_or((&answer, ""));
    let rows = rows.lines().skip(3).map(str::to_owned).collect();
    (messages.lines().map(str::to_owned).collect(), rows)
}

#[test]
fn each_real_file_is_read_once() {
    let dir = fleet();
    let path = |name: &str| dir.path().join(name);
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, path(name)).unwrap();
    let count = "select count(*), count(distinct recording) from events";
    let day = "runs/host=a/date=2026-11-21";
    // The same file under other names, and a directory twice.
    link("host=a/date=2026-11-21/0.parquet", "runs/again.parquet");
    std::fs::hard_link(path(&format!("{day}/1.parquet")), path("runs/hard.parquet")).unwrap();
    link("host=b", "runs/also-b");
    // Loops, of one link and of two.
    link("..", "runs/host=a/up");
    link(".", "runs/here");
    link("loop.parquet", "runs/loop");
    // Hidden names, which are snapshots, copies in progress and thumbnails.
    std::fs::create_dir_all(path("runs/.snapshot/host=a")).unwrap();
    hour("a", 0).write(&path("runs/.snapshot/host=a"), "0.parquet");
    hour("a", 0).write(&path("runs"), ".copy.parquet");
    assert_eq!(rows(dir.path(), &["-r", "runs", count]), ["360,6"]);
    for pattern in ["runs/**/*.parquet", "runs/**", "runs/h*", "runs/ho*"] {
        assert_eq!(
            rows(dir.path(), &["-r", pattern, count]),
            ["360,6"],
            "{pattern}"
        );
    }
    // The name without a link is the name of the file.
    let names =
        "select count(*) from events where recording like '%again%' or recording like '%also-b%'";
    assert_eq!(rows(dir.path(), &["-r", "runs", names]), ["0"]);
    let file = format!("{day}/0.parquet");
    let twice = |first: &str, second: &str| rows(dir.path(), &["-r", first, "-r", second, count]);
    assert_eq!(twice(&file, &file), ["60,1"]);
    assert_eq!(twice("runs", &file), ["360,6"]);
    assert_eq!(twice(&file, "runs/"), ["360,6"]);
    assert_eq!(twice("runs/again.parquet", &file), ["60,1"]);
    assert_eq!(twice("runs", "runs/host=*/**/1.parquet"), ["360,6"]);
    let absolute = path(&file);
    assert_eq!(twice(&file, absolute.to_str().unwrap()), ["60,1"]);
    // A hidden name that is asked for is read.
    assert_eq!(rows(dir.path(), &["-r", "runs/.snapshot", count]), ["60,1"]);
    assert_eq!(rows(dir.path(), &["-r", "runs/.c*", count]), ["60,1"]);
}

#[test]
fn files_that_cannot_be_read_are_named_and_passed_over() {
    let dir = fleet();
    let day = dir.path().join("runs/host=a/date=2026-11-21");
    let count = "select count(*) from events";
    let segment = std::fs::read(day.join("0.parquet")).unwrap();
    std::fs::write(day.join("2.parquet"), "").unwrap();
    std::fs::write(day.join("3.parquet"), &segment[..segment.len() / 2]).unwrap();
    std::fs::write(day.join("4.parquet"), "no recording").unwrap();
    std::fs::write(day.join("5.sqlite"), "SQLite format 3\0 and no more").unwrap();
    std::os::unix::fs::symlink("nowhere.parquet", day.join("6.parquet")).unwrap();
    let mut newer = hour("a", 9);
    newer.meta(meta::KEY_SCHEMA, "2.0");
    newer.write(&day, "7.parquet");
    let broken = [
        "2.parquet",
        "3.parquet",
        "4.parquet",
        "5.sqlite",
        "6.parquet",
        "7.parquet",
    ];
    for named in ["runs", "runs/**/*-21"] {
        let (warnings, answer) = warned(dir.path(), &["-r", named, count]);
        assert_eq!(answer, ["360"], "{named}");
        assert_eq!(warnings.len(), broken.len(), "{warnings:?}");
        for file in broken {
            let names = |line: &String| line.starts_with("warning: ") && line.contains(file);
            assert_eq!(
                warnings.iter().filter(|line| names(line)).count(),
                1,
                "{warnings:?}"
            );
        }
    }
    let strict = ask(dir.path(), &["--strict", "-r", "runs", count]);
    assert!(
        strict.starts_with("exit code 2") && broken.iter().any(|file| strict.contains(file)),
        "{strict}"
    );
    // Without any other file there is no answer, and a file that is named itself must be readable.
    let only = TempDir::new().unwrap();
    std::fs::write(only.path().join("2.parquet"), "").unwrap();
    for name in [".", "2.parquet", "*.parquet"] {
        let refused = ask(only.path(), &["-r", name, count]);
        assert!(
            refused.starts_with("exit code 2") && refused.contains("2.parquet has no footer"),
            "{refused}"
        );
    }
    // Many unreadable files are counted.
    for i in 10..22 {
        std::fs::write(day.join(format!("{i}.parquet")), "").unwrap();
    }
    let (warnings, _) = warned(dir.path(), &["-r", "runs", count]);
    assert_eq!(
        warnings.last().unwrap(),
        "warning: 8 more files cannot be read, and are passed over too"
    );
}

#[test]
fn a_directory_that_may_not_be_read_is_named_and_passed_over() {
    let dir = fleet();
    let closed = dir.path().join("runs/host=b");
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&closed, mode).unwrap();
    };
    mode(0);
    let count = "select count(*) from events";
    // Root reads everything, unless its capabilities are dropped.
    let is_root =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let run = |more: &[&str]| {
        let mut command = ctrace_query_in(dir.path());
        if is_root {
            let program = command.get_program().to_owned();
            command = std::process::Command::new("setpriv");
            command
                .current_dir(dir.path())
                .args(["--bounding-set=-all", "--inh-caps=-all", "--"]);
            command.arg(program);
        }
        command.args(["--format", "csv", "-r", "runs", count]);
        transcript(command.args(more))
    };
    let (answer, strict) = (run(&[]), run(&["--strict"]));
    mode(0o755);
    let warning = "warning: cannot read runs/host=b: Permission denied (os error 13). The answer is without it; --strict makes \
                   this an error";
    assert_eq!(
        answer,
        format!("exit code 0\n--- stdout\ncount(*)\n240\n--- stderr\n{warning}\n")
    );
    assert_eq!(
        strict,
        "exit code 2\n--- stderr\nerror: cannot read runs/host=b: Permission denied (os error 13)\n"
    );
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
