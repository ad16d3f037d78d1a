//! The command line of `ctrace-query`: input, output formats, refusals and error messages.

use std::fs;
use std::process::Stdio;

use arrow::ipc::reader::StreamReader;
use ctrace_schema::meta;
use insta::assert_snapshot;
use serde_json::json;
use tempfile::TempDir;

use crate::support::incident::incident;
use crate::support::story::{Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};
use crate::{ask, recording};

/// Replaces the path of the temporary directory, which varies, by `DIR`.
fn stable(text: String, dir: &TempDir) -> String {
    text.replace(dir.path().canonicalize().unwrap().to_str().unwrap(), "DIR")
        .replace(dir.path().to_str().unwrap(), "DIR")
}

#[test]
fn formats() {
    let dir = recording();
    let sql = "select time, container, syscall, ret, error, denied from syscalls where pid = 201 order by seq limit 3";
    for format in [
        "table", "vertical", "csv", "tsv", "json", "ndjson", "markdown",
    ] {
        assert_snapshot!(
            format!("format_{format}"),
            ask(dir.path(), &["--format", format, sql])
        );
        let none = format!("select * from ({sql}) where ret = 42");
        assert_snapshot!(
            format!("format_{format}_empty"),
            ask(dir.path(), &["--format", format, &none])
        );
    }
}

#[test]
fn arrow_is_a_stream_of_the_same_rows() {
    let dir = recording();
    let sql = "select time, path from events order by seq";
    let output = ctrace_query_in(dir.path())
        .args(["--format", "arrow", sql])
        .output()
        .unwrap();
    let batches: Vec<_> = StreamReader::try_new(&output.stdout[..], None)
        .unwrap()
        .map(|b| b.unwrap())
        .collect();
    let rows: usize = batches.iter().map(|b| b.num_rows()).sum();
    assert_eq!(
        ask(
            dir.path(),
            &["--format", "csv", "select count(*) from events"]
        )
        .lines()
        .last()
        .unwrap(),
        rows.to_string()
    );
}

#[test]
fn a_part_of_a_recording_is_a_recording() {
    let dir = recording();
    let cut = [
        "--format",
        "parquet",
        "--output",
        "part.parquet",
        "select * from events where container = 'web'",
    ];
    assert_eq!(
        ask(dir.path(), &cut),
        "exit code 0\n--- stderr\nwrote: part.parquet\n"
    );
    let part = |args: &[&str]| {
        transcript(
            ctrace_query_in(dir.path())
                .args(["-r", "part.parquet"])
                .args(args),
        )
    };
    assert_snapshot!(part(&[
        "select key, value from meta where key <> 'ctrace.digest' order by key"
    ]));
    assert_eq!(
        part(&["files", "-c", "web", "--since", "30m"]),
        ask(dir.path(), &["files", "-c", "web"])
    );
    assert!(!dir.path().join(".part.parquet.partial").exists());
}

#[test]
fn an_output_file_appears_only_when_it_is_complete() {
    let dir = recording();
    assert_eq!(
        ask(
            dir.path(),
            &["--format", "csv", "-o", "a.csv", "select 1 as one"]
        ),
        "exit code 0\n--- stderr\nwrote: a.csv\n"
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("a.csv")).unwrap(),
        "one\n1\n"
    );
    let failing = [
        "--format",
        "csv",
        "-o",
        "a.csv",
        "select 1 / (seq - seq) from events",
    ];
    assert!(ask(dir.path(), &failing).starts_with("exit code 2"));
    assert_eq!(
        fs::read_to_string(dir.path().join("a.csv")).unwrap(),
        "one\n1\n"
    );
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a.csv", "run.parquet"]);
    assert_snapshot!(ask(
        dir.path(),
        &["-o", "./run.parquet", "select * from events"]
    ));
}

#[test]
fn sql_comes_from_an_argument_a_file_or_stdin() {
    let dir = recording();
    fs::write(
        dir.path().join("q.sql"),
        "-- how many\nselect count(*) as n\nfrom events;\n",
    )
    .unwrap();
    let want = ask(dir.path(), &["select count(*) as n from events"]);
    assert_eq!(ask(dir.path(), &["-f", "q.sql"]), want);
    let mut stdin = ctrace_query_in(dir.path());
    stdin
        .args(["-r", "run.parquet", "-"])
        .stdin(fs::File::open(dir.path().join("q.sql")).unwrap());
    assert_eq!(transcript(&mut stdin), want);
    // Without SQL and without a terminal, stdin is read.
    let mut bare = ctrace_query_in(dir.path());
    bare.args(["-r", "run.parquet"])
        .stdin(fs::File::open(dir.path().join("q.sql")).unwrap());
    assert_eq!(transcript(&mut bare), want);
}

#[test]
fn the_newest_recording_is_found_and_named() {
    let dir = TempDir::new().unwrap();
    let sql = "select count(*) as events from events";
    let here = || transcript(ctrace_query_in(dir.path()).arg(sql));
    assert_snapshot!(here());
    incident().write(dir.path(), "old.parquet");
    let mut short = Story::default();
    footer(&mut short);
    short.row(0, json!({ "kind": "container", "container": "web" }));
    short.write(dir.path(), "run.parquet");
    // The clock of the file system may be too coarse to order the two files.
    let hour = std::time::Duration::from_secs(3600);
    let age = |name: &str, hours: u32| {
        let file = fs::File::options()
            .write(true)
            .open(dir.path().join(name))
            .unwrap();
        file.set_modified(std::time::SystemTime::now() - hours * hour)
            .unwrap();
    };
    age("old.parquet", 3);
    age("run.parquet", 2);
    // A newer file that is no recording.
    assert_eq!(
        ask(
            dir.path(),
            &["--format", "parquet", "-o", "x.parquet", "select 1 as one"]
        ),
        "exit code 0\n--- stderr\nwrote: x.parquet\n"
    );
    assert_snapshot!(here());
    let named = transcript(
        ctrace_query_in(dir.path())
            .env("CTRACE_RECORDING", "old.parquet")
            .arg(sql),
    );
    assert!(
        !named.contains("reading") && named.contains("40"),
        "{named}"
    );
    // A statement without a table needs no recording.
    assert_snapshot!(transcript(
        ctrace_query_in(dir.path()).arg("select 1 as one")
    ));
}

#[test]
fn errors_in_sql_are_shown_with_their_position() {
    let dir = recording();
    let mut output = String::new();
    for sql in [
        "select contaner from events",
        "select e.contaner\nfrom events e\nwhere e.pid = 1",
        "select * from evnts",
        "select * from nothing_like_it",
        "select count(* from events",
        "select foo(container) from events",
        "select coutn(container) from events",
        "select 'abc from events",
        "select sum(container) from events",
        "select 1; select 2",
        "select container from events group by syscall",
        "select * from events\nwhere pid = 'abc'",
        "select * from events where time > 'soon'",
        "select * from events where container = \"web\"",
        "select * from 'missing.parquet'",
        "describe evnts",
        "select 1 / (seq - seq) from events",
        "selec 1",
    ] {
        output += &format!("$ {sql}\n{}\n", ask(dir.path(), &[sql]));
    }
    assert_snapshot!(output);
}

#[test]
fn statements_that_write_are_refused() {
    let dir = recording();
    let before = fs::read(dir.path().join("run.parquet")).unwrap();
    let mut output = String::new();
    for sql in [
        "create table t as select 1",
        "create external table t stored as parquet location 'x.parquet'",
        "create view v as select 1",
        "drop table events",
        "insert into events select * from events",
        "insert into 'run.parquet' select * from events",
        "copy (select 1) to 'x.csv'",
        "copy events to 'x.parquet'",
        "explain analyze copy (select 1) to 'x.csv'",
        "set datafusion.execution.batch_size = 1",
        "delete from events",
        "update events set pid = 1",
        "truncate table events",
        "begin transaction",
    ] {
        let answer = ask(dir.path(), &[sql]);
        assert!(answer.starts_with("exit code 2"), "{sql}: {answer}");
        output += &format!("$ {sql}\n{answer}\n");
    }
    assert_snapshot!(output);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::read(dir.path().join("run.parquet")).unwrap(), before);
}

#[test]
fn broken_files_are_named_and_explained() {
    let dir = recording();
    let whole = fs::read(dir.path().join("run.parquet")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    write("empty.parquet", b"");
    write("text.parquet", b"time,container\n");
    write("cut.parquet", &whole[..whole.len() / 2]);
    write("start.parquet", &whole[..4]);
    let mut footer = whole.clone();
    let length = footer.len() as u32;
    let at = footer.len() - 8;
    footer[at..at + 4].copy_from_slice(&length.to_le_bytes());
    write("footer.parquet", &footer);
    fs::create_dir(dir.path().join("dir")).unwrap();
    ask(
        dir.path(),
        &[
            "--format",
            "parquet",
            "-o",
            "other.parquet",
            "select 1 as one",
        ],
    );
    let odd = "select *, 'x' as extra from (select * exclude (pid), 'one' as pid from events)";
    ask(
        dir.path(),
        &["--format", "parquet", "-o", "odd.parquet", odd],
    );
    incident()
        .meta(meta::KEY_SCHEMA, "2.0")
        .write(dir.path(), "newer.parquet");
    incident()
        .meta(meta::KEY_SCHEMA, "nonsense")
        .write(dir.path(), "version.parquet");
    let mut output = String::new();
    for name in [
        "missing", "empty", "text", "cut", "start", "footer", "other", "odd", "newer", "version",
    ] {
        let name = format!("{name}.parquet");
        let answer = transcript(ctrace_query_in(dir.path()).args([
            "-r",
            &name,
            "select count(*) from events",
        ]));
        assert!(answer.starts_with("exit code 2"), "{name}: {answer}");
        output += &format!("$ -r {name}\n{answer}\n");
    }
    output += &transcript(ctrace_query_in(dir.path()).args(["-r", "dir", "summary"]));
    assert_snapshot!(stable(output, &dir));
}

#[test]
fn an_output_that_cannot_be_written_is_named_once() {
    let dir = recording();
    for format in ["table", "csv", "json", "arrow", "parquet"] {
        let args = ["summary", "--format", format, "-o", "/dev/full"];
        assert_eq!(
            ask(dir.path(), &args),
            "exit code 2\n--- stderr\nerror: cannot write /dev/full: No space left on device (os error 28)\n",
            "{format}"
        );
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = ctrace_query_in(dir.path())
        .arg("summary")
        .stdout(full)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("error: cannot write stdout: No space left on device (os error 28)\n"),
        "{stderr}"
    );
}

#[test]
fn questions_and_options_are_checked() {
    let dir = recording();
    let mut output = String::new();
    for args in [
        &["sumary"][..],
        &["xyzzy"],
        &[],
        &["summary", "--since", "yesterday"],
        &["help", "nothing"],
        &["-f", "missing.sql"],
        &["describe", "evnts"],
        &["files", "--since", "03:20", "--until", "03:10"],
        &["files", "--since", "1h", "--until", "2h"],
        &["gaps", "--since", "2h", "--until", "1h"],
        &["files", "--limit", "-1"],
    ] {
        output += &format!("$ {}\n{}\n", args.join(" "), ask(dir.path(), args));
    }
    assert_snapshot!(output);
}

#[test]
fn help_describes_questions_and_tables() {
    let dir = recording();
    assert_snapshot!(
        "help",
        transcript(ctrace_query_in(dir.path()).arg("--help"))
    );
    assert_snapshot!(
        "help_files",
        transcript(ctrace_query_in(dir.path()).args(["files", "--help"]))
    );
    assert_snapshot!(
        "help_questions",
        transcript(ctrace_query_in(dir.path()).args(["help", "questions"]))
    );
    // The examples are command lines that work.
    let help = ask(dir.path(), &["help", "questions"]);
    let examples: Vec<&str> = help
        .lines()
        .map(str::trim)
        .filter(|l| l.starts_with("ctrace-query "))
        .collect();
    assert!(examples.len() > 15, "{help}");
    let rule =
        "[[rule]]\nname = \"x\"\nlevel = \"event\"\ndescription = \"x\"\nwhere = \"ret = 7\"\n";
    fs::write(dir.path().join("mine.toml"), rule).unwrap();
    for example in examples {
        // This recording has other containers than the examples, and begins after 03:10.
        let example = example
            .replace("'pay*'", "'w*'")
            .replace("4f5b8c9d", "4f5b")
            .replace("good.parquet bad.parquet", "run.parquet run.parquet")
            .replace(
                " --follow --rules mine.toml",
                " --no-default-rules --rules mine.toml",
            )
            // Nothing is new when nothing happens.
            .replace("diff --bad 03:10,", "diff --bad 03:12:30,")
            // The next example must not find the file.
            .replace(
                ".parquet --container web --since 03:10",
                ".part --format parquet --container web --since 03:12",
            )
            .replace(
                "all.parquet node1.parquet node2.parquet",
                "all.part --format parquet run.parquet",
            );
        let program = env!("CARGO_BIN_EXE_ctrace-query");
        let line = example.replacen("ctrace-query", program, 1);
        let answer = transcript(
            std::process::Command::new("sh")
                .args(["-c", &line])
                .current_dir(dir.path())
                .env_remove("CTRACE_RECORDING"),
        );
        assert!(answer.starts_with("exit code 0"), "{example}: {answer}");
    }
    // `describe` needs no recording.
    let empty = TempDir::new().unwrap();
    assert_snapshot!(
        "describe",
        transcript(ctrace_query_in(empty.path()).arg("describe"))
    );
    assert_snapshot!("describe_events", ask(dir.path(), &["describe", "events"]));
    assert_eq!(
        ask(dir.path(), &["describe events"]),
        ask(dir.path(), &["describe", "events"])
    );
    assert_eq!(
        ask(dir.path(), &["describe", "events", "--show-sql"]),
        "exit code 0\n--- stdout\ndescribe \"events\"\n"
    );
}

#[test]
fn man_page_and_completions_are_made_from_the_same_definitions() {
    let dir = TempDir::new().unwrap();
    let out = |args: &[&str]| transcript(ctrace_query_in(dir.path()).args(args));
    let man = out(&["man"]);
    assert!(
        man.contains(".TH ctrace-query 1") && man.contains("\\-\\-show\\-sql"),
        "{man}"
    );
    for section in [
        "QUESTIONS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
    ] {
        assert!(man.contains(&format!(".SH \"{section}\"\n")), "{man}");
    }
    // The subcommands have no pages of their own.
    assert!(
        !man.contains("EXTRA") && !man.contains("summary(1)"),
        "{man}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let text = out(&["completions", shell]);
        assert!(
            text.contains("processes") && text.contains("since"),
            "{text}"
        );
    }
}

#[test]
fn options_may_stand_before_and_after_the_question() {
    let dir = recording();
    incident().write(dir.path(), "two.parquet");
    let all = |args: &[&str]| transcript(ctrace_query_in(dir.path()).args(args));
    let want = all(&[
        "-r",
        "run.parquet",
        "-r",
        "two.parquet",
        "--format",
        "csv",
        "containers",
    ]);
    assert_eq!(
        all(&[
            "-r",
            "run.parquet",
            "containers",
            "-r",
            "two.parquet",
            "--format",
            "csv"
        ]),
        want
    );
    assert!(
        want.contains("client,c11e47000102,") && want.contains(",28,"),
        "{want}"
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let dir = TempDir::new().unwrap();
    let mut child = ctrace_query_in(dir.path())
        .args([
            "--format",
            "csv",
            "select * from generate_series(1, 1000000)",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(0), "")
    );
}
