//! Parents, arguments and ends of processes.

use crate::support::containers::{Container, Runtime};
use crate::support::recorder::Recorder;
use crate::support::root::require_root;
use serde_json::{Value, json};

#[test]
fn exec_carries_its_arguments_and_the_executable_that_it_found() {
    require_root();
    let recorder = Recorder::start(&[]);
    // The shell of busybox runs its applets without an exec unless their path is given.
    let script = r#"calls getppid=1; exec /bin/../bin/env "A=it is" calls chdir=1"#;
    let ended = Container::new(Runtime::Docker, "exec").run(&["sh", "-c", script]);
    assert_eq!(ended.code, 0);
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select argv, path, path_arg, exe, uid, ns_pid from events where container = '{}' and syscall = 'execve' \
         and ret = 0 order by time, seq",
        ended.name
    ));
    let column = |name: &str| {
        rows.iter()
            .map(|r| r[name].as_str().unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    let arguments = [
        &format!("sh -c '{script}'"),
        "calls getppid=1",
        "calls child getppid=1",
        "/bin/../bin/env 'A=it is' calls chdir=1",
        "calls chdir=1",
        "calls child chdir=1",
    ];
    assert_eq!(column("argv"), arguments, "{rows:#?}");
    // An applet is a link to the one executable.
    let (busybox, calls) = ("/bin/busybox", "/bin/calls");
    assert_eq!(
        column("path"),
        [busybox, calls, calls, busybox, calls, calls],
        "{rows:#?}"
    );
    assert_eq!(column("exe"), column("path"), "{rows:#?}");
    assert_eq!(rows[2]["path_arg"], "/proc/self/exe");
    assert!(rows.iter().all(|r| r["uid"] == 0), "{rows:#?}");
    // The shell is the first process of the container, and executes env, which executes calls.
    let first: Vec<_> = rows.iter().map(|r| r["ns_pid"] == 1).collect();
    assert_eq!(first, [true, false, false, true, true, false], "{rows:#?}");
}

#[test]
fn a_failed_exec_has_its_error() {
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
        let ended = Container::new(runtime, "exits").run(&[
            "sh",
            "-c",
            "sh -c 'kill -TERM $$'; sh -c 'exit 3'; exit 7",
        ]);
        assert_eq!(ended.code, 7);
        let recording = recorder.stop();
        let rows = recording.query(&format!(
            "select exit_code, exit_signal from events where container = '{}' and kind = 'process' and action = 'exit' \
             and comm = 'sh' order by time, seq",
            ended.name
        ));
        let end = |row: &Value| (row["exit_code"].as_i64(), row["exit_signal"].as_i64());
        let ends: Vec<_> = rows.iter().map(end).collect();
        assert_eq!(
            ends,
            [(None, Some(15)), (Some(3), None), (Some(7), None)],
            "{runtime:?}: {rows:#?}"
        );
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
    let child = recording.query(&format!(
        "select pid, ppid {here} and syscall = 'getppid' and comm = 'exe'"
    ));
    assert_eq!(
        child,
        [json!({"pid": forks[0]["child_pid"], "ppid": forks[0]["pid"]})]
    );
}
