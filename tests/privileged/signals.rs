//! Signals that end processes: who has sent them, and how the container ended.

use crate::support::containers::{Container, Runtime};
use crate::support::recorder::Recorder;
use crate::support::root::require_root;
use crate::task::Task;
use serde_json::{Value, json};

#[test]
fn each_signal_that_ends_a_process_tells_its_sender() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(Runtime::Docker, "signals").run(&["signals"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "done\n"));
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select action, class, signal, comm, sender_comm, sender_container, sender_pid = ppid as parent from events \
         where container = '{}' and kind = 'signal' and comm <> 'signals' and comm not like 'runc%' order by seq",
        ended.name
    ));
    let signal = |comm: &str, action: &str, number: i32| {
        json!({
            "action": action, "class": "signal", "signal": number, "comm": comm, "sender_comm": "signals",
            "sender_container": ended.name, "parent": true,
        })
    };
    let mut aborted = signal("aborted", "sent", libc::SIGABRT);
    aborted["sender_comm"] = "aborted".into();
    aborted["parent"] = false.into();
    let crashed =
        json!({"action": "sent", "class": "signal", "signal": libc::SIGSEGV, "comm": "crashed"});
    assert_eq!(
        rows,
        [
            signal("killed", "sent", libc::SIGKILL),
            signal("polite", "sent", libc::SIGTERM),
            signal("deaf", "ignored", libc::SIGTERM),
            signal("deaf", "sent", libc::SIGKILL),
            signal("told", "sent", libc::SIGKILL),
            crashed,
            aborted,
        ]
    );
}

#[test]
fn a_container_that_is_killed_tells_by_whom() {
    require_root();
    let recorder = Recorder::start(&[]);
    let mut running =
        Container::new(Runtime::Docker, "victim").start(&["sh", "-c", "echo ready; read x"]);
    assert_eq!(running.line(), "ready");
    let victim = running.kill();
    let exits = Container::new(Runtime::Docker, "exits").run(&["sh", "-c", "exit 7"]);
    assert_eq!((victim.code, exits.code), (137, 7));
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select action, signal, ns_pid, sender_container, sender_pid is not null as sender from events \
         where container = '{}' and kind = 'signal' and comm = 'sh'",
        victim.name
    ));
    assert_eq!(
        rows,
        [
            json!({"action": "sent", "signal": 9, "ns_pid": 1, "sender_container": "host", "sender": true})
        ]
    );
    let ends = recording.query(&format!(
        "select container, exit_code, exit_signal from containers where container in ('{}', '{}') order by exit_code",
        victim.name, exits.name
    ));
    assert_eq!(
        ends,
        [
            json!({"container": exits.name, "exit_code": 7}),
            json!({"container": victim.name, "exit_signal": 9}),
        ]
    );
}

#[test]
fn a_process_that_lacked_memory_says_so_with_its_limit() {
    let task = Task::record("signals", "memory", &["--memory=24m", "--memory-swap=24m"]);
    assert_eq!(task.container.stdout, "9\n");
    let rows = task.select(
        "action, signal, comm, sender_pid, memory_limit",
        "events",
        "kind = 'signal' and comm = 'hungry' order by seq",
    );
    let killed = json!({"action": "sent", "signal": 9, "comm": "hungry"});
    let mut lacked = json!({"action": "out of memory", "signal": 9, "comm": "hungry"});
    lacked["memory_limit"] = (24 << 20).into();
    assert_eq!(rows, [killed, lacked]);
}

#[test]
fn a_filter_without_signals_records_none() {
    require_root();
    let recorder = Recorder::start(&["--event", "openat"]);
    let ended = Container::new(Runtime::Runc, "unsignalled").run(&["signals"]);
    let rows = recorder.stop().query(&format!(
        "select signal from events where container = '{}' and kind = 'signal'",
        ended.name
    ));
    assert_eq!(rows, [] as [Value; 0]);
}
