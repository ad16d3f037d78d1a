//! Rows of events in memory, between the resolver that creates them and the sinks that write them.
//!
//! ```text
//! resolve/ ──► batch     rows as the resolver creates them: 48 bytes each, with lists for repeated values
//!                │ order     the row order of the file: grouped by container, thread and call
//!                ▼ buffers   memory that is reused from one batch to the next
//!              columns   the batch as columns; view: a range of its rows
//!                │           ┌── stored    rows read back from the journal's form (RecordBatch)
//!                │           ├── single    rows created one at a time, such as gap rows
//!                ▼           ▼
//!              trait Events: one column at a time, as runs of equal values (runs)
//!                │
//!                ▼
//! sink/, rollups/, ring/, flight/
//! ```
//!
//! - [`batch`]: [`batch::Batch`], a list of small rows that refer to strings, threads, files and sockets by index.
//! - [`order`] sorts the rows of a batch, and [`buffers`] reuses the memory of sorting and of columns.
//! - [`columns`] and [`view`]: a sorted batch, or a range of its rows, as columns. A column is computed when a sink asks
//!   for it, so that no more than one is in memory.
//! - [`runs`]: [`Series`], the values of a column as runs of equal values. Most columns are equal or null over many rows.
//! - [`stored`]: rows that were written in the journal's form, and are read again: frames of the ring, segments of a
//!   killed recorder.
//! - [`redacted`]: rows of which texts are replaced (`--redact`).
//! - [`single`]: rows that are created one at a time, from values.
//! - [`arrow`]: Arrow arrays and schemas of the columns.
//!
//! In a [`Series`], text is an index into [`Events::strings`], and a boolean is 0 or 1.

pub(crate) mod arrow;
pub(crate) mod batch;
pub(crate) mod buffers;
pub(crate) mod columns;
pub(crate) mod order;
pub(crate) mod redacted;
pub(crate) mod runs;
pub(crate) mod single;
pub(crate) mod stored;
pub(crate) mod view;

use std::ops::Range;
use std::sync::Arc;

use ::arrow::array::{ArrayRef, DictionaryArray, RecordBatch, StringArray};
use ::arrow::error::ArrowError;
use ctrace_schema::columns::{COLUMNS, Column};

use crate::rows::arrow::{array, encoded_schema, unsigned};
use crate::rows::runs::Series;

/// Rows of events that can be read column by column.
pub(crate) trait Events {
    /// Returns the number of rows.
    fn rows(&self) -> usize;

    /// Returns the strings that values of text columns are indices of.
    fn strings(&self) -> &[Arc<str>];

    /// Returns the values of the column `name`; all null if no such column exists.
    fn column(&self, name: &str) -> Series;

    /// Returns a range of the rows. `None` if the implementation cannot compute the columns of a range for less than
    /// those of all rows.
    fn slice(&self, _rows: Range<usize>) -> Option<Box<dyn Events + '_>> {
        None
    }

    /// Returns an empty column with memory for `_rows` rows where possible, to be filled and passed to
    /// [`Events::return_buffer`].
    fn take_buffer(&self, _rows: usize) -> Series {
        Series::default()
    }

    /// Returns the memory of a column for reuse.
    fn return_buffer(&self, _column: Series) {}

    /// Returns all columns at once, with the schema [`encoded_schema`].
    fn record_batch(&self) -> Result<RecordBatch, ArrowError> {
        let strings: ArrayRef = Arc::new(StringArray::from_iter_values(self.strings()));
        let encode = |column: &Column| {
            let series = self.column(column.name);
            array(column.ty, series.iter()).unwrap_or_else(|| {
                Arc::new(DictionaryArray::new(
                    unsigned(series.iter()),
                    strings.clone(),
                ))
            })
        };
        let columns = COLUMNS.iter().map(encode).collect();
        RecordBatch::try_new(Arc::new(encoded_schema()), columns)
    }
}
