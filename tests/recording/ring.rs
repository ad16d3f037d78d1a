//! `--ring`, which keeps recent events in memory, and its dumps. The recorder replays a capture, which needs no
//! privileges; `tests/privileged/ring.rs` has tests with the kernel's events.

use crate::support::capture::{Capture, ReplayingRecorder};
use crate::support::command::succeeds;
use crate::support::dump::dump;
use crate::support::programs::ctrace_rec;
use crate::support::python::script;
use crate::support::refusal::refused;
use crate::support::replay::{ask, fixture, record_fixture};
use crate::support::wait::wait_for;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The pause between rounds of a capture that is fed slowly.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts a recorder that is fed a round of a capture after each `pause`.
fn fed(dir: &TempDir, pause: Duration, flags: &[&str]) -> ReplayingRecorder {
    let capture = Arc::new(Capture::read());
    let (path, fifo) = (dir.path().join("ring.parquet"), dir.path().join("fifo"));
    ReplayingRecorder::start_to(&capture, path, fifo, pause, flags)
}

/// A query that is true if each `seq` occurs once, without a hole.
const COMPLETE: &str = "select count(*) = count(distinct seq) and max(seq) - min(seq) + 1 = count(*) \
                     from events where kind <> 'gap'";

#[test]
fn a_dump_has_the_rows_of_a_plain_recording() {
    let dir = tempfile::tempdir().unwrap();
    let record = |out: &str, flags: &[&str]| {
        let out = dir.path().join(out);
        record_fixture(&out, flags);
        out
    };
    let rows = |path: &Path| {
        let columns = "select * from events order by seq";
        let mut rows = ask(path, columns);
        for row in &mut rows {
            // The last column is the name of the file.
            row.truncate(row.rfind(',').unwrap());
        }
        rows
    };
    let plain = rows(&record("plain.parquet", &[]));
    let condition = "path = '/etc/shadow' and comm = 'cat'";
    let ring = ["--ring", "1h", "--trigger", condition];
    for name in ["dump.parquet", "dump.sqlite", "dumps/"] {
        let out = record(name, &ring);
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

/// Returns the files of a directory but for `fifo`, sorted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(dir).unwrap();
    let mut files: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("fifo"));
    files.sort();
    files
}

#[test]
fn each_dump_has_a_file_of_its_own_and_a_kill_leaves_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = fed(&dir, PAUSE, &["--ring", "1h,30MB", "--after", "0s"]);
    recorder.wait(8);
    let first = dump(recorder.child.id());
    assert_eq!(first, recorder.path);
    let second = dump(recorder.child.id());
    let pid = recorder.child.id().to_string();
    succeeds(Command::new("kill").args(["-USR1", &pid]));
    let third = wait_for("the dump of SIGUSR1", || {
        files(dir.path()).into_iter().find(|path| {
            *path != first && *path != second && path.extension().is_some_and(|e| e == "parquet")
        })
    });
    // The dump of SIGUSR1 may still be running: then the answer comes when its file is complete.
    let last = dump(recorder.child.id());
    recorder.kill();
    let mut expected = vec![first.clone(), second.clone(), third.clone(), last.clone()];
    expected.sort();
    expected.dedup();
    assert_eq!(files(dir.path()), expected);
    let mut before = 0;
    for path in [&first, &second, &last] {
        assert_eq!(ask(path, COMPLETE), ["true"], "{path:?}");
        let events: u64 = ask(path, "select count(*) from events")[0].parse().unwrap();
        assert!(events >= before.max(3000), "{events} after {before}");
        before = events;
    }
    // Dumps of one ring overlap. Together they have each event once.
    let together = ask(
        dir.path(),
        "select count(*), count(distinct seq) from events",
    );
    assert_eq!(together, [format!("{before},{before}")]);
    let reason =
        |path: &Path| ask(path, "select value from meta where key = 'ctrace.dump'").join("");
    assert!(reason(&first).contains("dump") && reason(&third).contains("SIGUSR1"));
}

#[test]
fn a_trigger_that_fires_repeatedly_makes_one_dump() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--ring",
        "1h",
        "--after",
        "0s",
        "--trigger",
        "syscall = 'openat'",
    ];
    let recorder = fed(&dir, PAUSE, &flags);
    recorder.wait(15);
    let asked = dump(recorder.child.id());
    recorder.kill();
    let files = files(dir.path());
    // The dump of the trigger, and the requested dump.
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.contains(&asked) && asked != dir.path().join("ring.parquet"));
}

#[test]
fn evicted_events_are_counted_and_live_containers_stay_known() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = fed(&dir, Duration::ZERO, &["--ring", "1MB", "--after", "0s"]);
    recorder.wait(80);
    let path = dump(recorder.child.id());
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
    // The recorder learned the images once, at the beginning.
    let containers = "select container, image is not null from containers order by container";
    assert_eq!(
        ask(&path, containers),
        ["demo-client,true", "demo-web,true"]
    );
    let mut compare = script("compare_duckdb.py");
    let output = succeeds(compare.arg(env!("CARGO_BIN_EXE_ctrace-query")).arg(&path)).stdout;
    let rows = ask(&path, "select count(*) from events").remove(0);
    assert_eq!(
        String::from_utf8(output).unwrap(),
        format!("{rows} events\n")
    );
    let size = path.metadata().unwrap().len();
    assert!(size < 4_000_000, "{size}");
}

#[test]
fn wrong_flags_are_refused_before_anything_is_recorded() {
    let refused_with = |flags: &[&str]| {
        let mut command = ctrace_rec();
        refused(command.args(["--out", "/tmp/never/x.parquet"]).args(flags))
    };
    let trigger = |condition: &str| refused_with(&["--ring", "1m", "--trigger", condition]);
    let message = trigger("path = '/x' and\n commm = 'cat'");
    assert!(
        message.contains("no such column: commm: did you mean `comm`?"),
        "{message}"
    );
    assert!(message.contains("at character 18"), "{message}");
    let message = trigger("path =");
    assert!(message.contains("syntax error"), "{message}");
    let message = trigger("path = \"/etc/shadow\"");
    assert!(message.contains("no such column"), "{message}");
    let message = refused_with(&["--ring", "512MB"]);
    assert!(message.contains("`--memory 592MB`"), "{message}");
    let message = refused_with(&["--trigger", "true"]);
    assert!(message.contains("--ring"), "{message}");
    let raw = fixture();
    let message = refused_with(&["--ring", "1m", "--from-raw", raw.to_str().unwrap()]);
    assert!(message.contains("/tmp/never"), "{message}");
    let mut command = ctrace_rec();
    command.arg("--from-raw").arg(&raw);
    let message = refused(command.args(["--ring", "1m", "--format", "json"]));
    assert!(message.contains("--out DIR/"), "{message}");
    let message = refused(ctrace_rec().args(["dump", "--pid", "1"]));
    assert!(message.contains("process 1 is not a recorder"), "{message}");
}
