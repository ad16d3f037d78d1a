//! Both ends of every kind of socket.

use crate::common::containers::{Container, Runtime};
use crate::common::recorder::{Recorder, Recording};
use crate::common::require_root;
use serde_json::{Value, json};

/// The program `net` runs to its end while recorded.
fn recorded(runtime: Runtime) -> (Recording, String) {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(runtime, "net").run(&["net"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "done\n"));
    (recorder.stop(), ended.name)
}

const COLUMNS: &str = "syscall, family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path, bytes, ret, fd";

/// The rows of the program of which `filter` is true.
fn rows(recording: &Recording, container: &str, filter: &str) -> Vec<Value> {
    recording.query(&format!(
        "select {COLUMNS} from events where container = '{container}' and comm = 'net' and {filter} order by time, seq"
    ))
}

/// There is exactly one row of which `filter` is true, and it says what `expected` says.
fn one(recording: &Recording, container: &str, filter: &str, expected: Value) {
    let rows = rows(recording, container, filter);
    assert_eq!(rows.len(), 1, "{filter}: {rows:#?}");
    for (column, value) in expected.as_object().unwrap() {
        assert_eq!(
            &rows[0][column], value,
            "{filter}: {column} of {:#?}",
            rows[0]
        );
    }
}

fn ends(family: &str, protocol: &str, local: (&str, u16), peer: (&str, u16)) -> Value {
    json!({
        "family": family, "protocol": protocol,
        "local_addr": local.0, "local_port": local.1, "peer_addr": peer.0, "peer_port": peer.1,
    })
}

fn inet(
    recording: &Recording,
    container: &str,
    family: &str,
    server: (&str, u16),
    client: (&str, u16),
    base: i64,
) {
    let out = ends(family, "tcp", client, server);
    let back = ends(family, "tcp", server, client);
    let is = |syscalls: &str, more: &str| {
        format!("syscall in ({syscalls}) and family = '{family}' and {more}")
    };
    let connect = is(
        "'connect'",
        &format!("protocol = 'tcp' and peer_port = {}", server.1),
    );
    one(recording, container, &connect, out.clone());
    one(
        recording,
        container,
        &is("'accept', 'accept4'", "protocol = 'tcp'"),
        back.clone(),
    );
    one(
        recording,
        container,
        &format!("syscall = 'write' and ret = {base}"),
        out.clone(),
    );
    one(
        recording,
        container,
        &format!("syscall = 'read' and ret = {base}"),
        back.clone(),
    );
    one(
        recording,
        container,
        &format!("syscall = 'sendto' and ret = {}", base + 1),
        back,
    );
    one(
        recording,
        container,
        &format!("syscall = 'recvfrom' and ret = {}", base + 1),
        out,
    );
    for call in ["bind", "listen"] {
        let filter = is(
            &format!("'{call}'"),
            &format!("protocol = 'tcp' and local_port = {}", server.1),
        );
        one(
            recording,
            container,
            &filter,
            json!({"local_addr": server.0, "ret": 0}),
        );
    }

    // Not connected: the peer is in the call alone.
    let (left, right, base) = (server, client, base + 10);
    let bound = |addr: (&str, u16)| json!({"family": family, "protocol": "udp", "local_port": addr.1, "bytes": base});
    let with_peer = |mut row: Value, peer: (&str, u16), bytes: i64| {
        row["peer_addr"] = peer.0.into();
        row["peer_port"] = peer.1.into();
        row["bytes"] = bytes.into();
        row
    };
    for (call, local, peer, bytes) in [
        ("sendto", left, right, base),
        ("recvfrom", right, left, base),
        ("sendmsg", right, left, base + 1),
        ("recvmsg", left, right, base + 1),
    ] {
        let filter = format!("syscall = '{call}' and ret = {bytes}");
        one(
            recording,
            container,
            &filter,
            with_peer(bound(local), peer, bytes),
        );
    }
}

fn unix(recording: &Recording, container: &str) {
    for (name, base) in [("/tmp/stream.sock", 140), ("@ctrace-stream", 150)] {
        let connected = json!({"family": "unix", "protocol": "stream", "peer_path": name});
        one(
            recording,
            container,
            &format!("syscall = 'connect' and peer_path = '{name}'"),
            connected.clone(),
        );
        one(
            recording,
            container,
            &format!("syscall = 'write' and ret = {base}"),
            connected.clone(),
        );
        one(
            recording,
            container,
            &format!("syscall = 'recvfrom' and ret = {}", base + 1),
            connected,
        );
        // The accepted end belongs to the listener of that name.
        let accepted = json!({"family": "unix", "protocol": "stream", "peer_path": name});
        one(
            recording,
            container,
            &format!("syscall = 'read' and ret = {base}"),
            accepted,
        );
    }
    for (call, peer, bytes) in [
        ("sendto", "/tmp/right.sock", 160),
        ("recvfrom", "/tmp/left.sock", 160),
        ("sendmsg", "/tmp/left.sock", 161),
        ("recvmsg", "/tmp/right.sock", 161),
    ] {
        let datagram =
            json!({"family": "unix", "protocol": "dgram", "peer_path": peer, "bytes": bytes});
        one(
            recording,
            container,
            &format!("syscall = '{call}' and ret = {bytes}"),
            datagram,
        );
    }
}

fn every_socket(runtime: Runtime) {
    let (recording, container) = recorded(runtime);
    inet(
        &recording,
        &container,
        "inet",
        ("127.0.0.1", 7001),
        ("127.0.0.2", 7002),
        100,
    );
    inet(
        &recording,
        &container,
        "inet6",
        ("::1", 7003),
        ("::1", 7004),
        120,
    );
    unix(&recording, &container);
    let netlink = rows(&recording, &container, "family = 'netlink'");
    let calls: Vec<_> = netlink
        .iter()
        .filter_map(|r| r["syscall"].as_str())
        .collect();
    assert_eq!(calls, ["socket", "sendto", "recvfrom", "close"]);
    assert!(
        netlink.iter().all(|r| r["protocol"] == "route"),
        "{netlink:#?}"
    );
}

#[test]
fn every_kind_of_socket_in_docker() {
    every_socket(Runtime::Docker);
}

#[test]
fn every_kind_of_socket_in_podman() {
    every_socket(Runtime::Podman);
}

#[test]
fn every_kind_of_socket_in_runc() {
    every_socket(Runtime::Runc);
}

#[test]
fn two_containers_that_talk_are_a_link() {
    require_root();
    let recorder = Recorder::start(&[]);
    // httpd goes to the background when it listens.
    let mut server = Container::new(Runtime::Docker, "web")
        .network("bridge")
        .start(&["sh", "-c", "httpd -p 8080 -h /etc; hostname -i; read x"]);
    let address = format!("{}:8080", server.line());
    let client = Container::new(Runtime::Docker, "client")
        .network("bridge")
        .run(&["wget", "-q", "-O", "-", &format!("http://{address}/motd")]);
    assert_eq!((client.code, client.stdout.as_str()), (0, "hello\n"));
    let server = server.kill();
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select source, target, protocol, address, connections from links where source = '{}' or target = '{}'",
        client.name, server.name
    ));
    let link = json!({
        "source": client.name, "target": server.name, "protocol": "tcp", "address": address, "connections": 1,
    });
    assert_eq!(rows, [link]);
}

#[test]
fn two_containers_that_share_a_unix_socket_are_a_link() {
    require_root();
    let shared = tempfile::tempdir().unwrap();
    let volume = format!("--volume={}:/shared", shared.path().display());
    let recorder = Recorder::start(&[]);
    let mut server = Container::new(Runtime::Docker, "unix-server")
        .option(&volume)
        .start(&["net", "serve", "/shared/s"]);
    assert_eq!(server.line(), "ready");
    let client = Container::new(Runtime::Docker, "unix-client")
        .option(&volume)
        .run(&["net", "ask", "/shared/s"]);
    assert_eq!(client.code, 0);
    let server = server.finish();
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select source, target, protocol, address, bytes_sent from links where source = '{}' or target = '{}'",
        client.name, server.name
    ));
    let link = json!({
        "source": client.name, "target": server.name, "protocol": "unix", "address": "/shared/s", "bytes_sent": 170,
    });
    assert_eq!(rows, [link]);
}

#[test]
fn a_refused_connection_says_to_what() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended =
        Container::new(Runtime::Runc, "refused").run(&["wget", "-q", "http://127.0.0.1:5432/"]);
    assert_eq!(ended.code, 1);
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select family, protocol, peer_addr, peer_port, error from events where container = '{}' and syscall = 'connect' \
         and family = 'inet'",
        ended.name
    ));
    let refused = json!({
        "family": "inet", "protocol": "tcp", "peer_addr": "127.0.0.1", "peer_port": 5432, "error": "ECONNREFUSED",
    });
    assert_eq!(rows, [refused]);
}
