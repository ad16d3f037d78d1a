//! The comparison of a recording with strace, call by call. `truth` and `kernels` use it.

pub(crate) mod address;
pub(crate) mod calls;
mod objects;
mod report;
pub(crate) mod rows;
pub(crate) mod strace;

use rows::Row;
use std::fs;
use std::path::Path;

/// Fails if the rows differ from the output of strace in the files `t.TID` of `trace`, or if fewer than `least` calls were
/// compared. Returns the number of calls of which only the entry or the return was seen, which a kernel that `may_skip`
/// programs allows.
pub(crate) fn check(
    name: &str,
    least: usize,
    trace: &Path,
    rows: Vec<Row>,
    may_skip: bool,
) -> usize {
    let report = calls::compare(&strace::read(trace, "t"), rows, may_skip);
    if std::env::var_os("CTRACE_TRUTH_KEEP").is_some() {
        fs::write(trace.join("differences"), report.differences.join("\n")).unwrap();
    }
    assert!(
        report.calls >= least,
        "{name}: only {} calls: {report}",
        report.calls
    );
    assert!(report.differences.is_empty(), "{name}: {report}");
    println!("{name}: {report}");
    report.rules.get("half seen").copied().unwrap_or(0)
}
