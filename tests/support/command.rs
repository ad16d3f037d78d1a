//! Commands that run to their end.

use std::process::{Command, Output};

/// Runs a command, which must succeed, and returns its stdout.
pub(crate) fn run(command: &mut Command) -> String {
    String::from_utf8(succeeds(command).stdout).unwrap()
}

/// Runs a command, which must succeed, and returns its output.
pub(crate) fn succeeds(command: &mut Command) -> Output {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command to its end and accepts any exit code.
pub(crate) fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; `packaging/setup.sh test` installs it"))
}
