//! Clients of `--metrics` that want to end the recorder, to fill its memory, or to keep others from being answered.

use crate::support::metrics::{free_address, get};
use crate::support::paused::Paused;
use crate::support::wait::{LIMIT, wait_for};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The longest that a client waits for its answer, whatever others do: Prometheus gives up after 10 s by default.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A recorder that serves metrics while it waits for the second half of a capture.
struct Served {
    paused: Paused,
    address: String,
}

impl Served {
    /// Starts the recorder with `shell`, which runs before it in the same process.
    fn start(shell: &str) -> Served {
        let address = free_address();
        let paused = Paused::start(
            shell,
            &["--quiet", "--format", "json", "--metrics", &address],
        );
        wait_for("the metrics", || get(&address, "/metrics"));
        Served { paused, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Sends `request` and returns the status of the answer.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_string()
    }

    /// Checks that a client is answered in time.
    fn answers(&self) {
        let start = Instant::now();
        let (status, body) = get(&self.address, "/metrics").unwrap();
        assert_eq!(status, 200);
        assert!(body.contains("ctrace_events_total"), "{body}");
        assert!(start.elapsed() < ANSWER_TIME, "{:?}", start.elapsed());
    }

    /// Returns a number of proc_pid_status(5).
    fn status(&self, name: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.paused.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }

    /// Returns the peak of the recorder's memory in bytes.
    fn peak_bytes(&self) -> u64 {
        self.status("VmHWM") * 1024
    }

    /// Sends the rest of the capture, with which the recorder ends.
    fn end(self) {
        let ended = self.paused.resume();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn a_body_that_is_announced_is_neither_read_nor_given_memory() {
    let served = Served::start(":");
    let before = served.peak_bytes();
    for length in [100_000_000_000u64, 2_000_000_000, u64::MAX] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(served.ask(&head), "405");
        let head = format!("GET /metrics HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(served.ask(&head), "200");
    }
    let chunked = "POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n";
    assert_eq!(served.ask(chunked), "405");
    served.answers();
    assert!(served.peak_bytes() < before + (8 << 20));
    served.end();
}

#[test]
fn idle_connections_do_not_keep_others_from_being_answered() {
    // With a hard limit below the number of connections, each of them takes a descriptor that the recorder lacks.
    for shell in [":", "ulimit -n 64"] {
        let served = Served::start(shell);
        let mut idle = vec![];
        for n in 0..593 {
            let mut stream = served.connect();
            // Some send half of a request, some nothing.
            if n % 2 == 0 {
                stream.write_all(b"GET /metrics HTT").unwrap();
            }
            idle.push(stream);
        }
        served.answers();
        let fds = fs::read_dir(format!("/proc/{}/fd", served.paused.child.id())).unwrap();
        assert!(fds.count() < 64);
        assert!(served.status("Threads") < 16);
        drop(idle);
        served.answers();
        served.end();
    }
}

#[test]
fn a_head_without_end_and_requests_without_a_reader_do_not_fill_the_memory() {
    let served = Served::start(":");
    let before = served.peak_bytes();
    let mut stream = served.connect();
    let part = vec![b'a'; 1 << 20];
    stream.write_all(b"GET /metrics HTTP/1.1\r\nA: ").unwrap();
    // The recorder ends the connection long before 300 MB.
    let written = (0..300).take_while(|_| stream.write_all(&part).is_ok());
    assert!(written.count() < 300);
    let mut pipelined = served.connect();
    let requests = "GET /metrics HTTP/1.1\r\n\r\n".repeat(40_000);
    for _ in 0..8 {
        let _ = pipelined.write_all(requests.as_bytes());
        served.answers();
    }
    assert!(served.peak_bytes() < before + (8 << 20));
    served.end();
}

#[test]
fn clients_that_come_without_end_do_not_keep_others_from_being_answered() {
    let served = Served::start(":");
    let until = Instant::now() + Duration::from_secs(2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while Instant::now() < until {
                    let _ = TcpStream::connect(&served.address);
                }
            });
        }
        while Instant::now() < until {
            served.answers();
        }
    });
    served.end();
}
