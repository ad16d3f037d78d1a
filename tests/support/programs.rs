//! The two programs.

use std::process::Command;

/// Creates the command `ctrace-rec` without arguments. The environment variable `CTRACE_TEST_RECORDER` is the path of another
/// build to test, such as the static one.
pub(crate) fn ctrace_rec() -> Command {
    let other = std::env::var_os("CTRACE_TEST_RECORDER");
    Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_ctrace-rec").into()))
}

/// Creates the command `ctrace-query` without arguments.
pub(crate) fn ctrace_query() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ctrace-query"))
}
