//! A recording in SQLite holds what the same recording in Parquet holds, and gives the same answers.

use crate::support::command::run;
use crate::support::programs::ctrace_query;
use crate::support::replay::record_fixture;
use crate::support::story::QUESTIONS;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Records the fixture to `dir`/`name`.
fn record(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    record_fixture(&path, &[]);
    path
}

/// Returns the rows of `ctrace-query` without nulls, sorted.
fn query(recording: &Path, sql: &str) -> Vec<String> {
    let mut command = ctrace_query();
    command.arg("-r").arg(recording);
    rows(&run(command.args(["--format", "json", sql])))
}

/// Returns the rows of plain `sqlite3` without nulls, sorted.
fn sqlite3(recording: &Path, sql: &str) -> Vec<String> {
    rows(&run(Command::new("sqlite3")
        .arg("-json")
        .arg(recording)
        .arg(sql)))
}

fn rows(json: &str) -> Vec<String> {
    // Without a row sqlite3 prints nothing.
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

/// Returns `events` and the views, each with its columns as stored in SQLite: times and booleans as numbers.
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
        // ctrace-query adds the column `recording`, which is not in the file.
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
    let (parquet, sqlite) = (record(&dir, "a.parquet"), record(&dir, "a.sqlite"));
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
    let meta = "select key, value from meta where key <> 'ctrace.digest'";
    assert_eq!(
        sqlite3(&sqlite, meta),
        query(&parquet, &format!("{meta} and key like 'ctrace.%'"))
    );
}

#[test]
fn a_finished_recording_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir, "a.sqlite");
    let files: Vec<_> = dir.path().read_dir().unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

/// Returns the exit code, stdout and stderr of `ctrace-query`.
fn answer(recording: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = ctrace_query()
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

/// Returns the arguments of every ready question, whole and filtered.
fn questions() -> Vec<Vec<String>> {
    let filters = [
        "--container",
        "demo-web",
        "--since",
        "400ms",
        "--limit",
        "7",
    ];
    let mut asked = Vec::new();
    for &question in QUESTIONS {
        asked.push(vec![question.into()]);
        let filtered = [question].into_iter().chain(filters);
        asked.push(filtered.map(String::from).collect());
    }
    asked
}

/// Returns a statement for every view, which sorts by all columns.
fn views(recording: &Path) -> Vec<Vec<String>> {
    let select = |view: &ctrace_schema::views::View| {
        let columns = query(recording, &format!("describe {}", view.name)).len();
        let order: Vec<String> = (1..=columns).map(|i| i.to_string()).collect();
        let (name, order) = (view.name, order.join(", "));
        vec![format!("select * from {name} order by {order}")]
    };
    ctrace_schema::views::VIEWS.iter().map(select).collect()
}

/// Returns filters on the time, around 300 ms after the first event.
fn time_filters(recording: &Path) -> [String; 5] {
    let start = "select cast(min(time) as bigint) + 300000000 as t from events";
    let start: Value = serde_json::from_str(&query(recording, start)[0]).unwrap();
    let start = start["t"].as_i64().unwrap();
    let time = |ns: i64| format!("to_timestamp_nanos({ns})");
    let (from, to) = (time(start), time(start + 100_000_000));
    [
        format!("time >= {from} and time < {to}"),
        format!("{from} < time and time <= {to}"),
        format!("time between {from} and {to}"),
        format!("time = (select min(time) from events where time > {from})"),
        format!("time > {to} or time < {from}"),
    ]
}

/// Each kind of filter that SQLite evaluates, and some kinds that it cannot evaluate.
const FILTERS: &[&str] = &[
    "container = 'demo-web' and syscall in ('read', 'write')",
    "syscall not in ('read', 'write')",
    "container <> 'demo-web'",
    "path = '/etc/shadow'",
    "path like '/ETC/%'",
    "path like '/etc/%'",
    "not (path = '/etc/shadow')",
    "path is null",
    "path is not null and error is null",
    "error is null and path_arg is null",
    "path > '/etc' and path < '/proc'",
    "ret < 0 and ret <> -2",
    "pid > 0 and uid = 0 and not compat and denied is not true",
    "compat",
    "seq between 100 and 200",
    "fd = 3 or arg2 > 4000 or labels is null",
    "bytes > 0 and duration < 100000",
    "kind = 'container'",
    "exit_code = 1 or exit_signal is not null",
    "peer_port = 8080 and peer_addr <> '127.0.0.1'",
    "length(path) > 20",
    "dns_name is null",
    "1 = 0",
    "true",
];

#[test]
fn the_same_question_has_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (parquet, sqlite) = (record(&dir, "a.parquet"), record(&dir, "a.sqlite"));
    let times = time_filters(&parquet);
    let filters = times
        .iter()
        .map(String::as_str)
        .chain(FILTERS.iter().copied());
    let filtered = filters.map(|filter| {
        vec![format!(
            "select * exclude (recording) from events where {filter} order by seq"
        )]
    });
    let counts = [
        "select count(*) from events",
        "select count(*) from (select 1 from events limit 9)",
    ];
    let mut asked = [questions(), views(&parquet)].concat();
    asked.extend(filtered);
    asked.extend(counts.map(|sql| vec![sql.to_owned()]));
    for args in asked {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let args = [&["--format", "csv"], args.as_slice()].concat();
        let expected = answer(&parquet, &args);
        let alert = args.contains(&"rules") && expected.0 == Some(1);
        assert!(alert || expected.0 == Some(0), "{args:?}: {}", expected.2);
        assert!(answer(&sqlite, &args) == expected, "{args:?} differs");
    }
}

#[test]
fn filters_are_pushed_down_to_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = record(&dir, "a.sqlite");
    let plan = |sql: &str| answer(&sqlite, &["--format", "csv", &format!("explain {sql}")]).1;
    let exact = plan("select pid from events where path = '/etc/shadow' and time > '2026-01-01'");
    assert!(!exact.contains("FilterExec"), "{exact}");
    let rest = plan("select pid from events where path like '/etc/%'");
    assert!(rest.contains("FilterExec"), "{rest}");
}

#[test]
fn parquet_and_sqlite_are_one_table() {
    let dir = tempfile::tempdir().unwrap();
    let (parquet, sqlite) = (record(&dir, "a.parquet"), record(&dir, "b.sqlite"));
    // Another boot, because the same event in two files counts once.
    run(Command::new("sqlite3")
        .arg(&sqlite)
        .arg("update container set boot_id = 'another'"));
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

/// Changes a recording with `sqlite3` and returns what [`answer`] returns for it.
fn answer_changed(change: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = record(&dir, "a.sqlite");
    run(Command::new("sqlite3").arg(&sqlite).arg(change));
    answer(&sqlite, args)
}

/// Checks that every change makes the recording unreadable, with the given reason on stderr.
fn refused(changes: &[(&str, &str)]) {
    for (change, reason) in changes {
        let everything = ["--format", "csv", "select * from events"];
        let (code, _, stderr) = answer_changed(change, &everything);
        assert_eq!(code, Some(2), "{change}: {stderr}");
        assert!(stderr.contains(reason), "{change}: {stderr}");
        assert!(!stderr.contains("broke off"), "{change}: {stderr}");
    }
}

/// Changes to a recording, each with the reason of the refusal.
const CHANGES: &[(&str, &str)] = &[
    (
        "drop view files; drop view syscalls; drop table meta",
        "no table `meta`",
    ),
    (
        "pragma legacy_alter_table = on; alter table event rename to other; create view event as select * from other",
        "is a view",
    ),
    (
        "pragma legacy_alter_table = on; alter table task rename to other; create virtual table task using fts5(id, pid)",
        "is a virtual",
    ),
    (
        "update event set task_ref = 123456789 where id = 9",
        "refers to row 123456789 of `task`",
    ),
    ("update call set compat = 7", "holds the number 7"),
    (
        "update meta set value = '9.0' where key = 'ctrace.schema'",
        "newer than",
    ),
];

/// Changes to tables that a writer without our constraints made: the table, the change, and the reason of the refusal.
const UNCONSTRAINED: &[(&str, &str, &str)] = &[
    (
        "task",
        "update task set pid = 'many' where id = 1",
        "column `pid` of its table `task` holds a value of type Text",
    ),
    (
        "task",
        "update task set pid = 5000000000 where id = 1",
        "holds the number 5000000000",
    ),
    (
        "task",
        "update task set comm = x'ff00' where id = 1",
        "holds a value of type Blob",
    ),
    (
        "task",
        "update task set comm = cast(x'ff41' as text) where id = 1",
        "not UTF-8",
    ),
    (
        "event",
        "update event set time = 'noon' where id = 9",
        "for time",
    ),
    (
        "event",
        "update event set seq = 9223372036854775807",
        "of type Real for seq",
    ),
];

#[test]
fn a_foreign_database_is_refused_with_the_reason() {
    refused(CHANGES);
    for (table, change, reason) in UNCONSTRAINED {
        let copied = format!(
            "pragma legacy_alter_table = on; create table x as select * from {table}; drop table {table}; alter table x rename to {table};"
        );
        refused(&[(&format!("{copied} {change}"), reason)]);
    }
}

#[test]
fn code_in_the_schema_of_a_foreign_database_is_not_run() {
    // A generated column is not read, a view is not queried, and a trigger does not fire.
    let change = "drop view events; create view events as select randomblob(1 << 28) as time;
        alter table task add column evil text generated always as (hex(zeroblob(1 << 20))) virtual;
        create trigger t after insert on event begin delete from task; end;";
    let (code, stdout, stderr) = answer_changed(change, &["select count(pid) as n from events"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
}

#[test]
fn a_damaged_database_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = record(&dir, "a.sqlite");
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

/// Returns all events of a recording and its metadata.
fn content(recording: &Path) -> (String, String) {
    let ask = |sql: &str| {
        let (code, text, error) = answer(recording, &["--format", "csv", sql]);
        assert_eq!(code, Some(0), "{error}");
        text
    };
    let events = ask("select * exclude (recording) from events order by seq, time, kind");
    (
        events,
        ask("select key, value from meta where key <> 'ctrace.digest' order by key"),
    )
}

#[test]
fn converting_there_and_back_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let convert = |from: &Path, name: &str| {
        let to = dir.path().join(name);
        let mut command = ctrace_query();
        run(command.arg("convert").args([from, &to]));
        to
    };
    let (parquet, sqlite) = (record(&dir, "a.parquet"), record(&dir, "b.sqlite"));
    let there = convert(&parquet, "c.sqlite");
    let back = convert(&there, "d.parquet");
    assert!(content(&parquet) == content(&there), "to SQLite");
    assert!(content(&parquet) == content(&back), "and back");
    let there = convert(&sqlite, "e.parquet");
    let back = convert(&there, "f.sqlite");
    assert!(content(&sqlite) == content(&there), "to Parquet");
    assert!(content(&sqlite) == content(&back), "and back");
    // SQLite stores rows in the order of `seq`, Parquet by container, thread and call.
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

    let mut command = ctrace_query();
    let refused = command
        .arg("convert")
        .args([&parquet, &sqlite])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("exists: add --force"), "{stderr}");
}
