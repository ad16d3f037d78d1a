//! A client of the Container Runtime Interface, by which the kubelet talks to containerd: gRPC over a unix socket.
//!
//! containerd keeps the labels of pods in a database of its own, which only its socket can read. Two calls with small
//! messages need neither a library for HTTP/2 nor an async runtime, so that the few frames are written here (RFC 9113), with
//! uncompressed headers (RFC 7541) and protobuf's encoding. The messages are those of `api.proto` of k8s.io/cri-api.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::oci;

/// The sockets of containerd, of Kubernetes distributions as well.
pub(crate) const SOCKETS: [&str; 4] = [
    "run/containerd/containerd.sock",
    "run/k3s/containerd/containerd.sock",
    "run/k0s/containerd.sock",
    "var/snap/microk8s/common/run/containerd.sock",
];

/// The largest answer that is read. The status of a container with its configuration is about 50 KiB.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// The largest frame that a peer may send without being asked: SETTINGS_MAX_FRAME_SIZE (RFC 9113, 6.5.2).
const MAX_FRAME_BYTES: usize = 16 << 10;

// Types and flags of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Asks containerd for the container `id` of a pod, or for the sandbox with that id: labels, digest of the image, restarts
/// and addresses. Returns `None` if containerd does not know the id.
///
/// # Errors
/// Nothing listens at `socket`, or no complete answer came within `timeout`.
pub(crate) fn describe(
    socket: &Path,
    id: &str,
    timeout: Duration,
) -> Result<Option<ContainerInfo>> {
    if !is_id(id) {
        return Ok(None);
    }
    let mut info = ContainerInfo {
        complete: true,
        ..ContainerInfo::new(id, Runtime::Containerd)
    };
    // ContainerStatusRequest and PodSandboxStatusRequest: id, and true for `verbose`.
    let request = |id: &str| [&[1 << 3 | 2, id.len() as u8], id.as_bytes(), &[2 << 3, 1]].concat();
    let deadline = Instant::now() + timeout;
    let answer = call(socket, "ContainerStatus", &request(id), deadline)?;
    let sandbox = match read_container(&answer, &mut info) {
        Some(sandbox) => sandbox,
        None => id.to_string(),
    };
    if !is_id(&sandbox) {
        return Ok(Some(info));
    }
    let of_sandbox = call(socket, "PodSandboxStatus", &request(&sandbox), deadline)?;
    read_sandbox(&of_sandbox, &mut info);
    let is_known = !answer.is_empty() || !of_sandbox.is_empty();
    Ok(is_known.then_some(info))
}

/// Returns whether a text is an id of containerd, with a length of one byte.
fn is_id(text: &str) -> bool {
    (1..128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The part that is needed of the JSON text `info` of a verbose status (`containerd/pkg/cri/server/container_status.go`).
#[derive(Deserialize)]
struct Verbose {
    #[serde(rename = "sandboxID")]
    sandbox_id: String,
}

/// Reads a ContainerStatusResponse, and returns the id of the container's sandbox.
fn read_container(answer: &[u8], info: &mut ContainerInfo) -> Option<String> {
    let mut sandbox = None;
    for (field, value) in fields(answer) {
        match (field, value) {
            (1, Value::Bytes(status)) => read_status(status, info),
            (2, Value::Bytes(entry)) => {
                if let Some((key, json)) = map_entry(entry)
                    && key == "info"
                {
                    sandbox = serde_json::from_str(&json).ok();
                }
            }
            _ => {}
        }
    }
    sandbox.map(|verbose: Verbose| verbose.sandbox_id)
}

/// Reads a ContainerStatus.
fn read_status(status: &[u8], info: &mut ContainerInfo) {
    for (field, value) in fields(status) {
        let Value::Bytes(bytes) = value else { continue };
        match field {
            // ContainerMetadata: the kubelet counts its attempts from 0. Protobuf omits a 0.
            2 => {
                let attempt = fields(bytes).find_map(|(field, value)| match value {
                    Value::Number(number) if field == 2 => Some(number as i64),
                    _ => None,
                });
                info.restarts = Some(attempt.unwrap_or(0));
            }
            9 => info.image_digest = Some(oci::digest(text(bytes))),
            12 => info.labels.extend(map_entry(bytes)),
            _ => {}
        }
    }
}

/// Reads a PodSandboxStatusResponse. The labels of the pod itself do not replace those of the container.
fn read_sandbox(answer: &[u8], info: &mut ContainerInfo) {
    let bytes = |message, wanted| {
        fields(message).filter_map(move |(field, value)| match value {
            Value::Bytes(bytes) if field == wanted => Some(bytes),
            _ => None,
        })
    };
    for status in bytes(answer, 1) {
        let labels: BTreeMap<String, String> = bytes(status, 7).filter_map(map_entry).collect();
        for (key, value) in labels {
            info.labels.entry(key).or_insert(value);
        }
        for network in bytes(status, 5) {
            let more = bytes(network, 2).flat_map(|ip| bytes(ip, 1));
            let all = bytes(network, 1).chain(more).map(text);
            info.addresses.extend(all.filter(|ip| oci::is_address(ip)));
        }
    }
}

/// A field of a protobuf message.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Returns the fields of a protobuf message up to the first that is malformed.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    std::iter::from_fn(move || {
        let tag = varint(&mut rest)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut rest)?),
            1 => Value::Bytes(rest.split_off(..8)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Value::Bytes(rest.split_off(..length)?)
            }
            5 => Value::Bytes(rest.split_off(..4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns an entry of a map of texts.
fn map_entry(entry: &[u8]) -> Option<(String, String)> {
    let (mut key, mut of_key) = (None, String::new());
    for (field, value) in fields(entry) {
        match (field, value) {
            (1, Value::Bytes(bytes)) => key = Some(text(bytes)),
            (2, Value::Bytes(bytes)) => of_key = text(bytes),
            _ => {}
        }
    }
    Some((key?, of_key))
}

/// Calls a method of the service `runtime.v1.RuntimeService`, and returns the message of the answer. An error of the method,
/// such as an unknown id, has no message.
fn call(socket: &Path, method: &str, request: &[u8], deadline: Instant) -> Result<Vec<u8>> {
    let mut stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    stream.set_write_timeout(Some(remaining(deadline)?))?;
    stream.connect(&SockAddr::unix(socket)?)?;
    let path = format!("/runtime.v1.RuntimeService/{method}");
    // SETTINGS_INITIAL_WINDOW_SIZE, so that the answer needs no updates of the window.
    let window = (MAX_ANSWER_BYTES as u32).to_be_bytes();
    let settings = [&[0, 4], &window[..]].concat();
    // A gRPC message: not compressed, its length, and the message.
    let length = (request.len() as u32).to_be_bytes();
    let message = [&[0], &length[..], request].concat();
    let all = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &settings),
        frame(WINDOW_UPDATE, 0, 0, &window),
        frame(HEADERS, END_HEADERS, 1, &headers(&path)),
        frame(DATA, END_STREAM, 1, &message),
    ];
    stream.write_all(&all.concat())?;
    let answer = read_answer(&mut stream, deadline)?;
    let Some((head, message)) = answer.split_at_checked(5) else {
        return Ok(vec![]);
    };
    match head[0] {
        0 => Ok(message.to_vec()),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

/// Reads what a server has sent before it has closed the connection: a ContainerStatusResponse or a
/// PodSandboxStatusResponse.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_sent(bytes: &[u8]) {
    let mut info = ContainerInfo::new("fuzzed", Runtime::Containerd);
    read_container(bytes, &mut info);
    read_sandbox(bytes, &mut info);
    let Ok((stream, mut server)) = std::os::unix::net::UnixStream::pair() else {
        return;
    };
    let mut stream = Socket::from(std::os::fd::OwnedFd::from(stream));
    let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
    if server.write_all(bytes).is_ok() && server.shutdown(std::net::Shutdown::Write).is_ok() {
        let deadline = Instant::now() + Duration::from_secs(1);
        if let Ok(answer) = read_answer(&mut stream, deadline) {
            read_container(&answer, &mut info);
            read_sandbox(&answer, &mut info);
        }
    }
    info.into_facts();
}

fn remaining(deadline: Instant) -> Result<Duration> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    match remaining.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(remaining),
    }
}

/// Returns the content of the data frames of the answer.
fn read_answer(stream: &mut Socket, deadline: Instant) -> Result<Vec<u8>> {
    let mut answer = vec![];
    loop {
        let mut head = [0; 9];
        read_exact(stream, &mut head, deadline)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        if length > MAX_FRAME_BYTES || answer.len() + length > MAX_ANSWER_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut content = vec![0; length];
        read_exact(stream, &mut content, deadline)?;
        match kind {
            DATA if flags & PADDED == 0 => answer.extend(content),
            // A peer that has sent the whole answer may have closed the connection already.
            SETTINGS if flags & ACK == 0 => {
                let _ = stream.write_all(&frame(SETTINGS, ACK, 0, &[]));
            }
            PING if flags & ACK == 0 => {
                let _ = stream.write_all(&frame(PING, ACK, 0, &content));
            }
            DATA | RST_STREAM | GOAWAY => return Err(Error::other("no answer")),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return Ok(answer);
        }
    }
}

fn read_exact(stream: &mut Socket, mut buffer: &mut [u8], deadline: Instant) -> Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        match stream.read(buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => buffer = &mut buffer[read..],
        }
    }
    Ok(())
}

/// Returns a frame of the stream `stream` (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), content].concat()
}

/// Returns the header block of a call of gRPC, without compression (RFC 7541, 6).
fn headers(path: &str) -> Vec<u8> {
    // Indexed in the static table: `:method: POST` and `:scheme: http`.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        // A literal without indexing, with a new name. Lengths below 127 take one byte.
        block.extend([0, name.len() as u8]);
        block.extend(name.as_bytes());
        block.push(value.len() as u8);
        block.extend(value.as_bytes());
    }
    block
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use std::os::unix::net::UnixListener;

    /// Encodes a field of bytes of less than 128 bytes.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        [field(1, key.as_bytes()), field(2, value.as_bytes())].concat()
    }

    /// Answers each of some connections with a message, in frames of a server of gRPC.
    fn serve(root: &Path, answers: Vec<Vec<u8>>) -> std::path::PathBuf {
        let socket = root.join("containerd.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for message in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(b"PRI * HTTP/2.0"));
                let length = (message.len() as u32).to_be_bytes();
                let data = [&[0], &length[..], &message].concat();
                let (first, second) = data.split_at(data.len() / 2);
                let answer = [
                    frame(SETTINGS, 0, 0, &[]),
                    frame(PING, 0, 0, &[7; 8]),
                    frame(HEADERS, END_HEADERS, 1, b"?"),
                    frame(DATA, 0, 1, first),
                    frame(DATA, 0, 1, second),
                    frame(HEADERS, END_HEADERS | END_STREAM, 1, b"?"),
                ];
                stream.write_all(&answer.concat()).unwrap();
            }
        });
        socket
    }

    #[test]
    fn a_container_has_the_labels_of_its_pod() {
        let root = tempfile::tempdir().unwrap();
        let status = [
            field(2, &[field(1, b"app"), vec![2 << 3, 3]].concat()),
            field(9, b"docker.io/x@sha256:abc"),
            field(12, &entry("tier", "web")),
        ];
        let verbose = field(2, &entry("info", r#"{"sandboxID":"5a"}"#));
        let container = [field(1, &status.concat()), verbose].concat();
        let network = [field(1, b"10.0.0.7"), field(2, &field(1, b"fd00::7"))];
        let sandbox = [
            field(7, &entry("app", "shop")),
            field(7, &entry("tier", "of the pod")),
            field(5, &network.concat()),
        ];
        let sandbox = field(1, &sandbox.concat());
        let socket = serve(root.path(), vec![container, sandbox]);
        let info = describe(&socket, "c1", Duration::from_secs(10))
            .unwrap()
            .unwrap();
        assert_eq!(info.restarts, Some(3));
        assert_eq!(info.image_digest.as_deref(), Some("sha256:abc"));
        assert_eq!(info.addresses, ["10.0.0.7", "fd00::7"]);
        let labels: Vec<_> = info
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(labels, ["app=shop", "tier=web"]);
    }

    #[test]
    fn malformed_answers_are_errors_or_nothing() {
        let root = tempfile::tempdir().unwrap();
        let socket = serve(root.path(), vec![vec![], vec![]]);
        let timeout = Duration::from_secs(10);
        assert_eq!(describe(&socket, "c1", timeout).unwrap(), None);
        for bytes in [&[0xff; 20][..], &[1 << 3 | 2, 100, 1], &[7], &[2 << 3]] {
            let mut info = ContainerInfo::new("c1", Runtime::Containerd);
            read_container(bytes, &mut info);
            read_sandbox(bytes, &mut info);
            assert!(info.labels.is_empty());
        }
        assert!(describe(Path::new("/nonexistent"), "c1", timeout).is_err());
    }
}
