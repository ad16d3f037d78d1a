//! Writes events into an SQLite database, each call of [`Writer::write`] in one transaction.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use rusqlite::{Connection, ErrorCode, Statement};
use rustc_hash::FxHashMap;

use super::{OWN, SIDES, Side};

/// Why events could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What SQLite says.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A batch that is none of events.
    #[error("its column `{0}` is none of a recording")]
    Column(&'static str),
}

impl WriteError {
    /// Whether there is no room on the disk.
    pub fn is_full(&self) -> bool {
        let WriteError::Sqlite(rusqlite::Error::SqliteFailure(e, _)) = self else {
            return false;
        };
        // The log's index is a file, too, and has an error of its own.
        e.code == ErrorCode::DiskFull || e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    }
}

/// Bytes of one side table that are remembered, so that a row of it is written once. What is forgotten is written again
/// when it comes again, which takes space and changes nothing.
const REMEMBERED: usize = 8 << 20;

/// Bytes of a page: fewer, larger pages cost less CPU where rows are appended.
const PAGE: u32 = 16 << 10;

/// A recording that is being written.
#[derive(Debug)]
pub struct Writer {
    db: Connection,
    /// The last `id` of `event`.
    last: i64,
    known: Vec<Known>,
}

/// The rows of a side table.
#[derive(Debug, Default)]
struct Known {
    ids: FxHashMap<Box<[u8]>, i64>,
    bytes: usize,
    last: i64,
}

impl Writer {
    /// Begins a recording in the empty or missing file at `path`, with the metadata that is known already.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, meta: &[(&str, String)]) -> Result<Writer, WriteError> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "page_size", PAGE)?;
        // A commit is in the file when it returns, whatever becomes of this process.
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "normal")?;
        db.execute_batch(&format!("begin;\n{}commit;", super::ddl()))?;
        let writer = Writer {
            db,
            last: 0,
            known: SIDES.iter().map(|_| Known::default()).collect(),
        };
        writer.describe(meta)?;
        Ok(writer)
    }

    /// Writes the rows of a batch with the columns of [`ctrace_schema::columns`], text as dictionaries with `UInt32` keys.
    ///
    /// # Errors
    /// The file cannot be written, in which case nothing of the batch is; or the batch is none of events.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let Writer { db, last, known } = self;
        let transaction = db.transaction()?;
        let written =
            insert(&transaction, known, *last, batch).and_then(|()| Ok(transaction.commit()?));
        match written {
            Ok(()) => *last += batch.num_rows() as i64,
            // Rows of side tables that are remembered may be gone again.
            Err(_) => known.iter_mut().for_each(Known::forget),
        }
        written
    }

    /// Ends the recording: what is in the write-ahead log goes into the file, which is one again.
    ///
    /// # Errors
    /// The file cannot be written. What was written before is kept.
    pub fn finish(self, meta: &[(&str, String)]) -> Result<(), WriteError> {
        self.describe(meta)?;
        // Where somebody reads it just now, it stays as it is: the last of them does this.
        let _ = self.db.pragma_update(None, "journal_mode", "delete");
        self.db.close().map_err(|(_, e)| e.into())
    }

    fn describe(&self, meta: &[(&str, String)]) -> Result<(), WriteError> {
        let transaction = self.db.unchecked_transaction()?;
        let mut insert = transaction.prepare("insert or replace into meta values (?, ?)")?;
        for (key, value) in meta {
            insert.execute([*key, value.as_str()])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }
}

fn insert(
    db: &Connection,
    known: &mut [Known],
    last: i64,
    batch: &RecordBatch,
) -> Result<(), WriteError> {
    let mut references = Vec::new();
    for (side, known) in SIDES.iter().zip(known) {
        references.push(known.references(db, side, batch)?);
    }
    let marks = vec!["?"; 1 + OWN.len() + references.len()].join(", ");
    let mut event = db.prepare(&format!("insert into event values ({marks})"))?;
    let time = times(batch)?;
    let longs = |name| {
        let column = column(batch, name)?;
        let column = column.as_primitive_opt::<Int64Type>();
        column.ok_or(WriteError::Column(name))
    };
    let (duration, seq) = (longs("duration")?, longs("seq")?);
    let (ret, bytes) = (longs("ret")?, longs("bytes")?);
    let value =
        |column: &arrow_array::Int64Array, row| column.is_valid(row).then(|| column.value(row));
    for row in 0..batch.num_rows() {
        let id = last + 1 + row as i64;
        event.raw_bind_parameter(1, id)?;
        event.raw_bind_parameter(2, time.value(row))?;
        event.raw_bind_parameter(3, value(duration, row))?;
        event.raw_bind_parameter(4, seq.value(row).wrapping_sub(id))?;
        event.raw_bind_parameter(5, value(ret, row))?;
        event.raw_bind_parameter(6, value(bytes, row))?;
        for (i, references) in references.iter().enumerate() {
            event.raw_bind_parameter(7 + i, references[row])?;
        }
        event.raw_execute()?;
    }
    let times = time.values();
    if let (Some(start), Some(end)) = (times.iter().min(), times.iter().max()) {
        let span = (last + 1, last + batch.num_rows() as i64, start, end);
        db.execute("insert into span values (?, ?, ?, ?)", span)?;
    }
    Ok(())
}

impl Known {
    /// For each row of a batch, its row of the side table, which is written where it is new.
    fn references(
        &mut self,
        db: &Connection,
        side: &Side,
        batch: &RecordBatch,
    ) -> Result<Vec<Option<i64>>, WriteError> {
        // Which columns have a value, then the values: those of text as keys of the batch.
        let width = 1 + side.columns.len();
        let mut keys = vec![0; width * batch.num_rows()];
        let mut columns = Vec::new();
        for (i, c) in side.columns.iter().enumerate() {
            let column = column(batch, c.name)?;
            spread(&mut keys, width, i, column).ok_or(WriteError::Column(c.name))?;
            columns.push(column);
        }
        let marks = vec!["?"; width].join(", ");
        let mut insert = db.prepare(&format!("insert into {} values ({marks})", side.table))?;
        let mut seen: FxHashMap<&[u64], i64> = FxHashMap::default();
        let mut references = Vec::with_capacity(batch.num_rows());
        let mut before: (&[u64], Option<i64>) = (&[], None);
        for key in keys.chunks_exact(width) {
            if key != before.0 {
                let id = match (key[0], seen.get(key)) {
                    (0, _) => None,
                    (_, Some(id)) => Some(*id),
                    (_, None) => {
                        let id = self.id(&mut insert, key, &columns)?;
                        seen.insert(key, id);
                        Some(id)
                    }
                };
                before = (key, id);
            }
            references.push(before.1);
        }
        if self.bytes > REMEMBERED {
            self.forget();
        }
        Ok(references)
    }

    /// The row of the side table for a key of this batch.
    fn id(
        &mut self,
        insert: &mut Statement<'_>,
        key: &[u64],
        columns: &[&dyn Array],
    ) -> Result<i64, WriteError> {
        let mut spelt = Vec::new();
        for (i, column) in columns.iter().enumerate() {
            let value = (key[0] & 1 << i != 0).then_some(key[i + 1]);
            match value.map(|value| (value, text(*column, value))) {
                None => {
                    spelt.push(0);
                    insert.raw_bind_parameter(i + 2, rusqlite::types::Null)?;
                }
                Some((_, Some(text))) => {
                    spelt.push(1);
                    spelt.extend(text.len().to_le_bytes());
                    spelt.extend(text.as_bytes());
                    insert.raw_bind_parameter(i + 2, text)?;
                }
                Some((value, None)) => {
                    spelt.push(1);
                    spelt.extend(value.to_le_bytes());
                    insert.raw_bind_parameter(i + 2, value as i64)?;
                }
            }
        }
        if let Some(id) = self.ids.get(spelt.as_slice()) {
            return Ok(*id);
        }
        self.last += 1;
        insert.raw_bind_parameter(1, self.last)?;
        insert.raw_execute()?;
        self.bytes += spelt.len();
        self.ids.insert(spelt.into(), self.last);
        Ok(self.last)
    }

    fn forget(&mut self) {
        self.ids.clear();
        self.bytes = 0;
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a dyn Array, WriteError> {
    let column = batch.column_by_name(name);
    Ok(column.ok_or(WriteError::Column(name))?.as_ref())
}

fn times(batch: &RecordBatch) -> Result<&arrow_array::TimestampNanosecondArray, WriteError> {
    let time = column(batch, "time")?;
    time.as_primitive_opt::<TimestampNanosecondType>()
        .ok_or(WriteError::Column("time"))
}

/// Puts the values of column `i` into the keys of the rows. `None`: its type is none of a recording.
fn spread(keys: &mut [u64], width: usize, i: usize, column: &dyn Array) -> Option<()> {
    let mut put = |row: usize, value: u64| {
        keys[row * width] |= 1 << i;
        keys[row * width + 1 + i] = value;
    };
    if column.null_count() == column.len() {
        return Some(());
    }
    let rows = (0..column.len()).filter(|&row| column.is_valid(row));
    match column.data_type() {
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            rows.for_each(|row| put(row, column.value(row) as u64));
        }
        DataType::Int32 => {
            let column = column.as_primitive::<Int32Type>();
            rows.for_each(|row| put(row, i64::from(column.value(row)) as u64));
        }
        DataType::UInt32 => {
            let column = column.as_primitive::<UInt32Type>();
            rows.for_each(|row| put(row, u64::from(column.value(row))));
        }
        DataType::Boolean => {
            let column = column.as_boolean();
            rows.for_each(|row| put(row, u64::from(column.value(row))));
        }
        DataType::Dictionary(..) => {
            let column = column.as_dictionary_opt::<UInt32Type>()?;
            column.values().as_string_opt::<i32>()?;
            rows.for_each(|row| put(row, u64::from(column.keys().value(row))));
        }
        _ => return None,
    }
    Some(())
}

/// The text that a value of [`spread`] stands for; `None`: it is a number.
fn text(column: &dyn Array, value: u64) -> Option<&str> {
    let values = column.as_dictionary_opt::<UInt32Type>()?.values();
    Some(values.as_string_opt::<i32>()?.value(value as usize))
}
