//! The definition of a ctrace event, for the recorder and the query program: its columns, the views and rollups over them, the
//! metadata of a recording, and the tables of syscalls and errnos. This crate depends on tables of the kernel's constants and
//! on Arrow's types only.

pub mod columns;
pub mod errno;
pub mod histogram;
pub mod human;
pub mod identity;
pub mod meta;
pub mod rollups;
pub mod strace;
pub mod syscalls;
pub mod text;
pub mod views;

/// Rows of a full batch. A Parquet recording has one row group for each batch: smaller row groups compress worse, and larger
/// ones make a query that needs one row group read more.
pub const BATCH_ROWS: usize = 262_144;
