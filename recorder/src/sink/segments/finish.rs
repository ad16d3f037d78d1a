//! Finishes a segment that a killed recorder left behind: the rows of its journal become its last row groups, the
//! footer is written, and the file gets its final name. The file gets no rollups: they would need a pass over every
//! row, and ctrace-query works without them.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use ctrace_format::digest::Digest;
use ctrace_format::names;
use ctrace_format::unclosed::{self, journal};
use ctrace_schema::syscalls::Class;
use ctrace_schema::{BATCH_ROWS, meta};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArrayType, DataType, Int64Type};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;

use crate::files;
use crate::rows::stored::StoredRows;
use crate::sink::parquet::row_groups::{RowGroups, pairs};
use crate::sink::proof::{Closed, Proof};
use crate::sink::summary::Summary;

/// A finished segment.
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    pub(crate) events: u64,
}

/// Finishes the segment at `open`, with about `max_row_bytes` of rows in memory, and gives it its `proof`. Returns `None` if another recorder
/// writes the segment, if the file is gone, or if the file was only begun (`.partial`) and is removed.
///
/// # Errors
/// The file has no complete block, or cannot be written. The complete part of the file stays.
pub(crate) fn finish(open: &Path, max_row_bytes: usize, proof: &Proof) -> Result<Option<Finished>> {
    let file = match files::open_own(open) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // File systems without locks return an error too: another recorder may be writing.
    if file.try_lock().is_err() {
        return Ok(None);
    }
    if names::is_partial(open) {
        fs::remove_file(open)?;
        let _ = fs::remove_file(journal::path(&open.with_extension("")));
        return Ok(None);
    }
    let path = names::finished(open);
    let events = match ParquetMetaDataReader::new().parse_and_finish(&file) {
        // The recorder was killed after writing the footer and before renaming the file.
        Ok(closed) if is_proved(&closed, &path, proof) => closed.file_metadata().num_rows() as u64,
        _ => close(&file, open, max_row_bytes, proof)?,
    };
    proof.sign(&file, &path);
    names::rename_new(open, &path)
        .with_context(|| format!("cannot rename it to {}", path.display()))?;
    // All rows of the journal are in the file.
    let _ = fs::remove_file(journal::path(open));
    Ok(Some(Finished { path, events }))
}

/// Writes the rows of the journal and the footer, and returns the number of events in the file.
fn close(file: &File, open: &Path, max_row_bytes: usize, proof: &Proof) -> Result<u64> {
    let complete = unclosed::complete_metadata(&mut file.try_clone()?)?;
    let (metadata, end) = complete.context("it has no complete block")?;
    let mut summary = summary(&Arc::new(file.try_clone()?), &metadata)?;
    let origin = metadata.file_metadata().key_value_metadata().cloned();
    let journal: Box<dyn Read> = match files::open_own(&journal::path(open)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
        other => Box::new(BufReader::new(other?)),
    };
    let rows = unclosed::rows(journal, &metadata);
    let mut groups = RowGroups::resume(file.try_clone()?, metadata, end)?;
    let (mut group, mut bytes) = (StoredRows::default(), 0);
    let mut write = |group: StoredRows| {
        summary.count(&group, true);
        groups.write(&group, 0)
    };
    for rows in rows {
        let rows = rows.context("its journal")?;
        bytes += rows.get_array_memory_size();
        group.push(rows);
        if bytes >= max_row_bytes || group.len() >= BATCH_ROWS {
            write(std::mem::take(&mut group))?;
            bytes = 0;
        }
    }
    if group.len() > 0 {
        write(group)?;
    }
    summary.events = groups.rows();
    proof.close(&names::finished(open), &summary, |chain| {
        let mut metadata = origin.unwrap_or_default();
        metadata.extend(pairs(summary.counted_metadata()));
        metadata.extend(pairs(chain));
        let digest = groups.close(metadata, None, file)?;
        let bytes = groups.len();
        Ok(Closed { digest, bytes })
    })?;
    Ok(summary.events)
}

/// Returns whether a closed file is in the manifest, or belongs to none. Otherwise the recorder was killed between the
/// footer and the manifest, and the footer is written again: its file may have another place in the chain now.
fn is_proved(closed: &ParquetMetaData, path: &Path, proof: &Proof) -> bool {
    let manifest = proof.manifest.as_ref();
    let Some(manifest) = manifest.filter(|manifest| manifest.name_of(path).is_some()) else {
        return true;
    };
    let pairs = closed.file_metadata().key_value_metadata();
    let mut pairs = pairs.into_iter().flatten();
    let digest = pairs.find(|pair| pair.key == meta::KEY_DIGEST);
    let digest = digest.and_then(|pair| Digest::parse(pair.value.as_ref()?));
    digest.is_some_and(|digest| manifest.lock().contains(&digest))
}

/// Returns the span and the losses of the complete row groups, from their statistics where these suffice.
fn summary(file: &Arc<File>, metadata: &ParquetMetaData) -> Result<Summary> {
    let mut summary = Summary::default();
    let columns = metadata.file_metadata().schema_descr().columns();
    let index = |name: &str| columns.iter().position(|column| column.name() == name);
    let (time, lost) = (index("time"), index("lost"));
    let statistics = |group: &RowGroupMetaData, column: Option<usize>| {
        let column = group.columns().get(column?)?;
        column.statistics().cloned()
    };
    let mut alive = alive_rows(metadata);
    for group in metadata.row_groups() {
        let is_alive = alive > 0;
        alive -= group.num_rows();
        if !is_alive && let Some(Statistics::Int64(times)) = statistics(group, time) {
            let bounds = [times.min_opt(), times.max_opt()].into_iter().flatten();
            bounds.for_each(|time| summary.extend_to(*time));
        }
        let nulls = statistics(group, lost).and_then(|lost| lost.null_count_opt());
        if nulls != Some(group.num_rows() as u64) {
            count_losses(file, group, &mut summary)?;
        }
    }
    Ok(summary)
}

/// Returns the number of rows at the beginning that are older than the file.
fn alive_rows(metadata: &ParquetMetaData) -> i64 {
    let pairs = metadata.file_metadata().key_value_metadata();
    let mut pairs = pairs.into_iter().flatten();
    let alive = pairs.find(|pair| pair.key == meta::KEY_ALIVE);
    let rows = alive.and_then(|pair| pair.value.as_ref()?.parse().ok());
    rows.unwrap_or(0)
}

/// Adds the losses of the gap rows in a row group.
fn count_losses(file: &Arc<File>, group: &RowGroupMetaData, summary: &mut Summary) -> Result<()> {
    let text = |name| values::<ByteArrayType>(file, group, name);
    let lost = values::<Int64Type>(file, group, "lost")?;
    for ((class, cause), lost) in text("class")?.iter().zip(&text("action")?).zip(lost) {
        let Some(lost) = lost else { continue };
        let class = class.as_ref().and_then(|class| class.as_utf8().ok());
        let class = class.and_then(Class::from_name).unwrap_or(Class::Other);
        let cause = cause.as_ref().and_then(|cause| cause.as_utf8().ok());
        summary.add_lost(class.as_str(), cause.unwrap_or_default(), lost as u64);
    }
    Ok(())
}

/// Reads the values of a column of a row group; empty if the file does not have the column. Arrow's reader would add a
/// megabyte to the program.
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
