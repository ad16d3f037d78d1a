//! The two programs.

use std::process::Command;

/// Creates the command `ctrace-rec` without arguments.
pub(crate) fn ctrace_rec() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ctrace-rec"))
}

/// Creates the command `ctrace-query` without arguments.
pub(crate) fn ctrace_query() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ctrace-query"))
}
