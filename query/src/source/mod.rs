//! Finds and opens recordings of every format, and makes tables of their events.

mod boot;
mod error;
mod expand;
mod file;
mod find;
mod footprint;
mod given_time;
mod magic;
mod missing;
mod names;
mod news;
mod open;
mod parquet;
mod recordings;
mod repeated;
mod row_set;
mod span;
mod sqlite;
mod table;
mod time_bounds;
mod time_slices;
mod unclosed;
mod union;

pub(crate) use error::SourceError;
pub(crate) use expand::{Origin, Search};
pub(crate) use file::{FileContent, OpenFile};
pub(crate) use find::Unreadable;
pub(crate) use footprint::Footprint;
pub(crate) use given_time::{
    GivenTime, WindowEnd, clamped_ns, parse_duration, parse_time, resolve_time,
};
pub(crate) use magic::{FileKind, file_kind};
pub(crate) use missing::missing_file;
pub(crate) use names::{BOOT_ID, EVENTS, META, RECORDING, recording_field};
pub(crate) use news::{News, SeenFiles};
pub(crate) use open::{is_recording, open, open_recording, open_unclosed};
#[cfg(feature = "fuzzing")]
pub(crate) use parquet::read_rollups;
pub(crate) use parquet::{FileRows, ParquetFile, ParquetTable, RollupRows};
pub(crate) use recordings::{PRODUCER, Recordings, named};
pub(crate) use repeated::Repeated;
pub(crate) use span::TimeSpan;
pub(crate) use sqlite::damage as sqlite_damage;
pub(crate) use table::{events_table, file_table, new_events_table};
pub(crate) use time_bounds::{Coverage, TimeComparison};
pub(crate) use time_slices::time_slices;
pub(crate) use unclosed::{read_unclosed, with_schema};
pub(crate) use union::UnionTable;
