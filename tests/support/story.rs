//! Small recordings for tests, written as the recorder writes them: the same columns, the same footer.
// Each test program uses a part of it, and a failure to set up should stop the test.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::json::ReaderBuilder;
use ctrace_schema::{columns, meta};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value, json};

/// 2026-11-21 03:12:00 UTC.
pub const START: i64 = 1_795_230_720_000_000_000;

pub const WEB: &str = "4f5b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3";
pub const CLIENT: &str = "c11e47000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c";
pub const WORKER: &str = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f";

/// Every ready question.
pub const QUESTIONS: &[&str] = &[
    "summary",
    "containers",
    "syscalls",
    "strace",
    "files",
    "peers",
    "links",
    "processes",
    "errors",
    "denied",
    "gaps",
];

/// A recording in the making.
#[derive(Default)]
pub struct Story {
    rows: Vec<Value>,
    meta: Vec<(String, String)>,
}

impl Story {
    /// Adds a row `ms` after the start. What `row` does not say is null; `seq` counts up.
    pub fn row(&mut self, ms: i64, row: Value) -> &mut Self {
        let mut object =
            json!({ "time": START + ms * 1_000_000, "seq": self.rows.len(), "host": "node1" });
        merge(&mut object, row);
        self.rows.push(object);
        self
    }

    /// Adds a call that took 25 µs.
    pub fn call(
        &mut self,
        ms: i64,
        who: &Value,
        syscall: &str,
        ret: i64,
        more: Value,
    ) -> &mut Self {
        let mut row =
            json!({ "kind": "syscall", "duration": 25_000, "syscall": syscall, "ret": ret });
        merge(&mut row, who.clone());
        merge(&mut row, more);
        self.row(ms, row)
    }

    pub fn meta(&mut self, key: &str, value: &str) -> &mut Self {
        self.meta.retain(|(k, _)| k != key);
        self.meta.push((key.into(), value.into()));
        self
    }

    /// Writes it to `dir`/`name`.
    pub fn write(&self, dir: &Path, name: &str) -> PathBuf {
        let schema = Arc::new(columns::arrow_schema());
        let mut decoder = ReaderBuilder::new(schema.clone()).build_decoder().unwrap();
        decoder.serialize(&self.rows).unwrap();
        let pairs = self
            .meta
            .iter()
            .map(|(k, v)| KeyValue::new(k.clone(), v.clone()))
            .collect();
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(pairs))
            .set_max_row_group_row_count(Some(16))
            .build();
        let path = dir.join(name);
        let options = ArrowWriterOptions::new()
            .with_skip_arrow_metadata(true)
            .with_properties(properties);
        let mut writer =
            ArrowWriter::try_new_with_options(File::create(&path).unwrap(), schema, options)
                .unwrap();
        if let Some(batch) = decoder.flush().unwrap() {
            writer.write(&batch).unwrap();
        }
        writer.close().unwrap();
        path
    }
}

fn merge(into: &mut Value, from: Value) {
    let from: Map<String, Value> = from.as_object().unwrap().clone();
    into.as_object_mut().unwrap().extend(from);
}

fn who(container: &str, id: &str, pid: i32, ppid: i32, exe: &str) -> Value {
    let comm = exe.rsplit('/').next().unwrap();
    json!({ "container": container, "container_id": id, "pid": pid, "tid": pid, "ppid": ppid, "ns_pid": pid % 100,
        "uid": 0, "comm": comm, "exe": exe })
}

/// The footer of a recording that was closed and lost nothing.
pub fn footer(story: &mut Story) {
    story
        .meta(meta::KEY_SCHEMA, "1.0")
        .meta(meta::KEY_PRODUCER, "ctrace-rec 0.1.0")
        .meta(meta::KEY_HOST, "node1")
        .meta(meta::KEY_KERNEL, "6.12.0")
        .meta(meta::KEY_ARCH, "x86_64")
        .meta(meta::KEY_START, &START.to_string())
        .meta(meta::KEY_END, &(START + 60_000_000_000).to_string())
        .meta(meta::KEY_LOST, "{}");
}

/// A minute of a web server, a client that calls it, and a worker that shares a socket and a file with it.
pub fn incident() -> Story {
    let mut story = Story::default();
    footer(&mut story);
    containers(&mut story);
    processes(&mut story);
    network(&mut story);
    files(&mut story);
    story
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

fn processes(s: &mut Story) {
    // The client is a shell that makes a child with vfork, which returns after the child's exec; both end.
    let shell = who("client", CLIENT, 301, 300, "/bin/sh");
    let curl = who("client", CLIENT, 302, 301, "/usr/bin/curl");
    s.call(1010, &shell, "execve", 0,
        json!({ "class": "process", "path": "/bin/sh", "path_arg": "/bin/sh", "argv": "sh -c 'curl web'" }));
    s.call(
        1031,
        &curl,
        "execve",
        0,
        json!({ "class": "process", "path": "/usr/bin/curl", "argv": "curl web" }),
    );
    s.call(
        1030,
        &shell,
        "vfork",
        302,
        json!({ "class": "process", "child_pid": 302, "duration": 2_000_000 }),
    );
    // A thread is no process, whether or not its flags are known.
    s.call(
        1040,
        &curl,
        "clone3",
        303,
        json!({ "class": "process", "child_pid": 303, "flags": 0x3d0f00 }),
    );
    s.call(
        1041,
        &curl,
        "clone3",
        304,
        json!({ "class": "process", "child_pid": 304 }),
    );
    s.row(8000, exit(&curl, json!({ "exit_code": 7 })));
    // The pid is used again.
    s.call(
        8100,
        &shell,
        "fork",
        302,
        json!({ "class": "process", "child_pid": 302 }),
    );
    let sleep = who("client", CLIENT, 302, 301, "/bin/sleep");
    s.call(
        8110,
        &sleep,
        "execve",
        0,
        json!({ "class": "process", "path": "/bin/sleep", "argv": "sleep 9" }),
    );
    s.row(8900, exit(&sleep, json!({ "exit_signal": 9 })));
    s.row(8990, exit(&shell, json!({ "exit_code": 0 })));
}

fn exit(who: &Value, how: Value) -> Value {
    let mut row = json!({ "kind": "process", "action": "exit" });
    merge(&mut row, who.clone());
    merge(&mut row, how);
    row
}

fn network(s: &mut Story) {
    let curl = who("client", CLIENT, 302, 301, "/usr/bin/curl");
    let nginx = who("web", WEB, 101, 100, "/usr/sbin/nginx");
    let worker = who("worker", WORKER, 201, 200, "/app/worker");
    let tcp = |local: &str, lport: i32, peer: &str, pport: i32, bytes: Value| {
        json!({ "class": "network", "family": "inet", "protocol": "tcp", "fd": 5, "local_addr": local,
            "local_port": lport, "peer_addr": peer, "peer_port": pport, "bytes": bytes })
    };
    let (a, b) = ("172.17.0.3", "172.17.0.2");
    s.call(
        1100,
        &curl,
        "connect",
        -115,
        tcp(a, 40001, b, 80, Value::Null),
    )
    .last("error", "EINPROGRESS");
    s.call(
        1101,
        &nginx,
        "accept4",
        9,
        tcp(b, 80, a, 40001, Value::Null),
    );
    s.call(1102, &curl, "sendto", 120, tcp(a, 40001, b, 80, json!(120)));
    s.call(
        1103,
        &nginx,
        "recvfrom",
        120,
        tcp(b, 80, a, 40001, json!(120)),
    );
    s.call(
        1104,
        &nginx,
        "writev",
        5000,
        tcp(b, 80, a, 40001, json!(5000)),
    );
    // A peek moves nothing.
    s.call(
        1105,
        &curl,
        "recvfrom",
        5000,
        tcp(a, 40001, b, 80, json!(5000)),
    )
    .last("flags", 2);
    s.call(
        1106,
        &curl,
        "recvfrom",
        5000,
        tcp(a, 40001, b, 80, json!(5000)),
    );
    s.call(
        1107,
        &curl,
        "recvfrom",
        -11,
        tcp(a, 40001, b, 80, Value::Null),
    )
    .last("error", "EAGAIN");
    // Refused by a container that is known by its address, and by somebody else.
    s.call(
        1200,
        &curl,
        "connect",
        -111,
        tcp(a, 40002, b, 8080, Value::Null),
    )
    .last("error", "ECONNREFUSED");
    s.call(
        1201,
        &curl,
        "connect",
        -110,
        tcp(a, 40003, "203.0.113.9", 443, Value::Null),
    )
    .last("error", "ETIMEDOUT");
    s.last("dns_name", "pay.example.com");
    // Both containers have a loopback: the same numbers there are not one connection.
    s.call(
        1300,
        &worker,
        "connect",
        0,
        tcp("127.0.0.1", 50000, "127.0.0.1", 6379, Value::Null),
    );
    s.call(
        1301,
        &nginx,
        "sendto",
        3,
        tcp("127.0.0.1", 6379, "127.0.0.1", 50001, json!(3)),
    );
    // UDP without connect: each side binds to no address.
    let udp = |lport: i32, peer: &str, pport: i32, bytes: i64| {
        json!({ "class": "network", "family": "inet", "protocol": "udp", "local_addr": "0.0.0.0", "local_port": lport,
            "peer_addr": peer, "peer_port": pport, "bytes": bytes })
    };
    s.call(1400, &worker, "sendto", 40, udp(45000, b, 8125, 40));
    s.call(
        1401,
        &nginx,
        "recvfrom",
        40,
        udp(8125, "172.17.0.4", 45000, 40),
    );
    let unix = |bytes: Value| {
        json!({ "class": "network", "family": "unix", "protocol": "stream", "peer_path": "/run/shop.sock",
            "bytes": bytes })
    };
    s.call(1500, &worker, "connect", 0, unix(Value::Null));
    s.call(1501, &nginx, "accept", 10, unix(Value::Null));
    s.call(1502, &worker, "write", 64, unix(json!(64)))
        .last("class", "file");
}

fn files(s: &mut Story) {
    let nginx = who("web", WEB, 101, 100, "/usr/sbin/nginx");
    let worker = who("worker", WORKER, 201, 200, "/app/worker");
    let file = |path: &str, inode: i64, bytes: Value| json!({ "class": "file", "path": path, "fd": 7, "dev": "254:1", "inode": inode, "bytes": bytes });
    s.call(
        2000,
        &nginx,
        "openat",
        7,
        file("/srv/index.html", 11, Value::Null),
    )
    .last("path_arg", "index.html");
    s.call(
        2001,
        &nginx,
        "read",
        612,
        file("/srv/index.html", 11, json!(612)),
    );
    s.call(
        2002,
        &nginx,
        "read",
        0,
        file("/srv/index.html", 11, Value::Null),
    );
    s.call(
        2003,
        &nginx,
        "openat",
        -2,
        json!({ "class": "file", "path": "/srv/favicon.ico",
        "path_arg": "favicon.ico", "error": "ENOENT" }),
    );
    s.call(
        2004,
        &worker,
        "openat",
        -13,
        json!({ "class": "file", "path": "/etc/shadow", "error": "EACCES" }),
    );
    // One writes under one name what the other reads under another.
    s.call(
        2100,
        &worker,
        "write",
        900,
        file("/out/orders.json", 77, json!(900)),
    );
    s.call(
        2101,
        &nginx,
        "pread64",
        900,
        file("/srv/orders.json", 77, json!(900)),
    );
    // Seccomp refuses a call; another never returns.
    s.call(
        2200,
        &worker,
        "ptrace",
        -1,
        json!({ "class": "process", "error": "EPERM", "denied": true }),
    );
    s.call(
        2300,
        &nginx,
        "epoll_wait",
        0,
        json!({ "class": "poll", "ret": null, "duration": null }),
    );
}

impl Story {
    /// Sets a column of the last row.
    pub fn last(&mut self, column: &str, value: impl Into<Value>) -> &mut Self {
        self.rows.last_mut().unwrap()[column] = value.into();
        self
    }

    /// Adds a gap of half a second, and says so in the footer.
    pub fn gap(&mut self, ms: i64, container: Option<&str>, class: &str, lost: i64) -> &mut Self {
        self.row(
            ms,
            json!({ "kind": "gap", "action": "ring full", "class": class, "container": container,
            "lost": lost, "duration": 500_000_000 }),
        );
        self.meta(meta::KEY_LOST, &json!({ class: lost }).to_string())
    }
}

/// `ctrace-query`, in `dir`, with no recording named.
pub fn ctrace_query(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-query"));
    command
        .current_dir(dir)
        .env_remove("CTRACE_RECORDING")
        .env_remove("RUST_BACKTRACE");
    command
}

/// What a command prints: its exit code, stdout and stderr, where they are not empty.
pub fn transcript(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let mut text = format!("exit code {}\n", output.status.code().unwrap());
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            text += &format!("--- {name}\n{}", String::from_utf8_lossy(bytes));
        }
    }
    text
}

/// The transcript of `ctrace-query ARGS` over the recording `run.parquet` in `dir`.
pub fn ask(dir: &Path, args: &[&str]) -> String {
    transcript(ctrace_query(dir).args(["-r", "run.parquet"]).args(args))
}
