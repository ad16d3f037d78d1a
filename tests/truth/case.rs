//! One workload in a real container, under strace and under the recorder at once. Both see the same run, so that pids,
//! times and addresses need no normalization.

use crate::support::command::run;
use crate::support::compare::rows::{self, Row};
use crate::support::compare::{check, strace};
use crate::support::containers::{Container, Ended, Runtime};
use crate::support::root::require_root;
use crate::support::wait::wait_for;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The directories of the machine's own programs, which need no image in a container.
const VOLUMES: &[&str] = &[
    "/usr:/usr:ro",
    "/usr/lib:/lib:ro",
    "/usr/lib64:/lib64:ro",
    "/etc/ld.so.cache:/etc/ld.so.cache:ro",
];

/// A workload to compare.
pub(crate) struct Case {
    name: &'static str,
    options: Vec<String>,
    least: usize,
}

impl Case {
    /// Creates a case that must compare at least `least` calls, so that a workload that did not run fails.
    pub(crate) fn new(name: &'static str, least: usize) -> Self {
        Case {
            name,
            options: Vec::new(),
            least,
        }
    }

    /// Adds an option of `docker run`.
    pub(crate) fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Runs a shell script, which finds the machine's programs before those of the image.
    pub(crate) fn script(self, script: &str) {
        self.run(&["/usr/bin/sh", "-euc", script]);
    }

    /// Runs a program, and fails if strace and the recorder differ. Returns the output of the program and the rows.
    pub(crate) fn run(self, command: &[&str]) -> (String, Vec<Row>) {
        let mut dir = tempfile::tempdir().unwrap();
        let trace = dir.path().join("trace");
        fs::create_dir(&trace).unwrap();
        let (name, least) = (self.name, self.least);
        let traced = self
            .option("--cap-add=SYS_PTRACE")
            .option(&format!("--volume={}:/trace", trace.display()));
        let mut args = strace::COMMAND.to_vec();
        args.extend(["/trace/t", "--"]);
        args.extend(command);
        let (ended, rows) = traced.record(dir.path(), &args);
        if std::env::var_os("CTRACE_TRUTH_KEEP").is_some() {
            dir.disable_cleanup(true);
            println!("kept: {}", dir.path().display());
        }
        assert_eq!(ended.code, 0, "{}", ended.stdout);
        check(name, least, &trace, rows.clone(), false);
        (ended.stdout, rows)
    }

    /// Runs a program without strace. Returns the output of the program and the rows.
    pub(crate) fn run_alone(self, command: &[&str]) -> (String, Vec<Row>) {
        let dir = tempfile::tempdir().unwrap();
        let (ended, rows) = self.record(dir.path(), command);
        assert_eq!(ended.code, 0, "{}", ended.stdout);
        (ended.stdout, rows)
    }

    /// Runs a command while it is recorded into a directory.
    fn record(self, dir: &Path, args: &[&str]) -> (Ended, Vec<Row>) {
        require_root();
        let mut container = Container::new(Runtime::Docker, &format!("truth-{}", self.name))
            // strace and the recorder see the same thread ids.
            .option("--pid=host")
            .option("--security-opt=seccomp=unconfined")
            .option("--env=PATH=/usr/bin:/bin:/usr/local/bin");
        for volume in VOLUMES {
            container = container.option(format!("--volume={volume}"));
        }
        for option in self.options {
            container = container.option(option);
        }
        let name = container.name().to_owned();
        let recorder = JsonRecorder::start(dir, &name);
        let ended = container.run(args);
        (ended, recorder.stop(&name))
    }
}

/// A running recorder that writes JSON lines, which need no query program, into a directory.
struct JsonRecorder<'a> {
    child: Child,
    dir: &'a Path,
}

impl<'a> JsonRecorder<'a> {
    /// Starts a recorder of one container, and waits until it is attached.
    fn start(dir: &'a Path, container: &str) -> Self {
        let file = |name: &str| File::create(dir.join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ctrace-rec"))
            .args(["--format", "json", "--container", container])
            // strace itself makes ten calls for each traced call.
            .args(["--exclude-comm", "strace"])
            // Large enough for a busy machine to lose nothing.
            .env("CTRACE_RING_BYTES", "33554432")
            .stdin(Stdio::null())
            .stdout(file("rows"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        let mut recorder = JsonRecorder { child, dir };
        wait_for("ctrace-rec records", || {
            assert!(
                recorder.child.try_wait().unwrap().is_none(),
                "{}",
                recorder.stderr()
            );
            recorder.stderr().contains("recording to").then_some(())
        });
        recorder
    }

    /// Ends the recorder and returns the rows of the container.
    fn stop(mut self, container: &str) -> Vec<Row> {
        run(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.stderr());
        rows::read(&self.dir.join("rows"), container)
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.dir.join("stderr")).unwrap()
    }
}

impl Drop for JsonRecorder<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
