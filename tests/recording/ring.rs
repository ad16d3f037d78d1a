//! The recent past in memory, and how it is written out: over a capture that is replayed, which needs no privileges.
//! `tests/privileged/ring.rs` does it with the kernel.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

#[path = "common/capture.rs"]
mod capture;
#[path = "common/programs.rs"]
mod programs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capture::{Capture, Recorder};
use programs::{ask, ctrace_rec, fixture, refused, script, succeeds};
use tempfile::TempDir;

/// Of rounds.
const SLOWLY: Duration = Duration::from_millis(200);

/// A recorder with a ring that is fed a round of a capture after each `pause`.
fn fed(dir: &TempDir, pause: Duration, flags: &[&str]) -> Recorder {
    let capture = Arc::new(Capture::read());
    let (path, fifo) = (dir.path().join("ring.parquet"), dir.path().join("fifo"));
    Recorder::start_to(&capture, path, fifo, pause, flags)
}

/// `ctrace-rec dump` of that recorder: the file that it names.
fn dump(recorder: &Recorder) -> PathBuf {
    let pid = recorder.child.id().to_string();
    let output = succeeds(ctrace_rec().args(["dump", "--quiet", "--pid", &pid]));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

/// Whether each number of an event is there once.
const WHOLE: &str = "select count(*) = count(distinct seq) and max(seq) - min(seq) + 1 = count(*) \
                     from events where kind <> 'gap'";

#[test]
fn a_dump_is_the_recording_of_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let replay = |out: &str, flags: &[&str]| {
        let out = dir.path().join(out);
        let mut command = ctrace_rec();
        command
            .arg("--from-raw")
            .arg(fixture())
            .arg("--out")
            .arg(&out);
        succeeds(command.args(flags));
        out
    };
    let rows = |path: &Path| {
        let columns = "select * from events order by seq";
        let mut rows = ask(path, columns);
        for row in &mut rows {
            // The last column is the file's name.
            row.truncate(row.rfind(',').unwrap());
        }
        rows
    };
    let plain = rows(&replay("plain.parquet", &[]));
    let condition = "path = '/etc/shadow' and comm = 'cat'";
    let ring = ["--ring", "1h", "--trigger", condition];
    for name in ["dump.parquet", "dump.sqlite", "dumps/"] {
        let out = replay(name, &ring);
        assert_eq!(rows(&out), plain, "{name}");
        let why = ask(&out, "select value from meta where key = 'ctrace.dump'");
        assert!(
            why[0].contains("shadow") && why[0].contains("trigger"),
            "{why:?}"
        );
        let at = why[0].split("time\"\":").nth(1).unwrap();
        let at: String = at.chars().take_while(char::is_ascii_digit).collect();
        let sql = format!(
            "select count(*) from events where path = '/etc/shadow' and cast(time as bigint) = {at}"
        );
        assert_eq!(ask(&out, &sql), ["1"]);
    }
}

#[test]
fn each_dump_has_a_file_of_its_own_and_a_kill_leaves_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = fed(&dir, SLOWLY, &["--ring", "1h,30MB", "--after", "0s"]);
    recorder.wait(8);
    let first = dump(&recorder);
    assert_eq!(first, recorder.path);
    let second = dump(&recorder);
    let pid = recorder.child.id().to_string();
    succeeds(Command::new("kill").args(["-USR1", &pid]));
    let files = || {
        let found = std::fs::read_dir(dir.path()).unwrap();
        let mut files: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path != &dir.path().join("fifo"));
        files.sort();
        files
    };
    let began = Instant::now();
    let why = |path: &Path| ask(path, "select value from meta where key = 'ctrace.dump'").join("");
    let third = loop {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", files());
        std::thread::sleep(Duration::from_millis(20));
        let new: Vec<_> = files();
        let new = new.into_iter().find(|path| {
            *path != first && *path != second && path.extension().is_some_and(|e| e == "parquet")
        });
        if let Some(new) = new {
            break new;
        }
    };
    // Asked while it may still be going on: the answer comes when it is written.
    let last = dump(&recorder);
    recorder.kill();
    let mut expected = vec![first.clone(), second.clone(), third.clone(), last.clone()];
    expected.sort();
    expected.dedup();
    assert_eq!(files(), expected);
    let mut before = 0;
    for path in [&first, &second, &last] {
        assert_eq!(ask(path, WHOLE), ["true"], "{path:?}");
        let events: u64 = ask(path, "select count(*) from events")[0].parse().unwrap();
        assert!(events >= before.max(3000), "{events} after {before}");
        before = events;
    }
    assert!(why(&first).contains("dump") && why(&third).contains("SIGUSR1"));
}

#[test]
fn a_condition_that_is_met_again_and_again_has_one_dump() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--ring",
        "1h",
        "--after",
        "0s",
        "--trigger",
        "syscall = 'openat'",
    ];
    let recorder = fed(&dir, SLOWLY, &flags);
    recorder.wait(15);
    let asked = dump(&recorder);
    recorder.kill();
    let found = std::fs::read_dir(dir.path()).unwrap();
    let files: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    // The FIFO, the dump of the trigger, and ours.
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.contains(&asked) && asked != dir.path().join("ring.parquet"));
}

#[test]
fn what_does_not_fit_is_counted_and_what_is_alive_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = fed(&dir, Duration::ZERO, &["--ring", "1MB", "--after", "0s"]);
    recorder.wait(80);
    let path = dump(&recorder);
    recorder.kill();
    let sql = "select count(*) filter (where kind <> 'gap') as kept, sum(lost) as lost, max(seq) + 1 as happened
        from events";
    let row = ask(&path, sql).remove(0);
    let numbers: Vec<u64> = row.split(',').map(|n| n.parse().unwrap()).collect();
    let [kept, lost, happened] = numbers[..] else {
        panic!("{row}")
    };
    assert!(kept > 10_000 && lost > 10_000, "{row}");
    assert_eq!(kept + lost, happened);
    let reasons = ask(&path, "select distinct reason from gaps");
    assert_eq!(reasons, ["evicted"]);
    // What was said of them once, at the beginning.
    let containers = "select container, image is not null from containers order by container";
    assert_eq!(
        ask(&path, containers),
        ["demo-client,true", "demo-web,true"]
    );
    let mut beside = script("beside_duckdb.py");
    let said = succeeds(beside.arg(env!("CARGO_BIN_EXE_ctrace-query")).arg(&path)).stdout;
    let rows = ask(&path, "select count(*) from events").remove(0);
    assert_eq!(String::from_utf8(said).unwrap(), format!("{rows} events\n"));
    let size = path.metadata().unwrap().len();
    assert!(size < 4_000_000, "{size}");
}

#[test]
fn what_cannot_be_is_said_before_anything_is_recorded() {
    let refused_with = |flags: &[&str]| {
        let mut command = ctrace_rec();
        refused(command.args(["--out", "/tmp/never/x.parquet"]).args(flags))
    };
    let trigger = |condition: &str| refused_with(&["--ring", "1m", "--trigger", condition]);
    let said = trigger("path = '/x' and\n commm = 'cat'");
    assert!(
        said.contains("no such column: commm: did you mean `comm`?"),
        "{said}"
    );
    assert!(said.contains("at character 18"), "{said}");
    let said = trigger("path =");
    assert!(said.contains("syntax error"), "{said}");
    let said = trigger("path = \"/etc/shadow\"");
    assert!(said.contains("no such column"), "{said}");
    let said = refused_with(&["--ring", "512MB"]);
    assert!(said.contains("`--memory 592MB`"), "{said}");
    let said = refused_with(&["--trigger", "true"]);
    assert!(said.contains("--ring"), "{said}");
    let raw = fixture();
    let said = refused_with(&["--ring", "1m", "--from-raw", raw.to_str().unwrap()]);
    assert!(said.contains("/tmp/never"), "{said}");
    let mut command = ctrace_rec();
    command.arg("--from-raw").arg(&raw);
    let said = refused(command.args(["--ring", "1m", "--format", "json"]));
    assert!(said.contains("--out DIR/"), "{said}");
    let said = refused(ctrace_rec().args(["dump", "--pid", "1"]));
    assert!(said.contains("the process 1 is no recorder"), "{said}");
}
