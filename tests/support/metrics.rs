//! The recorder's metrics, as a monitoring system reads them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Values by name, with the values of their labels behind it: `ctrace_lost_events_total/file`.
pub type Values = BTreeMap<String, f64>;

/// An address of this machine where nobody listens.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Status and body of a page. None: nobody listens.
pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some((status, body.to_string()))
}

/// The metrics, once they are as wanted.
pub fn wait_for(address: &str, wanted: impl Fn(&Values) -> bool) -> Values {
    let began = Instant::now();
    loop {
        let page = get(address, "/metrics");
        if let Some((200, text)) = &page {
            let values = parse(text);
            if wanted(&values) {
                return values;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{page:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads Prometheus's text format as its own client does.
fn parse(text: &str) -> Values {
    let target = Path::new(env!("CARGO_BIN_EXE_ctrace-rec"))
        .parent()
        .and_then(Path::parent)
        .unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics.py");
    let mut python = Command::new(target.join("python/bin/python"))
        .arg("-B")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{e}; `packaging/setup.sh test` installs it"));
    python
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}
