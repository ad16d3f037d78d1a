//! Writes recordings from recordings.

mod convert;
mod recover;
mod rollups;
mod sorted;
mod target;

pub(crate) use convert::convert;
pub(crate) use recover::recover;
