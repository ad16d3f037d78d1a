//! `ctrace-query diff` of real runs: a run with the same run again, and with a bad one.

use std::path::Path;

use serde_json::Value;

use crate::support::containers::{Container, Runtime};
use crate::support::programs::ctrace_query;
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;

/// A run that reads a file, sleeps, and writes a temporary file, sixty times.
const GOOD: &str = "i=0; while [ $i -lt 60 ]; do cat /etc/hosts > /dev/null; sleep 0.002; \
    f=$(mktemp); echo $i > $f; rm $f; i=$((i + 1)); done";
/// The same run, which reads three times as much and sleeps longer, and does what it never did: it runs a program that it has
/// written, talks to a server, fails to open a file, and crashes.
const BAD: &str = "i=0; while [ $i -lt 60 ]; do cat /etc/hosts /etc/hosts /etc/hosts > /dev/null; sleep 0.05; \
    f=$(mktemp); echo $i > $f; rm $f; i=$((i + 1)); done; \
    cp /bin/busybox /opt-evil; /opt-evil true; cat /etc/absent.conf; \
    nc -l -p 7070 > /dev/null & sleep 0.3; echo hello | nc 127.0.0.1 7070; sh -c 'kill -SEGV $$'; true";

fn record(script: &str) -> Recording {
    let container = Container::new(Runtime::Docker, "diff-of-runs");
    let recorder = Recorder::start(&["--container", container.name()]);
    let ended = container.run(&["sh", "-c", script]);
    assert_eq!(ended.code, 0, "{ended:?}");
    recorder.stop()
}

/// Returns the exit code and the changes of a `diff`.
fn diff(good: &Path, bad: &Path) -> (i32, Vec<Value>) {
    let output = ctrace_query()
        .args(["diff", "--format", "ndjson"])
        .args([good, bad])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let changes = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), changes)
}

#[test]
fn a_bad_run_differs_from_a_good_one_and_the_same_run_does_not() {
    require_root();
    let [good, bad] = [GOOD, BAD].map(record);
    // What the run does is the same each time. How long its calls take is up to the machine, which others use too.
    let same = || {
        let (code, changes) = diff(&good.path, &record(GOOD).path);
        let of_time = |row: &Value| row["change"] == "slower" || row["change"] == "faster";
        assert!(code == 0 && changes.iter().all(of_time), "{changes:#?}");
        changes.is_empty()
    };
    assert!((0..4).any(|_| same()), "each run differs in its durations");
    let (code, changes) = diff(&good.path, &bad.path);
    assert_eq!(code, 1);
    let find = |change: &str, what: &str, subject: &str| {
        let is_it = |row: &&Value| {
            row["change"] == change && row["what"] == what && row["subject"] == subject
        };
        let found = changes.iter().find(is_it);
        found.unwrap_or_else(|| panic!("{change} {what} {subject} in {changes:#?}"))
    };
    find("new", "executable", "/opt-evil");
    find("new", "peer", "127.0.0.1:7070");
    find("new", "peer", "port 7070 from the same machine");
    let error = find("new", "error", "/etc/absent.conf");
    assert!(
        error["action"].as_str().unwrap().ends_with(" ENOENT"),
        "{error}"
    );
    let crash = changes
        .iter()
        .find(|row| row["what"] == "exit" && row["action"] == "SIGSEGV");
    assert!(crash.is_some(), "{changes:#?}");
    let slower = changes.iter().find(|row| row["change"] == "slower");
    let slower = slower.unwrap_or_else(|| panic!("{changes:#?}"));
    assert!(
        slower["subject"].as_str().unwrap().contains("nanosleep"),
        "{slower}"
    );
    assert!(
        (10.0..40.0).contains(&slower["factor"].as_f64().unwrap()),
        "{slower}"
    );
    let more = find("more", "file", "/etc/hosts");
    assert!(
        (2.5..3.5).contains(&more["factor"].as_f64().unwrap()),
        "{more}"
    );
    assert_eq!(more["measure"], "per run");
}
