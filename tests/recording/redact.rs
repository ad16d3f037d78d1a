//! `ctrace-rec --redact`: the old text is in no output. The recorder replays a capture in which texts are planted.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::bytes::{contains, uncompressed};
use crate::support::capture::{Capture, ReplayingRecorder};
use crate::support::command::{run, succeeds};
use crate::support::programs::ctrace_rec;
use crate::support::refusal::refused;
use crate::support::replay::{ask, fixture};

/// Texts of the capture, and the texts of the same length that are planted in their place: a password in a URL, a variable, and a
/// file below a directory, which the recorder also knows by a relative path.
const PLANTED: [(&str, &str); 3] = [
    ("http://web:5432/orders", "http://a:hunter2@web/x"),
    ("/tmp/report", "token=zqjxk"),
    ("index.html", "zebra7.txt"),
];
/// The texts that must not be in an output.
const SECRETS: [&str; 3] = ["hunter2", "zqjxk", "zebra7"];
const RULES: &str = "[rules.site]\nprefixes = ['/srv/']\n";

fn planted() -> Capture {
    Capture::read().with_texts(&PLANTED)
}

/// A directory with the capture `planted.raw` and the rules `rules.toml`.
fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let mut file = File::create(dir.path().join("planted.raw")).unwrap();
    let capture = planted();
    file.write_all(&capture.begin_boot()).unwrap();
    file.write_all(capture.round()).unwrap();
    dir
}

/// Returns the bytes of all files below a path, uncompressed.
fn bytes(path: &Path) -> Vec<u8> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return entries
            .flat_map(|entry| bytes(&entry.unwrap().path()))
            .collect();
    }
    uncompressed(path)
}

fn assert_clean(bytes: &[u8], what: &str) {
    assert!(
        contains(bytes, "<redacted:site:") && contains(bytes, "<redacted:url:"),
        "{what}"
    );
    for secret in SECRETS {
        assert!(!contains(bytes, secret), "{what} contains {secret}");
    }
}

#[test]
fn no_output_has_the_old_text() {
    let dir = directory();
    let path = |name: &str| dir.path().join(name);
    let replay = |args: &[&str]| {
        let mut command = ctrace_rec();
        command
            .current_dir(dir.path())
            .args(["--from-raw", "planted.raw", "--quiet"]);
        command.args(args);
        command
    };
    succeeds(&mut replay(&["--out", "plain.parquet"]));
    for secret in SECRETS {
        assert!(
            contains(&bytes(&path("plain.parquet")), secret),
            "{secret}: the test would find nothing"
        );
    }
    let redact = "--redact=rules.toml";
    for out in ["run.parquet", "run.sqlite", "segments/"] {
        succeeds(&mut replay(&["--out", out, redact]));
        assert_clean(&bytes(&path(out)), out);
        let same =
            "select count(*), count(distinct seq), count(distinct path), count(argv) from events";
        assert_eq!(
            ask(&path(out), same),
            ask(&path("plain.parquet"), same),
            "{out}"
        );
        let meta = ask(
            &path(out),
            "select value from meta where key = 'ctrace.redacted'",
        );
        assert!(
            meta[0].contains("site") && meta[0].contains("ctrace-rec"),
            "{out}: {meta:?}"
        );
    }
    // Sums are of the redacted rows.
    for flags in ["", "--no-rollups"] {
        let mut command = crate::support::programs::ctrace_query();
        command
            .arg("-r")
            .arg(path("run.parquet"))
            .args(["--format", "csv"]);
        command.args(Some(flags).filter(|flags| !flags.is_empty()));
        let counts = run(command.arg(
            "select path, count(*) from events where path like '/srv/%' group by 1 order by 1",
        ));
        assert!(counts.contains("/srv/<redacted:site:"), "{counts}");
    }
    for format in ["json", "table"] {
        let lines = run(&mut replay(&["--format", format, redact]));
        assert_clean(lines.as_bytes(), format);
    }
    for line in run(&mut replay(&["--format", "json", redact])).lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    let condition = "path like '/srv/%' and 'zebra7' = 'zebra7'";
    for out in ["dump.parquet", "dump.sqlite"] {
        succeeds(&mut replay(&[
            "--out",
            out,
            redact,
            "--ring",
            "1h",
            "--trigger",
            condition,
        ]));
        assert_clean(&bytes(&path(out)), out);
    }
}

#[test]
fn a_killed_recorder_leaves_no_old_text() {
    let dir = directory();
    let rules = format!("--redact={}", dir.path().join("rules.toml").display());
    let (out, fifo) = (dir.path().join("killed.parquet"), dir.path().join("fifo"));
    let capture = Arc::new(planted());
    let recorder =
        ReplayingRecorder::start_to(&capture, out, fifo, Duration::from_millis(20), &[&rules]);
    recorder.wait(40);
    std::thread::sleep(Duration::from_millis(600));
    let (out, _) = recorder.kill();
    let left: Vec<PathBuf> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let is_of_recorder = |path: &&PathBuf| path.to_string_lossy().contains("killed");
    let left: Vec<_> = left.iter().filter(is_of_recorder).collect();
    assert!(
        left.iter()
            .any(|path| path.to_string_lossy().ends_with(".journal")),
        "{left:?}"
    );
    let all: Vec<u8> = left.iter().flat_map(|path| bytes(path)).collect();
    assert_clean(&all, "the unclosed file and its journal");
    let count = ask(
        &out,
        "select count(*) > 0 from events where path like '/srv/<redacted:site:%'",
    );
    assert_eq!(count, ["true"]);
}

#[test]
fn a_key_makes_hashes_of_two_recordings_equal() {
    let dir = directory();
    fs::write(dir.path().join("key"), "0123456789abcdef0123456789abcdef").unwrap();
    let hashes = |out: &str, key: &[&str]| {
        let mut command = ctrace_rec();
        command.current_dir(dir.path());
        command.args([
            "--from-raw",
            "planted.raw",
            "--quiet",
            "--redact",
            "--out",
            out,
        ]);
        succeeds(command.args(key));
        ask(
            &dir.path().join(out),
            "select argv from events where argv like '%<redacted:%' order by seq",
        )
    };
    let first = hashes("a.parquet", &["--redact-key", "key"]);
    assert!(!first.is_empty());
    assert_eq!(first, hashes("b.sqlite", &["--redact-key", "key"]));
    assert_ne!(first, hashes("c.parquet", &[]));
}

#[test]
fn wrong_flags_are_refused() {
    let dir = directory();
    let refusal = |args: &[&str]| {
        let mut command = ctrace_rec();
        refused(command.current_dir(dir.path()).args(args))
    };
    let raw = refusal(&["--raw", "run.raw", "--redact", "--out", "run.parquet"]);
    assert!(
        raw.contains("--raw and --redact do not go together"),
        "{raw}"
    );
    let capture = fixture();
    let replay = [
        "--from-raw",
        capture.to_str().unwrap(),
        "--out",
        "run.parquet",
    ];
    let missing = refusal(&[&replay[..], &["--redact=none.toml"]].concat());
    assert!(missing.contains("none.toml"), "{missing}");
    let key = refusal(&[&replay[..], &["--redact-key", "key"]].concat());
    assert!(key.contains("--redact"), "{key}");
    assert!(!dir.path().join("run.raw").exists() && !dir.path().join("run.parquet").exists());
}
