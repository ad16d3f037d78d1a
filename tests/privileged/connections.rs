//! Outcomes of TCP connections, compared with those that the program `outcomes` sees itself.

use crate::support::containers::{Container, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::{Value, json};

/// A recording of the program `outcomes`.
struct Outcomes {
    recording: Recording,
    container: String,
    stdout: String,
}

impl Outcomes {
    fn record(runtime: Runtime, args: &[&str]) -> Outcomes {
        require_root();
        let recorder = Recorder::start(args);
        let ended = Container::new(runtime, "outcomes").run(&["outcomes"]);
        assert_eq!(ended.code, 0, "{}", ended.stdout);
        assert!(ended.stdout.ends_with("done\n"), "{}", ended.stdout);
        Outcomes {
            recording: recorder.stop(),
            container: ended.name,
            stdout: ended.stdout,
        }
    }

    /// Returns the lines that the program printed about a port, without the port.
    fn printed(&self, port: u16) -> Vec<&str> {
        let of_port = |line| str::strip_prefix(line, &format!("{port} "));
        self.stdout.lines().filter_map(of_port).collect()
    }

    /// Returns columns of the rows of kind connection about a port of a listener, in order.
    fn rows(&self, port: u16, select: &str) -> Vec<Value> {
        self.select(
            select,
            "events",
            &format!(
                "kind = 'connection' and {port} in (local_port, peer_port) order by seq, direction desc"
            ),
        )
    }

    fn select(&self, select: &str, table: &str, condition: &str) -> Vec<Value> {
        self.recording.query(&format!(
            "select {select} from {table} where container = '{}' and {condition}",
            self.container
        ))
    }

    /// Checks the only row about a connection that failed.
    fn check_failed(&self, port: u16, action: &str, error: Option<&str>) {
        let mut expected = json!({
            "action": action, "direction": "out", "class": "network", "comm": "outcomes", "family": "inet",
            "protocol": "tcp", "local_addr": "127.0.0.1", "peer_addr": "127.0.0.1", "peer_port": port,
        });
        if let Some(error) = error {
            expected["error"] = error.into();
        }
        let columns = "action, direction, class, comm, error, family, protocol, local_addr, peer_addr, peer_port, lifetime, \
                       bytes_sent, bytes_received";
        let rows = self.rows(port, columns);
        assert!(rows.contains(&expected), "{expected:#}: {rows:#?}");
    }

    /// Returns `opened`, `failed`, `unknown` and `connect_error` of the outgoing connections to a port, with the number of
    /// rows.
    fn connections(&self, port: u16) -> Value {
        let sums = "count(*) as rows, sum(opened) as opened, sum(failed) as failed, sum(unknown) as unknown, \
                    max(connect_error) as error";
        let condition = format!("direction = 'out' and peer_port = {port}");
        let mut rows = self.select(sums, "connections", &condition);
        rows.remove(0)
    }
}

fn each_way(runtime: Runtime) {
    let outcomes = Outcomes::record(runtime, &[]);

    // Refused: a connect that waits, one that does not, and one that is repeated, before whose return the kernel clears the
    // local address.
    outcomes.check_failed(7101, "refused", Some("ECONNREFUSED"));
    outcomes.check_failed(7102, "refused", Some("ECONNREFUSED"));
    assert_eq!(outcomes.printed(7102), ["ECONNREFUSED"]);
    for port in [7101, 7102, 7108] {
        assert_eq!(outcomes.rows(port, "action").len(), 1);
        let refused =
            json!({"rows": 1, "opened": 0, "failed": 1, "unknown": 0, "error": "ECONNREFUSED"});
        assert_eq!(outcomes.connections(port), refused, "{port}");
    }

    // Both ends of a connection that ends in order, one of them after the end of its process.
    assert_eq!(outcomes.printed(7103), ["0"]);
    let client = format!(
        "pid = (select max(pid) from events where container = '{}' and syscall = 'connect' and peer_port = 7103) as client",
        outcomes.container
    );
    let columns = "action, direction, local_port = 7103 as server, error, bytes_sent, bytes_received, \
                   coalesce(duration, lifetime, 1) > 0 as spans, rtt > 0 as rtt, retransmits";
    let rows = outcomes.rows(7103, &format!("{columns}, {client}"));
    let end = |action: &str, direction: &str, bytes: Option<(i64, i64)>| {
        let out = direction == "out";
        let mut row = json!({
            "action": action, "direction": direction, "server": !out, "spans": true, "client": out,
        });
        if let Some((sent, received)) = bytes {
            row["bytes_sent"] = sent.into();
            row["bytes_received"] = received.into();
            row["rtt"] = true.into();
            row["retransmits"] = 0.into();
        }
        row
    };
    for expected in [
        end("established", "out", None),
        end("established", "in", None),
        end("closed", "out", Some((1000, 3))),
        end("closed", "in", Some((3, 1000))),
    ] {
        assert!(rows.contains(&expected), "{expected:#}: {rows:#?}");
    }
    assert_eq!(rows.len(), 4, "{rows:#?}");
    let opened = json!({"rows": 1, "opened": 1, "failed": 0, "unknown": 0});
    assert_eq!(outcomes.connections(7103), opened);

    // Reset by the peer. The round-trip time is the one that TCP_INFO told.
    let [info, "ECONNRESET"] = outcomes.printed(7104)[..] else {
        panic!("{}", outcomes.stdout)
    };
    let rows = outcomes.rows(
        7104,
        "action, direction, error, bytes_sent, bytes_received, rtt / 1000 as us, retransmits",
    );
    let ended = |action| rows.iter().find(|row| row["action"] == action).unwrap();
    let reset = ended("reset");
    let told = format!("{} us, {} again", reset["us"], reset["retransmits"]);
    assert_eq!(told, info);
    assert_eq!(
        (&reset["direction"], &reset["error"], &reset["bytes_sent"]),
        (&json!("out"), &json!("ECONNRESET"), &json!(70000))
    );
    let aborted = ended("aborted");
    assert_eq!(
        (
            &aborted["direction"],
            &aborted["error"],
            &aborted["bytes_received"]
        ),
        (&json!("in"), &Value::Null, &json!(70000))
    );
    assert_eq!(rows.len(), 4, "{rows:#?}");

    // No answer: given up by the program, and by the kernel.
    outcomes.check_failed(7105, "abandoned", None);
    outcomes.check_failed(7105, "timed out", Some("ETIMEDOUT"));
    assert_eq!(outcomes.printed(7105), ["ETIMEDOUT"]);
    let connections = outcomes.connections(7105);
    assert_eq!(
        (
            &connections["opened"],
            &connections["failed"],
            &connections["unknown"]
        ),
        (&json!(1), &json!(2), &json!(0)),
        "{connections:#}"
    );

    let errors = outcomes.select(
        "peer_port, ret, error, socket_error",
        "events",
        "syscall = 'getsockopt' and socket_error is not null order by peer_port",
    );
    let returned = |port, error| json!({"peer_port": port, "ret": 0, "socket_error": error});
    assert_eq!(
        errors,
        [
            returned(7102, "ECONNREFUSED"),
            returned(7104, "ECONNRESET"),
            returned(7105, "ETIMEDOUT"),
        ]
    );
}

#[test]
fn each_way_in_which_a_connection_goes_is_a_row() {
    each_way(Runtime::Docker);
}

#[test]
fn each_way_in_which_a_connection_goes_is_a_row_in_runc() {
    each_way(Runtime::Runc);
}

#[test]
fn a_filter_without_connections_records_none() {
    let outcomes = Outcomes::record(Runtime::Runc, &["--event", "openat"]);
    assert_eq!(
        outcomes.select("action", "events", "kind = 'connection'"),
        [] as [Value; 0]
    );
    let outcomes = Outcomes::record(Runtime::Runc, &["--event", "connect"]);
    let opened = json!({"rows": 1, "opened": 1, "failed": 0, "unknown": 0});
    assert_eq!(outcomes.connections(7103), opened);
}

#[test]
fn a_connect_without_an_outcome_is_unknown() {
    require_root();
    let recorder = Recorder::start(&[]);
    let container = Container::new(Runtime::Runc, "unknown");
    let mut running = container.start(&["outcomes", "unknown"]);
    assert_eq!(running.line(), "7106");
    let recording = recorder.stop();
    let ended = running.finish();
    let rows = recording.query(&format!(
        "select direction, opened, failed, unknown from connections where container = '{}' and peer_port = 7106 \
         order by unknown",
        ended.name
    ));
    let connection = |opened, unknown| json!({"direction": "out", "opened": opened, "failed": 0, "unknown": unknown});
    assert_eq!(rows, [connection(1, 0), connection(0, 1)]);
}

#[test]
fn a_connection_that_is_older_than_the_recording_has_its_end() {
    require_root();
    let container = Container::new(Runtime::Runc, "older");
    let mut running = container.start(&["outcomes", "older"]);
    assert_eq!(running.line(), "7107");
    let recorder = Recorder::start(&[]);
    running.write("go");
    let ended = running.finish();
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select action, comm, local_port = 7107 as server, direction, lifetime, bytes_sent, bytes_received from events \
         where container = '{}' and kind = 'connection' order by bytes_sent",
        ended.name
    ));
    let end = |server, sent, received| json!({"action": "closed", "comm": "outcomes", "server": server, "bytes_sent": sent, "bytes_received": received});
    assert_eq!(rows, [end(true, 0, 12), end(false, 12, 0)]);
}
