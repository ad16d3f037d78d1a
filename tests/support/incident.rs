//! A recording with something of everything: a minute of a web server, a client that calls the server, and a worker
//! that shares a socket and a file with the server.

use super::story::{Story, footer, merge};
use serde_json::{Value, json};

pub(crate) const WEB: &str = "4f5b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3";
const CLIENT: &str = "c11e47000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c";
const WORKER: &str = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f";

/// Composes the recording.
pub(crate) fn incident() -> Story {
    let mut story = Story::default();
    footer(&mut story);
    containers(&mut story);
    processes(&mut story);
    tcp_connection(&mut story);
    failed_connections(&mut story);
    loopback(&mut story);
    udp(&mut story);
    unix(&mut story);
    files(&mut story);
    shared_file(&mut story);
    other_calls(&mut story);
    story
}

/// Returns the columns that describe a process.
fn process(container: &str, id: &str, pid: i32, ppid: i32, exe: &str) -> Value {
    let comm = exe.rsplit('/').next().unwrap();
    json!({ "container": container, "container_id": id, "pid": pid, "tid": pid, "ppid": ppid, "ns_pid": pid % 100,
        "uid": 0, "comm": comm, "exe": exe })
}

fn curl() -> Value {
    process("client", CLIENT, 302, 301, "/usr/bin/curl")
}

fn nginx() -> Value {
    process("web", WEB, 101, 100, "/usr/sbin/nginx")
}

fn worker() -> Value {
    process("worker", WORKER, 201, 200, "/app/worker")
}

fn containers(s: &mut Story) {
    let row = |action: &str, container: &str, id: &str, image: &str| {
        json!({ "kind": "container", "action": action, "container": container, "container_id": id, "image": image,
            "runtime": "docker", "labels": "{\"team\":\"shop\"}" })
    };
    s.row(0, row("found", "web", WEB, "nginx:1.27"));
    s.row(0, row("found", "worker", WORKER, "shop/worker:7"));
    s.row(1000, row("started", "client", CLIENT, "curlimages/curl:8"));
    s.row(9000, row("stopped", "client", CLIENT, "curlimages/curl:8"));
}

/// Adds a shell that makes a child with vfork, which returns after the child's exec; both end.
fn processes(s: &mut Story) {
    let class = |mut more: Value| {
        more["class"] = "process".into();
        more
    };
    let exec = |path: &str, argv: &str| class(json!({ "path": path, "argv": argv }));
    let shell = process("client", CLIENT, 301, 300, "/bin/sh");
    let curl = curl();
    let mut first = exec("/bin/sh", "sh -c 'curl web'");
    first["path_arg"] = "/bin/sh".into();
    s.call(1010, &shell, "execve", 0, first);
    s.call(1031, &curl, "execve", 0, exec("/usr/bin/curl", "curl web"));
    let vfork = json!({ "child_pid": 302, "duration": 2_000_000 });
    s.call(1030, &shell, "vfork", 302, class(vfork));
    // A thread is no process, with or without its flags.
    let thread = json!({ "child_pid": 303, "flags": 0x3d0f00 });
    s.call(1040, &curl, "clone3", 303, class(thread));
    let thread = json!({ "child_pid": 304 });
    s.call(1041, &curl, "clone3", 304, class(thread));
    s.row(8000, exit(&curl, json!({ "exit_code": 7 })));
    // The pid is used again.
    let fork = json!({ "child_pid": 302 });
    s.call(8100, &shell, "fork", 302, class(fork));
    let sleep = process("client", CLIENT, 302, 301, "/bin/sleep");
    s.call(8110, &sleep, "execve", 0, exec("/bin/sleep", "sleep 9"));
    s.row(8900, exit(&sleep, json!({ "exit_signal": 9 })));
    s.row(8990, exit(&shell, json!({ "exit_code": 0 })));
}

fn exit(process: &Value, how: Value) -> Value {
    let mut row = json!({ "kind": "process", "action": "exit" });
    merge(&mut row, process.clone());
    merge(&mut row, how);
    row
}

/// The address of the client and of the web server.
const CLIENT_ADDRESS: &str = "172.17.0.3";
const WEB_ADDRESS: &str = "172.17.0.2";

fn tcp(local: (&str, i32), peer: (&str, i32), bytes: Option<i64>) -> Value {
    json!({ "class": "network", "family": "inet", "protocol": "tcp", "fd": 5, "local_addr": local.0,
        "local_port": local.1, "peer_addr": peer.0, "peer_port": peer.1, "bytes": bytes })
}

fn tcp_connection(s: &mut Story) {
    let (curl, nginx) = (curl(), nginx());
    let (a, b) = ((CLIENT_ADDRESS, 40001), (WEB_ADDRESS, 80));
    s.call(1100, &curl, "connect", -115, tcp(a, b, None))
        .last("error", "EINPROGRESS");
    s.call(1101, &nginx, "accept4", 9, tcp(b, a, None));
    s.call(1102, &curl, "sendto", 120, tcp(a, b, Some(120)));
    s.call(1103, &nginx, "recvfrom", 120, tcp(b, a, Some(120)));
    s.call(1104, &nginx, "writev", 5000, tcp(b, a, Some(5000)));
    // A peek transfers nothing.
    s.call(1105, &curl, "recvfrom", 5000, tcp(a, b, Some(5000)))
        .last("flags", 2);
    s.call(1106, &curl, "recvfrom", 5000, tcp(a, b, Some(5000)));
    s.call(1107, &curl, "recvfrom", -11, tcp(a, b, None))
        .last("error", "EAGAIN");
}

/// Adds two failed connections: one is refused by a container that is known by its address, the other fails at an
/// unknown host.
fn failed_connections(s: &mut Story) {
    let curl = curl();
    let refused = tcp((CLIENT_ADDRESS, 40002), (WEB_ADDRESS, 8080), None);
    s.call(1200, &curl, "connect", -111, refused)
        .last("error", "ECONNREFUSED");
    let silent = tcp((CLIENT_ADDRESS, 40003), ("203.0.113.9", 443), None);
    s.call(1201, &curl, "connect", -110, silent)
        .last("error", "ETIMEDOUT")
        .last("dns_name", "pay.example.com");
}

/// Adds connections over the loopback of both containers: equal addresses there are not one connection.
fn loopback(s: &mut Story) {
    let port = |port: i32| ("127.0.0.1", port);
    s.call(
        1300,
        &worker(),
        "connect",
        0,
        tcp(port(50000), port(6379), None),
    );
    s.call(
        1301,
        &nginx(),
        "sendto",
        3,
        tcp(port(6379), port(50001), Some(3)),
    );
}

/// Adds UDP without connect: each side binds to no address.
fn udp(s: &mut Story) {
    let udp = |lport: i32, peer: &str, pport: i32| {
        json!({ "class": "network", "family": "inet", "protocol": "udp", "local_addr": "0.0.0.0", "local_port": lport,
            "peer_addr": peer, "peer_port": pport, "bytes": 40 })
    };
    s.call(1400, &worker(), "sendto", 40, udp(45000, WEB_ADDRESS, 8125));
    s.call(
        1401,
        &nginx(),
        "recvfrom",
        40,
        udp(8125, "172.17.0.4", 45000),
    );
}

fn unix(s: &mut Story) {
    let unix = |bytes: Option<i64>| {
        json!({ "class": "network", "family": "unix", "protocol": "stream", "peer_path": "/run/shop.sock",
            "bytes": bytes })
    };
    s.call(1500, &worker(), "connect", 0, unix(None));
    s.call(1501, &nginx(), "accept", 10, unix(None));
    s.call(1502, &worker(), "write", 64, unix(Some(64)))
        .last("class", "file");
}

fn file(path: &str, inode: i64, bytes: Option<i64>) -> Value {
    json!({ "class": "file", "path": path, "fd": 7, "dev": "254:1", "inode": inode, "bytes": bytes })
}

fn files(s: &mut Story) {
    let nginx = nginx();
    let index = |bytes| file("/srv/index.html", 11, bytes);
    s.call(2000, &nginx, "openat", 7, index(None))
        .last("path_arg", "index.html");
    s.call(2001, &nginx, "read", 612, index(Some(612)));
    s.call(2002, &nginx, "read", 0, index(None));
    let missing = json!({ "class": "file", "path": "/srv/favicon.ico", "path_arg": "favicon.ico", "error": "ENOENT" });
    s.call(2003, &nginx, "openat", -2, missing);
    let denied = json!({ "class": "file", "path": "/etc/shadow", "error": "EACCES" });
    s.call(2004, &worker(), "openat", -13, denied);
}

/// Adds a file that one container writes under one name and the other reads under another name.
fn shared_file(s: &mut Story) {
    let written = file("/out/orders.json", 77, Some(900));
    s.call(2100, &worker(), "write", 900, written);
    let read = file("/srv/orders.json", 77, Some(900));
    s.call(2101, &nginx(), "pread64", 900, read);
}

/// Adds a call that seccomp refuses, and a call that never returns.
fn other_calls(s: &mut Story) {
    let refused = json!({ "class": "process", "error": "EPERM", "denied": true });
    s.call(2200, &worker(), "ptrace", -1, refused);
    let unfinished = json!({ "class": "poll", "ret": null, "duration": null });
    s.call(2300, &nginx(), "epoll_wait", 0, unfinished);
}
