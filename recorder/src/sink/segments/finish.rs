//! Finishes a segment that a recorder has left which was killed: the rows of its journal become its last row groups, and it
//! gets its end and its name. It has no sums: these would take a look at every row, and ctrace-query does without.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use ctrace_format::unclosed::{self, journal};
use ctrace_schema::syscalls::Class;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArrayType, DataType, Int64Type};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;

use crate::rows::batch;
use crate::rows::stored::StoredRows;
use crate::sink::parquet::row_groups::{RowGroups, pairs};
use crate::sink::summary::Summary;

/// A segment that was finished.
pub struct Finished {
    /// Its name.
    pub path: PathBuf,
    /// Events in it.
    pub events: u64,
}

/// Finishes the one that is called `open` until then, with rows of some `most` bytes in memory. None: it is another recorder's
/// that is alive, or not there any more, or had just been begun: that is removed.
///
/// # Errors
/// Nothing in it is whole, or it cannot be written. What is in it stays.
pub fn finish(open: &Path, most: usize) -> Result<Option<Finished>> {
    let file = match File::options().read(true).write(true).open(open) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // Where a file system has no locks, nobody knows.
    if file.try_lock().is_err() {
        return Ok(None);
    }
    if open.extension() == Some(OsStr::new("partial")) {
        fs::remove_file(open)?;
        let _ = fs::remove_file(journal::path(&open.with_extension("")));
        return Ok(None);
    }
    let events = match ParquetMetaDataReader::new().parse_and_finish(&file) {
        // Its recorder was killed between its end and its name.
        Ok(closed) => closed.file_metadata().num_rows() as u64,
        Err(_) => close(&file, open, most)?,
    };
    let _ = fs::remove_file(journal::path(open));
    let path = open.with_extension("");
    fs::rename(open, &path).with_context(|| format!("it cannot be named {}", path.display()))?;
    Ok(Some(Finished { path, events }))
}

/// Closes the file, and returns how many events it has.
fn close(file: &File, open: &Path, most: usize) -> Result<u64> {
    let whole = unclosed::whole(&mut file.try_clone()?)?;
    let (metadata, end) = whole.context("nothing in it is whole")?;
    let mut summary = summary(&Arc::new(file.try_clone()?), &metadata)?;
    let origin = metadata.file_metadata().key_value_metadata().cloned();
    let journal: Box<dyn Read> = match File::open(journal::path(open)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
        other => Box::new(BufReader::new(other?)),
    };
    let rows = unclosed::rows(journal, &metadata);
    let mut groups = RowGroups::resume(Box::new(file.try_clone()?), metadata, end)?;
    let (mut kept, mut bytes) = (StoredRows::default(), 0);
    let mut write = |kept: StoredRows| {
        summary.count(&kept, true);
        groups.write(&kept, 0)
    };
    for rows in rows {
        let rows = rows.context("its journal")?;
        bytes += rows.get_array_memory_size();
        kept.push(rows);
        if bytes >= most || kept.len() >= batch::ROWS_PER_BATCH {
            write(std::mem::take(&mut kept))?;
            bytes = 0;
        }
    }
    if kept.len() > 0 {
        write(kept)?;
    }
    summary.events = groups.rows();
    let mut all = origin.unwrap_or_default();
    all.extend(pairs(summary.counted()));
    groups.close(all, None, file)?;
    Ok(summary.events)
}

/// What the row groups tell: when events began, and how many were lost.
fn summary(file: &Arc<File>, metadata: &ParquetMetaData) -> Result<Summary> {
    let mut summary = Summary::default();
    let columns = metadata.file_metadata().schema_descr().columns();
    let at = |name: &str| columns.iter().position(|column| column.name() == name);
    let (time, lost) = (at("time"), at("lost"));
    let known = |group: &RowGroupMetaData, at: Option<usize>| {
        let column = group.columns().get(at?)?;
        column.statistics().cloned()
    };
    for group in metadata.row_groups() {
        if let Some(Statistics::Int64(times)) = known(group, time) {
            let bounds = [times.min_opt(), times.max_opt()].into_iter().flatten();
            bounds.for_each(|time| summary.span(*time));
        }
        let nulls = known(group, lost).and_then(|lost| lost.null_count_opt());
        if nulls != Some(group.num_rows() as u64) {
            count_losses(file, group, &mut summary)?;
        }
    }
    Ok(summary)
}

/// Adds what gap rows in this row group tell.
fn count_losses(file: &Arc<File>, group: &RowGroupMetaData, summary: &mut Summary) -> Result<()> {
    let text = |name| values::<ByteArrayType>(file, group, name);
    let lost = values::<Int64Type>(file, group, "lost")?;
    for ((class, why), lost) in text("class")?.iter().zip(&text("action")?).zip(lost) {
        let Some(lost) = lost else { continue };
        let class = class.as_ref().and_then(|class| class.as_utf8().ok());
        let class = class.and_then(Class::from_name).unwrap_or(Class::Other);
        let why = why.as_ref().and_then(|why| why.as_utf8().ok());
        summary.lose(class.as_str(), why.unwrap_or_default(), lost as u64);
    }
    Ok(())
}

/// The values of a column of a row group: of one that is not there, none. Read without Arrow's reader, which is a megabyte of
/// program.
fn values<T: DataType>(
    file: &Arc<File>,
    group: &RowGroupMetaData,
    name: &str,
) -> Result<Vec<Option<T::T>>> {
    let mut columns = group.columns().iter();
    let Some(column) = columns.find(|c| c.column_descr().name() == name) else {
        return Ok(vec![]);
    };
    let rows = group.num_rows() as usize;
    let pages = SerializedPageReader::new(file.clone(), column, rows, None)?;
    let mut reader = ColumnReaderImpl::<T>::new(column.column_descr_ptr(), Box::new(pages));
    let (mut defined, mut values) = (vec![], vec![]);
    reader.read_records(rows, Some(&mut defined), None, &mut values)?;
    let mut values = values.into_iter();
    let value = |defined| if defined > 0 { values.next() } else { None };
    Ok(defined.into_iter().map(value).collect())
}
