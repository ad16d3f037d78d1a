//! A foreign recording is safe to open: it cannot crash `ctrace-query` or control the terminal.

use std::fs;

use arrow::ipc::reader::StreamReader;
use insta::assert_snapshot;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use tempfile::TempDir;

use crate::support::random::Random;
use crate::support::story::{Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};
use crate::{ask, recording};

#[test]
fn damage_anywhere_is_an_error_or_an_answer_and_never_a_crash() {
    let dir = recording();
    let whole = fs::read(dir.path().join("run.parquet")).unwrap();
    let mut random = Random(1);
    for round in 0..40 {
        let mut bytes = whole.clone();
        // Every second round damages the footer, which is read first and trusted most.
        let from = if round % 2 == 0 {
            4
        } else {
            bytes.len() - bytes.len() / 4
        };
        for _ in 0..1 + random.below(8) {
            let at = from + random.below(bytes.len() - 8 - from);
            bytes[at] = random.below(256) as u8;
        }
        fs::write(dir.path().join("bad.parquet"), &bytes).unwrap();
        let output = ctrace_query_in(dir.path())
            .args(["-r", "bad.parquet", "select * from events"])
            .output()
            .unwrap();
        let code = output.status.code();
        assert!(
            code == Some(0) || code == Some(2),
            "round {round}: {:?}",
            output.status
        );
        assert_eq!(
            code == Some(2),
            String::from_utf8_lossy(&output.stderr).contains("error: "),
            "round {round}"
        );
    }
}

#[test]
fn control_characters_in_a_recording_are_escaped() {
    let dir = TempDir::new().unwrap();
    let mut story = Story::default();
    footer(&mut story);
    story.row(
        0,
        json!({ "kind": "syscall", "container": "evil\u{1b}[2J\u{202e}", "path": "a\nb\\x1b" }),
    );
    story.write(dir.path(), "run.parquet");
    let sql = "select container as \"c\u{1b}\", path from events";
    assert_snapshot!(ask(dir.path(), &[sql]));
    assert_snapshot!(ask(dir.path(), &["--format", "markdown", sql]));
    assert_snapshot!(ask(dir.path(), &["select \"x\u{1b}[2J\" from events"]));
    for format in ["csv", "tsv", "json", "ndjson"] {
        let sql = "select container, path, chr(155) || chr(127) as \"c\u{9b}\" from events";
        let output = ctrace_query_in(dir.path())
            .args(["--format", format, sql])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_snapshot!(format!("controls_{format}"), text);
        let is_control = |c: char| c != '\n' && c != '\t' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(is_control), "{format}: {text:?}");
    }
    // Arrow is read by programs only, so that its text is exact.
    let output = ctrace_query_in(dir.path())
        .args(["--format", "arrow", "select container from events"])
        .output()
        .unwrap();
    let mut batches = StreamReader::try_new(&output.stdout[..], None).unwrap();
    let batch = batches.next().unwrap().unwrap();
    let texts = arrow::array::AsArray::as_string::<i32>(batch.column(0));
    assert_eq!(texts.value(0), "evil\u{1b}[2J\u{202e}");
}

/// Checks that a name in a message is printed on one line, whatever it contains.
#[test]
fn a_name_with_a_newline_cannot_forge_a_message() {
    let dir = TempDir::new().unwrap();
    let mut story = Story::default();
    footer(&mut story);
    let row = json!({ "kind": "syscall", "syscall": "read", "container": "evil\nerror: forged" });
    story.row(0, row);
    story.gap(1, Some("evil\nwarning: forged"), "file", 3);
    story.write(dir.path(), "run.parquet");
    for args in [
        &["files", "--container", "web"][..],
        &["select count(*) from events"],
    ] {
        let output = ask(dir.path(), args);
        assert!(output.contains("forged"), "{output}");
        assert!(
            !output.contains("\nerror: forged") && !output.contains("\nwarning: forged"),
            "{output}"
        );
    }
}

#[test]
fn the_name_of_a_file_cannot_forge_a_message() {
    let dir = TempDir::new().unwrap();
    let name = "run\nerror: forged.parquet";
    fs::write(dir.path().join(name), "PAR1 not a recording PAR1").unwrap();
    for args in [
        &["verify", "."][..],
        &["-r", ".", "summary"],
        &["-r", ".", "select count(*) from events"],
        &["-r", name, "select count(*) from events"],
        &["-r", "other\nerror: forged", "summary"],
    ] {
        let output = transcript(ctrace_query_in(dir.path()).args(args));
        assert!(output.contains("forged"), "{args:?}: {output}");
        assert!(!output.contains("\nerror: forged"), "{args:?}: {output}");
    }
}

#[test]
fn a_pipe_that_nobody_writes_stops_no_question() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let make = |name: &str| {
        mknodat(CWD, at(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    make("pipe.parquet");
    for args in [
        &["-r", "pipe.parquet", "summary"][..],
        &["-r", "*.parquet", "summary"],
        &["-r", "pipe.parquet", "report", "--output", "page.html"],
        &["verify", "pipe.parquet"],
        &["recover", "pipe.parquet"],
        &["convert", "pipe.parquet", "run.sqlite"],
    ] {
        let output = transcript(ctrace_query_in(dir.path()).args(args));
        assert!(!output.starts_with("exit code 0"), "{args:?}: {output}");
        assert!(output.contains("pipe.parquet"), "{args:?}: {output}");
    }
    // Beside a recording.
    let mut story = Story::default();
    footer(&mut story);
    story.row(0, json!({ "kind": "syscall", "syscall": "read" }));
    story.write(dir.path(), "run.parquet");
    fs::create_dir_all(at("node/date=2026-11-20")).unwrap();
    fs::copy(at("run.parquet"), at("node/date=2026-11-20/run.parquet")).unwrap();
    for beside in [
        "run.parquet.journal",
        "run.parquet.minisig",
        "node/.manifest.jsonl",
    ] {
        make(beside);
    }
    let output = ask(dir.path(), &["select count(*) from events"]);
    assert!(output.starts_with("exit code 0"), "{output}");
    let output = transcript(ctrace_query_in(dir.path()).args(["verify", "node"]));
    assert!(output.contains("no digest"), "{output}");
}
