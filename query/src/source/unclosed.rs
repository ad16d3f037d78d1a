//! Recordings that were not closed, or are being written: what their blocks and their journal hold, as one table.

use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use ctrace_format::unclosed::{self, Unclosed};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::Result;

use crate::source::parquet::segments::recording_field;
use crate::source::SourceError;

/// Whether somebody writes to the file now: the recorder holds a lock on it.
pub fn is_being_written(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Reads what there is of a Parquet file that has no footer.
///
/// # Errors
/// It cannot be read, nothing in it is whole, or what it holds makes no sense.
pub fn read(path: &Path) -> std::result::Result<Unclosed, SourceError> {
    let name = || path.display().to_string();
    let damaged = |reason: String| SourceError::Damaged {
        path: name(),
        reason,
    };
    // Metadata that lies about its own lengths makes the decoder panic.
    let read = catch_unwind(AssertUnwindSafe(|| unclosed::read(path)))
        .map_err(|_| damaged("its blocks or its journal make no sense".into()))?;
    match read {
        Ok(Some(unclosed)) => Ok(unclosed),
        Ok(None) => Err(SourceError::NotClosed(name())),
        Err(unclosed::Error::Io(source)) => Err(SourceError::Io {
            path: name(),
            source,
        }),
        Err(other) => Err(damaged(other.to_string())),
    }
}

/// Rows of a journal as a table with the columns of `schema`, `recording` being the name of the file.
pub fn table(
    rows: &[RecordBatch],
    name: &str,
    schema: &SchemaRef,
) -> Result<Arc<dyn TableProvider>> {
    let rows: Result<Vec<_>, _> = rows
        .iter()
        .map(|rows| arranged(rows, name, schema))
        .collect();
    Ok(Arc::new(MemTable::try_new(schema.clone(), vec![rows?])?))
}

/// Rows of a journal with the columns of `schema`.
pub fn arranged(
    rows: &RecordBatch,
    name: &str,
    schema: &SchemaRef,
) -> std::result::Result<RecordBatch, ArrowError> {
    let recording = recording_field();
    let columns = schema.fields().iter().map(|field| {
        if field.name() == recording.name() {
            let names = std::iter::repeat_n(name, rows.num_rows());
            return Ok(Arc::new(StringViewArray::from_iter_values(names)) as ArrayRef);
        }
        match rows.column_by_name(field.name()) {
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        }
    });
    RecordBatch::try_new(
        schema.clone(),
        columns.collect::<std::result::Result<_, _>>()?,
    )
}
