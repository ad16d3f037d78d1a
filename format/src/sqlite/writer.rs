//! The writer of recordings in SQLite.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use ctrace_schema::meta::KEY_DIGEST;
use rusqlite::{Connection, ErrorCode, Statement};
use rustc_hash::FxHashMap;

use super::{EVENT_COLUMNS, SIDES, Side};
use crate::digest::Digest;

/// The reason why events could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// SQLite reports an error.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The batch does not have this column of events with the expected type.
    #[error("the batch has no column `{0}` of the type that recordings use")]
    Column(&'static str),
}

impl WriteError {
    /// Returns whether the error is that the disk is full.
    pub fn is_full(&self) -> bool {
        let WriteError::Sqlite(rusqlite::Error::SqliteFailure(e, _)) = self else {
            return false;
        };
        // The index of the write-ahead log is a file of its own, with its own error code.
        e.code == ErrorCode::DiskFull || e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    }
}

/// Limit for the cached rows of a side table. A row that is not cached any more is written again when it is needed, which takes
/// space on the disk and does not change answers.
const MAX_CACHED_BYTES: usize = 8 << 20;

/// Fewer, larger pages take less CPU time if rows are appended.
const PAGE_BYTES: u32 = 16 << 10;

/// A recording in SQLite that is being written. Each call of [`Writer::write`] is one transaction.
#[derive(Debug)]
pub struct Writer {
    db: Connection,
    /// The greatest `id` of `event`.
    last_id: i64,
    /// A cache for each of [`SIDES`].
    caches: Vec<SideCache>,
}

/// The rows of a side table that are known to be in the database.
#[derive(Debug, Default)]
struct SideCache {
    /// Values of a row, as encoded by [`SideCache::id`], to its `id`.
    ids: FxHashMap<Box<[u8]>, i64>,
    key_bytes: usize,
    /// The greatest `id` of the table.
    last_id: i64,
}

impl Writer {
    /// Begins a recording in the empty or missing file at `path`, with the metadata that is already known.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, meta: &[(&str, String)]) -> Result<Writer, WriteError> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "page_size", PAGE_BYTES)?;
        // A commit is in the file when it returns, even if this process is killed afterwards.
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "normal")?;
        // A process that is confined may have no directory for temporary files.
        db.pragma_update(None, "temp_store", "memory")?;
        db.execute_batch(&format!("begin;\n{}commit;", super::ddl()))?;
        let writer = Writer {
            db,
            last_id: 0,
            caches: SIDES.iter().map(|_| SideCache::default()).collect(),
        };
        writer.write_meta(meta)?;
        Ok(writer)
    }

    /// Writes the rows of a batch, in one transaction. The batch must have the columns of [`ctrace_schema::columns`], with texts
    /// as dictionaries with `UInt32` keys.
    ///
    /// # Errors
    /// The file cannot be written, and then contains no row of the batch; or the batch is not a batch of events.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let Writer {
            db,
            last_id,
            caches,
        } = self;
        let transaction = db.transaction()?;
        let result =
            insert(&transaction, caches, *last_id, batch).and_then(|()| Ok(transaction.commit()?));
        match result {
            Ok(()) => *last_id += batch.num_rows() as i64,
            // The transaction has been rolled back, so cached rows of side tables may be missing.
            Err(_) => caches.iter_mut().for_each(SideCache::clear),
        }
        result
    }

    /// Ends the recording with the final metadata. The write-ahead log is moved into the database, so that the recording is a
    /// single file. Returns the placeholder of its digest, which the caller replaces ([`crate::digest::seal`]); `None` while
    /// another program reads the database.
    ///
    /// # Errors
    /// The file cannot be written. Rows that were written before are not lost.
    pub fn finish(self, meta: &[(&str, String)]) -> Result<Option<Digest>, WriteError> {
        self.write_meta(meta)?;
        // This fails while another program reads the database. SQLite then moves the log when the last reader closes it.
        let set = |mode: &rusqlite::Row<'_>| mode.get::<_, String>(0);
        let mode = (self.db).pragma_update_and_check(None, "journal_mode", "delete", set);
        let placeholder = Digest::placeholder();
        let digest = [(KEY_DIGEST, placeholder.to_string())];
        let has_place = mode.is_ok_and(|mode| mode == "delete") && self.write_meta(&digest).is_ok();
        self.db.close().map_err(|(_, e)| e)?;
        Ok(has_place.then_some(placeholder))
    }

    fn write_meta(&self, meta: &[(&str, String)]) -> Result<(), WriteError> {
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
    caches: &mut [SideCache],
    last_id: i64,
    batch: &RecordBatch,
) -> Result<(), WriteError> {
    let mut references = Vec::new();
    for (side, cache) in SIDES.iter().zip(caches) {
        references.push(cache.references(db, side, batch)?);
    }
    let marks = vec!["?"; 1 + EVENT_COLUMNS.len() + references.len()].join(", ");
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
        let id = last_id + 1 + row as i64;
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
        let span = (last_id + 1, last_id + batch.num_rows() as i64, start, end);
        db.execute("insert into span values (?, ?, ?, ?)", span)?;
    }
    Ok(())
}

impl SideCache {
    /// Returns the row of the side table for each row of a batch. Rows that are not cached are inserted.
    fn references(
        &mut self,
        db: &Connection,
        side: &Side,
        batch: &RecordBatch,
    ) -> Result<Vec<Option<i64>>, WriteError> {
        // Each row has a key of `width` numbers: a bit mask of the columns that are not null, and a number for each column,
        // which is the dictionary key if the column is text.
        let width = 1 + side.columns.len();
        let mut keys = vec![0; width * batch.num_rows()];
        let mut columns = Vec::new();
        for (i, c) in side.columns.iter().enumerate() {
            let column = column(batch, c.name)?;
            fill_keys(&mut keys, width, i, column).ok_or(WriteError::Column(c.name))?;
            columns.push(column);
        }
        let marks = vec!["?"; width].join(", ");
        let mut insert = db.prepare(&format!("insert into {} values ({marks})", side.table))?;
        let mut seen: FxHashMap<&[u64], i64> = FxHashMap::default();
        let mut references = Vec::with_capacity(batch.num_rows());
        let mut previous: (&[u64], Option<i64>) = (&[], None);
        for key in keys.chunks_exact(width) {
            if key != previous.0 {
                let id = match (key[0], seen.get(key)) {
                    (0, _) => None,
                    (_, Some(id)) => Some(*id),
                    (_, None) => {
                        let id = self.id(&mut insert, key, &columns)?;
                        seen.insert(key, id);
                        Some(id)
                    }
                };
                previous = (key, id);
            }
            references.push(previous.1);
        }
        if self.key_bytes > MAX_CACHED_BYTES {
            self.clear();
        }
        Ok(references)
    }

    /// Returns the row of the side table for a key of this batch, and inserts the row if it is not cached.
    fn id(
        &mut self,
        insert: &mut Statement<'_>,
        key: &[u64],
        columns: &[&dyn Array],
    ) -> Result<i64, WriteError> {
        // Dictionary keys differ from batch to batch, so the cache uses the texts themselves.
        let mut cache_key = Vec::new();
        for (i, column) in columns.iter().enumerate() {
            let value = (key[0] & 1 << i != 0).then_some(key[i + 1]);
            match value.map(|value| (value, text(*column, value))) {
                None => {
                    cache_key.push(0);
                    insert.raw_bind_parameter(i + 2, rusqlite::types::Null)?;
                }
                Some((_, Some(text))) => {
                    cache_key.push(1);
                    cache_key.extend(text.len().to_le_bytes());
                    cache_key.extend(text.as_bytes());
                    insert.raw_bind_parameter(i + 2, text)?;
                }
                Some((value, None)) => {
                    cache_key.push(1);
                    cache_key.extend(value.to_le_bytes());
                    insert.raw_bind_parameter(i + 2, value as i64)?;
                }
            }
        }
        if let Some(id) = self.ids.get(cache_key.as_slice()) {
            return Ok(*id);
        }
        self.last_id += 1;
        insert.raw_bind_parameter(1, self.last_id)?;
        insert.raw_execute()?;
        self.key_bytes += cache_key.len();
        self.ids.insert(cache_key.into(), self.last_id);
        Ok(self.last_id)
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.key_bytes = 0;
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

/// Stores the values of column `i` in the keys of all rows. Returns `None` if recordings have no columns of this type.
fn fill_keys(keys: &mut [u64], width: usize, i: usize, column: &dyn Array) -> Option<()> {
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
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let column = column.as_primitive::<TimestampNanosecondType>();
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

/// Returns the text with the dictionary key `key`, or `None` if the column does not contain text.
fn text(column: &dyn Array, key: u64) -> Option<&str> {
    let values = column.as_dictionary_opt::<UInt32Type>()?.values();
    Some(values.as_string_opt::<i32>()?.value(key as usize))
}
