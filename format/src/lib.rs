//! How a recording lies on disk: the blocks and the journal of a file that is not closed, and the SQLite database.

pub mod sqlite;
pub mod unclosed;
