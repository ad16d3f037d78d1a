//! Writes answers to stdout, a terminal or a file, in the format that was asked for.

mod answer_writer;
mod batch_writer;
mod destination;
mod error;
mod escape;
mod format;
mod layout;
mod pager;
mod parquet;
mod partial;
mod progress;
mod table;
mod text;
mod times;
mod write;

pub(crate) use answer_writer::{AnswerWriter, forget_closed_pipe, is_closed_pipe};
pub(crate) use destination::AnswerDestination;
pub(crate) use error::OutputError;
pub(crate) use format::AnswerFormat;
pub(crate) use parquet::{parquet_writer, recording_options};
pub(crate) use partial::{PUBLIC_MODE, PartialFile, common_mode};
pub(crate) use progress::ScanProgress;
pub(crate) use write::write;
