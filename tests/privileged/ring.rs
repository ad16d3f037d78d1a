//! `--ring`, which keeps recent events in memory, with the kernel's events.

use crate::support::containers::{Container, Runtime};
use crate::support::dump::dump;
use crate::support::query::query;
use crate::support::recorder::{Recorder, number};
use crate::support::root::require_root;
use serde_json::Value;

#[test]
fn a_noisy_container_evicts_nobody_else() {
    require_root();
    let recorder = Recorder::start(&[
        "--ring",
        "1MB",
        "--after",
        "0s",
        "--event",
        "read,write,openat",
    ]);
    let quiet = Container::new(Runtime::Runc, "quiet");
    let command = ["sh", "-c", "cat /tmp/none-1 /tmp/none-2; echo done; cat"];
    let mut quiet = quiet.start(&command);
    assert_eq!(quiet.line(), "done");
    let noisy = Container::new(Runtime::Runc, "noisy");
    let name = noisy.name().to_string();
    let reads = 300_000;
    let dd = format!("dd if=/dev/zero of=/dev/null bs=1 count={reads} 2>/dev/null");
    noisy.run(&["sh", "-c", &dd]);
    let path = dump(recorder.pid());
    let quiet = quiet.finish().name;

    let sql = format!(
        "select count(*) as n from events where container = '{quiet}' and path_arg like '/tmp/none-%'"
    );
    assert_eq!(number(&path, &sql), 2);
    let lost = |container: &str| {
        let sql =
            format!("select coalesce(sum(lost), 0) as n from gaps where container = '{container}'");
        number(&path, &sql)
    };
    // Losses of the kernel's buffers, which may hit every container, are not counted.
    let sql = format!(
        "select count(*) as n from gaps where container = '{quiet}' and reason = 'evicted'"
    );
    assert_eq!(number(&path, &sql), 0);
    let sql = format!(
        "select count(*) filter (where syscall in ('read', 'write')) as n, count(*) filter (where syscall = 'openat') as m
        from events where container = '{name}'"
    );
    let rows: Vec<Value> = query(&path, &sql);
    let retained = rows[0]["n"].as_i64().unwrap();
    assert!(
        retained > 1000 && lost(&name) > reads,
        "{retained} events of {name} are retained"
    );
    // dd reads and writes byte by byte. Only the few calls of its start are not counted.
    let extra = retained + lost(&name) - 2 * reads;
    assert!((0..500).contains(&extra), "{extra}");
    assert_eq!(recorder.stop().code, 0);
}

#[test]
fn a_trigger_dumps_events_before_and_after_it_and_names_live_processes() {
    require_root();
    let condition = "path = '/etc/shadow' and container like 'ring-%'";
    let flags = ["--ring", "2s", "--after", "5s", "--trigger", condition];
    let mut recorder = Recorder::start(&flags);
    let script = "sleep 1000 & while read file; do cat $file >/dev/null 2>&1; echo $file; done";
    let mut container = Container::new(Runtime::Runc, "ring").start(&["sh", "-c", script]);
    let name = container.name.clone();
    let mut open = |file: &str| {
        container.write(file);
        assert_eq!(container.line(), file);
    };
    open("/tmp/ready");
    // After this pause the start of the container is older than the ring.
    std::thread::sleep(std::time::Duration::from_secs(4));
    open("/tmp/before");
    // The file need not exist.
    open("/etc/shadow");
    open("/tmp/after");
    recorder.wait_until("dumped");
    container.kill();
    let recording = recorder.kill();
    let seen = |path: &str| {
        let sql = format!(
            "select count(*) as n from events where container = '{name}' and path_arg = '{path}'"
        );
        number(&recording.path, &sql)
    };
    assert_eq!(seen("/tmp/before"), 1);
    assert_eq!(seen("/tmp/after"), 1);
    let sql = format!(
        "select runtime, started is not null as started from containers where container = '{name}'"
    );
    let rows = query(&recording.path, &sql);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (rows[0]["runtime"].as_str(), &rows[0]["started"]),
        (Some("runc"), &Value::Bool(true))
    );
    let sql = format!(
        "select argv from processes where container = '{name}' and exited is null order by argv"
    );
    let argv: Vec<_> = query(&recording.path, &sql)
        .iter()
        .map(|row| row["argv"].to_string())
        .collect();
    assert!(
        argv.iter().any(|argv| argv.contains("sleep 1000")),
        "{argv:?}"
    );
    assert!(
        argv.iter().any(|argv| argv.contains("while read")),
        "{argv:?}"
    );
}

#[test]
fn set_up_meets_a_trigger_only_if_it_is_asked_for() {
    require_root();
    for (condition, fires) in [
        ("syscall = 'pivot_root' and container like 'set-%'", false),
        (
            "setup and syscall = 'pivot_root' and container like 'set-%'",
            true,
        ),
    ] {
        let recorder = Recorder::start(&["--ring", "1m", "--after", "0s", "--trigger", condition]);
        Container::new(Runtime::Runc, "set").run(&["sleep", "2"]);
        let recording = recorder.stop();
        let fired = recording.stderr.contains(": --trigger");
        assert_eq!(fired, fires, "{condition}: {}", recording.stderr);
    }
}

#[test]
fn a_killed_recorder_with_a_ring_leaves_no_file() {
    require_root();
    let recorder = Recorder::start(&["--ring", "1m"]);
    Container::new(Runtime::Runc, "gone").run(&["true"]);
    let recording = recorder.kill();
    let files = std::fs::read_dir(recording.path.parent().unwrap()).unwrap();
    assert_eq!(files.count(), 0);
}
