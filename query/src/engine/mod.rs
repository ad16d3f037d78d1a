//! Answers SQL over recordings. An engine opens only the recordings that a statement names, writes no files, and prints
//! nothing.

mod alive;
mod answer;
mod collect;
mod column_names;
mod error;
mod functions;
mod growth;
mod in_order;
mod limits;
mod losses;
mod materialized;
mod one_heap;
mod plans;
mod referred;
mod rollups;
mod selection;
mod session;
mod sql_error;
mod statement;
mod tables;
mod types;
mod unsupported;

pub(crate) use error::QueryError;
pub(crate) use functions::{FUNCTIONS, exact_sum, functions_help, histograms};
pub(crate) use growth::{CHECK_INTERVAL, RecordingWatcher};
pub(crate) use in_order::{SliceEnd, SliceReader};
pub(crate) use limits::EngineLimits;
pub(crate) use losses::Losses;
pub(crate) use selection::EventSelection;
pub(crate) use session::{Engine, RecordingNotice, session_with_functions};
pub(crate) use sql_error::SqlError;
pub(crate) use statement::named_tables;
pub(crate) use tables::is_file_name;
