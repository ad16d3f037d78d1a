//! The interface of the formats, and the text of values in all of them.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;

/// An answer that is being written in some format.
pub(crate) trait BatchWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError>;
    /// Ends a row group, in formats that have row groups.
    fn end_group(&mut self) -> Result<(), ArrowError> {
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<(), ArrowError>;
}

/// The text of a timestamp, UTC, in formats that have no type for timestamps.
pub(crate) const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S%.9f";

/// The text of values in tables.
pub(crate) static CELL_OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(true)
    .with_timestamp_format(Some(TIME_FORMAT))
    .with_timestamp_tz_format(Some(TIME_FORMAT));
