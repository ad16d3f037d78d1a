//! Recordings in Parquet.

mod file;
mod reader;
mod rollups;
mod table;

pub(crate) use file::ParquetFile;
pub(crate) use rollups::RollupRows;
pub(crate) use table::ParquetTable;
