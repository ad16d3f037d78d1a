//! Recordings that were not closed, or are still being written: reads their blocks and their journal.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringViewArray, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use ctrace_format::unclosed::{self, Unclosed};
use ctrace_schema::text::path_text;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use crate::source::error::SourceError;
use crate::source::names::{BOOT_ID, RECORDING};
use crate::source::parquet::ParquetFile;
use crate::source::row_set::RowSet;

/// Reads the complete parts of a Parquet file without a footer.
///
/// # Errors
/// The file cannot be read, has no complete part, or is damaged.
pub(crate) fn read_unclosed(path: &Path) -> std::result::Result<Unclosed, SourceError> {
    let name = || path_text(path);
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

/// Returns the rows of a journal as a table with the columns of `schema`, without those whose numbers are in
/// `left_out`. `file` gives the values of `recording` and `boot_id`.
///
/// # Errors
/// The rows do not have the types of a recording.
pub(crate) fn table(
    rows: &[RecordBatch],
    file: &ParquetFile,
    left_out: &RowSet,
    schema: &SchemaRef,
) -> Result<Arc<dyn TableProvider>> {
    let boot_id = file.boot.constant();
    let (mut batches, mut number) = (vec![], 0);
    for rows in rows {
        let batch = with_schema(rows, &file.name, boot_id.as_ref(), schema)?;
        let numbers = number..number + rows.num_rows() as u64;
        number = numbers.end;
        batches.push(match left_out.is_empty() {
            true => batch,
            false => {
                let kept: BooleanArray = numbers.map(|row| Some(!left_out.contains(row))).collect();
                filter_record_batch(&batch, &kept)?
            }
        });
    }
    Ok(Arc::new(MemTable::try_new(schema.clone(), vec![batches])?))
}

/// Returns the rows of a journal with the columns of `schema`; `name` is the value of `recording`, and `boot_id` that
/// of the column of this name; `None`: the rows have it.
///
/// # Errors
/// A column cannot be cast.
pub(crate) fn with_schema(
    rows: &RecordBatch,
    name: &str,
    boot_id: Option<&ScalarValue>,
    schema: &SchemaRef,
) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        if field.name() == RECORDING {
            let names = std::iter::repeat_n(name, rows.num_rows());
            return Ok(Arc::new(StringViewArray::from_iter_values(names)) as ArrayRef);
        }
        if field.name() == BOOT_ID
            && let Some(id) = boot_id
        {
            let ids = id.to_array_of_size(rows.num_rows());
            let ids = ids.map_err(|e| ArrowError::ExternalError(e.into()))?;
            return cast(&ids, field.data_type());
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
