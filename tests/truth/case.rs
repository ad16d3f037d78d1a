//! Runs one workload in a real container, under strace and under the recorder at once, and compares what they say. As
//! both see the very same run, pids, times and addresses need no normalising.

// Each test binary takes what it needs.
#![allow(dead_code)]

mod address;
mod compare;
pub mod recording;
mod report;
mod self_test;
pub mod strace;

use crate::common::containers::{Container, Runtime};
use crate::common::require_root;
use recording::{Recorder, Row};
use std::fs;
use std::path::Path;

/// The machine's own programs in a container: no image has to be fetched or built for them.
const VOLUMES: &[&str] = &[
    "/usr:/usr:ro",
    "/usr/lib:/lib:ro",
    "/usr/lib64:/lib64:ro",
    "/etc/ld.so.cache:/etc/ld.so.cache:ro",
];

/// A workload for the comparison.
pub struct Case {
    name: &'static str,
    options: Vec<String>,
    least: usize,
}

impl Case {
    /// A case that must compare `least` calls, so that a workload that did not run is no success.
    pub fn new(name: &'static str, least: usize) -> Self {
        Case {
            name,
            options: Vec::new(),
            least,
        }
    }

    /// Adds an option of `docker run`.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Runs a script of the shell's, which takes the machine's programs before those of the image.
    pub fn script(self, script: &str) {
        self.run(&["/usr/bin/sh", "-euc", script]);
    }

    /// Runs a program, and fails where the two differ.
    pub fn run(self, command: &[&str]) {
        require_root();
        let mut dir = tempfile::tempdir().unwrap();
        let trace = dir.path().join("trace");
        fs::create_dir(&trace).unwrap();
        let mut container = Container::new(Runtime::Docker, &format!("truth-{}", self.name))
            // So that both speak of threads by the same ids.
            .option("--pid=host")
            .option("--security-opt=seccomp=unconfined")
            .option("--cap-add=SYS_PTRACE")
            .option("--env=PATH=/usr/bin:/bin:/usr/local/bin")
            .option(format!("--volume={}:/trace", trace.display()));
        for volume in VOLUMES {
            container = container.option(format!("--volume={volume}"));
        }
        for option in self.options {
            container = container.option(option);
        }
        let name = container.name().to_owned();
        let recorder = Recorder::start(dir.path(), &name);
        let mut args = strace::COMMAND.to_vec();
        args.extend(["/trace/t", "--"]);
        args.extend(command);
        let ended = container.run(&args);
        let rows = recorder.stop(&name);
        if std::env::var_os("CTRACE_TRUTH_KEEP").is_some() {
            dir.disable_cleanup(true);
            println!("kept: {}", dir.path().display());
        }
        assert_eq!(ended.code, 0, "{}", ended.stdout);
        check(self.name, self.least, &trace, rows, false);
    }
}

/// Fails where the rows differ from what strace wrote to `t.TID` in `trace`, or where fewer than `least` calls were
/// compared. Gives of how many calls only the entry or the return was seen, where the kernel `may_skip` programs.
pub fn check(name: &str, least: usize, trace: &Path, rows: Vec<Row>, may_skip: bool) -> usize {
    let report = compare::compare(&strace::read(trace, "t"), rows, may_skip);
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
