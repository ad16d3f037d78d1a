//! Recordings in SQLite. The content of such a file is not trusted: no view, trigger or function of its schema is run, and
//! each value is checked.

mod database;
mod filter;
mod read;
mod table;

pub(crate) use database::{Database, MAGIC, ReadError, damage};
pub(crate) use table::SqliteTable;
