//! Recordings in Parquet.

mod file;
mod reader;
mod rollups;
mod rows;
mod table;

pub(crate) use file::{ParquetFile, covering};
pub(crate) use rollups::RollupRows;
#[cfg(feature = "fuzzing")]
pub(crate) use rollups::read_rollups;
pub(crate) use rows::FileRows;
pub(crate) use table::ParquetTable;
