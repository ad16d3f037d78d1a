//! Queries over a recording, as rows of JSON.

use super::command::run;
use super::programs::ctrace_query;
use serde_json::Value;
use std::path::Path;

/// Returns the rows of `sql` on the recording `path`, each as a JSON object without keys for nulls.
pub(crate) fn query(path: &Path, sql: &str) -> Vec<Value> {
    let mut command = ctrace_query();
    command
        .arg("-r")
        .arg(path)
        .args(["--format", "ndjson", sql]);
    run(&mut command)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
