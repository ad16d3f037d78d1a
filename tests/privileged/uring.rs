//! Each request to io_uring is a row like a call.

use crate::support::containers::{Container, Ended, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::{Value, json};

/// Records the program to its end, with runc, because Docker's seccomp profile does not allow io_uring.
fn record(args: &[&str], command: &[&str]) -> (Recording, Ended) {
    require_root();
    let recorder = Recorder::start(args);
    let ended = Container::new(Runtime::Runc, "uring").run(command);
    assert_eq!(ended.code, 0);
    (recorder.stop(), ended)
}

/// Returns columns of the requests that match `filter`, in the order in which they finished.
fn requests(recording: &Recording, ended: &Ended, columns: &str, filter: &str) -> Vec<Value> {
    recording.query(&format!(
        "select syscall, {columns} from events where container = '{}' and comm = 'uring' \
         and syscall like 'io_uring:%' and {filter} order by seq",
        ended.name
    ))
}

/// Checks that a row has the columns of `expected`.
fn check(row: &Value, expected: &Value) {
    let (row, expected) = (row.as_object().unwrap(), expected.as_object().unwrap());
    for (column, value) in expected {
        assert_eq!(row.get(column), Some(value), "{column} of {row:?}");
    }
}

/// Adds columns to a row.
fn with(mut row: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(more);
    row
}

const FILE_COLUMNS: &str =
    "class, ret, error, path, path_arg, path2, bytes, fd, flags, mode, denied, compat";

/// Returns the requests below /tmp/ring, in their order. `fd` is the file descriptor of the first file.
fn file_requests(fd: i64) -> Vec<Value> {
    let file = |call: &str, ret: i64, more: Value| {
        let call = format!("io_uring:{call}");
        let row = json!({"syscall": call, "class": "file", "ret": ret, "path": "/tmp/ring/file"});
        with(row, more)
    };
    let named = |call: &str, path: &str, more: Value| {
        let (call, path) = (format!("io_uring:{call}"), format!("/tmp/ring/{path}"));
        with(json!({"syscall": call, "ret": 0, "path": path}), more)
    };
    let opened = json!({"path_arg": "file", "fd": fd, "flags": 0o100102, "mode": 0o640});
    let closed = json!({"fd": fd, "denied": false, "compat": false});
    let linked = json!({"path2": "/tmp/ring/linked"});
    let made = json!({"path_arg": "made", "mode": 0o711});
    vec![
        file("openat", fd, opened),
        file("write", 77, json!({"bytes": 77, "fd": fd})),
        file("read", 77, json!({"bytes": 77, "fd": fd})),
        file("readv", 5, json!({"bytes": 5, "fd": fd})),
        file("fsync", 0, json!({"fd": fd})),
        file("statx", 0, json!({"path_arg": "file"})),
        file("close", 0, closed),
        file("renameat", 0, json!({"path2": "/tmp/ring/renamed"})),
        named("linkat", "renamed", linked),
        named("symlinkat", "symbolic", json!({"path2": "any/target"})),
        named("mkdirat", "made", made),
        json!({"syscall": "io_uring:openat", "error": "ENOENT", "path": "/tmp/ring/absent"}),
        named("unlinkat", "renamed", json!({})),
        named("unlinkat", "linked", json!({})),
        named("unlinkat", "symbolic", json!({})),
        named("unlinkat", "made", json!({"flags": 0x200})),
    ]
}

#[test]
fn every_request_is_a_row_with_its_file_and_result() {
    let (recording, ended) = record(&[], &["uring"]);
    let files = requests(&recording, &ended, FILE_COLUMNS, "path like '/tmp/ring%'");
    let expected = file_requests(files[0]["ret"].as_i64().unwrap());
    assert_eq!(files.len(), expected.len(), "{files:#?}");
    for (row, expected) in files.iter().zip(&expected) {
        check(row, expected);
    }
    check_operations(&recording, &ended);
    // A file in the ring's table has no fd, but a path.
    let table = requests(&recording, &ended, FILE_COLUMNS, "path = '/etc/motd'");
    let table: Vec<_> = table
        .iter()
        .map(|row| (&row["syscall"], &row["ret"], row.get("fd")))
        .collect();
    let (open, read) = (json!("io_uring:openat"), json!("io_uring:read"));
    assert_eq!(table, [(&open, &json!(0), None), (&read, &json!(6), None)]);
    check_odd_requests(&recording, &ended);
}

/// Checks the rows of the view `files`.
fn check_operations(recording: &Recording, ended: &Ended) {
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
}

/// Checks requests that fail, that do nothing, that are cancelled or that give no result.
fn check_odd_requests(recording: &Recording, ended: &Ended) {
    let odd = requests(
        recording,
        ended,
        "ret, error, path",
        "(syscall in ('io_uring:nop', 'io_uring:invalid') or syscall = 'io_uring:read' and arg2 in (1, 42, 43, 51))",
    );
    let (finished, silent): (Vec<Value>, Vec<Value>) =
        odd.iter().cloned().partition(|r| r.get("ret").is_some());
    let expected = [
        json!({"syscall": "io_uring:invalid", "ret": -22, "error": "EINVAL"}),
        json!({"syscall": "io_uring:read", "ret": -9, "error": "EBADF"}),
        json!({"syscall": "io_uring:nop", "ret": -125, "error": "ECANCELED"}),
        json!({"syscall": "io_uring:read", "ret": 43, "path": "/dev/zero"}),
    ];
    assert_eq!(finished[..4], expected);
    // Requests in flight at the end of a process are cancelled.
    check(
        &finished[4],
        &json!({"syscall": "io_uring:read", "error": "ECANCELED"}),
    );
    // A request with IOSQE_CQE_SKIP_SUCCESS that succeeds has no result.
    let unreported = json!({"syscall": "io_uring:read", "path": "/dev/zero"});
    assert_eq!(silent, [unreported]);
    assert_eq!(odd.len(), 6, "{odd:#?}");
}

#[test]
fn requests_on_sockets_have_both_ends() {
    let (recording, ended) = record(&["--set", "network"], &["uring"]);
    let columns =
        "ret, error, bytes, fd, family, protocol, local_addr, local_port, peer_addr, peer_port";
    let rows = requests(&recording, &ended, columns, "true");
    let row = |call: &str, filter: &dyn Fn(&Value) -> bool| -> &Value {
        let found: Vec<_> = rows
            .iter()
            .filter(|r| r["syscall"] == format!("io_uring:{call}") && filter(r))
            .collect();
        assert_eq!(found.len(), 1, "{call}: {rows:#?}");
        found[0]
    };
    let any = |_: &Value| true;
    let server = json!({"family": "inet", "protocol": "tcp", "local_addr": "127.0.0.1", "local_port": 7101, "peer_addr": "127.0.0.1"});
    let client = json!({"family": "inet", "protocol": "tcp", "local_addr": "127.0.0.1", "peer_addr": "127.0.0.1", "peer_port": 7101});
    check(row("connect", &|r| r["ret"] == 0), &client);
    check(row("send", &any), &client);
    check(row("recv", &|r| r["ret"] == 91), &server);
    check(row("recv", &|r| r["error"] == "ECANCELED"), &server);
    let accepted = row("accept", &any);
    assert_eq!(accepted["fd"], accepted["ret"]);
    check(accepted, &server);
    check(
        row("socket", &any),
        &json!({"family": "inet", "protocol": "tcp"}),
    );
    check(
        row("connect", &|r| r["error"] == "ECONNREFUSED"),
        &json!({"peer_addr": "127.0.0.1", "peer_port": 9}),
    );
    check(
        row("sendmsg", &any),
        &json!({"bytes": 33, "protocol": "udp", "peer_addr": "127.0.0.1", "peer_port": 7102}),
    );
    // The filter leaves out requests about files.
    assert_eq!(rows.len(), 8, "{rows:#?}");
    check_connections(&recording, &ended);
}

/// Checks the rows of the view `connections`.
fn check_connections(recording: &Recording, ended: &Ended) {
    let connections = recording.query(&format!(
        "select direction, protocol, opened, failed, connect_error, bytes_sent, bytes_received from connections \
         where container = '{}' and comm = 'uring' order by protocol, failed, direction, opened",
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
    let mut associated = connection("out", 1, 0, 0, 0);
    associated["protocol"] = "udp".into();
    assert_eq!(
        connections,
        [
            connection("in", 1, 0, 0, 91),
            connection("out", 1, 0, 91, 0),
            refused,
            datagram,
            associated
        ]
    );
}

#[test]
fn requests_have_their_own_arguments_addresses_and_files() {
    let (recording, ended) = record(&[], &["uring", "details"]);
    let columns = "error, path, path_arg, bytes, arg2, fd is not null as has_fd, peer_port";
    let rows = requests(&recording, &ended, columns, "true");
    let row = |call: &str, more: Value| with(json!({"syscall": format!("io_uring:{call}")}), more);
    let expected = [
        row("send", json!({"bytes": 34, "peer_port": 7104})),
        // The arguments of a malformed request are those that the kernel did not accept.
        row(
            "read",
            json!({"error": "EINVAL", "path": "/dev/zero", "arg2": 71, "has_fd": true}),
        ),
        row(
            "unlinkat",
            json!({"error": "EINVAL", "path": "/tmp/gone", "path_arg": "gone", "arg2": 0x4000}),
        ),
        row(
            "openat2",
            json!({"error": "ENOENT", "path": null, "path_arg": "/etc/absent"}),
        ),
        row("close", json!({"path": "/etc/motd"})),
        row("openat", json!({"path": "/etc/passwd"})),
        row("read", json!({"path": "/etc/passwd", "bytes": 5})),
    ];
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, expected) in rows.iter().zip(&expected) {
        for (column, value) in expected.as_object().unwrap() {
            assert_eq!(&row[column], value, "{column} of {row:?}");
        }
    }
}

#[test]
fn requests_of_the_kernels_thread_belong_to_the_process() {
    let (recording, ended) = record(&["--event", "io_uring:openat,io_uring:read"], &["uring"]);
    let rows = requests(
        &recording,
        &ended,
        "pid, tid, exe, path, ret",
        "path = '/etc/passwd'",
    );
    assert_eq!(rows.len(), 2, "{rows:#?}");
    for row in &rows {
        assert_eq!(row["exe"], "/bin/uring");
        assert_ne!(row["tid"], row["pid"], "the thread is one of the kernel");
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
    let recorder = Recorder::start_with("run.parquet", &[], &[("CTRACE_RING_BYTES", "65536")]);
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
