//! Times that cannot be written as text. Arrow's writers write an error message in the place of such a time.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::exec_err;
use datafusion::error::Result;

/// Checks that the times of an answer can be written as text.
///
/// # Errors
/// A time is beyond the years that text can express, or its time zone is not known.
pub(super) fn check(batch: &RecordBatch) -> Result<()> {
    let options = FormatOptions::new().with_display_error(false);
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        // 64 bits of nanoseconds express no time that text cannot.
        let rows = match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, None) => continue,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => column.len().min(1),
            ty if ty.is_temporal() => column.len(),
            _ => continue,
        };
        let name = field.name();
        let Ok(formatter) = ArrayFormatter::try_new(column, &options) else {
            return exec_err!(
                "the times of the column `{name}` have an unknown time zone: write a zone such as 'Europe/Berlin' or '+01:00'"
            );
        };
        for row in 0..rows {
            if formatter.value(row).try_to_string().is_err() {
                return exec_err!(
                    "the column `{name}` has a time beyond the years that can be written: select other rows, or cast the time to bigint"
                );
            }
        }
    }
    Ok(())
}
