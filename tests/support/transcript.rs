//! `ctrace-query` and everything that it prints.

use std::path::Path;
use std::process::Command;

/// Creates the command `ctrace-query` with the working directory `dir` and without a recording.
pub(crate) fn ctrace_query_in(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-query"));
    command
        .current_dir(dir)
        .env_remove("CTRACE_RECORDING")
        .env_remove("RUST_BACKTRACE");
    command
}

/// Runs a command and returns its exit code, its stdout and its stderr as text; an empty stream is left out.
pub(crate) fn transcript(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let mut text = format!("exit code {}\n", output.status.code().unwrap());
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            text += &format!("--- {name}\n{}", String::from_utf8_lossy(bytes));
        }
    }
    text
}
