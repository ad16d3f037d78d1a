//! Tests of eviction: whose frames are evicted, and how the evicted events are counted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::sink::SinkCommand;
use crate::sink::full::DiskFull;
use crate::sink::spill::Spill;
use crate::sink::summary::Summary;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::ring::frame::read_frames;
use crate::rows::batch::Boot;
use crate::rows::single::{SingleRows, Value};
use crate::sink::{BatchPolicy, Sink};

/// Creates one call of `container` per second, with the sequence numbers from `from` to `to`.
fn calls(container: &str, from: i64, to: i64) -> SingleRows {
    let mut events = SingleRows::new();
    for seq in from..to {
        // Knuth's MMIX generator: numbers that do not compress.
        let random = seq.wrapping_mul(6_364_136_223_846_793_005);
        let values = [
            ("time", Value::Number(seq * 1_000_000_000)),
            ("duration", Value::Number(random)),
            ("seq", Value::Number(seq)),
            ("container", Value::Text(container.into())),
            ("host", Value::Text("host".into())),
            ("kind", Value::Text("syscall".into())),
            ("class", Value::Text("file".into())),
        ];
        let column = |(name, value)| (ctrace_schema::columns::index(name).unwrap(), value);
        events.push(&values.map(column));
    }
    events
}

fn ring(bytes: Option<u64>, age: Option<u64>) -> Ring {
    let age = age.map(Duration::from_secs);
    Ring::new(SizeAndAge { bytes, age }).unwrap()
}

/// Returns the number of rows of `container` in the ring.
fn rows(ring: &Ring, container: &str) -> usize {
    let frames = ring.frames();
    let is_owned = |frame: &&Arc<Frame>| frame.owner.container.as_deref() == Some(container);
    frames.iter().filter(is_owned).map(|frame| frame.rows).sum()
}

#[test]
fn largest_container_is_evicted_first_and_each_event_is_counted() {
    let mut ring = ring(Some(300_000), None);
    ring.add(&calls("quiet", 0, 5)).unwrap();
    let (mut from, mut evicted_rows) = (5, 0);
    for _ in 0..200 {
        let change = ring.add(&calls("noisy", from, from + 500)).unwrap();
        evicted_rows += change.removed.iter().map(|frame| frame.rows).sum::<usize>();
        drop(change);
        assert!(ring.bytes() <= 300_000 && !ring.is_over());
        from += 500;
    }
    assert_eq!(rows(&ring, "quiet"), 5);
    let remaining = rows(&ring, "noisy");
    assert!(
        remaining > 5_000 && remaining + evicted_rows == 100_000,
        "{remaining} and {evicted_rows}"
    );
    let evicted = ring.evicted(ring.start_ns().unwrap());
    assert_eq!(evicted.len(), 1);
    assert_eq!(evicted[0].tallies[0].events as usize, evicted_rows);
    assert_eq!(evicted[0].tallies[0].class, "file");
    assert_eq!(evicted[0].span.0, 5_000_000_000);
    assert_eq!(evicted[0].span.1, (4 + evicted_rows as i64) * 1_000_000_000);
    // Two equally noisy containers share the ring.
    for _ in 0..200 {
        ring.add(&calls("second", from, from + 500)).unwrap();
        from += 500;
    }
    let (noisy, second) = (rows(&ring, "noisy"), rows(&ring, "second"));
    assert!(noisy.abs_diff(second) <= 1000, "{noisy} and {second}");
    assert_eq!(rows(&ring, "quiet"), 5);
}

#[test]
fn old_frames_are_removed_and_are_no_loss() {
    let mut ring = ring(Some(10_000_000), Some(100));
    for i in 0..50 {
        ring.add(&calls("web", i * 10, i * 10 + 10)).unwrap();
    }
    // The newest row is from second 499, and a frame stays if any of its rows is young enough.
    assert_eq!(rows(&ring, "web"), 110);
    assert_eq!(ring.reach_ns(), 109_000_000_000);
    assert!(ring.evicted(i64::MIN).is_empty());
    ring.expire(1_000_000_000_000);
    assert!(ring.frames().is_empty() && ring.bytes() == 0 && ring.start_ns().is_none());
}

#[test]
fn evicted_frames_count_while_they_are_referenced() {
    let mut ring = ring(Some(100_000), None);
    let mut referenced = vec![];
    let mut from = 0;
    while !ring.is_over() {
        ring.add(&calls("web", from, from + 500)).unwrap();
        referenced = if referenced.is_empty() {
            ring.frames()
        } else {
            referenced
        };
        from += 500;
        assert!(from < 100_000);
    }
    referenced.clear();
    assert!(!ring.is_over());
}

#[test]
fn rows_are_equal_after_they_are_read_back() {
    let mut ring = ring(Some(1_000_000), None);
    let events = calls("web", 3, 20);
    ring.add(&events).unwrap();
    let read = read_frames(&ring.frames()).unwrap();
    assert_eq!(read.record_batch().unwrap(), events.record_batch().unwrap());
}

/// A disk that may be full, and the rows that were written to it.
#[derive(Default)]
struct Store {
    full: bool,
    written: Summary,
    seqs: Vec<i64>,
    finished: Option<Summary>,
}

struct StoreMedium(Arc<Mutex<Store>>);

impl Sink for StoreMedium {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy::batches(1000, None)
    }

    fn write(&mut self, events: &dyn Events) -> Result<()> {
        let mut store = self.0.lock().unwrap();
        if store.full {
            return Err(DiskFull::detect(
                std::io::Error::from_raw_os_error(28).into(),
            ));
        }
        store.written.count(events, true);
        let series = events.column("seq");
        store.seqs.extend(series.iter().flatten());
        Ok(())
    }

    fn finish(self: Box<Self>, summary: &Summary) -> Result<u64> {
        self.0.lock().unwrap().finished = Some(summary.clone());
        Ok(0)
    }
}

#[test]
fn spill_keeps_rows_while_the_disk_is_full_and_counts_rows_that_memory_has_no_space_for() {
    let store = Arc::new(Mutex::new(Store::default()));
    let full = |full| store.lock().unwrap().full = full;
    let sink = Box::new(StoreMedium(store.clone()));
    let mut spill =
        Box::new(Spill::with_limits(sink, &Boot::new("host", ""), 100_000, 1_000_000).unwrap());
    let (mut happened, mut rest) = (Summary::default(), 0);
    let mut write = |spill: &mut Spill, name: &str, batches: i64| {
        for _ in 0..batches {
            let events = calls(name, rest, rest + 200);
            happened.count(&events, true);
            spill.write(&events).unwrap();
            rest += 200;
        }
    };
    write(&mut spill, "web", 3);
    full(true);
    write(&mut spill, "quiet", 1);
    write(&mut spill, "noisy", 3);
    spill.command(SinkCommand::Retry).unwrap();
    assert_eq!(store.lock().unwrap().written.events, 600);
    full(false);
    spill.command(SinkCommand::Retry).unwrap();
    // Everything fitted into memory.
    assert_eq!(store.lock().unwrap().written.events, 1400);
    assert!(store.lock().unwrap().written.lost.is_empty());
    assert_eq!(spill.disk().take_messages().len(), 2);
    full(true);
    write(&mut spill, "quiet", 1);
    write(&mut spill, "noisy", 200);
    full(false);
    spill.command(SinkCommand::Retry).unwrap();
    write(&mut spill, "web", 1);
    let lost = store.lock().unwrap().written.lost["file"];
    assert!(lost > 10_000, "{lost}");
    full(true);
    write(&mut spill, "web", 1);
    full(false);
    let mut summary = happened.clone();
    let disk = spill.disk();
    spill.finish(&summary).unwrap();
    disk.correct(&mut summary);

    let store = store.lock().unwrap();
    let written = &store.written;
    // One of the written events is the gap row.
    assert_eq!(written.events - 1 + written.lost["file"], happened.events);
    for reported in [store.finished.as_ref().unwrap(), &summary] {
        assert_eq!(
            (reported.events, &reported.lost),
            (written.events, &written.lost)
        );
        assert_eq!(reported.unwritten, written.lost);
    }
    let mut seqs = store.seqs.clone();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len() as u64, written.events);
}
