//! A recording in SQLite holds what the same recording in Parquet holds, and gives the same answers.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

mod query_support;

use std::path::{Path, PathBuf};
use std::process::Command;

use query_support::QUESTIONS;
use serde_json::Value;
use tempfile::TempDir;

/// The stdout of a command that must succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!("{command:?}: {e}; `packaging/setup.sh test` installs it");
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The capture in `fixtures/`, replayed into `dir`/`name`.
fn replay(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-rec"));
    run(command
        .arg("--from-raw")
        .arg(capture)
        .arg("--out")
        .arg(&path));
    path
}

/// The rows that `ctrace-query` gives, without their nulls, in an order that depends on nothing but them.
fn query(recording: &Path, sql: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-query"));
    command.arg("-r").arg(recording);
    rows(&run(command.args(["--format", "json", sql])))
}

/// The rows that plain `sqlite3` gives, likewise.
fn sqlite3(recording: &Path, sql: &str) -> Vec<String> {
    rows(&run(Command::new("sqlite3")
        .arg("-json")
        .arg(recording)
        .arg(sql)))
}

fn rows(json: &str) -> Vec<String> {
    // sqlite3 prints nothing where there is no row.
    let rows: Vec<Value> = if json.trim().is_empty() {
        vec![]
    } else {
        serde_json::from_str(json).unwrap()
    };
    let mut rows: Vec<String> = rows
        .into_iter()
        .map(|mut row| {
            let columns = row.as_object_mut().unwrap();
            columns.retain(|_, value| !value.is_null());
            row.to_string()
        })
        .collect();
    rows.sort_unstable();
    rows
}

/// `events` and the views, each with its columns as SQLite stores them: times and booleans are numbers.
fn tables(recording: &Path) -> Vec<(&'static str, String)> {
    let views = ctrace_schema::views::VIEWS.iter().map(|v| v.name);
    let columns = |table: &str| {
        let described = query(recording, &format!("describe {table}"));
        let column = |row: &String| {
            let row: Value = serde_json::from_str(row).unwrap();
            let name = row["column"].as_str().unwrap().to_owned();
            match row["type"].as_str().unwrap() {
                "timestamp" | "boolean" => format!("cast({name} as bigint) as {name}"),
                _ => name,
            }
        };
        // What ctrace-query adds is not in the file.
        let stored = described
            .iter()
            .filter(|row| !row.contains("\"recording\""));
        stored.map(column).collect::<Vec<_>>().join(", ")
    };
    let tables = std::iter::once("events").chain(views);
    tables.map(|table| (table, columns(table))).collect()
}

#[test]
fn plain_sqlite3_shows_every_view() {
    let dir = tempfile::tempdir().unwrap();
    let (parquet, sqlite) = (replay(&dir, "a.parquet"), replay(&dir, "a.sqlite"));
    for (table, columns) in tables(&parquet) {
        let sql = format!("select {columns} from {table}");
        let rows = sqlite3(&sqlite, &sql);
        let empty = ["gaps", "counts"];
        assert!(
            !rows.is_empty() || empty.contains(&table),
            "{table} has no rows"
        );
        assert!(rows == query(&parquet, &sql), "{table} differs");
    }
    let meta = "select key, value from meta";
    assert_eq!(
        sqlite3(&sqlite, meta),
        query(&parquet, &format!("{meta} where key like 'ctrace.%'"))
    );
}

#[test]
fn a_finished_recording_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    replay(&dir, "a.sqlite");
    let files: Vec<_> = dir.path().read_dir().unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

/// What `ctrace-query` prints, exit code and all.
fn answer(recording: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-query"));
    let output = command
        .arg("-r")
        .arg(recording)
        .args(args)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_same_question_has_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (parquet, sqlite) = (replay(&dir, "a.parquet"), replay(&dir, "a.sqlite"));
    let start = "select cast(min(time) as bigint) + 300000000 as t from events";
    let start: Value = serde_json::from_str(&query(&parquet, start)[0]).unwrap();
    let start = start["t"].as_i64().unwrap();
    let time = |ns: i64| format!("to_timestamp_nanos({ns})");
    let narrow = [
        "--container",
        "demo-web",
        "--since",
        "400ms",
        "--limit",
        "7",
    ];
    let mut asked: Vec<Vec<String>> = Vec::new();
    for &question in QUESTIONS {
        asked.push(vec![question.into()]);
        asked.push(
            [question]
                .iter()
                .chain(&narrow)
                .map(ToString::to_string)
                .collect(),
        );
    }
    for view in ctrace_schema::views::VIEWS {
        let columns = query(&parquet, &format!("describe {}", view.name)).len();
        let order: Vec<String> = (1..=columns).map(|i| i.to_string()).collect();
        let (name, order) = (view.name, order.join(", "));
        asked.push(vec![format!("select * from {name} order by {order}")]);
    }
    // Each condition that SQLite decides, and some that it cannot.
    let (from, to) = (time(start), time(start + 100_000_000));
    let conditions = [
        format!("time >= {from} and time < {to}"),
        format!("{from} < time and time <= {to}"),
        format!("time between {from} and {to}"),
        format!("time = (select min(time) from events where time > {from})"),
        format!("time > {to} or time < {from}"),
        "container = 'demo-web' and syscall in ('read', 'write')".into(),
        "syscall not in ('read', 'write')".into(),
        "container <> 'demo-web'".into(),
        "path = '/etc/shadow'".into(),
        "path like '/ETC/%'".into(),
        "path like '/etc/%'".into(),
        "not (path = '/etc/shadow')".into(),
        "path is null".into(),
        "path is not null and error is null".into(),
        "error is null and path_arg is null".into(),
        "path > '/etc' and path < '/proc'".into(),
        "ret < 0 and ret <> -2".into(),
        "pid > 0 and uid = 0 and not compat and denied is not true".into(),
        "compat".into(),
        "seq between 100 and 200".into(),
        "fd = 3 or arg2 > 4000 or labels is null".into(),
        "bytes > 0 and duration < 100000".into(),
        "kind = 'container'".into(),
        "exit_code = 1 or exit_signal is not null".into(),
        "peer_port = 8080 and peer_addr <> '127.0.0.1'".into(),
        "length(path) > 20".into(),
        "dns_name is null".into(),
        "1 = 0".into(),
        "true".into(),
    ];
    for condition in conditions {
        asked.push(vec![format!(
            "select * exclude (recording) from events where {condition} order by seq"
        )]);
    }
    asked.push(vec!["select count(*) from events".into()]);
    asked.push(vec![
        "select count(*) from (select 1 from events limit 9)".into(),
    ]);
    for args in asked {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let args = [&["--format", "csv"], args.as_slice()].concat();
        let expected = answer(&parquet, &args);
        assert_eq!(expected.0, Some(0), "{args:?}: {}", expected.2);
        assert!(answer(&sqlite, &args) == expected, "{args:?} differs");
    }
}

#[test]
fn a_condition_reaches_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = replay(&dir, "a.sqlite");
    let plan = |sql: &str| answer(&sqlite, &["--format", "csv", &format!("explain {sql}")]).1;
    let exact = plan("select pid from events where path = '/etc/shadow' and time > '2026-01-01'");
    assert!(!exact.contains("FilterExec"), "{exact}");
    let rest = plan("select pid from events where path like '/etc/%'");
    assert!(rest.contains("FilterExec"), "{rest}");
}

#[test]
fn parquet_and_sqlite_are_one_table() {
    let dir = tempfile::tempdir().unwrap();
    let (parquet, sqlite) = (replay(&dir, "a.parquet"), replay(&dir, "b.sqlite"));
    let sqlite = sqlite.to_str().unwrap();
    for (sql, times) in [
        ("select count(*) as n from events", 2),
        (
            "select count(*) as n from events where container = 'demo-web' and path like '/e%'",
            2,
        ),
        (
            "select count(distinct seq) as n from events where ret < 0",
            1,
        ),
        (
            "select count(*) as n from (select 1 from events limit 5000)",
            2,
        ),
    ] {
        let number = |args: &[&str]| -> i64 {
            let (code, text, error) = answer(&parquet, &[&["--format", "ndjson"], args].concat());
            assert_eq!(code, Some(0), "{error}");
            let row: Value = serde_json::from_str(&text).unwrap();
            row["n"].as_i64().unwrap()
        };
        let (one, both) = (number(&[sql]), number(&["-r", sqlite, sql]));
        let expected = if sql.contains("limit") {
            5000
        } else {
            times * one
        };
        assert!(one > 0 && both == expected, "{sql}: {one} and {both}");
    }
}

/// Changes a copy of a recording, and gives what `ctrace-query` says to a question about it.
fn hostile(change: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = replay(&dir, "a.sqlite");
    run(Command::new("sqlite3").arg(&sqlite).arg(change));
    answer(&sqlite, args)
}

#[test]
fn a_strangers_database_is_refused_with_its_reason() {
    let everything = ["--format", "csv", "select * from events"];
    // A table that a writer without our constraints made.
    let remade = |table: &str| {
        format!(
            "pragma legacy_alter_table = on; create table x as select * from {table}; drop table {table}; alter table x rename to {table};"
        )
    };
    let task = remade("task");
    let event = remade("event");
    let cases = [
        (
            "drop view files; drop view syscalls; drop table meta".to_string(),
            "no table `meta`",
        ),
        (
            "pragma legacy_alter_table = on; alter table event rename to other; create view event as select * from other".into(),
            "is a view",
        ),
        (
            "pragma legacy_alter_table = on; alter table task rename to other; create virtual table task using fts5(id, pid)"
                .into(),
            "is a virtual",
        ),
        (
            format!("{task} update task set pid = 'many' where id = 1"),
            "column `pid` of its table `task` holds a value of type Text",
        ),
        (
            format!("{task} update task set pid = 5000000000 where id = 1"),
            "holds the number 5000000000",
        ),
        (
            format!("{task} update task set comm = x'ff00' where id = 1"),
            "holds a value of type Blob",
        ),
        (
            format!("{task} update task set comm = cast(x'ff41' as text) where id = 1"),
            "not UTF-8",
        ),
        (
            format!("{event} update event set time = 'noon' where id = 9"),
            "for time",
        ),
        (
            format!("{event} update event set seq = 9223372036854775807"),
            "of type Real for seq",
        ),
        (
            "update event set task_ref = 123456789 where id = 9".into(),
            "refers to row 123456789 of `task`",
        ),
        ("update call set compat = 7".into(), "holds the number 7"),
        (
            "update meta set value = '9.0' where key = 'ctrace.schema'".into(),
            "newer than",
        ),
    ];
    for (change, reason) in cases {
        let (code, _, stderr) = hostile(&change, &everything);
        assert_eq!(code, Some(2), "{change}: {stderr}");
        assert!(stderr.contains(reason), "{change}: {stderr}");
        assert!(!stderr.contains("broke off"), "{change}: {stderr}");
    }
}

#[test]
fn what_a_strangers_schema_says_is_not_run() {
    // A computed column is not read, a view is not asked, a trigger does not fire.
    let change = "drop view events; create view events as select randomblob(1 << 28) as time;
        alter table task add column evil text generated always as (hex(zeroblob(1 << 20))) virtual;
        create trigger t after insert on event begin delete from task; end;";
    let (code, stdout, stderr) = hostile(change, &["select count(pid) as n from events"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
}

#[test]
fn a_damaged_database_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = replay(&dir, "a.sqlite");
    let whole = std::fs::read(&sqlite).unwrap();
    let sql = "select * from events";
    for i in 0..40 {
        let mut bytes = whole.clone();
        let at = 16 + i * (bytes.len() - 600) / 40;
        bytes[at..at + 500].fill(0x5a ^ i as u8);
        std::fs::write(&sqlite, &bytes).unwrap();
        let (code, _, stderr) = answer(&sqlite, &["--format", "csv", sql]);
        assert!(matches!(code, Some(0 | 2)), "{at}: {stderr}");
        assert!(!stderr.contains("broke off"), "{at}: {stderr}");
    }
    std::fs::write(&sqlite, &whole[..whole.len() / 2]).unwrap();
    let (code, _, stderr) = answer(&sqlite, &["--format", "csv", sql]);
    assert_eq!(code, Some(2), "{stderr}");
}

/// Everything that a recording says, its metadata too.
fn whole(recording: &Path) -> (String, String) {
    let ask = |sql: &str| {
        let (code, text, error) = answer(recording, &["--format", "csv", sql]);
        assert_eq!(code, Some(0), "{error}");
        text
    };
    let events = ask("select * exclude (recording) from events order by seq, time, kind");
    (events, ask("select key, value from meta order by key"))
}

#[test]
fn a_recording_that_is_converted_and_back_has_lost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let convert = |from: &Path, name: &str| {
        let to = dir.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-query"));
        run(command.arg("convert").args([from, &to]));
        to
    };
    let (parquet, sqlite) = (replay(&dir, "a.parquet"), replay(&dir, "b.sqlite"));
    let there = convert(&parquet, "c.sqlite");
    let back = convert(&there, "d.parquet");
    assert!(whole(&parquet) == whole(&there), "to SQLite");
    assert!(whole(&parquet) == whole(&back), "and back");
    let there = convert(&sqlite, "e.parquet");
    let back = convert(&there, "f.sqlite");
    assert!(whole(&sqlite) == whole(&there), "to Parquet");
    assert!(whole(&sqlite) == whole(&back), "and back");
    // In SQLite rows stand in the order of `seq`, in Parquet by container, thread and call.
    let rows = |path| {
        run(Command::new("sqlite3")
            .arg(path)
            .arg("select *, rowid from event"))
    };
    assert_eq!(rows(&sqlite).lines().count(), rows(&back).lines().count());
    let shifted = "select count(*) from event where seq <> -1";
    assert_eq!(
        run(Command::new("sqlite3").arg(&back).arg(shifted)).trim(),
        "0"
    );
    let left: Vec<_> = dir.path().read_dir().unwrap().collect();
    assert_eq!(left.len(), 6, "{left:?}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-query"));
    let refused = command
        .arg("convert")
        .args([&parquet, &sqlite])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("exists: add --force"), "{stderr}");
}
