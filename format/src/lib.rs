//! The layout of a recording on disk, for the recorder that writes and the query program that reads: the blocks and the journal
//! of a Parquet file without a footer, the SQLite schema, the names of files, and the places of rollups.

/// The first and the last bytes of a Parquet file.
pub const PARQUET_MAGIC: &[u8; 4] = b"PAR1";

pub mod digest;
pub mod ipc;
pub mod manifest;
pub mod names;
pub mod regular;
pub mod rollups;
pub mod row_groups;
pub mod sqlite;
pub mod unclosed;
