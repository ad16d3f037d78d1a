//! A recording in SQLite, made for real.

use crate::common::containers::{Container, Runtime};
use crate::common::recorder::Recorder;
use crate::common::{require_root, run};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_kill_costs_sqlite_a_second_at_most() {
    require_root();
    let recorder = Recorder::start_to("run.sqlite", &["--event", "openat,open"]);
    let mut container = Container::new(Runtime::Runc, "killed").start(&[
        "sh",
        "-c",
        "i=0; while i=$((i+1)); do cat /tmp/$i 2>/dev/null; echo $i; sleep 0.02; done",
    ]);
    let mut said = vec![];
    while said.len() < 150 {
        said.push((container.line(), Instant::now()));
    }
    let (killed, recording) = (Instant::now(), recorder.kill());
    container.kill();

    let sql = "select path_arg from events where path_arg like '/tmp/%' and error = 'ENOENT'";
    let seen = run(Command::new("sqlite3").arg(&recording.path).arg(sql));
    let seen: Vec<&str> = seen.lines().collect();
    let mut old = 0;
    for (line, when) in said {
        if killed - when > Duration::from_secs(1) {
            old += 1;
            assert!(seen.contains(&format!("/tmp/{line}").as_str()), "{line}");
        }
    }
    assert!(old > 0, "nothing was older than a second");
}
