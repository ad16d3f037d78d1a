//! Rows of events as sinks take them: column by column, whether they have just been made or were kept for a while.

pub(crate) mod arrow;
pub(crate) mod batch;
pub(crate) mod buffers;
pub(crate) mod columns;
pub(crate) mod order;
pub(crate) mod runs;
pub(crate) mod single;
pub(crate) mod stored;
pub(crate) mod view;

use std::ops::Range;
use std::sync::Arc;

use ::arrow::array::{ArrayRef, DictionaryArray, RecordBatch, StringArray};
use ::arrow::error::ArrowError;
use ctrace_schema::columns::COLUMNS;

use crate::rows::arrow::{array, encoded_schema, unsigned};
use crate::rows::runs::Series;

/// Rows of events.
pub(crate) trait Events {
    /// How many there are.
    fn rows(&self) -> usize;

    /// The strings that the values of text columns number.
    fn strings(&self) -> &[Arc<str>];

    /// The values of one column, by its name.
    fn column(&self, name: &str) -> Series;

    /// Some of the rows, where these cost less to tell than all.
    fn slice(&self, _: Range<usize>) -> Option<Box<dyn Events + '_>> {
        None
    }

    /// A column without rows, to fill with so many and to give back.
    fn take_buffer(&self, _: usize) -> Series {
        Series::default()
    }

    /// Takes the memory of a column back that is not needed any more.
    fn return_buffer(&self, _: Series) {}

    /// All columns at once, as [`encoded_schema`] says.
    ///
    /// # Errors
    /// None that a user can cause: the columns do not fit the schema.
    fn record_batch(&self) -> Result<RecordBatch, ArrowError> {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(self.strings()));
        let column = |column: &ctrace_schema::columns::Column| {
            let series = self.column(column.name);
            array(column.ty, series.iter()).unwrap_or_else(|| {
                Arc::new(DictionaryArray::new(unsigned(series.iter()), texts.clone()))
            })
        };
        let columns = COLUMNS.iter().map(column).collect();
        RecordBatch::try_new(Arc::new(encoded_schema()), columns)
    }
}
