//! The layout of a recording on disk, for the recorder that writes and the query program that reads: the blocks and the journal
//! of a Parquet file without a footer, and the SQLite schema.

pub mod sqlite;
pub mod unclosed;
