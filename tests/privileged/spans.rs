//! Calls and threads that began before the recording, or end after it.

use crate::support::recorder::Recorder;
use crate::task::Task;
use serde_json::{Value, json};

#[test]
fn a_process_that_made_no_call_has_an_end() {
    let container = Task::container("spans", &[]);
    let name = container.name().to_owned();
    let mut running = container.start(&["spans", "spin"]);
    assert_eq!(running.line(), "spinning");
    let recorder = Recorder::start(&["--container", &name]);
    running.kill();
    let rows = recorder.stop().query(&format!(
        "select kind, action, comm, exe, exit_signal from events where container = '{name}' and kind = 'process' and action = 'exit'"
    ));
    let end = json!({
        "kind": "process", "action": "exit", "comm": "spans", "exe": "/bin/spans", "exit_signal": 9,
    });
    assert_eq!(rows, [end]);
}

#[test]
fn a_vfork_that_has_not_returned_has_its_child() {
    let container = Task::container("spans", &[]);
    let name = container.name().to_owned();
    let recorder = Recorder::start(&["--container", &name]);
    let mut running = container.start(&["spans", "in_vfork"]);
    assert_eq!(running.line(), "child");
    let recording = recorder.stop();
    running.kill();
    let rows = recording.query(&format!(
        "select ret, duration, child_pid from events where container = '{name}' and syscall in ('vfork', 'clone', 'clone3') \
         and comm = 'spans'"
    ));
    let child = rows[0]["child_pid"].as_i64().unwrap();
    assert_eq!(rows, [json!({"child_pid": child})]);
    let started = recording.query(&format!(
        "select started is not null as started from processes where container = '{name}' and pid = {child}"
    ));
    assert_eq!(started, [json!({"started": true})]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_socketcall_that_was_in_progress_is_the_call_that_it_multiplexes() {
    let container = Task::container("spans", &[]);
    let name = container.name().to_owned();
    let mut running = container.start(&["spans", "in_socketcall"]);
    assert_eq!(running.line(), "waiting");
    let recorder = Recorder::start(&["--container", &name, "--event", "recv"]);
    let ends = Recorder::start(&["--container", &name]);
    let never_returned = ends.stop();
    running.write("x");
    let ended = running.finish();
    assert_eq!(ended.code, 0);
    let recorded = "select syscall, compat, bytes, local_port from events where";
    let rows = recorder.stop().query(&format!(
        "{recorded} container = '{name}' and kind = 'syscall'"
    ));
    assert_eq!(
        rows,
        [json!({"syscall": "recv", "compat": true, "bytes": 5, "local_port": 7012})]
    );
    // Without a return the arguments are unknown.
    let rows: Vec<Value> =
        never_returned.query(&format!("{recorded} container = '{name}' and compat"));
    assert_eq!(rows, [json!({"syscall": "recv", "compat": true})]);
}
