//! The peer and the `bytes` of each call: the peer that the call used, and the bytes that the call transferred.

use crate::task::Task;
use serde_json::{Value, json};

fn peers(task: &str) -> Task {
    Task::record("peers", task, &[])
}

#[test]
fn a_message_has_the_destination_that_the_call_gave() {
    let task = peers("destination");
    let to = |syscall: &str, bytes: i64, port: i64| json!({"syscall": syscall, "bytes": bytes, "peer_addr": "127.0.0.1", "peer_port": port});
    assert_eq!(
        task.rows(
            "syscall, bytes, peer_addr, peer_port",
            "syscall like 'send%' and family = 'inet'"
        ),
        [
            to("sendto", 77, 7002),
            to("sendmsg", 66, 7002),
            to("sendmmsg", 55, 7002),
            to("sendto", 44, 7001),
            to("sendto", 33, 7003), // a connection has one peer
        ]
    );
    assert_eq!(
        task.rows("peer_path", "syscall = 'sendto' and family = 'unix'"),
        [json!({"peer_path": "/tmp/two"})]
    );
    assert_eq!(
        task.select(
            "peer_port, bytes_sent",
            "connections",
            "protocol = 'udp' order by peer_port"
        ),
        [
            json!({"peer_port": 7001, "bytes_sent": 44}),
            json!({"peer_port": 7002, "bytes_sent": 77 + 66 + 55}),
        ]
    );
}

#[test]
fn a_call_that_fails_has_the_address_that_it_asked_for() {
    let task = peers("reconnect");
    let rows = task.rows(
        "protocol, peer_addr, peer_port",
        "syscall = 'connect' and error is not null",
    );
    assert_eq!(
        rows,
        [
            json!({"protocol": "udp", "peer_addr": "192.0.2.1", "peer_port": 7005}),
            json!({"protocol": "tcp", "peer_addr": "192.0.2.9", "peer_port": 99}),
            json!({"protocol": "udp"}),
            json!({"protocol": "udp"}),
        ]
    );
    let rows = task.rows("local_port", "syscall = 'bind' and error is not null");
    assert_eq!(rows, [json!({"local_port": 7006})]);
    // A connect that dissolves the association leaves no peer.
    let rows = task.rows("ret, peer_addr, peer_port", "syscall = 'connect'");
    assert_eq!(rows.last(), Some(&json!({"ret": 0})));
    let rows = task.rows("ret, peer_port", "syscall in ('sendto', 'sendmsg')");
    assert_eq!(
        rows,
        [
            json!({"ret": -14}),
            json!({"ret": -22}),
            json!({"ret": -14}),
            json!({"ret": -14}),
            json!({"ret": -14, "peer_port": 7004}), // the address is null, the buffer is bad
            json!({"ret": -104}),
        ]
    );
}

#[test]
fn a_refused_connection_to_any_address_has_its_port() {
    let rows = peers("refused_anywhere").rows("error, peer_port", "syscall = 'connect'");
    assert_eq!(rows, [json!({"error": "ECONNREFUSED", "peer_port": 5000})]);
}

#[test]
fn port_0_is_no_port() {
    let task = peers("no_port");
    let rows = task.rows(
        "syscall, protocol, local_port, peer_addr, peer_port",
        "syscall in ('connect', 'sendto')",
    );
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0]["peer_addr"], "127.0.0.9");
    assert_eq!(rows[0]["peer_port"], Value::Null);
    let ping = json!({"syscall": "sendto", "protocol": "icmp", "peer_addr": "127.0.0.1"});
    assert_eq!(rows[1], ping);
    assert_eq!(
        task.select("protocol, peer_port", "connections", "family = 'inet'"),
        [json!({"protocol": "icmp"})]
    );
}

#[test]
fn an_address_that_does_not_fit_is_not_made_up() {
    let task = peers("cut");
    for (syscall, condition) in [
        ("recvfrom", "ret = 55"),
        ("recvmsg", "ret = 54"),
        ("recvmmsg", "ret = 1"),
    ] {
        let rows = task.rows(
            "peer_addr, peer_port",
            &format!("syscall = '{syscall}' and {condition}"),
        );
        assert_eq!(rows, [json!({"peer_port": 7009})], "{syscall}");
    }
    let rows = task.rows("family, peer_path", "syscall = 'recvfrom' and ret = 52");
    assert_eq!(rows, [json!({"family": "unix"})]);
}

#[test]
fn bytes_are_those_that_were_copied() {
    let task = peers("lengths");
    let rows = task.rows("syscall, ret, bytes", "syscall like 'recv%'");
    let row = |syscall: &str, ret: i64, bytes: i64| json!({"syscall": syscall, "ret": ret, "bytes": bytes});
    assert_eq!(
        rows,
        [
            row("recvmsg", 7, 0),
            row("recvfrom", 3, 3),
            row("recvfrom", 7, 2),
            row("recvmsg", 8, 3),
            row("recvmmsg", 2, 3 + 2),
            row("recvfrom", 11, 11),
        ]
    );
    // Bytes that were only peeked at are received later.
    assert_eq!(
        task.select(
            "bytes_received",
            "connections",
            "local_port = 7010 and bytes_received > 0"
        ),
        Vec::<Value>::new(),
        "without a source address there is no peer"
    );
}

#[test]
fn bytes_between_a_pipe_and_a_socket_have_the_peer_and_a_direction() {
    let task = peers("transfers");
    let rows = task.rows(
        "syscall, fd = arg0 as first, peer_port, path, path2 like 'pipe:%' as pipe, bytes",
        "syscall = 'splice'",
    );
    assert_eq!(
        rows,
        [
            json!({"syscall": "splice", "first": false, "peer_port": 7011, "pipe": true, "bytes": 300}),
            json!({"syscall": "splice", "first": true, "peer_port": 7011, "pipe": true, "bytes": 200}),
        ]
    );
    assert_eq!(
        task.select(
            "direction, bytes_sent, bytes_received",
            "connections",
            "protocol = 'tcp' order by direction"
        ),
        [
            json!({"direction": "in", "bytes_sent": 200, "bytes_received": 305}),
            json!({"direction": "out", "bytes_sent": 305, "bytes_received": 200}),
        ]
    );
}

#[test]
fn the_relative_name_of_a_unix_socket_starts_from_its_directory() {
    let task = peers("relative");
    let rows = task.rows(
        "syscall, path, peer_path",
        "family = 'unix' and syscall in ('bind', 'connect', 'accept', 'write', 'read') and protocol = 'stream'",
    );
    let name = "/tmp/deep/rel.sock";
    assert_eq!(
        rows,
        [
            json!({"syscall": "bind", "path": name}),
            json!({"syscall": "connect", "peer_path": "/tmp/deep/missing.sock"}),
            json!({"syscall": "connect", "peer_path": name}),
            json!({"syscall": "write", "peer_path": name}),
            json!({"syscall": "accept", "path": name, "peer_path": name}),
            json!({"syscall": "read", "path": name, "peer_path": name}),
        ]
    );
    let rows = task.rows(
        "syscall, path, peer_path",
        "protocol = 'dgram' and syscall in ('sendto', 'recvfrom')",
    );
    assert_eq!(
        rows,
        [
            json!({"syscall": "sendto", "path": "/tmp/deep/out", "peer_path": "/tmp/deep/in"}),
            json!({"syscall": "recvfrom", "path": "/tmp/deep/in"}),
        ]
    );
}

#[test]
fn a_unix_socket_that_is_bound_later_has_its_new_name_at_the_other_end() {
    let rows = peers("named_later").rows(
        "syscall, path, peer_path, bytes",
        "bytes between 41 and 45 or syscall = 'getpeername'",
    );
    let write = |bytes: i64, more: Value| {
        let mut row = json!({"syscall": "write", "bytes": bytes});
        let more = more.as_object().unwrap().clone();
        row.as_object_mut().unwrap().extend(more);
        row
    };
    let (server, own) = ("/tmp/server.sock", "/tmp/own.sock");
    assert_eq!(
        rows,
        [
            write(41, json!({})),
            write(42, json!({"peer_path": "/tmp/pair.sock"})),
            write(43, json!({"path": "/tmp/pair.sock"})),
            write(44, json!({"path": server, "peer_path": server})),
            write(45, json!({"path": server, "peer_path": own})),
            json!({"syscall": "getpeername", "path": server, "peer_path": own}),
        ]
    );
}

#[test]
fn vectors_without_an_offset_move_bytes_of_a_connection() {
    let rows = peers("vectors").select(
        "direction, bytes_sent, bytes_received",
        "connections",
        "protocol = 'tcp' order by direction",
    );
    assert_eq!(
        rows,
        [
            json!({"direction": "in", "bytes_sent": 0, "bytes_received": 31}),
            json!({"direction": "out", "bytes_sent": 31, "bytes_received": 0}),
        ]
    );
}

#[test]
fn a_message_that_is_added_to_another_has_no_destination_of_its_own() {
    let rows = peers("corked").rows("bytes, peer_port", "syscall = 'sendto'");
    assert_eq!(
        rows,
        [
            json!({"bytes": 41, "peer_port": 7013}),
            json!({"bytes": 42}),
            json!({"bytes": 43, "peer_port": 7014}),
        ]
    );
}

#[test]
fn a_connection_without_names_has_no_peer_whatever_address_is_passed() {
    let rows = peers("unnamed").rows("ret, error, peer_path", "syscall = 'sendto'");
    assert_eq!(
        rows,
        [
            json!({"ret": 44}),
            json!({"ret": -104, "error": "ECONNRESET"})
        ]
    );
}

#[test]
fn an_address_that_another_thread_has_changed_is_null() {
    let rows = peers("changed").rows("bytes, peer_path", "bytes in (31, 32)");
    assert_eq!(
        rows,
        [
            json!({"bytes": 31}),
            json!({"bytes": 32, "peer_path": "/tmp/queue2"}),
        ]
    );
}
