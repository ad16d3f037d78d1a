//! The names of the tables, and of the column that only this program adds.

use arrow::datatypes::{DataType, Field};

/// The table of events.
pub(crate) const EVENTS: &str = "events";
/// The table of metadata.
pub(crate) const META: &str = "meta";
/// The column with the name of the file that a row is from.
pub(crate) const RECORDING: &str = "recording";

/// The column with the boot of a row, which has one value in most files.
pub(crate) const BOOT_ID: &str = "boot_id";

/// Returns the column [`RECORDING`].
pub(crate) fn recording_field() -> Field {
    Field::new(RECORDING, DataType::Utf8View, false)
}
