//! Closed pipes: a reader of stdout that exits early (`ctrace-rec | head`) ends the recording without an error.

use std::io;
use std::process::ExitCode;

use anyhow::Result;

/// The reader of stdout has closed the pipe (EPIPE).
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has closed it")]
pub(crate) struct ClosedPipe;

/// Converts EPIPE from a write to stdout to [`ClosedPipe`].
pub(crate) fn detect_closed_pipe(result: io::Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(ClosedPipe.into()),
        other => Ok(other?),
    }
}

/// Returns success for [`ClosedPipe`], and other errors unchanged.
pub(crate) fn closed_pipe_is_success(error: anyhow::Error) -> Result<ExitCode> {
    if error.is::<ClosedPipe>() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(error)
    }
}
