//! The two programs, and the capture that they replay without privileges.

// Each test binary takes what it needs.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `ctrace-rec`, with no arguments yet.
pub fn ctrace_rec() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ctrace-rec"))
}

/// `ctrace-query`, with no arguments yet.
pub fn ctrace_query() -> Command {
    // Optional, for a test that only records is built without the query program.
    let path = option_env!("CARGO_BIN_EXE_ctrace-query");
    Command::new(path.unwrap())
}

/// The capture of a web server and its client.
pub fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw")
}

/// A script of `tests/`, run by the Python that packaging/setup.sh makes beside the programs.
pub fn script(name: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_ctrace-rec")).parent();
    let python = programs.unwrap().with_file_name("python/bin/python");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut command = Command::new(python);
    command.arg("-B").arg(tests.join(name));
    command
}

/// The answer to a question about a recording, a line per row.
pub fn ask(recording: &Path, sql: &str) -> Vec<String> {
    let mut command = ctrace_query();
    command.arg("-r").arg(recording);
    let output = succeeds(command.args(["--format", "csv", sql]));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().skip(1).map(str::to_string).collect()
}

/// Runs a command to its end, which must be success.
pub fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| {
        panic!("{command:?}: {e}; `packaging/setup.sh test` installs it");
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    output
}

/// Runs a program that must refuse: see [`refusal`].
pub fn refused(command: &mut Command) -> String {
    refusal(command.output().unwrap())
}

/// What a program said that refused: exit code 2, nothing on stdout, a message on stderr.
pub fn refusal(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "it wrote to stdout: {said}");
    assert!(!said.trim().is_empty(), "it says nothing");
    assert!(!said.contains("panicked"), "{said}");
    said.trim_end().to_string()
}
