//! A recording from its beginning to its end.

pub mod live;
pub mod watcher;
