//! How a recording lies on disk: the blocks and the journal of a file that is not closed, and the SQLite database.

pub mod names;
pub mod rollups;
pub mod row_groups;
pub mod sqlite;
pub mod unclosed;
