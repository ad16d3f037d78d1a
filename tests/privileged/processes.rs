//! Who made whom, with what arguments, and how each ended.

use crate::common::containers::{Container, Runtime};
use crate::common::recorder::Recorder;
use crate::common::require_root;
use serde_json::{Value, json};

#[test]
fn exec_carries_its_arguments_and_the_executable_that_it_found() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(Runtime::Docker, "exec").run(&["sh", "-c", "printenv A; exec ls -d '/it is' $HOME"]);
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select argv, path, path_arg, exe, comm, ret, uid, ns_pid from events where container = '{}' \
         and syscall = 'execve' and ret = 0 and argv not like '%init%' order by time, seq",
        ended.name
    ));
    let argv: Vec<_> = rows.iter().filter_map(|r| r["argv"].as_str()).collect();
    let shell = "sh -c 'printenv A; exec ls -d '\\''/it is'\\'' $HOME'";
    assert_eq!(argv, [shell, "printenv A", "ls -d '/it is' /"], "{rows:#?}");
    for row in &rows {
        // Every applet is a link to the one executable.
        assert_eq!(row["path"], "/bin/busybox", "{row}");
        assert_eq!(row["uid"], 0, "{row}");
    }
    assert_eq!(rows[0]["ns_pid"], 1, "the first process of the container");
    assert_eq!(rows[2]["ns_pid"], 1, "the shell became ls");
}

#[test]
fn an_exec_that_fails_says_why() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(Runtime::Docker, "execfail").run(&["env", "/etc/motd"]);
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select path, argv, error from events where container = '{}' and syscall = 'execve' and ret < 0 and comm = 'env'",
        ended.name
    ));
    let expected = json!({"path": "/etc/motd", "argv": "/etc/motd", "error": "EACCES"});
    assert_eq!(rows, [expected]);
}

#[test]
fn exits_carry_their_code_or_signal() {
    require_root();
    for runtime in Runtime::ALL {
        let recorder = Recorder::start(&[]);
        let ended =
            Container::new(runtime, "exits").run(&["sh", "-c", "sh -c 'kill -TERM $$'; sh -c 'exit 3'; exit 7"]);
        assert_eq!(ended.code, 7);
        let recording = recorder.stop();
        let rows = recording.query(&format!(
            "select exit_code, exit_signal from events where container = '{}' and kind = 'process' and action = 'exit' \
             and comm = 'sh' order by time, seq",
            ended.name
        ));
        let end = |row: &Value| (row["exit_code"].as_i64(), row["exit_signal"].as_i64());
        let ends: Vec<_> = rows.iter().map(end).collect();
        assert_eq!(ends, [(None, Some(15)), (Some(3), None), (Some(7), None)], "{runtime:?}: {rows:#?}");
    }
}

#[test]
fn a_child_is_known_by_its_parent() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(Runtime::Podman, "fork").run(&["calls", "getppid=1"]);
    let recording = recorder.stop();
    let here = format!("from events where container = '{}'", ended.name);
    let forks = recording.query(&format!(
        "select pid, child_pid {here} and syscall in ('clone', 'clone3', 'fork', 'vfork') and comm = 'calls' and ret > 0"
    ));
    assert_eq!(forks.len(), 1, "{forks:?}");
    let child = recording.query(&format!("select pid, ppid {here} and syscall = 'getppid' and comm = 'exe'"));
    assert_eq!(child, [json!({"pid": forks[0]["child_pid"], "ppid": forks[0]["pid"]})]);
}
