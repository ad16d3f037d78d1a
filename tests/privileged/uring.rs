//! Each request that is submitted to io_uring is a row, told as a call is.

use crate::common::containers::{Container, Ended, Runtime};
use crate::common::recorder::{Recorder, Recording};
use crate::common::require_root;
use serde_json::{Value, json};

/// The program runs to its end while recorded. Docker's own seccomp profile allows no io_uring.
fn recorded(args: &[&str], command: &[&str]) -> (Recording, Ended) {
    require_root();
    let recorder = Recorder::start(args);
    let ended = Container::new(Runtime::Runc, "uring").run(command);
    assert_eq!(ended.code, 0);
    (recorder.stop(), ended)
}

/// Some columns of the requests of which `filter` is true, in the order in which they finished.
fn requests(recording: &Recording, ended: &Ended, columns: &str, filter: &str) -> Vec<Value> {
    recording.query(&format!(
        "select syscall, {columns} from events where container = '{}' and comm = 'uring' \
         and syscall like 'io_uring:%' and {filter} order by seq",
        ended.name
    ))
}

fn is(row: Value, expected: Value) {
    let (row, expected) = (row.as_object().unwrap(), expected.as_object().unwrap());
    for (column, value) in expected {
        assert_eq!(row.get(column), Some(value), "{column} of {row:?}");
    }
}

#[test]
fn every_request_is_a_row_with_its_file_and_result() {
    let (recording, ended) = recorded(&[], &["uring"]);
    let columns =
        "class, ret, error, path, path_arg, path2, bytes, fd, flags, mode, denied, compat";
    let files = requests(&recording, &ended, columns, "path like '/tmp/ring%'");
    let file = |call: &str, ret: i64| json!({"syscall": call, "class": "file", "ret": ret, "path": "/tmp/ring/file"});
    let with = |mut row: Value, more: Value| {
        let more = more.as_object().unwrap().clone();
        row.as_object_mut().unwrap().extend(more);
        row
    };
    let fd = files[0]["ret"].as_i64().unwrap();
    let named = |call: &str, path: &str| json!({"syscall": call, "ret": 0, "path": path});
    let expected = [
        with(
            file("io_uring:openat", fd),
            json!({"path_arg": "file", "fd": fd, "flags": 0o100102, "mode": 0o640}),
        ),
        with(file("io_uring:write", 77), json!({"bytes": 77, "fd": fd})),
        with(file("io_uring:read", 77), json!({"bytes": 77, "fd": fd})),
        with(file("io_uring:readv", 5), json!({"bytes": 5, "fd": fd})),
        with(file("io_uring:fsync", 0), json!({"fd": fd})),
        with(file("io_uring:statx", 0), json!({"path_arg": "file"})),
        with(
            file("io_uring:close", 0),
            json!({"fd": fd, "denied": false, "compat": false}),
        ),
        with(
            file("io_uring:renameat", 0),
            json!({"path2": "/tmp/ring/renamed"}),
        ),
        with(
            named("io_uring:linkat", "/tmp/ring/renamed"),
            json!({"path2": "/tmp/ring/linked"}),
        ),
        with(
            named("io_uring:symlinkat", "/tmp/ring/symbolic"),
            json!({"path2": "any/target"}),
        ),
        with(
            named("io_uring:mkdirat", "/tmp/ring/made"),
            json!({"path_arg": "made", "mode": 0o711}),
        ),
        json!({"syscall": "io_uring:openat", "error": "ENOENT", "path": "/tmp/ring/absent"}),
        named("io_uring:unlinkat", "/tmp/ring/renamed"),
        named("io_uring:unlinkat", "/tmp/ring/linked"),
        named("io_uring:unlinkat", "/tmp/ring/symbolic"),
        with(
            named("io_uring:unlinkat", "/tmp/ring/made"),
            json!({"flags": 0x200}),
        ),
    ];
    assert_eq!(files.len(), expected.len(), "{files:#?}");
    for (row, expected) in files.into_iter().zip(expected) {
        is(row, expected);
    }

    let operations = recording.query(&format!(
        "select operation, count(*) as calls, sum(bytes) as bytes from files where container = '{}' \
         and syscall like 'io_uring:%' and path like '/tmp/ring%' group by operation order by operation",
        ended.name
    ));
    let operation = |name: &str, calls: i64| json!({"operation": name, "calls": calls});
    assert_eq!(
        operations,
        [
            operation("close", 1),
            operation("create", 3),
            operation("delete", 4),
            operation("open", 2),
            operation("other", 1), // fsync
            with(operation("read", 2), json!({"bytes": 82})),
            operation("rename", 1),
            operation("stat", 1),
            with(operation("write", 1), json!({"bytes": 77})),
        ]
    );

    // In the ring's table: no fd, and the file all the same.
    let table = requests(&recording, &ended, columns, "path = '/etc/motd'");
    let table: Vec<_> = table
        .iter()
        .map(|row| (&row["syscall"], &row["ret"], row.get("fd")))
        .collect();
    let (open, read) = (json!("io_uring:openat"), json!("io_uring:read"));
    assert_eq!(table, [(&open, &json!(0), None), (&read, &json!(6), None)]);

    let odd = requests(
        &recording,
        &ended,
        "ret, error, path",
        "(syscall in ('io_uring:nop', 'io_uring:invalid') or syscall = 'io_uring:read' and arg2 in (1, 42, 43, 51))",
    );
    let expected = [
        json!({"syscall": "io_uring:invalid", "ret": -22, "error": "EINVAL"}),
        json!({"syscall": "io_uring:read", "ret": -9, "error": "EBADF"}),
        json!({"syscall": "io_uring:nop", "ret": -125, "error": "ECANCELED"}),
        json!({"syscall": "io_uring:read", "ret": 43, "path": "/dev/zero"}),
    ];
    let ends = |rows: &[Value]| {
        rows.iter()
            .filter(|r| r.get("ret").is_some())
            .cloned()
            .collect::<Vec<_>>()
    };
    let ended_rows = ends(&odd);
    // What did not say that it succeeded has no result; what a process left behind is cancelled after its end.
    assert_eq!(ended_rows[..4], expected);
    is(
        ended_rows[4].clone(),
        json!({"syscall": "io_uring:read", "error": "ECANCELED"}),
    );
    let silent: Vec<_> = odd.iter().filter(|r| r.get("ret").is_none()).collect();
    assert_eq!(
        silent,
        [&json!({"syscall": "io_uring:read", "path": "/dev/zero"})]
    );
    assert_eq!(odd.len(), 6, "{odd:#?}");
}

#[test]
fn requests_on_sockets_have_both_ends() {
    let (recording, ended) = recorded(&["--set", "network"], &["uring"]);
    let columns =
        "ret, error, bytes, fd, family, protocol, local_addr, local_port, peer_addr, peer_port";
    let rows = requests(&recording, &ended, columns, "true");
    let row = |call: &str, filter: &dyn Fn(&Value) -> bool| -> Value {
        let found: Vec<_> = rows
            .iter()
            .filter(|r| r["syscall"] == format!("io_uring:{call}") && filter(r))
            .collect();
        assert_eq!(found.len(), 1, "{call}: {rows:#?}");
        found[0].clone()
    };
    let any = |_: &Value| true;
    let server = json!({"family": "inet", "protocol": "tcp", "local_addr": "127.0.0.1", "local_port": 7101, "peer_addr": "127.0.0.1"});
    let client = json!({"family": "inet", "protocol": "tcp", "local_addr": "127.0.0.1", "peer_addr": "127.0.0.1", "peer_port": 7101});
    is(row("connect", &|r| r["ret"] == 0), client.clone());
    is(row("send", &any), client);
    is(row("recv", &|r| r["ret"] == 91), server.clone());
    is(row("recv", &|r| r["error"] == "ECANCELED"), server.clone());
    let accepted = row("accept", &any);
    assert_eq!(accepted["fd"], accepted["ret"]);
    is(accepted, server);
    is(
        row("socket", &any),
        json!({"family": "inet", "protocol": "tcp"}),
    );
    is(
        row("connect", &|r| r["error"] == "ECONNREFUSED"),
        json!({"peer_addr": "127.0.0.1", "peer_port": 9}),
    );
    is(
        row("sendmsg", &any),
        json!({"bytes": 33, "protocol": "udp", "peer_addr": "127.0.0.1", "peer_port": 7102}),
    );
    // The filter left out what is about files.
    assert_eq!(rows.len(), 8, "{rows:#?}");

    let connections = recording.query(&format!(
        "select direction, protocol, opened, failed, connect_error, bytes_sent, bytes_received from connections \
         where container = '{}' and comm = 'uring' order by protocol, failed, direction",
        ended.name
    ));
    let connection = |direction: &str, opened: i64, failed: i64, sent: i64, received: i64| {
        json!({"direction": direction, "protocol": "tcp", "opened": opened, "failed": failed,
            "bytes_sent": sent, "bytes_received": received})
    };
    let mut refused = connection("out", 0, 1, 0, 0);
    refused["connect_error"] = "ECONNREFUSED".into();
    let mut datagram = connection("out", 0, 0, 33, 0);
    datagram["protocol"] = "udp".into();
    assert_eq!(
        connections,
        [
            connection("in", 1, 0, 0, 91),
            connection("out", 1, 0, 91, 0),
            refused,
            datagram
        ]
    );
}

#[test]
fn what_the_rings_own_thread_submits_is_the_processes() {
    let (recording, ended) = recorded(&["--event", "io_uring:openat,io_uring:read"], &["uring"]);
    let rows = requests(
        &recording,
        &ended,
        "pid, tid, exe, path, ret",
        "path = '/etc/passwd'",
    );
    assert_eq!(rows.len(), 2, "{rows:#?}");
    for row in &rows {
        assert_eq!(row["exe"], "/bin/uring");
        assert_ne!(row["tid"], row["pid"], "a thread of the kernel's");
    }
    assert_eq!(rows[1]["ret"], 9);
    let calls = format!(
        "select count(*) from events where container = '{}' and kind = 'syscall' and syscall not in ('io_uring:openat', 'io_uring:read')",
        ended.name
    );
    assert_eq!(recording.count(&calls), 0);
}

#[test]
fn a_request_in_flight_at_the_end_has_no_result() {
    require_root();
    let recorder = Recorder::start(&[]);
    let mut container = Container::new(Runtime::Runc, "uring").start(&["uring", "wait"]);
    assert_eq!(container.line(), "waiting");
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select arg2, ret, duration from events where container = '{}' and syscall = 'io_uring:read'",
        container.name
    ));
    assert_eq!(rows, [json!({"arg2": 52})]);
    container.kill();
}

#[test]
fn requests_that_are_lost_are_counted() {
    require_root();
    const COUNT: i64 = 40_000;
    let recorder = Recorder::start_with("run.parquet", &[], &[("CTRACE_RING_BYTES", "16384")]);
    let ended = Container::new(Runtime::Runc, "uring").run(&["uring", &COUNT.to_string()]);
    assert_eq!(ended.code, 0);
    let recording = recorder.stop();
    let here = format!("container = '{}' and class = 'other'", ended.name);
    let count = |sql: &str| recording.count(&format!("select {sql} from events where {here}"));
    let (recorded, lost) = (
        count("count(*) filter (where kind = 'syscall')"),
        count("coalesce(sum(lost), 0)"),
    );
    assert_eq!(recorded + lost, COUNT, "{recorded} recorded, {lost} lost");
    assert!(recorded > 0 && lost > 0, "{recorded} recorded, {lost} lost");
}
