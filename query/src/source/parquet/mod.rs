//! Recordings in Parquet.

mod file;
mod reader;
mod rollups;
mod rows;
mod table;

pub(crate) use file::{ParquetFile, covering};
pub(crate) use rollups::RollupRows;
pub(crate) use rows::FileRows;
pub(crate) use table::ParquetTable;
