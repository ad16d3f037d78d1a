//! Killed recorders of the kernel's events.

use crate::support::command::run;
use crate::support::containers::{Container, Runtime};
use crate::support::query::query;
use crate::support::recorder::Recorder;
use crate::support::root::require_root;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Kills a recorder while a container opens one file after the other, and prints the number of each: the kill comes after
/// `lines` numbers. Checks that `seen` finds every file in the recording that was printed more than a second before.
fn kill_costs_a_second_at_most(name: &str, lines: usize, seen: impl Fn(&Path) -> Vec<String>) {
    require_root();
    let recorder = Recorder::start_to(name, &["--event", "openat,open"]);
    let mut container = Container::new(Runtime::Runc, "killed").start(&[
        "sh",
        "-c",
        "i=0; while i=$((i+1)); do cat /tmp/$i 2>/dev/null; echo $i; sleep 0.02; done",
    ]);
    let mut printed = vec![];
    while printed.len() < lines {
        printed.push((container.line(), Instant::now()));
    }
    let (killed, recording) = (Instant::now(), recorder.kill());
    container.kill();

    let seen = seen(&recording.path);
    let mut old = 0;
    for (line, when) in printed {
        if killed - when > Duration::from_secs(1) {
            old += 1;
            assert!(seen.contains(&format!("/tmp/{line}")), "{line}");
        }
    }
    assert!(old > 0, "nothing was older than a second");
}

const SQL: &str = "select path_arg from events where path_arg like '/tmp/%' and error = 'ENOENT'";

#[test]
fn a_kill_costs_sqlite_a_second_at_most() {
    kill_costs_a_second_at_most("run.sqlite", 150, |path| {
        let seen = run(Command::new("sqlite3").arg(path).arg(SQL));
        seen.lines().map(str::to_string).collect()
    });
}

#[test]
fn a_kill_costs_parquet_a_second_at_most() {
    for lines in [90, 137, 171] {
        kill_costs_a_second_at_most("run.parquet", lines, |path| {
            let seen = query(path, SQL).into_iter();
            seen.map(|row| row["path_arg"].as_str().unwrap().to_string())
                .collect()
        });
    }
}
