//! Replays of the capture in `fixtures/`, which need no privileges, and questions about them.

use super::command::succeeds;
use super::programs::{ctrace_query, ctrace_rec};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the capture of a web server and its client.
pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw")
}

/// Creates the command `ctrace-rec` that replays `capture` into `out`.
pub(crate) fn replay(capture: &Path, out: &Path) -> Command {
    let mut command = ctrace_rec();
    command.arg("--from-raw").arg(capture).arg("--out").arg(out);
    command
}

/// Records the fixture to `out` and returns the recorder's stderr.
pub(crate) fn record_fixture(out: &Path, flags: &[&str]) -> String {
    let output = succeeds(replay(&fixture(), out).args(flags));
    String::from_utf8(output.stderr).unwrap()
}

/// Returns the answer to `sql` on a recording, one line of CSV per row.
pub(crate) fn ask(recording: &Path, sql: &str) -> Vec<String> {
    let mut command = ctrace_query();
    command.arg("-r").arg(recording);
    let output = succeeds(command.args(["--format", "csv", sql]));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().skip(1).map(str::to_string).collect()
}
