//! Recordings with damaged or forged rollups, which must not change an answer.

use super::{ask, record, tables};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use parquet::file::metadata::{
    FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use serde_json::{Value, json};
use std::iter::{once, repeat_n};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A change to the bytes of a file up to its footer, and to the places of its rollups.
type Forge = fn(&mut Vec<u8>, &mut Value);

/// The rollups that can answer the question of the test.
const ANSWERING: [&str; 4] = ["calls", "latency", "threads", "activity"];

/// Forgeries of the places of rollups, each with the table that must be read.
const FORGED_PLACES: &[(&str, Forge, &str)] = &[
    ("unchanged", |_, _| {}, "rollup_calls"),
    (
        "no places",
        |_, places| *places = json!({ "calls": 1 }),
        "events",
    ),
    (
        "offset after the end",
        |_, places| set(places, "offset", json!(u64::MAX)),
        "events",
    ),
    (
        "endless length",
        |_, places| set(places, "length", json!(u64::MAX)),
        "events",
    ),
    (
        "huge size",
        |_, places| set(places, "size", json!(u64::MAX)),
        "rollup_calls",
    ),
    (
        "tiny size",
        |_, places| set(places, "size", json!(9)),
        "events",
    ),
    (
        "wrong name",
        |_, places| set(places, "name", json!("calls")),
        "events",
    ),
];

/// Forgeries of the content of rollups, each with the table that must be read.
const FORGED_CONTENT: &[(&str, Forge, &str)] = &[
    (
        "flipped bytes",
        |bytes, places| flip(bytes, places),
        "events",
    ),
    ("in two parts", in_two_parts, "rollup_calls"),
    ("a batch for each row", batch_for_each_row, "rollup_calls"),
    (
        "10,000 batches without rows",
        |bytes, places| replace(bytes, places, |whole| slices(whole, repeat_n(0..0, 10_000))),
        "events",
    ),
    (
        "doubled counts",
        |bytes, places| replace(bytes, places, doubled),
        "events",
    ),
    (
        "no Arrow stream",
        |bytes, places| replace(bytes, places, |_| vec![0xff; 4096]),
        "events",
    ),
    (
        "truncated stream",
        |bytes, places| replace(bytes, places, |whole| whole[..whole.len() / 2].to_vec()),
        "events",
    ),
];

#[test]
fn damaged_or_forged_rollups_are_not_used() {
    let dir = TempDir::new().unwrap();
    let whole = record(dir.path(), "whole.parquet");
    let sql = "select container, count(*) as n from events group by 1 order by 1";
    let right = ask(dir.path(), &["-r", "whole.parquet", sql, "--no-rollups"]);
    assert_eq!(tables(dir.path(), "whole.parquet", sql), ["rollup_calls"]);
    for (what, forge, from) in FORGED_PLACES.iter().chain(FORGED_CONTENT) {
        write_forged(&whole, &dir.path().join("forged.parquet"), forge);
        assert_eq!(
            ask(dir.path(), &["-r", "forged.parquet", sql]),
            right,
            "{what}"
        );
        assert_eq!(tables(dir.path(), "forged.parquet", sql), [*from], "{what}");
    }
}

/// Sets a key of every place.
fn set(places: &mut Value, key: &str, value: Value) {
    for place in places.as_array_mut().unwrap() {
        place[key] = value.clone();
    }
}

/// Flips bytes in the middle of every rollup.
fn flip(bytes: &mut [u8], places: &mut Value) {
    for place in places.as_array().unwrap() {
        let middle = place["offset"].as_u64().unwrap() + place["length"].as_u64().unwrap() / 2;
        bytes[middle as usize] ^= 0x55;
    }
}

/// Splits the rollup `calls` into two parts of the same name.
fn in_two_parts(bytes: &mut Vec<u8>, places: &mut Value) {
    let whole = stream(bytes, places, "calls");
    let rows = read(&whole).num_rows();
    put(bytes, places, "calls", &slices(&whole, once(0..rows / 2)));
    let list = places.as_array_mut().unwrap();
    list.push(json!({ "name": "rest" }));
    put(bytes, places, "rest", &slices(&whole, once(rows / 2..rows)));
    places.as_array_mut().unwrap().last_mut().unwrap()["name"] = json!("calls");
}

/// Writes each row of the rollup `calls` as a batch.
fn batch_for_each_row(bytes: &mut Vec<u8>, places: &mut Value) {
    let whole = stream(bytes, places, "calls");
    let batches = StreamReader::try_new(&whole[..], None).unwrap();
    let rows = batches.map(|batch| batch.unwrap().num_rows()).sum();
    let each = (0..rows).map(|row| row..row + 1);
    put(bytes, places, "calls", &slices(&whole, each));
}

/// Replaces the streams of the [`ANSWERING`] rollups.
fn replace(bytes: &mut Vec<u8>, places: &mut Value, change: impl Fn(&[u8]) -> Vec<u8>) {
    for name in ANSWERING {
        let changed = change(&stream(bytes, places, name));
        put(bytes, places, name, &changed);
    }
}

/// Writes a copy of a recording whose rollups and whose pair with the places of rollups are forged.
fn write_forged(from: &Path, to: &Path, forge: impl Fn(&mut Vec<u8>, &mut Value)) {
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

/// Appends a frame of `stream` and sets the place of the first rollup named `name` to the frame.
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

/// Returns the Arrow stream of a rollup.
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

/// Returns the first batch of a stream.
fn read(stream: &[u8]) -> RecordBatch {
    let mut reader = StreamReader::try_new(stream, None).unwrap();
    reader.next().unwrap().unwrap()
}

/// Returns a stream with the given ranges of rows, each as one batch.
fn slices(stream: &[u8], ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<u8> {
    let batch = read(stream);
    let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    for rows in ranges {
        writer.write(&batch.slice(rows.start, rows.len())).unwrap();
    }
    writer.into_inner().unwrap()
}

/// Returns a stream with the same rows, and with each `n` doubled.
fn doubled(stream: &[u8]) -> Vec<u8> {
    let batch = read(stream);
    let at = batch.schema().index_of("n").unwrap();
    let n = batch.column(at).as_primitive::<Int64Type>();
    let mut columns = batch.columns().to_vec();
    columns[at] = Arc::new(n.unary::<_, Int64Type>(|n| 2 * n));
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}
