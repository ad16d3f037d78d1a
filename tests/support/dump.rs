//! Dumps of a recorder's ring.

use super::command::succeeds;
use super::programs::ctrace_rec;
use std::path::PathBuf;

/// Runs `ctrace-rec dump` for the recorder with this process id, and returns the path that the command prints.
pub(crate) fn dump(pid: u32) -> PathBuf {
    let pid = pid.to_string();
    let output = succeeds(ctrace_rec().args(["dump", "--quiet", "--pid", &pid]));
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}
