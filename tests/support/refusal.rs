//! Commands that must be refused.

use std::process::{Command, Output};

/// Runs a program that must refuse its arguments and returns its message: see [`refusal`].
pub(crate) fn refused(command: &mut Command) -> String {
    refusal(command.output().unwrap())
}

/// Checks for exit code 2, an empty stdout and a message on stderr, which it returns.
pub(crate) fn refusal(output: Output) -> String {
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty(), "it wrote to stdout: {message}");
    assert!(!message.trim().is_empty(), "stderr is empty");
    assert!(!message.contains("panicked"), "{message}");
    message.trim_end().to_string()
}
