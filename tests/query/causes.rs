//! Causes that the first answers name, beside much that is routine.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ask;
use crate::support::story::{Story, footer, merge};

/// Returns the columns that describe a process of a container, whose name is its id.
fn who(container: &str, pid: i32, comm: &str) -> Value {
    json!({ "container": container, "container_id": container, "pid": pid, "tid": pid, "ppid": 1, "ns_pid": pid % 100, "uid": 0,
        "comm": comm, "exe": "/bin/app", "setup": false, "entered": false })
}

/// Adds a call on a file, which fails if there is an error.
fn file(s: &mut Story, ms: i64, who: &Value, syscall: &str, path: &str, error: Option<&str>) {
    let ret = if error.is_some() { -2 } else { 3 };
    let more = json!({ "class": "file", "path": path, "path_arg": path, "error": error });
    s.call(ms, who, syscall, ret, more);
}

/// Adds a row of another kind about a process or container.
fn row(s: &mut Story, ms: i64, who: &Value, more: Value) {
    let mut row = who.clone();
    merge(&mut row, more);
    s.row(ms, row);
}

fn state(s: &mut Story, ms: i64, container: &str, action: &str, more: Value) {
    let who = json!({ "container": container, "container_id": container, "kind": "container", "action": action });
    row(s, ms, &who, more);
}

fn recorded(story: &mut Story) -> TempDir {
    let dir = TempDir::new().unwrap();
    footer(story);
    story.write(dir.path(), "run.parquet");
    dir
}

/// Returns the first columns of each row of an answer.
fn answer(dir: &Path, args: &[&str], columns: usize) -> Vec<String> {
    let answer = ask(dir, &[args, &["--format", "csv"]].concat());
    let rows = answer.strip_prefix("exit code 0\n--- stdout\n");
    let rows = rows.unwrap_or_else(|| panic!("{args:?}: {answer}"));
    let rows = rows.split("--- stderr").next().unwrap().lines().skip(1);
    let first = |line: &str| line.split(',').take(columns).collect::<Vec<_>>().join(",");
    rows.map(first).collect()
}

const MISSING: Option<&str> = Some("ENOENT");

#[test]
fn only_searches_that_succeeded_are_routine() {
    let s = &mut Story::default();
    let sh = who("web", 101, "sh");
    file(s, 0, &sh, "newfstatat", "/usr/local/bin/app", MISSING);
    file(s, 1, &sh, "newfstatat", "/usr/bin/app", None);
    file(s, 2, &sh, "openat", "/lib/tls/libz.so.1", MISSING);
    file(s, 3, &sh, "openat", "/lib/libz.so.1", None);
    file(s, 4, &sh, "openat", "/etc/ld.so.preload", MISSING);
    // A script whose interpreter is missing.
    file(s, 5, &sh, "openat", "/srv/job", None);
    file(s, 6, &sh, "execve", "/srv/job", MISSING);
    // A file of the same name was read before.
    let cat = who("web", 102, "cat");
    file(s, 10, &cat, "openat", "/opt/config.json", None);
    file(s, 11, &cat, "openat", "/etc/config.json", MISSING);
    file(s, 12, &cat, "openat", "/opt/config.json", None);
    // Found much later.
    file(s, 20, &cat, "newfstatat", "/run/ready", MISSING);
    file(s, 9000, &cat, "newfstatat", "/tmp/ready", None);
    let dir = recorded(s);
    assert_eq!(
        answer(dir.path(), &["errors"], 5),
        [
            "web,execve,ENOENT,/srv/job,1",
            "web,openat,ENOENT,/etc/config.json,1",
            "web,newfstatat,ENOENT,/run/ready,1",
            "web,,ENOENT,routine: found elsewhere,2",
            "web,,ENOENT,routine: optional file,1",
        ]
    );
    assert_eq!(answer(dir.path(), &["errors", "--all"], 1).len(), 6);
}

#[test]
fn a_lack_of_resources_is_a_failure_and_nothing_to_read_is_not() {
    let s = &mut Story::default();
    let app = who("web", 101, "app");
    let failed = |class: &str| json!({ "class": class, "error": "EAGAIN" });
    s.call(0, &app, "clone", -11, failed("process"));
    s.call(1, &app, "read", -11, failed("file"));
    s.call(2, &app, "futex", -11, failed("thread"));
    let bind = json!({ "class": "network", "error": "EADDRINUSE", "family": "inet", "local_addr": "0.0.0.0", "local_port": 80 });
    s.call(3, &app, "bind", -98, bind);
    let socket = json!({ "class": "network", "error": "ENOENT", "family": "unix", "peer_path": "/run/db.sock" });
    s.call(4, &app, "connect", -2, socket);
    let denied = json!({ "class": "process", "error": "ENOSYS", "denied": true });
    s.call(5, &app, "clone3", -38, denied);
    let dir = recorded(s);
    assert_eq!(
        answer(dir.path(), &["errors"], 4),
        [
            "web,bind,EADDRINUSE,0.0.0.0:80",
            "web,clone,EAGAIN,",
            "web,connect,ENOENT,/run/db.sock",
            "web,,ENOSYS,routine: not supported",
        ]
    );
    let summary = answer(dir.path(), &["summary"], 2);
    assert!(
        !summary.iter().any(|row| row.contains("seccomp")),
        "{summary:#?}"
    );
}

#[test]
fn each_container_has_a_failure_in_the_summary() {
    let s = &mut Story::default();
    for i in 0..40 {
        let path = format!("/data/part-{i}");
        file(s, i, &who("noisy", 101, "cat"), "openat", &path, MISSING);
    }
    file(
        s,
        50,
        &who("quiet", 201, "app"),
        "openat",
        "/etc/app.conf",
        MISSING,
    );
    let dir = recorded(s);
    let summary = answer(dir.path(), &["summary"], 2);
    assert_eq!(
        summary[..2],
        [
            "top failures,noisy openat ENOENT /data/part-0",
            "top failures,quiet openat ENOENT /etc/app.conf"
        ]
    );
    assert_eq!(summary[5], "top failures,and 36 more");
}

#[test]
fn what_stands_out_beside_failures_is_in_the_summary() {
    let s = &mut Story::default();
    let own = json!({ "privileged": true, "restarts": 5 });
    state(s, 0, "web", "started", own);
    let exec = |argv: &str, origin: &str| json!({ "class": "process", "path": "/x", "argv": argv, "exe_origin": origin });
    let app = who("web", 101, "app");
    s.call(1, &app, "execve", 0, exec("app", "image"));
    s.call(
        2,
        &who("web", 102, "m"),
        "execve",
        0,
        exec("/tmp/m", "container"),
    );
    let mut visitor = who("web", 103, "sh");
    merge(&mut visitor, json!({ "entered": true }));
    s.call(3, &visitor, "execve", 0, exec("sh -i", "image"));
    let peer = json!({ "class": "network", "ret": null, "duration": null, "peer_addr": "10.0.0.9", "peer_port": 5432 });
    s.call(4, &app, "recvfrom", 0, peer);
    // The first process ends, and the kernel ends the others of its pid namespace.
    let end = |more: Value| {
        let mut end = json!({ "kind": "process", "action": "exit" });
        merge(&mut end, more);
        end
    };
    row(
        s,
        5000,
        &who("job", 301, "job"),
        end(json!({ "exit_code": 0 })),
    );
    row(
        s,
        5001,
        &who("job", 302, "child"),
        end(json!({ "exit_signal": 9 })),
    );
    row(
        s,
        5002,
        &who("web", 102, "m"),
        end(json!({ "exit_signal": 9 })),
    );
    let dir = recorded(s);
    let summary = answer(dir.path(), &["summary"], 3);
    assert_eq!(
        summary[..7],
        [
            "rule fired,alert: executed-own-file in web,1",
            "killed by a signal,web m,1 with SIGKILL",
            "has not returned,web app recvfrom 10.0.0.9:5432,5.00s",
            "restarted,web,5 times",
            "not from the image,web /tmp/m,1",
            "came in from outside,web sh -i,1",
            "power over the machine,web,privileged",
        ]
    );
}

#[test]
fn the_last_life_of_a_container_counts() {
    let s = &mut Story::default();
    let killed = json!({ "exit_signal": 9, "reason": "out of memory" });
    state(s, 0, "web", "started", json!({}));
    state(s, 1000, "web", "stopped", killed);
    state(s, 2000, "web", "started", json!({}));
    state(
        s,
        3000,
        "web",
        "stopped",
        json!({ "exit_code": 3, "reason": "exited" }),
    );
    let ended = recorded(s);
    let sql =
        "select stopped is null, exit_code, exit_signal, reason from containers order by container";
    assert_eq!(answer(ended.path(), &[sql], 4), ["false,3,,exited"]);
    let why = answer(ended.path(), &["why"], 4);
    assert!(why[1].contains("exited, exit code 3"), "{why:#?}");

    state(s, 4000, "web", "started", json!({}));
    file(
        s,
        5000,
        &who("web", 101, "app"),
        "openat",
        "/etc/now.conf",
        MISSING,
    );
    let runs = recorded(s);
    assert_eq!(answer(runs.path(), &[sql], 4), ["true,,,"]);
    let why = answer(runs.path(), &["why"], 4);
    assert!(why[1].ends_with(",not ended in the recording"), "{why:#?}");
    assert!(why[2].contains("/etc/now.conf"), "{why:#?}");
}

#[test]
fn why_is_asked_of_a_pod_of_an_old_name_and_of_an_id_that_is_a_word() {
    let s = &mut Story::default();
    for (ms, id, name, pod) in [(0, "one", "app", "pay-0"), (1, "two", "app", "pay-1")] {
        let more = json!({ "container": name, "pod": pod });
        state(s, ms, id, "started", more.clone());
        let mut app = who(id, 101 + ms as i32, "app");
        merge(&mut app, more);
        file(s, ms + 10, &app, "openat", &format!("/etc/{id}"), MISSING);
    }
    let mut renamed = who("one", 101, "app");
    merge(&mut renamed, json!({ "container": "new" }));
    file(s, 20, &renamed, "openat", "/etc/renamed", MISSING);
    let dir = recorded(s);
    for args in [
        &["why", "--pod", "pay-0"][..],
        &["why", "new"],
        &["why", "--label", "x"],
    ] {
        let rows = ask(dir.path(), &[args, &["--format", "csv"]].concat());
        let found = rows.contains("/etc/one") && rows.contains("/etc/renamed");
        let is_refused = rows.starts_with("exit code 2");
        assert!(found != args.contains(&"--label"), "{args:?}: {rows}");
        assert!(is_refused == args.contains(&"--label"), "{args:?}: {rows}");
        assert!(!rows.contains("/etc/two"), "{args:?}: {rows}");
    }
}

#[test]
fn a_pid_that_is_used_again_ends_a_call_once() {
    let s = &mut Story::default();
    let app = who("web", 101, "app");
    let waits = json!({ "class": "file", "path": "/srv/pipe", "ret": null, "duration": null });
    s.call(0, &app, "read", 0, waits);
    for ms in [200, 3000, 9000] {
        row(
            s,
            ms,
            &app,
            json!({ "kind": "process", "action": "exit", "exit_code": 0 }),
        );
    }
    let dir = recorded(s);
    assert_eq!(
        answer(dir.path(), &["stuck"], 7),
        ["web,app,read,/srv/pipe,process ended,200.0ms,1"]
    );
}

#[test]
fn a_program_of_the_image_that_is_overwritten_later_is_no_drift() {
    let s = &mut Story::default();
    let app = who("web", 101, "app");
    let exec = |origin: &str| json!({ "class": "process", "path": "/bin/app", "path_arg": "/bin/app", "argv": "app", "exe_origin": origin });
    s.call(0, &app, "execve", 0, exec("image"));
    let write = json!({ "class": "file", "path": "/bin/app", "bytes": 9 });
    s.call(1000, &who("web", 102, "sh"), "write", 9, write);
    s.call(2000, &app, "execve", 0, exec("container"));
    let dir = recorded(s);
    assert_eq!(
        answer(dir.path(), &["drift"], 6),
        ["web,/bin/app,container,app,1,sh"]
    );
}
