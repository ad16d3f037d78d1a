//! `cut` and `merge`: parts of a recording that are complete in themselves, and recordings that are one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use arrow::array::AsArray;
use ctrace_schema::meta;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::bytes::{contains, uncompressed};
use super::support::incident::{WEB, incident};
use super::support::story::{QUESTIONS, START, Story, footer, merge};
use super::support::transcript::{ctrace_query_in, transcript};
use super::{ask, recording};

/// Runs `ctrace-query ARGS`, which must succeed, and returns its stdout.
fn run(dir: &Path, args: &[&str]) -> String {
    let output = ctrace_query_in(dir).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{args:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Returns the rows of an answer, each as one text.
fn rows(dir: &Path, recording: &str, sql: &str) -> Vec<String> {
    let csv = run(dir, &["-r", recording, "--format", "csv", sql]);
    csv.lines().skip(1).map(str::to_string).collect()
}

/// Returns a value of the metadata.
fn meta_value(dir: &Path, recording: &str, key: &str) -> String {
    let sql = format!("select value from meta where key = '{key}'");
    let json = run(dir, &["-r", recording, "--format", "json", &sql]);
    let rows: Value = serde_json::from_str(&json).unwrap();
    rows[0]["value"].as_str().unwrap_or_default().to_string()
}

/// Texts of the recording about containers other than `web`.
const OTHERS: [&str; 9] = [
    "worker",
    "a0b1c2d3e4f5",
    "shop/worker:7",
    "/app/worker",
    "/etc/shadow",
    "/out/orders.json",
    "c11e47000102",
    "curlimages",
    "pay.example.com",
];

#[test]
fn a_part_holds_nothing_of_other_containers() {
    let dir = recording();
    let dir = dir.path();
    // A filter of the recording that names a container.
    let mut story = incident();
    story.meta(
        meta::KEY_FILTERS,
        r#"{"container":["web","worker","client"],"set":["file","network","process","poll"]}"#,
    );
    story.write(dir, "run.parquet");
    run(dir, &["convert", "run.parquet", "run.sqlite"]);
    for source in ["run.parquet", "run.sqlite"] {
        let whole = uncompressed(&dir.join(source));
        for text in OTHERS {
            assert!(
                contains(&whole, text),
                "{text}: the test would find nothing"
            );
        }
    }
    for (source, part) in [
        ("run.parquet", "part.parquet"),
        ("run.parquet", "part.sqlite"),
        ("run.sqlite", "other.parquet"),
    ] {
        run(
            dir,
            &["-r", source, "cut", "--container", "web", "-o", part],
        );
        let bytes = uncompressed(&dir.join(part));
        assert!(
            contains(&bytes, "/srv/orders.json") && contains(&bytes, WEB),
            "{part}"
        );
        for text in OTHERS {
            assert!(!contains(&bytes, text), "{part} contains {text}");
        }
        let filters = meta_value(dir, part, meta::KEY_FILTERS);
        assert_eq!(filters, r#"{"set":["file","network","process","poll"]}"#);
    }
}

#[test]
fn a_part_says_from_what_and_how_it_was_cut() {
    let dir = recording();
    let dir = dir.path();
    // A recording with a digest.
    run(dir, &["convert", "run.parquet", "whole.parquet"]);
    run(
        dir,
        &[
            "-r",
            "whole.parquet",
            "cut",
            "--since",
            "03:12:01",
            "--until",
            "03:12:02",
            "--where",
            "error is not null",
            "-o",
            "part.parquet",
        ],
    );
    let cut: Value = serde_json::from_str(&meta_value(dir, "part.parquet", meta::KEY_CUT)).unwrap();
    assert_eq!(
        cut["from"],
        json!([{ "name": "whole.parquet", "sha256": meta_value(dir, "whole.parquet", meta::KEY_DIGEST) }])
    );
    assert_eq!(
        cut["conditions"],
        json!({ "since": "2026-11-21T03:12:01.000000000Z", "until": "2026-11-21T03:12:02.000000000Z",
            "where": "error is not null" })
    );
    assert!(cut["time"].as_u64().unwrap() > 0);
    assert_eq!(
        meta_value(dir, "part.parquet", meta::KEY_START),
        (START + 1_000_000_000).to_string()
    );
    assert_eq!(
        meta_value(dir, "part.parquet", meta::KEY_END),
        (START + 2_000_000_000).to_string()
    );
    assert_eq!(
        rows(dir, "part.parquet", "select count(*) from events"),
        [meta_value(dir, "part.parquet", meta::KEY_EVENTS)]
    );
    run(dir, &["verify", "part.parquet"]);
    // A changed source is not cut.
    let mut bytes = fs::read(dir.join("whole.parquet")).unwrap();
    bytes[100] ^= 1;
    fs::write(dir.join("whole.parquet"), bytes).unwrap();
    let refused = ask_plain(dir, &["-r", "whole.parquet", "cut", "-o", "again.parquet"]);
    assert!(
        refused.starts_with("exit code 1\n") && refused.contains("--no-verify"),
        "{refused}"
    );
    assert!(!dir.join("again.parquet").exists());
}

fn ask_plain(dir: &Path, args: &[&str]) -> String {
    transcript(ctrace_query_in(dir).args(args))
}

/// Checks that questions about the container `client` have the same answer over a part as over the whole.
fn assert_same_answers(part: &str, questions: &[&str]) {
    let dir = recording();
    let dir = dir.path();
    let cut = [
        "-r",
        "run.parquet",
        "cut",
        "--container",
        "client",
        "-o",
        part,
    ];
    run(dir, &cut);
    for question in questions {
        // What other containers are called, and the filters of the recording, are not in the part.
        if ["links", "summary"].contains(question) {
            run(dir, &["-r", part, question]);
            continue;
        }
        let answer = |recording| {
            let options = ["--container", "client", "--format", "csv"];
            run(dir, &[&["-r", recording, question], &options[..]].concat())
        };
        assert_eq!(answer("run.parquet"), answer(part), "{question}");
    }
}

#[test]
fn questions_have_the_same_answer_on_a_part() {
    assert_same_answers("part.parquet", QUESTIONS);
}

#[test]
fn questions_have_the_same_answer_on_a_part_in_sqlite() {
    assert_same_answers("part.sqlite", &["containers", "files", "processes"]);
}

#[test]
fn questions_about_events_have_the_same_answer_for_a_span() {
    let dir = recording();
    let dir = dir.path();
    let window = [
        "--container",
        "client",
        "--since",
        "03:12:01.050",
        "--until",
        "03:12:08.050",
    ];
    let cut = ["-r", "run.parquet", "cut", "-o", "minute.parquet"];
    run(dir, &[&cut[..], &window].concat());
    for question in ["syscalls", "strace", "errors", "stuck"] {
        let answer = |recording| {
            let ask = ["-r", recording, question, "--format", "csv"];
            run(dir, &[&ask[..], &window].concat())
        };
        assert_eq!(
            answer("run.parquet"),
            answer("minute.parquet"),
            "{question}"
        );
    }
}

/// Creates a recording of a container whose process tree has ended in part: `init` starts `launcher`, which starts `worker`
/// and ends. `worker` uses a file and a connection that were opened before.
fn family() -> Story {
    let mut story = Story::default();
    footer(&mut story);
    let who = |pid: i32, ppid: i32, comm: &str| {
        json!({ "container": "app", "container_id": "aa".repeat(32), "pid": pid, "tid": pid, "ppid": ppid, "comm": comm,
            "boot_id": "b" })
    };
    let (init, launcher, worker) = (
        who(1, 0, "init"),
        who(2, 1, "launcher"),
        who(3, 2, "worker"),
    );
    let exec = |argv: &str| json!({ "argv": argv, "class": "process" });
    let fork = |child: i32| json!({ "child_pid": child, "class": "process" });
    let container = json!({ "kind": "container", "action": "started", "container": "app",
        "container_id": "aa".repeat(32), "image": "app:1", "boot_id": "b" });
    story.row(0, container);
    story.call(10, &init, "execve", 0, exec("init --all"));
    story.call(20, &init, "fork", 2, fork(2));
    story.call(30, &launcher, "execve", 0, exec("launcher --once"));
    story.call(40, &launcher, "fork", 3, fork(3));
    story.call(50, &worker, "execve", 0, exec("worker --port 80"));
    let exit = json!({ "kind": "process", "action": "exit", "exit_code": 0 });
    let mut ended = launcher.clone();
    merge(&mut ended, exit);
    story.row(60, ended);
    let file = json!({ "class": "file", "path": "/data/a", "fd": 7, "dev": "1:1", "inode": 5 });
    story.call(70, &worker, "openat", 7, file.clone());
    let other = json!({ "class": "file", "path": "/data/b", "fd": 8, "dev": "1:1", "inode": 6 });
    story.call(71, &worker, "openat", 8, other);
    let socket = json!({ "class": "network", "family": "inet", "protocol": "tcp", "fd": 9, "inode": 77,
        "local_addr": "10.0.0.1", "local_port": 40000, "peer_addr": "10.0.0.9", "peer_port": 443 });
    story
        .call(80, &worker, "connect", -115, socket.clone())
        .last("error", "EINPROGRESS");
    let mut established = worker.clone();
    merge(&mut established, socket.clone());
    merge(
        &mut established,
        json!({ "kind": "connection", "action": "established", "direction": "out", "duration": 5 }),
    );
    story.row(81, established);
    let gap = json!({ "kind": "gap", "action": "ring full", "class": "file", "lost": 3, "duration": 2_000_000_000_i64, "boot_id": "b" });
    story.row(900, gap.clone());
    story.row(100, gap).last("duration", 1_000_000);
    // The part begins here.
    story.call(2000, &worker, "read", 10, file);
    story.call(2010, &worker, "sendto", 10, socket);
    story
}

#[test]
fn a_part_has_what_its_events_refer_to() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    family().write(dir, "run.parquet");
    for part in ["part.parquet", "part.sqlite"] {
        run(
            dir,
            &[
                "-r",
                "run.parquet",
                "cut",
                "--container",
                "app",
                "--since",
                "03:12:02",
                "-o",
                part,
            ],
        );
        let story = "select kind, coalesce(argv, path, cast(child_pid as text), image, action, syscall) from events order by time, seq";
        assert_eq!(
            rows(dir, part, story),
            [
                "container,app:1",
                "syscall,init --all",
                "syscall,2",
                "syscall,launcher --once",
                "syscall,3",
                "syscall,worker --port 80",
                "syscall,/data/a",
                "syscall,connect",
                "connection,established",
                "gap,ring full",
                "syscall,/data/a",
                "syscall,sendto"
            ],
            "{part}"
        );
        assert_eq!(meta_value(dir, part, meta::KEY_LOST), r#"{"file":3}"#);
    }
    assert_eq!(meta_value(dir, "part.parquet", meta::KEY_ALIVE), "10");
    // The rollups count the events of the span.
    let count =
        "select count(*) from events where kind = 'syscall' and time >= '2026-11-21 03:12:02'";
    for flags in [&[][..], &["--no-rollups"]] {
        let args = [&["-r", "part.parquet", "--format", "csv", count][..], flags].concat();
        assert!(run(dir, &args).ends_with("\n2\n"), "{flags:?}");
    }
}

#[test]
fn conditions_leave_processes_and_containers_in() {
    let dir = recording();
    let dir = dir.path();
    run(
        dir,
        &[
            "-r",
            "run.parquet",
            "cut",
            "--set",
            "network",
            "--where",
            "error is not null -- failed",
            "-o",
            "part.parquet",
        ],
    );
    let calls = "select distinct syscall from events where kind = 'syscall' and child_pid is null and argv is null order by 1";
    assert_eq!(rows(dir, "part.parquet", calls), ["connect", "recvfrom"]);
    for sql in [
        "select count(*) from events where kind = 'container'",
        "select count(*) from events where kind = 'process'",
        "select count(*) from events where argv is not null",
    ] {
        assert_eq!(
            rows(dir, "part.parquet", sql),
            rows(dir, "run.parquet", sql),
            "{sql}"
        );
    }
}

#[test]
fn wrong_options_are_explained() {
    let dir = recording();
    let dir = dir.path();
    let cut = |args: &[&str]| ask(dir, &[&["cut", "-o", "part.parquet"], args].concat());
    let refusals = [
        (&["--where", "1=1) or (1=1"][..], "--where"),
        (&["--where", "colour = 'red'"], "colour"),
        (&["--container", "wbe"], "web"),
        (&["--since", "04:00"], "covers"),
        (&["--set", "disk"], "file, network"),
    ];
    for (args, word) in refusals {
        let text = cut(args);
        assert!(
            text.starts_with("exit code 2\n") && text.contains(word),
            "{args:?}: {text}"
        );
        assert!(!dir.join("part.parquet").exists() && !dir.join("part.parquet.partial").exists());
    }
    let text = ask(dir, &["cut", "-o", "part.txt"]);
    assert!(text.contains(".parquet or .sqlite"), "{text}");
    cut(&[]);
    let text = cut(&[]);
    assert!(
        text.starts_with("exit code 2\n") && text.contains("--force"),
        "{text}"
    );
    let text = ask(dir, &["cut", "-o", "run.parquet", "--force"]);
    assert!(text.contains("is the recording that is read"), "{text}");
}

#[test]
fn a_merge_has_each_event_once() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    // Events are known by their boot.
    incident()
        .meta(meta::KEY_BOOT_ID, "b")
        .write(dir, "run.parquet");
    run(
        dir,
        &[
            "-r",
            "run.parquet",
            "cut",
            "--until",
            "03:12:02",
            "-o",
            "a.parquet",
        ],
    );
    run(
        dir,
        &[
            "-r",
            "run.parquet",
            "cut",
            "--since",
            "03:12:01",
            "-o",
            "b.sqlite",
        ],
    );
    for all in ["all.parquet", "all.sqlite"] {
        run(dir, &["merge", "b.sqlite", "a.parquet", "-o", all]);
        let events = "select time, seq, kind, container, syscall, path from events order by seq";
        assert_eq!(
            rows(dir, all, events),
            rows(dir, "run.parquet", events),
            "{all}"
        );
        let merged: Value = serde_json::from_str(&meta_value(dir, all, meta::KEY_MERGED)).unwrap();
        let names: Vec<_> = merged["from"]
            .as_array()
            .unwrap()
            .iter()
            .map(|from| from["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["b.sqlite", "a.parquet"]);
        assert!(merged["from"][1]["sha256"].as_str().unwrap().len() == 64);
    }
}

#[test]
fn a_merge_keeps_machines_apart() {
    let dir = recording();
    let dir = dir.path();
    let mut other = incident();
    for row in &mut other.rows {
        row["host"] = "node2".into();
        row["time"] = (row["time"].as_i64().unwrap() + 5_000_000).into();
    }
    other
        .meta(meta::KEY_HOST, "node2")
        .meta(meta::KEY_ARCH, "aarch64")
        .meta(meta::KEY_FILTERS, r#"{"set":["file"]}"#);
    other.write(dir, "other.parquet");
    run(
        dir,
        &["merge", "run.parquet", "other.parquet", "-o", "all.parquet"],
    );
    let sql = "select host, count(*) from events group by 1 order by 1";
    let n = incident().rows.len();
    assert_eq!(
        rows(dir, "all.parquet", sql),
        [format!("node1,{n}"), format!("node2,{n}")]
    );
    // The row groups follow each other in time.
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(fs::File::open(dir.join("all.parquet")).unwrap())
            .unwrap();
    let hosts: BTreeSet<String> = reader
        .build()
        .unwrap()
        .flat_map(|batch| {
            let batch = batch.unwrap();
            let hosts = arrow::compute::cast(
                batch.column_by_name("host").unwrap(),
                &arrow::datatypes::DataType::Utf8,
            )
            .unwrap();
            hosts
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(String::from)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(hosts.len(), 2);
    // The filters of one machine are known, and both architectures.
    let text = ask_plain(dir, &["-r", "all.parquet", "syscalls"]);
    assert!(text.contains("was made with --set file"), "{text}");
    let profile = run(dir, &["-r", "all.parquet", "seccomp"]);
    assert!(
        profile.contains("SCMP_ARCH_AARCH64") && profile.contains("SCMP_ARCH_X86_64"),
        "{profile}"
    );
}
