//! What recordings tell in sum gives the answers that the events give.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

mod query_support;

use std::iter::{once, repeat_n};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use parquet::file::metadata::{
    FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use query_support::{QUESTIONS, ctrace_query, incident, transcript};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A recording that the recorder makes of the capture in `fixtures/`.
fn demo(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let raw = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-rec"));
    command.arg("--from-raw").arg(raw).arg("--out").arg(&path);
    let output = command.arg("--quiet").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    path
}

fn ask(dir: &Path, args: &[&str]) -> String {
    let answer = transcript(ctrace_query(dir).args(["--format", "csv"]).args(args));
    assert!(answer.starts_with("exit code 0"), "{args:?}: {answer}");
    answer
}

/// The tables that a statement reads, by its plan.
fn tables(dir: &Path, recording: &str, sql: &str) -> Vec<String> {
    let plan = ask(dir, &["-r", recording, &format!("explain {sql}")]);
    let scans = plan.split("TableScan: ").skip(1);
    let name = |scan: &str| scan.split([' ', '\\', '\n']).next().unwrap().to_string();
    scans.map(name).collect()
}

/// Asks with the rollups and without: returns how many of the statements the rollups answered.
fn same(dir: &Path, recordings: &[&str], statements: &[String]) -> usize {
    let from: Vec<&str> = recordings.iter().flat_map(|r| ["-r", r]).collect();
    let asked = |args: &[&str]| ask(dir, &[&from, args].concat());
    let mut answered = 0;
    for some in statements.chunks(24) {
        let each =
            |(i, sql): (usize, &String)| format!("select {i} as number, q.* from ({sql}) as q");
        let each: Vec<String> = some.iter().enumerate().map(each).collect();
        let sql = format!("{} order by 1, 2, 3, 4", each.join(" union all "));
        let (with, without) = (asked(&[&sql]), asked(&[&sql, "--no-rollups"]));
        let differs = with.lines().zip(without.lines()).find(|(a, b)| a != b);
        if let Some((with, without)) = differs {
            let number: usize = with.split(',').next().unwrap().parse().unwrap();
            panic!("{with} and not {without}: {}", some[number]);
        }
        assert_eq!(with.len(), without.len(), "{sql}");
        let plan = asked(&[&format!("explain {sql}")]);
        let logical = plan.split("physical_plan").next().unwrap();
        answered += logical.matches("TableScan: rollup_").count();
    }
    answered
}

/// Picks from lists, the same each time.
struct Dice(u64);

impl Dice {
    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        list[(self.0 >> 33) as usize % list.len()]
    }
}

const GROUPS: &[&str] = &[
    "container",
    "syscall",
    "kind",
    "class",
    "error",
    "comm",
    "exe",
    "path",
    "peer_addr",
    "peer_port",
    "denied",
    "compat",
    "coalesce(container, '?') || ' ' || coalesce(syscall, '-')",
    "-ret",
    "ret > 0",
    "ret is null",
    "ret < 0",
    "case when syscall in ('read', 'write') then 'moves' when error is null then 'fine' end",
    "substr(comm, 1, 3)",
    "date_trunc('second', time)",
    "date_bin(interval '10 seconds', time)",
    "date_trunc('hour', time)",
    "recording",
    "uid",
    "exit_code",
    "dns_name",
    "family",
    "arg0",
    "duration / 1000000",
    "split_part(path, '/', 2)",
    "split_part(path, '/', 2) || '/' || split_part(path, '/', 3)",
    "split_part(path, '/', 4)",
    "path < '/etc/s'",
    "path = '/usr/lib/'",
    "upper(host)",
];
const SUMS: &[&str] = &[
    "count(*)",
    "count(error)",
    "count(container_id)",
    "count(duration)",
    "count(bytes)",
    "count(time)",
    "sum(bytes)",
    "sum(duration)",
    "min(time)",
    "max(time)",
    "min(duration)",
    "max(bytes)",
    "avg(duration)",
    "max(comm)",
    "min(path)",
    "count(distinct syscall)",
    "count(distinct comm)",
    "count(distinct path)",
    "count(case when ret < 0 then 1 end)",
    "sum(case when denied then 1 else 0 end)",
    "count(*) filter (where error is not null)",
    "sum(lost)",
    "p99(duration)",
    "p50(duration) filter (where container is not null)",
    "p90(bytes)",
    "sum(bytes) filter (where syscall = 'read')",
    "sum(case when ret > 0 then bytes end)",
    "sum(distinct bytes)",
    "min(case when kind = 'process' then time end)",
    "max(case when syscall = 'openat' then duration else 0 end)",
    "sum(case when error is null then bytes else 0 end)",
    "bool_or(denied)",
    "max(ret)",
    "sum(exit_code)",
    "count(ret)",
    "count(case when error is null then duration end)",
    "sum(ret)",
    "max(exit_signal)",
];
const FILTERS: &[&str] = &[
    "true",
    "kind = 'syscall'",
    "container = 'demo-web'",
    "container is null",
    "error is not null",
    "ret < 0",
    "ret > 0",
    "ret = 0",
    "ret >= 1",
    "ret <> 0",
    "ret > 5",
    "ret in (-2, -11, 0)",
    "ret < 0 and ret > -4096",
    "not denied",
    "path = '/etc/shadow'",
    "path like '/etc/%'",
    "path is not null",
    "path is null",
    "path_under(path, '/usr')",
    "path_under(path, '/usr/lib')",
    "path_under(path, '/usr/lib/x86_64-linux-gnu')",
    "path like '/usr/lib/%'",
    "path like '/usr/lib/x%'",
    "path > '/lib/'",
    "path <> '/etc/passwd' and path is not null",
    "syscall in ('accept4', 'recvfrom')",
    "path not like '%lib%'",
    "peer_addr is not null",
    "cidr_contains('10.0.0.0/8', peer_addr)",
    "syscall = 'execve'",
    "syscall in ('connect', 'sendto')",
    "syscall = 'connect' or syscall = 'read'",
    "kind = 'process'",
    "kind <> 'syscall'",
    "kind in ('gap', 'container')",
    "comm like '%c%'",
    "coalesce(path, '') = ''",
    "time >= '2026-11-21T02:38:52Z'",
    "time < '2026-11-21T02:38:52.5Z'",
    "time >= '2026-11-21T00:00:00Z'",
    "time > '2026-11-21T02:38:51.990000Z' and time < '2026-11-21T12:00:00Z'",
    "time < '2026-11-21T01:00:00Z'",
    "length(comm) > 3",
    "duration > 10000",
    "recording like '%demo%'",
    "(path is not null or peer_addr is not null)",
    "container = 'demo-web' and error = 'ENOENT'",
    "family is null and path like '/%' and comm not like 'runc:[%'",
];
const TABLES: &[&str] = &[
    "events",
    "events",
    "events",
    "(select * from events where kind = 'syscall') as calls",
];

/// Statements of three columns, with and without groups, over the events, a view of them or a subquery.
fn statements(count: usize) -> Vec<String> {
    let mut dice = Dice(7);
    (0..count)
        .map(|_| {
            let (table, group) = (dice.of(TABLES), dice.of(GROUPS));
            let (one, two) = (dice.of(SUMS), dice.of(SUMS));
            let (filter, also) = (dice.of(FILTERS), dice.of(FILTERS));
            let filter = match dice.of(&["one", "one", "both"]) {
                "both" => format!("{filter} and {also}"),
                _ => filter.to_string(),
            };
            let text = |e: &str, name| format!("cast({e} as varchar) as {name}");
            match dice.of(&["group", "group", "distinct", "all"]) {
                "group" => format!(
                    "select {}, {}, {} from {table} where {filter} group by {group}",
                    text(group, "a"),
                    text(one, "b"),
                    text(two, "c")
                ),
                "distinct" => format!(
                    "select distinct {}, '' as b, '' as c from {table} where {filter}",
                    text(group, "a")
                ),
                _ => format!(
                    "select '' as a, {}, {} from {table} where {filter}",
                    text(one, "b"),
                    text(two, "c")
                ),
            }
        })
        .collect()
}

#[test]
fn sums_of_sums_are_sums_of_events() {
    let dir = TempDir::new().unwrap();
    demo(dir.path(), "demo.parquet");
    let statements = statements(120);
    let answered = same(dir.path(), &["demo.parquet"], &statements);
    assert!(
        answered > 30,
        "only {answered} of {} statements",
        statements.len()
    );
}

#[test]
fn a_file_without_them_is_read_beside_the_others() {
    let dir = TempDir::new().unwrap();
    demo(dir.path(), "demo.parquet");
    demo(dir.path(), "second.parquet");
    incident().write(dir.path(), "incident.parquet");
    let all = ["demo.parquet", "second.parquet", "incident.parquet"];
    let answered = same(dir.path(), &all, &statements(48));
    assert!(answered > 10, "only {answered}");
}

#[test]
fn what_is_in_no_closed_file_is_read_beside_the_others() {
    let dir = TempDir::new().unwrap();
    demo(dir.path(), "demo.parquet");
    demo(dir.path(), "old.sqlite");
    let cut = demo(dir.path(), "cut.parquet");
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 8]).unwrap();
    let all = ["demo.parquet", "cut.parquet", "old.sqlite"];
    let answered = same(dir.path(), &all, &statements(24));
    assert!(answered > 5, "only {answered}");
}

#[test]
fn what_is_converted_or_recovered_has_them_too() {
    let dir = TempDir::new().unwrap();
    let cut = demo(dir.path(), "cut.parquet");
    demo(dir.path(), "demo.sqlite");
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 8]).unwrap();
    let done = |args: &[&str]| {
        let said = transcript(ctrace_query(dir.path()).args(args));
        assert!(said.starts_with("exit code 0"), "{said}");
    };
    done(&["recover", "cut.parquet"]);
    done(&["convert", "demo.sqlite", "converted.parquet"]);
    demo(dir.path(), "demo.parquet");
    for made in ["cut.parquet", "converted.parquet"] {
        let answered = same(dir.path(), &[made], &statements(48));
        assert!(answered > 10, "{made}: only {answered}");
        // What both tell is the same.
        for rollup in ["calls", "latency", "activity", "directories", "files"] {
            let sql = match rollup {
                "calls" => {
                    "select syscall, ret < 0, sum(bytes), max(duration) from events group by 1, 2 order by 1, 2"
                }
                "latency" => {
                    "select syscall, p50(duration), p99(duration) from events group by 1 order by 1"
                }
                "activity" => {
                    "select date_trunc('minute', time), count(error) from events group by 1 order by 1"
                }
                "directories" => {
                    "select split_part(path, '/', 3), min(time) from events where path is not null group by 1 order by 1"
                }
                _ => {
                    "select path, comm, count(*) from events where path is not null group by 1, 2 order by 1, 2"
                }
            };
            let name = [format!("rollup_{rollup}")];
            assert_eq!(tables(dir.path(), made, sql), name, "{made}");
            assert_eq!(tables(dir.path(), "demo.parquet", sql), name);
            let answer = |file| ask(dir.path(), &["-r", file, sql]);
            assert_eq!(answer(made), answer("demo.parquet"), "{sql}");
        }
    }
}

#[test]
fn ready_questions_have_the_same_answers() {
    let dir = TempDir::new().unwrap();
    demo(dir.path(), "demo.parquet");
    for question in QUESTIONS {
        for more in [
            &[][..],
            &["--container", "demo-web"],
            &["--since", "02:38:52"],
        ] {
            let mut args = vec![*question, "-r", "demo.parquet"];
            args.extend(more);
            let with = ask(dir.path(), &args);
            args.push("--no-rollups");
            assert_eq!(with, ask(dir.path(), &args), "{args:?}");
        }
    }
    let shown = ask(dir.path(), &["summary", "--show-sql", "-r", "demo.parquet"]);
    let sql = shown.split_once("--- stdout\n").unwrap().1;
    let read = tables(dir.path(), "demo.parquet", sql);
    assert!(
        read.iter().all(|t| t == "meta" || t.starts_with("rollup_")),
        "{read:?}"
    );
}

/// A copy of a recording with other bytes where rollups stand, and another pair that says where.
fn forged(from: &Path, to: &Path, forge: impl Fn(&mut Vec<u8>, &mut Value)) {
    let mut bytes = std::fs::read(from).unwrap();
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&std::fs::File::open(from).unwrap())
        .unwrap();
    let end = bytes.len() - 8;
    let footer = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
    bytes.truncate(end - footer as usize);
    let file = metadata.file_metadata();
    let mut pairs = file.key_value_metadata().unwrap().clone();
    let pair = pairs
        .iter_mut()
        .find(|pair| pair.key == "ctrace.rollups")
        .unwrap();
    let mut places = serde_json::from_str(pair.value.as_deref().unwrap()).unwrap();
    forge(&mut bytes, &mut places);
    pair.value = Some(places.to_string());
    let (version, rows) = (file.version(), file.num_rows());
    let file = FileMetaData::new(
        version,
        rows,
        None,
        Some(pairs),
        file.schema_descr_ptr(),
        None,
    );
    let metadata = ParquetMetaData::new(file, metadata.row_groups().to_vec());
    ParquetMetaDataWriter::new(&mut bytes, &metadata)
        .finish()
        .unwrap();
    std::fs::write(to, bytes).unwrap();
}

/// Puts a frame of `stream` at the end and says that the first rollup named `name` stands there.
fn put(bytes: &mut Vec<u8>, places: &mut Value, name: &str, stream: &[u8]) {
    let frame = zstd::encode_all(stream, 3).unwrap();
    let places = places.as_array_mut().unwrap();
    let place = places
        .iter_mut()
        .find(|place| place["name"] == name)
        .unwrap();
    place["offset"] = json!(bytes.len());
    place["length"] = json!(frame.len());
    place["size"] = json!(stream.len());
    bytes.extend(frame);
}

/// The Arrow stream of a rollup.
fn stream(bytes: &[u8], places: &Value, name: &str) -> Vec<u8> {
    let place = places
        .as_array()
        .unwrap()
        .iter()
        .find(|place| place["name"] == name)
        .unwrap();
    let at = |key: &str| usize::try_from(place[key].as_u64().unwrap()).unwrap();
    let frame = &bytes[at("offset")..at("offset") + at("length")];
    zstd::decode_all(frame).unwrap()
}

/// Some of the rows, each of these stretches in a batch of its own.
fn some(stream: &[u8], stretches: impl IntoIterator<Item = std::ops::Range<usize>>) -> Vec<u8> {
    let batch = StreamReader::try_new(stream, None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    for rows in stretches {
        writer.write(&batch.slice(rows.start, rows.len())).unwrap();
    }
    writer.into_inner().unwrap()
}

/// The same rows with each `n` doubled.
fn doubled(stream: &[u8]) -> Vec<u8> {
    let batch = StreamReader::try_new(stream, None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let at = batch.schema().index_of("n").unwrap();
    let n = batch.column(at).as_primitive::<Int64Type>();
    let mut columns = batch.columns().to_vec();
    columns[at] = Arc::new(n.unary::<_, Int64Type>(|n| 2 * n));
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn what_few_rows_tell_is_read_from_them() {
    let dir = TempDir::new().unwrap();
    demo(dir.path(), "demo.parquet");
    let prefix = "split_part(path, '/', 2) || '/' || split_part(path, '/', 3)";
    for (from, group, sum, filter) in [
        ("latency", "syscall", "p99(duration)", "syscall is not null"),
        ("programs", "path", "min(time)", "syscall = 'execve'"),
        (
            "destinations",
            "peer_port",
            "sum(bytes)",
            "syscall in ('connect', 'sendto')",
        ),
        (
            "sources",
            "peer_addr",
            "count(*)",
            "syscall in ('accept4', 'recvfrom')",
        ),
        ("directories", prefix, "max(time)", "path is not null"),
        (
            "directories",
            "container",
            "count(*)",
            "path like '/usr/lib/%'",
        ),
        ("files", "container", "count(*)", "path like '/usr/lib/x%'"),
    ] {
        let sql = format!("select {group}, {sum} from events where {filter} group by 1");
        let read = tables(dir.path(), "demo.parquet", &sql);
        assert_eq!(read, [format!("rollup_{from}")], "{sql}");
    }
}

#[test]
fn what_is_damaged_or_forged_is_not_used() {
    let dir = TempDir::new().unwrap();
    let whole = demo(dir.path(), "whole.parquet");
    let sql = "select container, count(*) as n from events group by 1 order by 1";
    let right = ask(dir.path(), &["-r", "whole.parquet", sql, "--no-rollups"]);
    assert_eq!(tables(dir.path(), "whole.parquet", sql), ["rollup_calls"]);

    type Forge = fn(&mut Vec<u8>, &mut Value);
    fn each(places: &mut Value, key: &str, value: Value) {
        let places = places.as_array_mut().unwrap();
        places
            .iter_mut()
            .for_each(|place| place[key] = value.clone());
    }
    let forgeries: &[(&str, Forge, &str)] = &[
        ("as it was", |_, _| {}, "rollup_calls"),
        (
            "no places",
            |_, places| *places = json!({ "calls": 1 }),
            "events",
        ),
        (
            "far away",
            |_, places| each(places, "offset", json!(u64::MAX)),
            "events",
        ),
        (
            "endless",
            |_, places| each(places, "length", json!(u64::MAX)),
            "events",
        ),
        (
            "huge",
            |_, places| each(places, "size", json!(u64::MAX)),
            "rollup_calls",
        ),
        ("tiny", |_, places| each(places, "size", json!(9)), "events"),
        (
            "another",
            |_, places| each(places, "name", json!("calls")),
            "events",
        ),
        (
            "turned",
            |bytes, places| {
                for place in places.as_array().unwrap() {
                    let middle =
                        place["offset"].as_u64().unwrap() + place["length"].as_u64().unwrap() / 2;
                    bytes[middle as usize] ^= 0x55;
                }
            },
            "events",
        ),
        (
            "in two parts",
            |bytes, places| {
                let whole = stream(bytes, places, "calls");
                let rows = StreamReader::try_new(&whole[..], None)
                    .unwrap()
                    .next()
                    .unwrap()
                    .unwrap()
                    .num_rows();
                put(bytes, places, "calls", &some(&whole, once(0..rows / 2)));
                places
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "name": "rest" }));
                put(bytes, places, "rest", &some(&whole, once(rows / 2..rows)));
                places.as_array_mut().unwrap().last_mut().unwrap()["name"] = json!("calls");
            },
            "rollup_calls",
        ),
        (
            "in a batch for each row",
            |bytes, places| {
                let whole = stream(bytes, places, "calls");
                let batches = StreamReader::try_new(&whole[..], None).unwrap();
                let rows = batches.map(|batch| batch.unwrap().num_rows()).sum();
                let each = (0..rows).map(|row| row..row + 1);
                put(bytes, places, "calls", &some(&whole, each));
            },
            "rollup_calls",
        ),
        (
            "in very many batches of no rows",
            |bytes, places| {
                for name in ["calls", "latency", "threads", "activity"] {
                    let whole = stream(bytes, places, name);
                    put(bytes, places, name, &some(&whole, repeat_n(0..0, 10_000)));
                }
            },
            "events",
        ),
        (
            "twice as many",
            |bytes, places| {
                for name in ["calls", "latency", "threads", "activity"] {
                    let more = doubled(&stream(bytes, places, name));
                    put(bytes, places, name, &more);
                }
            },
            "events",
        ),
        (
            "no stream",
            |bytes, places| {
                for name in ["calls", "latency", "threads", "activity"] {
                    put(bytes, places, name, &[0xff; 4096]);
                }
            },
            "events",
        ),
        (
            "cut",
            |bytes, places| {
                for name in ["calls", "latency", "threads", "activity"] {
                    let stream = stream(bytes, places, name);
                    put(bytes, places, name, &stream[..stream.len() / 2]);
                }
            },
            "events",
        ),
    ];
    for (what, forge, from) in forgeries {
        forged(&whole, &dir.path().join("forged.parquet"), forge);
        assert_eq!(
            ask(dir.path(), &["-r", "forged.parquet", sql]),
            right,
            "{what}"
        );
        assert_eq!(tables(dir.path(), "forged.parquet", sql), [*from], "{what}");
    }
}
