//! Writes answers to stdout, a terminal or a file, in the format that was asked for.

mod answer_writer;
mod batch_writer;
mod destination;
mod error;
mod escape;
mod event_lines;
mod format;
mod layout;
mod pager;
mod pager_command;
#[cfg(target_os = "linux")]
mod pager_starter;
mod parquet;
mod partial;
mod progress;
mod table;
mod text;
mod times;
mod write;

pub(crate) use answer_writer::{AnswerWriter, forget_closed_pipe, is_closed_pipe};
pub(crate) use batch_writer::CELL_OPTIONS;
pub(crate) use destination::AnswerDestination;
pub(crate) use error::OutputError;
pub(crate) use event_lines::{EventLines, LineFormat};
pub(crate) use format::AnswerFormat;
#[cfg(target_os = "linux")]
pub(crate) use pager_starter::start_pagers_apart;
pub(crate) use parquet::{parquet_writer, recording_options};
pub(crate) use partial::{PUBLIC_MODE, PartialFile, common_mode};
pub(crate) use progress::{BytesDone, CopyProgress, ScanProgress, SumProgress, during_bytes};
pub(crate) use write::write;
