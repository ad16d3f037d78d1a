//! The recorder's metrics, read the way a monitoring system reads them.

use super::python::script;
use super::wait::wait_for;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

/// Values by name and label values: `ctrace_lost_events_total/file`.
pub(crate) type Values = BTreeMap<String, f64>;

/// Returns an address of this machine with a free port.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Returns the status and the body of a page, or None if nothing listens at the address.
pub(crate) fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some((status, body.to_string()))
}

/// Waits until `wanted` accepts the metrics and returns them.
pub(crate) fn wait_until(address: &str, wanted: impl Fn(&Values) -> bool) -> Values {
    wait_for(&format!("the metrics at {address}"), || {
        let (status, text) = get(address, "/metrics")?;
        (status == 200)
            .then(|| parse(&text))
            .filter(|values| wanted(values))
    })
}

/// Parses Prometheus's text format with Prometheus's own client.
fn parse(text: &str) -> Values {
    let mut python = script("metrics.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{e}; `packaging/setup.sh test` installs it"));
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}
