//! A recording from its beginning to its end.

pub mod clocks;
pub mod command;
pub mod live;
pub mod replay;
pub mod watcher;
