//! Finishes a segment that a recorder has left which was killed: the rows of its journal become its last row groups, and it
//! gets its end and its name. It has no sums: these would take a look at every row, and ctrace-query does without.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::Int64Type;
use ctrace_schema::syscalls::Class;
use ctrace_schema::unclosed::{self, journal};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::Summary;
use super::groups::{Groups, pairs};
use crate::batch;
use crate::ring::Kept;

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
    let mut summary = summary(file, &metadata)?;
    let origin = metadata.file_metadata().key_value_metadata().cloned();
    let journal: Box<dyn Read> = match File::open(journal::path(open)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
        other => Box::new(BufReader::new(other?)),
    };
    let rows = unclosed::rows(journal, &metadata);
    let mut groups = Groups::resume(Box::new(file.try_clone()?), metadata, end)?;
    let (mut kept, mut bytes) = (Kept::default(), 0);
    let mut write = |kept: Kept| {
        summary.count(&kept, true);
        groups.write(&kept, 0)
    };
    for rows in rows {
        let rows = rows.context("its journal")?;
        bytes += rows.get_array_memory_size();
        kept.push(rows);
        if bytes >= most || kept.len() >= batch::ROWS {
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
fn summary(file: &File, metadata: &ParquetMetaData) -> Result<Summary> {
    let mut summary = Summary::default();
    let columns = metadata.file_metadata().schema_descr().columns();
    let at = |name: &str| columns.iter().position(|column| column.name() == name);
    let (time, lost) = (at("time"), at("lost"));
    let known = |group: &RowGroupMetaData, at: Option<usize>| {
        let column = group.columns().get(at?)?;
        column.statistics().cloned()
    };
    let mut with_losses = vec![];
    for (i, group) in metadata.row_groups().iter().enumerate() {
        if let Some(Statistics::Int64(times)) = known(group, time) {
            let bounds = [times.min_opt(), times.max_opt()].into_iter().flatten();
            bounds.for_each(|time| summary.span(*time));
        }
        let nulls = known(group, lost).and_then(|lost| lost.null_count_opt());
        if nulls != Some(group.num_rows() as u64) {
            with_losses.push(i);
        }
    }
    if !with_losses.is_empty() {
        count_losses(file, metadata, with_losses, &mut summary)?;
    }
    Ok(summary)
}

/// Adds what gap rows in these row groups tell.
fn count_losses(
    file: &File,
    metadata: &ParquetMetaData,
    groups: Vec<usize>,
    summary: &mut Summary,
) -> Result<()> {
    let schema = metadata.file_metadata().schema_descr();
    let projection = ProjectionMask::columns(schema, ["class", "action", "lost"]);
    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata.clone()), Default::default())?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata)
        .with_row_groups(groups)
        .with_projection(projection);
    for rows in reader.build()? {
        let rows = rows?;
        let text = |name| rows.column_by_name(name)?.as_string_opt::<i32>();
        let lost = rows.column_by_name("lost");
        let lost = lost.and_then(|lost| lost.as_primitive_opt::<Int64Type>());
        let (Some(classes), Some(actions), Some(lost)) = (text("class"), text("action"), lost)
        else {
            continue;
        };
        for row in (0..rows.num_rows()).filter(|row| lost.is_valid(*row)) {
            let class = value(classes, row).and_then(Class::from_name);
            let why = value(actions, row).unwrap_or_default();
            let class = class.unwrap_or(Class::Other).as_str();
            summary.lose(class, why, lost.value(row) as u64);
        }
    }
    Ok(())
}

fn value(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}
