//! Whatever write fails, what was kept before can be read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Seek, SeekFrom, Write};
use std::sync::{Arc, LazyLock, Mutex};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use ctrace_format::unclosed;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::*;
use crate::calls::Calls;
use crate::rows::arrow::encoded_schema;
use crate::rows::batch::{Batch, EventDetail, EventKind, Row};
use crate::rows::buffers::ColumnBuffers;
use crate::rows::columns::Columns;
use crate::sink::segments::finish::finish;

/// How the disk fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is full: nothing more is written, though files can be cut.
    Full,
    /// Likewise; of the last write a part is there.
    Short,
    /// Nothing works any more.
    Broken,
    /// Once, and then never again.
    Once,
    /// A write takes only a part, which is no error.
    Partial,
}

const FAULTS: [Fault; 5] = [
    Fault::Full,
    Fault::Short,
    Fault::Broken,
    Fault::Once,
    Fault::Partial,
];

/// Counts the steps on both files, and fails at one.
struct Plan {
    fault: Fault,
    at: usize,
    step: usize,
}

/// A file that fails as planned.
struct Faulty {
    file: File,
    plan: Arc<Mutex<Plan>>,
}

impl Faulty {
    /// The next step: how many bytes of `len` are written, or which error it is.
    fn step(&self, len: usize, writes: bool) -> io::Result<usize> {
        let mut plan = self.plan.lock().unwrap();
        let step = plan.step;
        plan.step += 1;
        let full = || Err(io::ErrorKind::StorageFull.into());
        match plan.fault {
            Fault::Full | Fault::Short | Fault::Partial if !writes => Ok(len),
            Fault::Short | Fault::Partial if step == plan.at && len > 1 => Ok(len / 2),
            Fault::Full | Fault::Short if step >= plan.at => full(),
            // EIO.
            Fault::Broken if step >= plan.at => Err(io::Error::from_raw_os_error(5)),
            Fault::Once if step == plan.at => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(len),
        }
    }
}

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.step(bytes.len(), true)?;
        self.file.write(&bytes[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Faulty {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.step(0, false)?;
        self.file.set_len(len)?;
        self.file.seek(SeekFrom::Start(len))?;
        Ok(())
    }
}

/// The rows numbered `from` to `to`.
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
        batch.push_note(Row::new(i as i64, EventKind::Process), note);
    }
    static CALLS: LazyLock<Arc<Calls>> = LazyLock::new(|| Arc::new(Calls::new("x86_64").unwrap()));
    Columns::new(batch, &CALLS, &[], "host", true, ColumnBuffers::default())
}

/// The numbers of the rows that a file and its journal hold, in order, and whether the file has a footer.
fn held(path: &Path) -> (Vec<i64>, bool) {
    let file = File::open(path).unwrap();
    let closed = ParquetMetaDataReader::new().parse_and_finish(&file);
    let ended = closed.is_ok();
    let (metadata, journal) = match closed {
        Ok(metadata) => (metadata, vec![]),
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
    (all, ended)
}

/// Writes a recording whose `at`th step fails. Returns how many rows were said to be kept, and whether it was closed;
/// None: it has fewer steps.
fn record(path: &Path, fault: Fault, at: usize) -> Option<(u64, bool)> {
    let plan = Arc::new(Mutex::new(Plan { fault, at, step: 0 }));
    let file = |path: &Path| {
        let file = File::create(path).unwrap();
        let plan = plan.clone();
        Box::new(Faulty { file, plan }) as Box<dyn Medium>
    };
    let mediums = (file(path), file(&unclosed::journal::path(path)));
    let second = Box::new(File::open(path).unwrap());
    let sync = Syncer::instant();
    let schema = encoded_schema();
    let rollups = Rollups::new(Memory::for_tests());
    let begun = Parquet::over(mediums, (second, sync, rollups), path, &schema, vec![]);
    let mut kept = 0;
    let mut closed = false;
    if let Ok(sink) = begun {
        let mut sink = Box::new(sink);
        let mut tries = || {
            for group in [0, 100] {
                for part in [30, 60] {
                    sink.keep(&rows(group + part - 30, group + part))?;
                    kept = group + part;
                }
                sink.write(&rows(group, group + 100))?;
                kept = group + 100;
            }
            sink.keep(&rows(200, 210))?;
            kept = 210;
            sink.write(&rows(200, 220))?;
            kept = 220;
            Ok::<_, anyhow::Error>(())
        };
        closed = tries().is_ok() && sink.finish(&Summary::default()).is_ok();
    }
    let steps = plan.lock().unwrap().step;
    (at < steps).then_some((kept, closed))
}

#[test]
fn whatever_step_fails_what_was_kept_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for fault in FAULTS {
        let mut at = 0;
        loop {
            let path = dir.path().join("run.parquet");
            let Some((kept, closed)) = record(&path, fault, at) else {
                break;
            };
            if kept > 0 {
                let (held, ended) = held(&path);
                let expected: Vec<i64> = (0..held.len() as i64).collect();
                assert_eq!(held, expected, "{fault:?} at {at}");
                assert!(
                    held.len() as u64 >= kept,
                    "{fault:?} at {at}: {}",
                    held.len()
                );
                assert_eq!(closed, ended, "{fault:?} at {at}");
            }
            at += 1;
        }
        assert!(at > 100, "{fault:?} has {at} steps");
    }
}

/// A disk that fails with these errors, the last of them first, and then takes what was written.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Vec<i32>>>);

impl Disk {
    fn of(errors: &[i32]) -> Disk {
        Disk(Arc::new(Mutex::new(errors.to_vec())))
    }
}

impl Durable for Disk {
    fn sync(&self) -> io::Result<()> {
        match self.0.lock().unwrap().pop() {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

/// A recording at `path` with these columns whose disk fails so while it is written, and when it is closed.
fn recording(path: &Path, schema: &Schema, written: &[i32], closed: &[i32]) -> Parquet {
    let file = |path: &Path| Box::new(File::create(path).unwrap()) as Box<dyn Medium>;
    let mediums = (file(path), file(&unclosed::journal::path(path)));
    let files: Vec<Box<dyn Durable>> = vec![Box::new(Disk::of(written))];
    let sync = Syncer::new(Duration::ZERO, None, files).unwrap();
    let rollups = Rollups::new(Memory::for_tests());
    let beside = (Box::new(Disk::of(closed)) as _, sync, rollups);
    Parquet::over(mediums, beside, path, schema, vec![]).unwrap()
}

/// Waits until the disk has been asked, and has failed.
fn wait(sink: &Parquet) {
    let began = std::time::Instant::now();
    while sink.sync.check().is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_disk_that_has_no_room_when_it_is_to_keep_what_was_written_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    for errno in [libc::ENOSPC, libc::EDQUOT] {
        let path = dir.path().join("run.parquet");
        let mut sink = recording(&path, &encoded_schema(), &[errno, errno], &[errno]);
        sink.write(&rows(0, 100)).unwrap();
        wait(&sink);
        assert!(sink.keep(&rows(100, 110)).unwrap_err().is::<DiskFull>());
        let began = std::time::Instant::now();
        // What is refused is not written, for it comes again.
        while let Err(e) = sink.write(&rows(100, 200)) {
            assert!(e.is::<DiskFull>() && began.elapsed() < Duration::from_secs(60));
            assert_eq!(held(&path), ((0..100).collect(), false));
        }
        // No block says that what the disk did not take once is there.
        assert_eq!(sink.sync.done(), 0);
        assert!(
            sink.close(&Summary::default())
                .unwrap_err()
                .is::<DiskFull>()
        );
        assert_eq!(held(&path), ((0..200).collect(), false));
        sink.write(&rows(200, 300)).unwrap();
        sink.close(&Summary::default()).unwrap();
        assert_eq!(held(&path), ((0..300).collect(), true));
    }
}

#[test]
fn a_disk_that_is_broken_ends_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let mut sink = recording(&path, &encoded_schema(), &[libc::EIO], &[]);
    sink.write(&rows(0, 100)).unwrap();
    wait(&sink);
    let e = sink.write(&rows(100, 200)).unwrap_err();
    let said = e.to_string();
    assert!(
        !e.is::<DiskFull>() && said.contains("what was recorded before is kept"),
        "{said}"
    );
    assert_eq!(held(&path), ((0..100).collect(), false));
}

#[test]
fn what_an_older_recorder_has_left_is_finished_with_the_columns_that_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("a.parquet.open");
    let all = encoded_schema();
    let older = all
        .project(&(0..all.fields().len() - 1).collect::<Vec<_>>())
        .unwrap();
    let mut sink = recording(&open, &older, &[], &[]);
    sink.write(&rows(0, 100)).unwrap();
    for from in (100..150).step_by(10) {
        sink.keep(&rows(from, from + 10)).unwrap();
    }
    drop(sink);
    // A frame of the journal at a time, for there is hardly any memory.
    let finished = finish(&open, 1).unwrap().unwrap();
    assert_eq!(finished.events, 150);
    assert_eq!(held(&finished.path), ((0..150).collect(), true));
    let file = File::open(&finished.path).unwrap();
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&file)
        .unwrap();
    assert_eq!(metadata.num_row_groups(), 6);
    let columns = metadata.file_metadata().schema_descr().num_columns();
    assert_eq!(columns, older.fields().len());
}
