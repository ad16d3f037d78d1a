//! The local and the peer address of every kind of socket.

use crate::support::containers::{Container, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::{Value, json};

/// A recording of the program `net`.
struct Net {
    recording: Recording,
    container: String,
}

const COLUMNS: &str = "syscall, family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path, bytes, ret, fd";

/// An address and a port.
type End = (&'static str, u16);

/// Returns the columns of a socket with both ends.
fn ends(family: &str, protocol: &str, local: End, peer: End) -> Value {
    json!({
        "family": family, "protocol": protocol,
        "local_addr": local.0, "local_port": local.1, "peer_addr": peer.0, "peer_port": peer.1,
    })
}

impl Net {
    /// Records the program to its end.
    fn record(runtime: Runtime) -> Net {
        require_root();
        let recorder = Recorder::start(&[]);
        let ended = Container::new(runtime, "net").run(&["net"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "done\n"));
        Net {
            recording: recorder.stop(),
            container: ended.name,
        }
    }

    /// Returns the program's rows that match `filter`.
    fn rows(&self, filter: &str) -> Vec<Value> {
        self.recording.query(&format!(
            "select {COLUMNS} from events where container = '{}' and comm = 'net' and {filter} order by time, seq",
            self.container
        ))
    }

    /// Checks that exactly one row matches `filter`, and that it has the columns of `expected`.
    fn one(&self, filter: &str, expected: Value) {
        let rows = self.rows(filter);
        assert_eq!(rows.len(), 1, "{filter}: {rows:#?}");
        for (column, value) in expected.as_object().unwrap() {
            assert_eq!(
                &rows[0][column], value,
                "{filter}: {column} of {:#?}",
                rows[0]
            );
        }
    }

    /// Checks a TCP connection whose transfers have `base` and `base + 1` bytes.
    fn check_tcp(&self, family: &str, server: End, client: End, base: i64) {
        let out = ends(family, "tcp", client, server);
        let back = ends(family, "tcp", server, client);
        let tcp = |syscalls: &str, more: &str| {
            format!(
                "syscall in ({syscalls}) and family = '{family}' and protocol = 'tcp' and {more}"
            )
        };
        let connect = tcp("'connect'", &format!("peer_port = {}", server.1));
        self.one(&connect, out.clone());
        self.one(&tcp("'accept', 'accept4'", "true"), back.clone());
        for (call, bytes, expected) in [
            ("write", base, &out),
            ("read", base, &back),
            ("sendto", base + 1, &back),
            ("recvfrom", base + 1, &out),
        ] {
            let filter = format!("syscall = '{call}' and ret = {bytes}");
            self.one(&filter, expected.clone());
        }
        for call in ["bind", "listen"] {
            let filter = tcp(&format!("'{call}'"), &format!("local_port = {}", server.1));
            self.one(&filter, json!({"local_addr": server.0, "ret": 0}));
        }
    }

    /// Checks UDP sockets that are not connected: only the call has the peer.
    fn check_udp(&self, family: &str, left: End, right: End, base: i64) {
        for (call, local, peer, bytes) in [
            ("sendto", left, right, base),
            ("recvfrom", right, left, base),
            ("sendmsg", right, left, base + 1),
            ("recvmsg", left, right, base + 1),
        ] {
            let filter = format!("syscall = '{call}' and ret = {bytes}");
            let expected = json!({
                "family": family, "protocol": "udp", "local_port": local.1,
                "peer_addr": peer.0, "peer_port": peer.1, "bytes": bytes,
            });
            self.one(&filter, expected);
        }
    }

    fn check_unix(&self) {
        for (name, base) in [("/tmp/stream.sock", 140), ("@ctrace-stream", 150)] {
            // The accepted end belongs to the listener of that name, so that all rows have it.
            let stream = json!({"family": "unix", "protocol": "stream", "peer_path": name});
            for filter in [
                format!("syscall = 'connect' and peer_path = '{name}'"),
                format!("syscall = 'write' and ret = {base}"),
                format!("syscall = 'recvfrom' and ret = {}", base + 1),
                format!("syscall = 'read' and ret = {base}"),
            ] {
                self.one(&filter, stream.clone());
            }
        }
        for (call, peer, bytes) in [
            ("sendto", "/tmp/right.sock", 160),
            ("recvfrom", "/tmp/left.sock", 160),
            ("sendmsg", "/tmp/left.sock", 161),
            ("recvmsg", "/tmp/right.sock", 161),
        ] {
            let datagram =
                json!({"family": "unix", "protocol": "dgram", "peer_path": peer, "bytes": bytes});
            self.one(&format!("syscall = '{call}' and ret = {bytes}"), datagram);
        }
    }

    fn check_netlink(&self) {
        let rows = self.rows("family = 'netlink'");
        let calls: Vec<_> = rows.iter().filter_map(|r| r["syscall"].as_str()).collect();
        assert_eq!(calls, ["socket", "sendto", "recvfrom", "close"]);
        assert!(rows.iter().all(|r| r["protocol"] == "route"), "{rows:#?}");
    }
}

fn every_socket(runtime: Runtime) {
    let net = Net::record(runtime);
    for (family, server, client, base) in [
        ("inet", ("127.0.0.1", 7001), ("127.0.0.2", 7002), 100),
        ("inet6", ("::1", 7003), ("::1", 7004), 120),
    ] {
        net.check_tcp(family, server, client, base);
        net.check_udp(family, server, client, base + 10);
    }
    net.check_unix();
    net.check_netlink();
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
    // httpd becomes a daemon when it listens.
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
    // A container without the volume asks for its own file of that name, which does not exist.
    let stranger =
        Container::new(Runtime::Docker, "unix-stranger").run(&["net", "ask", "/shared/s"]);
    assert_ne!(stranger.code, 0);
    let server = server.finish();
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select source, target, protocol, address, bytes_sent from links \
         where source in ('{}', '{}') or target = '{}'",
        client.name, stranger.name, server.name
    ));
    let link = json!({
        "source": client.name, "target": server.name, "protocol": "unix", "address": "/shared/s", "bytes_sent": 170,
    });
    assert_eq!(rows, [link]);
}

#[test]
fn a_refused_connection_has_its_peer() {
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
