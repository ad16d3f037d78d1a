//! Recordings that were not closed, or are still being written: reads their blocks and their journal.

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

use crate::source::error::SourceError;
use crate::source::names::RECORDING;

/// Reads the complete parts of a Parquet file without a footer.
///
/// # Errors
/// The file cannot be read, has no complete part, or is damaged.
pub(crate) fn read_unclosed(path: &Path) -> std::result::Result<Unclosed, SourceError> {
    let name = || path.display().to_string();
    let damaged = |reason: String| SourceError::Damaged {
        path: name(),
        reason,
    };
    // The decoder panics on metadata with wrong lengths.
    let read = catch_unwind(AssertUnwindSafe(|| unclosed::read(path)))
        .map_err(|_| damaged("its blocks or its journal are invalid".into()))?;
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

/// Returns the rows of a journal as a table with the columns of `schema`; `name` is the value of `recording`.
///
/// # Errors
/// The rows do not have the types of a recording.
pub(crate) fn table(
    rows: &[RecordBatch],
    name: &str,
    schema: &SchemaRef,
) -> Result<Arc<dyn TableProvider>> {
    let rows: Result<Vec<_>, _> = rows
        .iter()
        .map(|rows| with_schema(rows, name, schema))
        .collect();
    Ok(Arc::new(MemTable::try_new(schema.clone(), vec![rows?])?))
}

/// Returns the rows of a journal with the columns of `schema`; `name` is the value of `recording`.
///
/// # Errors
/// A column cannot be cast.
pub(crate) fn with_schema(
    rows: &RecordBatch,
    name: &str,
    schema: &SchemaRef,
) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        if field.name() == RECORDING {
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
