//! A small HTTP server in one thread, for clients that nobody trusts: whatever they send, the server needs a fixed amount
//! of memory and of descriptors, and other clients get their answers.
//!
//! The server reads the head of a request and never its body (RFC 9112), answers, and closes the connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The most connections at a time. A further connection takes the place of the oldest one, so that clients that are slow
/// or send nothing do not keep others from being answered.
const MAX_CONNECTIONS: usize = 32;
/// The most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// The most bytes that are read and dropped after the head. A connection that is closed with unread bytes is reset, and
/// the client may lose the answer.
const MAX_DROPPED_BYTES: usize = 64 << 10;
/// The time after which a connection is closed, answered or not.
const DEADLINE: Duration = Duration::from_secs(2);
/// The time without new connections after accept4(2) has failed, for example because the process has no descriptor left.
const RETRY_TIME: Duration = Duration::from_millis(100);

/// The answer to a request.
pub(crate) struct Answer {
    /// The status code and its phrase.
    pub(crate) status: &'static str,
    /// The media type of the body.
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Answer {
    /// Creates an answer of one line of text.
    pub(crate) fn text(status: &'static str, line: &str) -> Answer {
        Answer {
            status,
            content_type: "text/plain",
            body: format!("{line}\n"),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let Answer {
            status,
            content_type,
            body,
        } = self;
        let len = body.len();
        // RFC 9110, 15.5.6: an answer with the status 405 names the methods that are allowed.
        let allow = match status.starts_with("405") {
            true => "Allow: GET\r\n",
            false => "",
        };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n{allow}Connection: \
             close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// A connection with a client.
struct Connection {
    stream: TcpStream,
    deadline: Instant,
    state: State,
}

enum State {
    /// The head of the request is read; the bytes so far.
    Reading(Vec<u8>),
    /// The answer is written from this offset on.
    Writing(Vec<u8>, usize),
    /// The answer is written; the number of bytes that were dropped since.
    Dropping(usize),
}

/// Answers the requests of all clients of `listener`, for as long as the process runs. The function `answer` receives the
/// path of a `GET` request.
///
/// # Errors
/// The listener cannot be made non-blocking, or poll(2) fails.
pub(crate) fn serve(listener: &TcpListener, answer: impl Fn(&str) -> Answer) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut connections = VecDeque::with_capacity(MAX_CONNECTIONS);
    let mut accept_after = Instant::now();
    loop {
        wait(listener, &connections, accept_after)?;
        let now = Instant::now();
        connections.retain_mut(|connection: &mut Connection| {
            connection.deadline > now && connection.advance(&answer).is_ok_and(|open| open)
        });
        if now >= accept_after && !accept(listener, &mut connections, &answer) {
            accept_after = now + RETRY_TIME;
        }
    }
}

/// Waits until a connection arrives or can continue, or until a deadline has passed. Before `accept_after`, new connections
/// are not waited for.
fn wait(
    listener: &TcpListener,
    connections: &VecDeque<Connection>,
    accept_after: Instant,
) -> io::Result<()> {
    let now = Instant::now();
    let paused = accept_after > now;
    let deadlines = connections.iter().map(|connection| connection.deadline);
    let until = deadlines.chain(paused.then_some(accept_after)).min();
    // Rounded up, so that the deadline has passed then.
    let left = until.map(|until| until.saturating_duration_since(now) + Duration::from_millis(1));
    // Without a deadline: as long as it takes.
    let timeout = left.map_or(-1, |left| left.as_millis() as libc::c_int);
    let mut fds: Vec<libc::pollfd> = connections.iter().map(Connection::poll_fd).collect();
    if !paused {
        fds.push(poll_fd(listener, libc::POLLIN));
    }
    // SAFETY: the kernel reads and writes the `fds.len()` entries of `fds`.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    match ready {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            e if e.kind() == ErrorKind::Interrupted => Ok(()),
            e => Err(e),
        },
    }
}

fn poll_fd(socket: &impl AsRawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd {
        fd: socket.as_raw_fd(),
        events,
        revents: 0,
    }
}

/// Accepts the connections that wait, at most [`MAX_CONNECTIONS`] of them, and answers those whose request is there.
/// Returns false if a connection cannot be accepted.
fn accept(
    listener: &TcpListener,
    connections: &mut VecDeque<Connection>,
    answer: &impl Fn(&str) -> Answer,
) -> bool {
    for _ in 0..MAX_CONNECTIONS {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
            // accept(2): errors of the client's network, which a retry skips.
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => continue,
            Err(_) => {
                connections.pop_front();
                return false;
            }
        };
        let mut connection = Connection {
            stream,
            deadline: Instant::now() + DEADLINE,
            state: State::Reading(vec![]),
        };
        let ready = connection.stream.set_nonblocking(true).is_ok();
        if ready && connection.advance(answer).is_ok_and(|open| open) {
            if connections.len() == MAX_CONNECTIONS {
                connections.pop_front();
            }
            connections.push_back(connection);
        }
    }
    true
}

impl Connection {
    fn poll_fd(&self) -> libc::pollfd {
        let events = match self.state {
            State::Writing(..) => libc::POLLOUT,
            State::Reading(_) | State::Dropping(_) => libc::POLLIN,
        };
        poll_fd(&self.stream, events)
    }

    /// Reads and writes as much as is possible now. Returns false when the connection has ended.
    fn advance(&mut self, answer: &impl Fn(&str) -> Answer) -> io::Result<bool> {
        loop {
            match self.step(answer) {
                Ok(true) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                other => return other,
            }
        }
    }

    /// Does one read or write. Returns false when the connection has ended.
    fn step(&mut self, answer: &impl Fn(&str) -> Answer) -> io::Result<bool> {
        let mut buffer = [0; MAX_HEAD_BYTES];
        match &mut self.state {
            State::Reading(head) => {
                let read = self.stream.read(&mut buffer[head.len()..])?;
                let end = head.len() + read;
                head.extend_from_slice(&buffer[head.len()..end]);
                if let Some(answer) = answer_to(head, read, answer) {
                    self.state = State::Writing(answer.bytes(), 0);
                } else if read == 0 {
                    return Ok(false);
                }
            }
            State::Writing(bytes, offset) => {
                *offset += self.stream.write(&bytes[*offset..])?;
                if *offset == bytes.len() {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.state = State::Dropping(0);
                }
            }
            State::Dropping(dropped) => {
                let read = self.stream.read(&mut buffer)?;
                *dropped += read;
                return Ok(read > 0 && *dropped < MAX_DROPPED_BYTES);
            }
        }
        Ok(true)
    }
}

/// Returns the answer to a request whose first bytes are `head`, or `None` if its head has not ended. The last `new` bytes
/// were not there at the last call.
fn answer_to(head: &[u8], new: usize, answer: &impl Fn(&str) -> Answer) -> Option<Answer> {
    // The end of the head may have begun in the bytes before.
    let unseen = &head[head.len().saturating_sub(new + 3)..];
    let has_ended = [&b"\r\n\r\n"[..], b"\n\n"]
        .iter()
        .any(|end| unseen.windows(end.len()).any(|bytes| bytes == *end));
    if !has_ended {
        return (head.len() >= MAX_HEAD_BYTES).then(|| {
            Answer::text(
                "431 Request Header Fields Too Large",
                "the request is too long",
            )
        });
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).unwrap_or_default().trim_end();
    let mut words = line.split(' ');
    let request = (words.next(), words.next(), words.next(), words.next());
    Some(match request {
        (Some("GET"), Some(target), Some(version), None) if version.starts_with("HTTP/1.") => {
            answer(target.split('?').next().unwrap_or_default())
        }
        (Some(_), Some(_), Some(version), None) if version.starts_with("HTTP/1.") => {
            Answer::text("405 Method Not Allowed", "only GET is answered here")
        }
        _ => Answer::text("400 Bad Request", "this is no request of HTTP/1.1"),
    })
}

/// Answers a request that comes in two parts.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_request(bytes: &[u8], first: usize) {
    let bytes = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let first = &bytes[..first.min(bytes.len())];
    let answer = |path: &str| Answer::text("200 OK", path);
    let answered = answer_to(first, first.len(), &answer)
        .or_else(|| answer_to(bytes, bytes.len() - first.len(), &answer));
    if let Some(answer) = answered {
        let length = answer.bytes().len();
        assert!(length <= bytes.len() + 300, "an answer of {length} bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &[u8]) -> Option<&'static str> {
        let answer = |path: &str| match path {
            "/metrics" => Answer::text("200 OK", ""),
            _ => Answer::text("404 Not Found", ""),
        };
        answer_to(head, head.len(), &answer).map(|answer| &answer.status[..3])
    }

    #[test]
    fn requests_are_answered_by_their_first_line() {
        assert_eq!(status(b"GET /metrics HTTP/1.1\r\nHost: a\r\n"), None);
        let answered = |head: &str| status(format!("{head}\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(answered("GET /metrics HTTP/1.1"), Some("200"));
        assert_eq!(answered("GET /metrics?a=b HTTP/1.0"), Some("200"));
        assert_eq!(answered("GET /../metrics HTTP/1.1"), Some("404"));
        assert_eq!(answered("POST /metrics HTTP/1.1"), Some("405"));
        assert_eq!(answered("GET /metrics"), Some("400"));
        assert_eq!(answered("\u{16}\u{3}\u{1}"), Some("400"));
        assert_eq!(status(&[b'a'; MAX_HEAD_BYTES]), Some("431"));
    }
}
