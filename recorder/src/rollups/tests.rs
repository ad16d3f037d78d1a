//! Rollups that do not fit into memory are split into parts, whose sum is the whole, or dropped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use arrow::ipc::reader::StreamReader;

use super::*;
use crate::calls::Calls;
use crate::rows::batch::{Batch, Boot, CallCounts, EventDetail, EventKind, Row};
use crate::rows::buffers::ColumnBuffers;
use crate::rows::columns::Columns;

const MAX_PART_BYTES: usize = 16 << 20;

/// Returns rows of counted calls, a hundred per millisecond, whose threads are named by `comm`.
fn rows(from: usize, to: usize, comm: impl Fn(usize) -> String) -> Columns {
    rows_with_bytes(from, to, comm, |i| i as i64)
}

/// Returns the same rows with other numbers of bytes.
fn rows_with_bytes(
    from: usize,
    to: usize,
    comm: impl Fn(usize) -> String,
    bytes: impl Fn(usize) -> i64,
) -> Columns {
    let mut batch = Batch::default();
    for i in from..to {
        let comm = batch.strings.intern(&comm(i));
        let counts = CallCounts {
            comm,
            calls: 1,
            bytes: bytes(i),
            errors: 0,
            latency: comm,
        };
        let note = EventDetail {
            counted: Some(Box::new(counts)),
            ..EventDetail::default()
        };
        batch.push_event(Row::new(i as i64 * 10_000, EventKind::Counts), note);
    }
    columns(batch)
}

fn columns(batch: Batch) -> Columns {
    let calls = Arc::new(Calls::new("x86_64").unwrap());
    let (boot, buffers) = (Boot::new("host", ""), ColumnBuffers::default());
    Columns::new(batch, &calls, &[], &boot, true, buffers)
}

fn parts(rollups: &Rollups, name: &str) -> Vec<RecordBatch> {
    let blobs = rollups.blobs().map(Result::unwrap);
    let parts = blobs.filter(|blob| blob.name == name);
    let batch = |blob: Cow<'_, Blob>| {
        let stream = zstd::bulk::decompress(&blob.bytes, blob.size).unwrap();
        let reader = StreamReader::try_new(stream.as_slice(), None).unwrap();
        let schema = reader.schema();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        concat_batches(&schema, &batches).unwrap()
    };
    parts.map(batch).collect()
}

/// Returns the number of events by thread name.
fn by_comm(parts: &[RecordBatch]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for part in parts {
        let comm = cast(part.column_by_name("comm").unwrap(), &DataType::Utf8).unwrap();
        let n = part.column_by_name("n").unwrap();
        for (comm, n) in comm
            .as_string::<i32>()
            .iter()
            .zip(n.as_primitive::<Int64Type>())
        {
            *counts.entry(comm.unwrap().to_string()).or_default() += n.unwrap();
        }
    }
    counts
}

#[test]
fn the_sum_of_all_parts_is_the_whole() {
    const NAMES: usize = 100;
    let mut rollups = Rollups::with_limits(Memory::for_tests(), 2 * NAMES, MAX_PART_BYTES);
    for from in (0..800_000).step_by(200_000) {
        // Each quarter has its own threads, and one thread that all share.
        let comm = |i: usize| match i % 2 {
            0 => "all".into(),
            _ => format!("{}-{}", from / 200_000, i % (2 * NAMES)),
        };
        rollups.add(&rows(from, from + 200_000, comm));
    }
    let threads = parts(&rollups, "threads");
    assert!(threads.len() > 1, "{}", threads.len());
    let counts = by_comm(&threads);
    assert_eq!(counts.len(), 4 * NAMES + 1);
    assert_eq!(counts["all"], 400_000);
    assert_eq!(counts["2-77"], 1000);
    assert_eq!(parts(&rollups, "calls").len(), 1);
}

#[test]
fn a_rollup_hardly_smaller_than_the_events_is_dropped() {
    let mut rollups = Rollups::with_limits(Memory::for_tests(), 1000, MAX_PART_BYTES);
    for from in (0..40_000).step_by(10_000) {
        rollups.add(&rows(from, from + 10_000, |i| i.to_string()));
    }
    assert!(parts(&rollups, "threads").is_empty());
    let calls = parts(&rollups, "calls");
    let n = calls[0].column_by_name("n").unwrap();
    assert_eq!(n.as_primitive::<Int64Type>().values(), &[40_000]);
}

#[test]
fn a_rollup_with_a_sum_beyond_64_bits_is_dropped() {
    let mut rollups = Rollups::new(Memory::for_tests());
    let comm = |i: usize| (i % 2).to_string();
    rollups.add(&rows(0, 1000, comm));
    assert_eq!(parts(&rollups, "calls").len(), 1);
    rollups.add(&rows_with_bytes(1000, 2000, comm, |_| i64::MAX / 500));
    assert!(parts(&rollups, "calls").is_empty());
    assert!(parts(&rollups, "threads").is_empty());
}

#[test]
fn longer_slices_have_all_events() {
    let mut rollups = Rollups::new(Memory::for_tests());
    let tenths_of_seconds = |i: usize| i * 36_000;
    for from in (0..10_000).step_by(5_000) {
        let mut batch = Batch::default();
        for i in from..from + 5_000 {
            let row = Row::new(
                tenths_of_seconds(i) as i64 * 100_000_000,
                EventKind::Process,
            );
            batch.push_event(row, EventDetail::default());
        }
        rollups.add(&columns(batch));
    }
    let mut blobs = rollups.blobs().map(Result::unwrap);
    let activity = blobs.any(|blob| blob.name == "activity");
    assert!(!activity, "it has a row for each event");
    assert_eq!(rollups.slice_ns, SLICES[SLICES.len() - 1]);
    let growing = rollups.rollups.iter().find(|r| r.table.has(Facet::Slice));
    let batches = growing.unwrap().table.batches().map(Result::unwrap);
    let batches: Vec<_> = batches.collect();
    assert!(batches.len() > 1);
    let events = |batch: &RecordBatch| {
        let n = batch.column_by_name("n").unwrap();
        n.as_primitive::<Int64Type>().values().iter().sum::<i64>()
    };
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!((rows, batches.iter().map(events).sum()), (10_000, 10_000));
}
