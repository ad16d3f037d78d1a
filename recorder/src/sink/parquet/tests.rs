//! Failures: each write and truncation of a recording fails once, and syncs fail. Rows written before stay readable.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Seek, SeekFrom, Write};
use std::sync::{Arc, LazyLock, Mutex};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use ctrace_format::digest::{self, Digest};
use ctrace_format::unclosed;
use ctrace_schema::meta;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::*;
use crate::calls::Calls;
use crate::rows::arrow::encoded_schema;
use crate::rows::batch::{Batch, Boot, EventDetail, EventKind, Row};
use crate::rows::buffers::ColumnBuffers;
use crate::rows::columns::Columns;
use crate::sink::segments::finish::finish;

/// The way in which the disk fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The disk is full: all writes fail, truncation works.
    Full,
    /// The disk is full, and a part of the last write was written.
    Short,
    /// All operations fail.
    Broken,
    /// A single operation fails.
    Once,
    /// A single write is partial, which is no error.
    Partial,
}

const FAULTS: [Fault; 5] = [
    Fault::Full,
    Fault::Short,
    Fault::Broken,
    Fault::Once,
    Fault::Partial,
];

/// The operation at which both files fail, and the number of operations so far.
struct FaultPlan {
    fault: Fault,
    fail_at: usize,
    operations: usize,
}

/// A file that fails as planned.
struct FaultyFile {
    file: File,
    plan: Arc<Mutex<FaultPlan>>,
}

impl FaultyFile {
    /// Counts an operation: returns how many bytes of `len` are written, or the error.
    fn operation(&self, len: usize, is_write: bool) -> io::Result<usize> {
        let mut plan = self.plan.lock().unwrap();
        let operation = plan.operations;
        plan.operations += 1;
        let full = || Err(io::ErrorKind::StorageFull.into());
        let eio = || Err(io::Error::from_raw_os_error(libc::EIO));
        match plan.fault {
            Fault::Full | Fault::Short | Fault::Partial if !is_write => Ok(len),
            Fault::Short | Fault::Partial if operation == plan.fail_at && len > 1 => Ok(len / 2),
            Fault::Full | Fault::Short if operation >= plan.fail_at => full(),
            Fault::Broken if operation >= plan.fail_at => eio(),
            Fault::Once if operation == plan.fail_at => eio(),
            _ => Ok(len),
        }
    }
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.operation(bytes.len(), true)?;
        self.file.write(&bytes[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for FaultyFile {
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.operation(0, false)?;
        self.file.set_len(len)?;
        self.file.seek(SeekFrom::Start(len))?;
        Ok(())
    }
}

/// Returns rows with the sequence numbers `from` to `to`, exclusive.
fn rows(from: u64, to: u64) -> Columns {
    let mut batch = Batch {
        first_seq: from,
        ..Batch::default()
    };
    for i in from..to {
        let note = EventDetail {
            action: "exit",
            class: "process",
            ..EventDetail::default()
        };
        batch.push_event(Row::new(i as i64, EventKind::Process), note);
    }
    static CALLS: LazyLock<Arc<Calls>> = LazyLock::new(|| Arc::new(Calls::new("x86_64").unwrap()));
    Columns::new(
        batch,
        &CALLS,
        &[],
        &Boot::new("host", ""),
        true,
        ColumnBuffers::default(),
    )
}

/// Returns the sequence numbers of the rows in a file and its journal, sorted, and whether the file has a footer.
fn read_seqs(path: &Path) -> (Vec<i64>, bool) {
    let file = File::open(path).unwrap();
    let closed = ParquetMetaDataReader::new().parse_and_finish(&file);
    let has_footer = closed.is_ok();
    let (metadata, journal) = match closed {
        Ok(metadata) => {
            check_digest(path, &metadata);
            (metadata, vec![])
        }
        Err(_) => {
            let unclosed = unclosed::read(path).unwrap().unwrap();
            (unclosed.metadata, unclosed.rows)
        }
    };
    let seq = |batch: &RecordBatch| {
        let column = batch.column_by_name("seq").unwrap();
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    let read = |metadata: ParquetMetaData| {
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), Default::default());
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.unwrap());
        reader.build().unwrap().map(|batch| batch.unwrap())
    };
    let mut all: Vec<i64> = match metadata.num_row_groups() {
        0 => vec![],
        _ => read(metadata).flat_map(|batch| seq(&batch)).collect(),
    };
    all.extend(journal.iter().flat_map(seq));
    all.sort_unstable();
    (all, has_footer)
}

/// Checks that a closed file contains its digest.
fn check_digest(path: &Path, metadata: &ParquetMetaData) {
    let pairs = metadata.file_metadata().key_value_metadata().unwrap();
    let pair = pairs.iter().find(|pair| pair.key == meta::KEY_DIGEST);
    let digest = Digest::parse(pair.unwrap().value.as_ref().unwrap()).unwrap();
    let mut file = File::open(path).unwrap();
    let content = digest::read(&mut file, &digest, |_| Ok(())).unwrap();
    assert_eq!(content.digest, digest);
    assert!(content.place.is_some());
}

/// Writes a recording whose operation `fail_at` fails. Returns how many rows were written without an error, and whether
/// the file was closed. Returns `None` if the recording has fewer operations.
fn record(path: &Path, fault: Fault, fail_at: usize) -> Option<(u64, bool)> {
    let plan = Arc::new(Mutex::new(FaultPlan {
        fault,
        fail_at,
        operations: 0,
    }));
    let file = |path: &Path| {
        let file = File::create(path).unwrap();
        let plan = plan.clone();
        Box::new(FaultyFile { file, plan }) as Box<dyn Medium>
    };
    let mediums = (file(path), file(&unclosed::journal::path(path)));
    let second = Box::new(File::open(path).unwrap());
    let sync = Syncer::instant();
    let schema = encoded_schema();
    let rollups = Rollups::new(Memory::for_tests());
    let begun = Parquet::with_mediums(mediums, (second, sync, rollups), path, &schema, vec![]);
    let mut written = 0;
    let mut closed = false;
    if let Ok(sink) = begun {
        let mut sink = Box::new(sink);
        let mut write_all = || {
            for group in [0, 100] {
                for part in [30, 60] {
                    sink.journal(&rows(group + part - 30, group + part))?;
                    written = group + part;
                }
                sink.write(&rows(group, group + 100))?;
                written = group + 100;
            }
            sink.journal(&rows(200, 210))?;
            written = 210;
            sink.write(&rows(200, 220))?;
            written = 220;
            Ok::<_, anyhow::Error>(())
        };
        closed = write_all().is_ok() && sink.finish(&Summary::default()).is_ok();
    }
    let operations = plan.lock().unwrap().operations;
    (fail_at < operations).then_some((written, closed))
}

#[test]
fn rows_survive_a_failure_of_any_operation() {
    let dir = tempfile::tempdir().unwrap();
    for fault in FAULTS {
        let mut fail_at = 0;
        loop {
            let path = dir.path().join("run.parquet");
            let Some((written, closed)) = record(&path, fault, fail_at) else {
                break;
            };
            if written > 0 {
                let (seqs, has_footer) = read_seqs(&path);
                let expected: Vec<i64> = (0..seqs.len() as i64).collect();
                assert_eq!(seqs, expected, "{fault:?} at {fail_at}");
                assert!(
                    seqs.len() as u64 >= written,
                    "{fault:?} at {fail_at}: {}",
                    seqs.len()
                );
                assert_eq!(closed, has_footer, "{fault:?} at {fail_at}");
            }
            fail_at += 1;
        }
        assert!(fail_at > 100, "{fault:?} has {fail_at} operations");
    }
}

/// A disk whose syncs fail with these errors, the last of them first, and then succeed.
#[derive(Clone, Default)]
struct FailingDisk(Arc<Mutex<Vec<i32>>>);

impl FailingDisk {
    fn failing(errors: &[i32]) -> FailingDisk {
        FailingDisk(Arc::new(Mutex::new(errors.to_vec())))
    }
}

impl Durable for FailingDisk {
    fn sync(&self) -> io::Result<()> {
        match self.0.lock().unwrap().pop() {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

/// Begins a recording at `path`. `sync_errors` are the errors of syncs while it is written, `close_errors` when it is
/// closed.
fn recording(path: &Path, schema: &Schema, sync_errors: &[i32], close_errors: &[i32]) -> Parquet {
    let file = |path: &Path| Box::new(File::create(path).unwrap()) as Box<dyn Medium>;
    let mediums = (file(path), file(&unclosed::journal::path(path)));
    let files: Vec<Box<dyn Durable>> = vec![Box::new(FailingDisk::failing(sync_errors))];
    let sync = Syncer::new(Duration::ZERO, None, files).unwrap();
    let rollups = Rollups::new(Memory::for_tests());
    let beside = (
        Box::new(FailingDisk::failing(close_errors)) as _,
        sync,
        rollups,
    );
    Parquet::with_mediums(mediums, beside, path, schema, vec![]).unwrap()
}

/// Waits until a sync has failed.
fn wait_for_sync_error(sink: &Parquet) {
    let began = std::time::Instant::now();
    while sink.sync.check().is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_sync_that_fails_on_a_full_disk_is_retried() {
    let dir = tempfile::tempdir().unwrap();
    for errno in [libc::ENOSPC, libc::EDQUOT] {
        let path = dir.path().join("run.parquet");
        let mut sink = recording(&path, &encoded_schema(), &[errno, errno], &[errno]);
        sink.write(&rows(0, 100)).unwrap();
        wait_for_sync_error(&sink);
        assert!(sink.journal(&rows(100, 110)).unwrap_err().is::<DiskFull>());
        let began = std::time::Instant::now();
        // A failed write leaves no rows in the file: the same rows come again.
        while let Err(e) = sink.write(&rows(100, 200)) {
            assert!(e.is::<DiskFull>() && began.elapsed() < Duration::from_secs(60));
            assert_eq!(read_seqs(&path), ((0..100).collect(), false));
        }
        // After a failed sync no block claims that bytes are durable.
        assert_eq!(sink.sync.durable_bytes(), 0);
        assert!(
            sink.close(&Summary::default())
                .unwrap_err()
                .is::<DiskFull>()
        );
        assert_eq!(read_seqs(&path), ((0..200).collect(), false));
        sink.write(&rows(200, 300)).unwrap();
        sink.close(&Summary::default()).unwrap();
        assert_eq!(read_seqs(&path), ((0..300).collect(), true));
    }
}

#[test]
fn a_disk_error_ends_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let mut sink = recording(&path, &encoded_schema(), &[libc::EIO], &[]);
    sink.write(&rows(0, 100)).unwrap();
    wait_for_sync_error(&sink);
    let e = sink.write(&rows(100, 200)).unwrap_err();
    let message = e.to_string();
    assert!(
        !e.is::<DiskFull>() && message.contains("earlier events are safe"),
        "{message}"
    );
    assert_eq!(read_seqs(&path), ((0..100).collect(), false));
}

#[test]
fn a_segment_of_an_older_recorder_is_finished_with_its_own_columns() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("a.parquet.open");
    let all = encoded_schema();
    let older = all
        .project(&(0..all.fields().len() - 1).collect::<Vec<_>>())
        .unwrap();
    let mut sink = recording(&open, &older, &[], &[]);
    sink.write(&rows(0, 100)).unwrap();
    for from in (100..150).step_by(10) {
        sink.journal(&rows(from, from + 10)).unwrap();
    }
    drop(sink);
    // With a limit of one byte each frame of the journal becomes a row group.
    let finished = finish(&open, 1, &Proof::default()).unwrap().unwrap();
    assert_eq!(finished.events, 150);
    assert_eq!(read_seqs(&finished.path), ((0..150).collect(), true));
    let file = File::open(&finished.path).unwrap();
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&file)
        .unwrap();
    assert_eq!(metadata.num_row_groups(), 6);
    let columns = metadata.file_metadata().schema_descr().num_columns();
    assert_eq!(columns, older.fields().len());
}
