//! The standard output, whose reader may go away.

use std::io;
use std::process::ExitCode;

use anyhow::Result;

/// The reader of stdout has gone.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has gone")]
pub(crate) struct ClosedPipe;

/// Writes to stdout that stop quietly where its reader has gone (`| head`), which is no error.
pub(crate) fn closed_pipe_is_the_end(result: io::Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(ClosedPipe.into()),
        other => Ok(other?),
    }
}

/// A reader of stdout that has gone ends the recording, and is no error.
pub(crate) fn closed_pipe_is_success(error: anyhow::Error) -> Result<ExitCode> {
    if error.is::<ClosedPipe>() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(error)
    }
}
