//! `--follow`, and the progress line of a long query.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use ctrace_format::sqlite;
use ctrace_schema::{columns, meta};
use serde_json::json;
use tempfile::TempDir;

use crate::support::incident::incident;
use crate::support::story::{START, Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};
use crate::write_calls;

/// A running `ctrace-query --follow` and the lines that it prints.
struct Follower {
    child: Child,
    lines: Receiver<String>,
    stderr: BufReader<ChildStderr>,
}

impl Follower {
    fn new(dir: &Path, args: &[&str]) -> Self {
        Self::of(dir, "run.parquet", args)
    }

    fn of(dir: &Path, recording: &str, args: &[&str]) -> Self {
        let mut child = ctrace_query_in(dir)
            .args(["-r", recording, "--follow", "--format", "csv"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout
                .lines()
                .all(|line| sender.send(line.unwrap()).is_ok())
        });
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Follower {
            child,
            lines,
            stderr,
        }
    }

    /// Returns the next line of the program's stderr.
    fn message(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    /// Waits for the next lines of the program's stdout.
    fn expect(&self, want: &[&str]) {
        for want in want {
            // Long enough for a busy machine.
            let line = self.lines.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(line, *want);
        }
    }

    /// Ends the program as Ctrl-C does, and checks that the program prints nothing more.
    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
        assert_eq!(self.lines.iter().collect::<Vec<_>>(), Vec::<String>::new());
    }
}

/// Checks that events, which are recorded in the order of their ends, are printed in the order of their beginnings.
#[test]
fn new_events_come_in_the_order_of_time() {
    let dir = TempDir::new().unwrap();
    // In each pair of calls the second began first.
    let write = |count: i64| write_calls(dir.path(), count, |i| i ^ 1);
    write(2);
    let follower = Follower::new(dir.path(), &["select ret, strace() from syscalls"]);
    follower.expect(&["ret,strace()", "1,getpid() = 1", "0,getpid() = 0"]);
    write(4);
    follower.expect(&["3,getpid() = 3", "2,getpid() = 2"]);
    follower.end();
}

#[test]
fn new_events_follow_those_before() {
    let dir = TempDir::new().unwrap();
    write_calls(dir.path(), 2, |i| i);
    let follower = Follower::new(
        dir.path(),
        &["select seq, strace() as call from syscalls where ret <> 2 order by seq"],
    );
    follower.expect(&["seq,call", "0,getpid() = 0", "1,getpid() = 1"]);
    write_calls(dir.path(), 5, |i| i);
    follower.expect(&["3,getpid() = 3", "4,getpid() = 4"]);
    write_calls(dir.path(), 6, |i| i);
    follower.expect(&["5,getpid() = 5"]);
    follower.end();
}

/// Writes rows into an SQLite recording as the recorder does.
fn write_sqlite(writer: &mut sqlite::Writer, rows: &[serde_json::Value]) {
    let schema = Arc::new(columns::arrow_schema());
    let mut decoder = arrow::json::ReaderBuilder::new(schema)
        .build_decoder()
        .unwrap();
    decoder.serialize(rows).unwrap();
    let batch = decoder.flush().unwrap().unwrap();
    // Text is dictionary-encoded, as in the recorder.
    let dictionary = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    let column = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8 => cast(column, &dictionary).unwrap(),
        _ => column.clone(),
    };
    let names = columns::COLUMNS.iter().map(|c| c.name);
    let columns = names.zip(batch.columns().iter().map(column));
    writer
        .write(&RecordBatch::try_from_iter(columns).unwrap())
        .unwrap();
}

#[test]
fn rows_in_the_wal_of_an_sqlite_recording_are_followed_and_losses_are_reported() {
    let dir = TempDir::new().unwrap();
    let call = |seq: i64| {
        json!({ "time": START + seq, "seq": seq, "host": "node1", "kind": "syscall", "container": "web",
            "pid": 1, "tid": 1, "syscall": "getpid", "ret": seq, "class": "process" })
    };
    // The metadata has the losses at the end only. While the database is open, new rows are in run.sqlite-wal.
    let mut writer = sqlite::Writer::create(
        &dir.path().join("run.sqlite"),
        &[
            (meta::KEY_SCHEMA, "1.1".into()),
            (meta::KEY_HOST, "node1".into()),
        ],
    )
    .unwrap();
    write_sqlite(&mut writer, &[call(0)]);
    let database = std::fs::metadata(dir.path().join("run.sqlite"))
        .unwrap()
        .len();
    let mut follower = Follower::of(
        dir.path(),
        "run.sqlite",
        &["select seq, ret from syscalls order by seq"],
    );
    follower.expect(&["seq,ret", "0,0"]);
    write_sqlite(
        &mut writer,
        &[
            call(1),
            json!({ "time": START + 2, "seq": 2, "host": "node1", "kind": "gap",
        "action": "ring full", "class": "process", "container": "web", "lost": 1234, "duration": 5 }),
        ],
    );
    follower.expect(&["1,1"]);
    let message = follower.message();
    assert!(
        message.starts_with("warning: 1,234 events were lost"),
        "{message}"
    );
    assert_eq!(
        std::fs::metadata(dir.path().join("run.sqlite"))
            .unwrap()
            .len(),
        database
    );
    write_sqlite(&mut writer, &[call(3)]);
    follower.expect(&["3,3"]);
    follower.end();
}

/// Writes a recording of `count` calls by another recorder of `host`. `run` counts these recorders.
fn write_run(dir: &Path, name: &str, host: &str, run: i64, count: i64) {
    let mut story = Story::default();
    footer(&mut story);
    story
        .meta(meta::KEY_HOST, host)
        .meta(meta::KEY_BOOT_ID, "b00t");
    for i in 0..count {
        let who = json!({ "container": "web", "pid": 1, "tid": 1, "host": host });
        story.call(
            run * 1000 + i,
            &who,
            "getpid",
            run * 1000 + i,
            json!({ "class": "process" }),
        );
    }
    story.write(dir, "next");
    std::fs::rename(dir.join("next"), dir.join(name)).unwrap();
}

#[test]
fn the_files_of_other_recorders_and_hosts_are_followed() {
    let dir = TempDir::new().unwrap();
    write_run(dir.path(), "b.parquet", "node1", 0, 50);
    let follower = Follower::of(
        dir.path(),
        ".",
        &["select host, ret from syscalls where seq % 25 = 0"],
    );
    follower.expect(&["host,ret", "node1,0", "node1,25"]);
    // The recorder was started again, and counts from 0.
    write_run(dir.path(), "c.parquet", "node1", 1, 30);
    follower.expect(&["node1,1000", "node1,1025"]);
    write_run(dir.path(), "d.parquet", "node2", 2, 10);
    follower.expect(&["node2,2000"]);
    // A copy of known events, whose name sorts before the others, has nothing new.
    std::fs::copy(dir.path().join("b.parquet"), dir.path().join("a.parquet")).unwrap();
    write_run(dir.path(), "d.parquet", "node2", 2, 60);
    follower.expect(&["node2,2025", "node2,2050"]);
    follower.end();
}

#[test]
fn an_aggregate_is_computed_again_when_rows_arrive() {
    let dir = TempDir::new().unwrap();
    write_calls(dir.path(), 2, |i| i);
    let follower = Follower::new(dir.path(), &["select count(*) as n from events"]);
    follower.expect(&["n", "2"]);
    write_calls(dir.path(), 5, |i| i);
    // An empty line separates two answers.
    follower.expect(&["", "n", "5"]);
    follower.end();
    // A ready question is followed in the same way.
    let follower = Follower::new(dir.path(), &["syscalls", "--limit", "1"]);
    follower.expect(&[
        "container,syscall,calls,errors,denied,total_us,mean_us,p99_us,max_us",
        "web,getpid,5,0,0,125.0,25.0,25.0,25.0",
    ]);
    follower.end();
}

#[test]
fn a_missing_recording_or_wrong_sql_is_not_followed() {
    let dir = TempDir::new().unwrap();
    let missing =
        transcript(ctrace_query_in(dir.path()).args(["-r", "run.parquet", "-F", "summary"]));
    assert!(
        missing.starts_with("exit code 2") && missing.contains("run.parquet"),
        "{missing}"
    );
    incident().write(dir.path(), "run.parquet");
    let wrong = transcript(ctrace_query_in(dir.path()).args([
        "-r",
        "run.parquet",
        "-F",
        "select nothing from events",
    ]));
    assert!(
        wrong.starts_with("exit code 2") && wrong.contains("no column `nothing`"),
        "{wrong}"
    );
}

#[test]
fn a_long_query_shows_its_progress_on_a_terminal() {
    let dir = TempDir::new().unwrap();
    let program = env!("CARGO_BIN_EXE_ctrace-query");
    // The query would take days. script(1) runs it on a terminal of its own.
    let sql = "select count(*) as n from generate_series(1, 1000000000000000)";
    let mut on_terminal = Command::new("script")
        .args(["-qec", &format!("{program} '{sql}'"), "/dev/null"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = on_terminal.stdout.take().unwrap();
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains(" rows, ") {
        let mut bytes = [0; 256];
        let count = stdout.read(&mut bytes).unwrap();
        assert!(count > 0, "{:?}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&bytes[..count]);
    }
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.starts_with("\r\x1b[Kscanned "), "{shown:?}");
    // Ctrl-C
    on_terminal
        .stdin
        .take()
        .unwrap()
        .write_all(b"\x03")
        .unwrap();
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    on_terminal.wait().unwrap();
}
