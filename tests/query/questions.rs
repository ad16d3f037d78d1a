//! Ready questions: set-up that they leave out, containers that they tell apart, and ends of containers.

use std::path::Path;

use ctrace_schema::meta;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ask;
use crate::support::story::{QUESTIONS, Story, footer, merge};

const FIRST: &str = "aaaaaaaaaaaa0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091";
const SECOND: &str = "bbbbbbbbbbbb0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091";

/// Returns the columns that describe a process of the container `app`, after set-up.
fn who(id: &str, pid: i32, comm: &str) -> Value {
    json!({ "container": "app", "container_id": id, "pid": pid, "tid": pid, "ppid": pid - 1, "ns_pid": pid % 100, "uid": 0,
        "comm": comm, "exe": "/bin/busybox", "setup": false, "entered": false })
}

/// Returns the same process while the runtime sets it up.
fn setting_up(mut who: Value) -> Value {
    merge(&mut who, json!({ "setup": true }));
    who
}

fn path(path: &str, more: Value) -> Value {
    let mut columns = json!({ "class": "file", "path": path });
    merge(&mut columns, more);
    columns
}

fn exec(path: &str, argv: &str) -> Value {
    json!({ "class": "process", "path": path, "path_arg": path, "argv": argv })
}

fn exit(story: &mut Story, ms: i64, who: &Value, code: i32) {
    let mut row = json!({ "kind": "process", "action": "exit", "exit_code": code });
    merge(&mut row, who.clone());
    story.row(ms, row);
}

fn container(story: &mut Story, ms: i64, id: &str, action: &str, more: Value) {
    let mut row = json!({ "kind": "container", "action": action, "container": "app", "container_id": id, "image": "shop/app:7",
        "runtime": "docker" });
    merge(&mut row, more);
    story.row(ms, row);
}

/// Composes two runs of one container: the set-up of the first fails, the second writes a program, executes it, and waits for a
/// database until it is killed for lack of memory.
fn two_runs() -> Story {
    let mut s = Story::default();
    footer(&mut s);
    let none = json!({});
    container(&mut s, 0, FIRST, "started", none.clone());
    let init = setting_up(who(FIRST, 101, "anything"));
    s.call(10, &init, "openat", 3, path("/proc/self/status", json!({})));
    let failed = path("/data", json!({ "error": "EINVAL", "path2": "/srv" }));
    s.call(20, &init, "mount", -22, failed);
    // Go's runtime, after the failure.
    let poller = path(
        "anon_inode:[eventpoll]",
        json!({ "class": "poll", "error": "EPERM" }),
    );
    s.call(21, &init, "epoll_ctl", -1, poller);
    exit(&mut s, 30, &init, 1);
    container(&mut s, 40, FIRST, "stopped", json!({ "exit_code": 1 }));

    container(&mut s, 1000, SECOND, "started", json!({ "restarts": 2 }));
    let init = setting_up(who(SECOND, 201, "runc:[2:INIT]"));
    s.call(1005, &init, "capset", 0, json!({ "class": "credential" }));
    // A thread name that a container chooses hides nothing.
    let app = who(SECOND, 201, "runc:[2:INIT]");
    s.call(1010, &app, "execve", 0, exec("/bin/sh", "sh -c app"));
    s.call(1020, &app, "execve", 0, exec("/usr/bin/app", "app --serve"));
    let shadow = path("/etc/shadow", json!({ "error": "EACCES" }));
    s.call(1030, &app, "openat", -13, shadow);
    let copy = path(
        "/tmp/miner",
        json!({ "path2": "/usr/bin/app", "dev": "0:50", "inode": 7, "dev2": "0:50", "inode2": 8, "bytes": 900 }),
    );
    let cp = who(SECOND, 202, "cp");
    s.call(1040, &cp, "sendfile", 900, copy);
    exit(&mut s, 1045, &cp, 0);
    let miner = who(SECOND, 203, "miner");
    let mut mine = exec("/tmp/miner", "/tmp/miner -o pool");
    merge(&mut mine, json!({ "exe_origin": "container" }));
    s.call(1050, &miner, "execve", 0, mine);
    let mut visitor = who(SECOND, 204, "sh");
    merge(&mut visitor, json!({ "entered": true }));
    s.call(1060, &visitor, "execve", 0, exec("/bin/sh", "sh"));
    let database = json!({ "class": "network", "family": "inet", "protocol": "tcp", "local_addr": "172.17.0.2", "local_port": 4000,
        "peer_addr": "172.17.0.9", "peer_port": 5432, "ret": null, "duration": null });
    s.call(1070, &app, "recvfrom", 0, database);
    s.call(
        1080,
        &app,
        "epoll_wait",
        0,
        json!({ "class": "poll", "ret": null, "duration": null }),
    );
    let mut refused = json!({ "kind": "connection", "action": "refused", "error": "ECONNREFUSED", "duration": 9000, "direction": "out",
        "family": "inet", "protocol": "tcp", "peer_addr": "172.17.0.9", "peer_port": 6379 });
    merge(&mut refused, app.clone());
    s.row(1085, refused);
    let mut oom = json!({ "kind": "signal", "action": "out of memory", "signal": 9, "memory_limit": 16_000_000 });
    merge(&mut oom, app.clone());
    s.row(5000, oom);
    let mut killed = json!({ "kind": "process", "action": "exit", "exit_signal": 9 });
    merge(&mut killed, app);
    s.row(5001, killed);
    container(&mut s, 5002, SECOND, "stopped", json!({ "exit_signal": 9 }));
    s
}

fn recorded(story: &Story) -> TempDir {
    let dir = TempDir::new().unwrap();
    story.write(dir.path(), "run.parquet");
    dir
}

/// Returns the rows of an answer as CSV.
fn rows(dir: &Path, args: &[&str]) -> Vec<String> {
    let answer = ask(dir, &[args, &["--format", "csv"]].concat());
    let answer = answer.strip_prefix("exit code 0\n--- stdout\n");
    let answer = answer.unwrap_or_else(|| panic!("{args:?}"));
    let rows = answer.split("--- stderr").next().unwrap();
    rows.lines().skip(1).map(String::from).collect()
}

const NOTE: &str = "runtime set-up: 4 calls, not shown; `--setup` shows them";

#[test]
fn set_up_is_left_out_by_one_rule_and_its_share_is_told() {
    let dir = recorded(&two_runs());
    for question in QUESTIONS {
        let answer = ask(dir.path(), &[question]);
        // A rule of the level `alert` fires.
        let code = u8::from(*question == "rules");
        assert!(answer.starts_with(&format!("exit code {code}")), "{answer}");
        assert!(!answer.contains("/proc/self/status"), "{answer}");
        let tells = !["links", "gaps", "powers", "why"].contains(question);
        assert_eq!(answer.contains(NOTE), tells, "{question}: {answer}");
        let all = ask(dir.path(), &[question, "--setup"]);
        assert!(!all.contains("not shown"), "{question}: {all}");
    }
    assert!(ask(dir.path(), &["files", "--setup"]).contains("/proc/self/status"));
    assert!(
        rows(dir.path(), &["syscalls", "--setup"]).len() > rows(dir.path(), &["syscalls"]).len()
    );
    // Of the second container alone.
    let answer = ask(dir.path(), &["syscalls", "-c", "bbbb"]);
    assert!(answer.contains("runtime set-up: 1 calls"), "{answer}");
    // A name that the container chose hides no call, neither from answers nor from the profile.
    assert!(ask(dir.path(), &["errors"]).contains("/etc/shadow"));
    let profile = ask(dir.path(), &["seccomp"]);
    assert!(
        profile.contains("\"recvfrom\"") && !profile.contains("\"mount\""),
        "{profile}"
    );
}

#[test]
fn a_start_that_failed_in_set_up_is_told_as_that() {
    let dir = recorded(&two_runs());
    let errors = rows(dir.path(), &["errors"]);
    let first = "app,aaaaaaaaaaaa,mount,EINVAL,set-up failed: /data,1,";
    assert!(errors[0].starts_with(first), "{errors:#?}");
    let summary = rows(dir.path(), &["summary"]);
    assert_eq!(
        summary[..2],
        [
            "rule fired,alert: executed-own-file in app bbbbbbbbbbbb,1",
            "set-up failed,app aaaaaaaaaaaa mount EINVAL /data,1"
        ]
    );
    assert_eq!(
        summary[2],
        "out of memory,app bbbbbbbbbbbb runc:[2:INIT],\"1, with a limit of 16.0 MB\""
    );
    let why = rows(dir.path(), &["why", "aaaa"]);
    let failed = why.iter().find(|row| row.starts_with("set-up failed,"));
    assert!(failed.unwrap().ends_with(",mount EINVAL /data"), "{why:#?}");
}

#[test]
fn recordings_before_setup_was_recorded_tell_it_by_name() {
    let mut story = two_runs();
    for row in &mut story.rows {
        let columns = row.as_object_mut().unwrap();
        columns.remove("setup");
    }
    let dir = recorded(&story);
    let answer = ask(dir.path(), &["errors"]);
    assert!(
        answer.contains("/data") && !answer.contains("/etc/shadow"),
        "{answer}"
    );
}

#[test]
fn two_containers_of_one_name_are_told_apart() {
    let mut story = two_runs();
    let denied = path("/etc/shadow", json!({ "error": "EACCES" }));
    story.call(35, &who(FIRST, 105, "cat"), "openat", -13, denied);
    let dir = recorded(&story);
    let errors = rows(dir.path(), &["errors"]);
    for id in ["aaaaaaaaaaaa", "bbbbbbbbbbbb"] {
        let line = format!("app,{id},openat,EACCES,/etc/shadow,1,");
        assert!(
            errors.iter().any(|row| row.starts_with(&line)),
            "{errors:#?}"
        );
    }
    for question in [
        "syscalls",
        "strace",
        "files",
        "processes",
        "denied",
        "stuck",
        "peers",
    ] {
        let heading = ask(dir.path(), &[question, "--format", "csv"]);
        let heading = heading.lines().nth(2).unwrap();
        assert!(heading.contains("container,id"), "{question}: {heading}");
    }
    // Without a second container of the name, the name is enough.
    let other = story.rows.clone().into_iter();
    story.rows = other.filter(|row| row["container_id"] == SECOND).collect();
    let dir = recorded(&story);
    let errors = ask(dir.path(), &["errors", "--format", "csv"]);
    assert!(errors.contains("\napp,openat,EACCES,"), "{errors}");
}

#[test]
fn a_connection_that_fails_after_its_call_is_a_failure() {
    let dir = recorded(&two_runs());
    let errors = rows(dir.path(), &["errors"]);
    let refused = "app,bbbbbbbbbbbb,connect,ECONNREFUSED,172.17.0.9:6379,1,";
    assert!(
        errors.iter().any(|row| row.starts_with(refused)),
        "{errors:#?}"
    );
}

#[test]
fn a_process_has_all_its_programs_and_tells_who_came_from_outside() {
    let dir = recorded(&two_runs());
    let sql = "select argv, first_argv, execs, setup, entered from processes where pid in (201, 204) order by pid";
    assert_eq!(
        rows(dir.path(), &[sql]),
        ["app --serve,sh -c app,2,false,false", "sh,sh,1,false,true"]
    );
    let processes = rows(dir.path(), &["processes", "-c", "bbbb"]);
    let line = |pid: &str| {
        let mut found = processes.iter().filter(|row| row.contains(pid));
        found.next().unwrap().clone()
    };
    assert!(
        line(",201,").contains(",sh -c app → app --serve,"),
        "{processes:#?}"
    );
    assert!(line(",201,").ends_with(",,9,,2"), "{processes:#?}");
    // Without an exec, the name of the thread.
    assert!(line(",202,").contains("cp,"), "{processes:#?}");
    assert!(line(",204,").ends_with(",true,"), "{processes:#?}");
}

#[test]
fn a_copy_reads_one_file_and_writes_the_other() {
    let mut story = two_runs();
    let app = who(SECOND, 201, "app");
    let two = |first: &str, second: &str, more: Value| {
        let mut columns = path(first, json!({ "path2": second, "bytes": 5 }));
        merge(&mut columns, more);
        columns
    };
    story.call(1100, &app, "copy_file_range", 5, two("/a", "/b", json!({})));
    story.call(1101, &app, "splice", 5, two("pipe:[1]", "/c", json!({})));
    story.call(1102, &app, "splice", 5, two("/d", "pipe:[1]", json!({})));
    let clone = json!({ "arg1": 1_074_041_865, "bytes": null });
    story.call(1103, &app, "ioctl", 0, two("/e", "/f", clone));
    let socket = json!({ "path": null, "family": "inet", "fd": 4, "arg0": 4, "arg2": 9 });
    story.call(1104, &app, "sendfile", 5, two("", "/g", socket.clone()));
    story.call(1105, &app, "splice", 5, two("", "/h", socket));
    let to_socket = json!({ "path": null, "family": "inet", "fd": 4, "arg0": 9, "arg2": 4 });
    story.call(1106, &app, "splice", 5, two("", "/i", to_socket));
    let dir = recorded(&story);
    let sql = "select path, operation, bytes from files where time >= '2026-11-21 03:12:01.100' and seq > 20 and syscall <> 'openat' \
               order by path";
    assert_eq!(
        rows(dir.path(), &[sql]),
        [
            "/a,read,5",
            "/b,write,5",
            "/c,write,5",
            "/d,read,5",
            "/e,write,",
            "/f,read,",
            "/g,read,5",
            "/h,write,5",
            "/i,read,5"
        ]
    );
    let sql = "select path, operation, bytes, inode from files where bytes = 900 order by path";
    let copied = ["/tmp/miner,write,900,7", "/usr/bin/app,read,900,8"];
    assert_eq!(rows(dir.path(), &[sql]), copied);
}

#[test]
fn programs_that_a_container_wrote_are_drift() {
    let dir = recorded(&two_runs());
    let drift = rows(dir.path(), &["drift"]);
    assert_eq!(drift.len(), 1, "{drift:#?}");
    let line =
        "app,bbbbbbbbbbbb,/tmp/miner,container,/tmp/miner -o pool,1,cp,2026-11-21 03:12:01.040";
    assert!(drift[0].starts_with(line), "{drift:#?}");
}

#[test]
fn calls_that_have_not_returned_tell_what_they_wait_for() {
    let dir = recorded(&two_runs());
    let stuck = rows(dir.path(), &["stuck"]);
    let first = "app,bbbbbbbbbbbb,runc:[2:INIT],recvfrom,172.17.0.9:5432,process ended,3.93s,1,";
    assert!(stuck[0].starts_with(first), "{stuck:#?}");
    // A wait for work comes last.
    assert!(stuck[1].contains(",epoll_wait,events,"), "{stuck:#?}");
    assert_eq!(stuck.len(), 2, "{stuck:#?}");
}

#[test]
fn why_tells_the_end_of_the_container_that_ended_badly_last() {
    let dir = recorded(&two_runs());
    let why = rows(dir.path(), &["why"]);
    assert_eq!(why, rows(dir.path(), &["why", "bbbbbbbb"]));
    assert!(
        why[0].contains("app (bbbbbbbbbbbb) from shop/app:7, docker"),
        "{why:#?}"
    );
    assert!(why[1].ends_with(",killed by SIGKILL"), "{why:#?}");
    assert!(
        why[2].contains("out of memory: the kernel killed"),
        "{why:#?}"
    );
    let failed: Vec<_> = why
        .iter()
        .filter(|row| row.starts_with("failed,"))
        .collect();
    assert!(
        failed[0].ends_with(",connect ECONNREFUSED 172.17.0.9:6379"),
        "{why:#?}"
    );
    let missing = ask(dir.path(), &["why", "bap"]);
    assert!(missing.contains("there is no container `bap`"), "{missing}");
}

#[test]
fn an_answer_that_filters_made_incomplete_says_so() {
    let mut story = two_runs();
    story.meta(
        meta::KEY_FILTERS,
        r#"{"set":["network"],"event":["execve"]}"#,
    );
    let dir = recorded(&story);
    let warning = |question: &str| {
        let answer = ask(dir.path(), &[question]);
        let line = answer.lines().find(|line| line.starts_with("warning: "));
        line.map(String::from)
    };
    let made = "were not recorded, so this answer is incomplete: run.parquet was made with --event execve --set network";
    assert_eq!(
        warning("files"),
        Some(format!("warning: calls on files {made}"))
    );
    assert_eq!(
        warning("processes"),
        Some(format!("warning: some calls of processes {made}"))
    );
    assert_eq!(warning("peers"), None);
    assert_eq!(
        warning("errors"),
        Some(format!("warning: some calls {made}"))
    );
    let summary = rows(dir.path(), &["summary"]);
    assert!(
        summary.contains(&"recording,filters,\"set:network,event:execve\"".to_string()),
        "{summary:#?}"
    );
    let report = ask(dir.path(), &["report"]);
    assert!(report.contains("some calls were not recorded"), "{report}");
}
