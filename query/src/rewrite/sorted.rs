//! The row order of recordings.

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use ctrace_schema::columns;

/// Sorts rows by some columns of a recording.
///
/// # Errors
/// A column cannot be sorted.
pub(crate) fn sorted(batch: &RecordBatch, by: &[&str]) -> Result<RecordBatch> {
    let column = |name: &&str| {
        let values = columns::index(name).map(|i| batch.column(i).clone());
        values.map(|values| SortColumn {
            values,
            options: None,
        })
    };
    let by: Vec<SortColumn> = by.iter().filter_map(column).collect();
    Ok(take_record_batch(batch, &lexsort_to_indices(&by, None)?)?)
}
