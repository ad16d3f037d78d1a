//! Recorders of the kernel's events, run the way a user runs them.

use super::command::run;
use super::programs::ctrace_rec;
use super::query::query;
use super::wait::{LIMIT, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// The default of `--memory`, in bytes.
pub(crate) const MEMORY: u64 = 128_000_000;

/// A running recorder.
pub(crate) struct Recorder {
    child: KillOnDrop,
    lines: Receiver<String>,
    stderr: String,
    path: PathBuf,
    dir: TempDir,
}

/// A recording in a directory of its own, which is removed when this value is dropped.
pub(crate) struct Recording {
    /// The recording's file.
    pub(crate) path: PathBuf,
    /// The recorder's stderr, which ends with its summary.
    pub(crate) stderr: String,
    /// The recorder's exit code.
    pub(crate) code: i32,
    dir: TempDir,
}

/// A process that is killed when a test fails.
pub(crate) struct KillOnDrop(pub Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Recorder {
    /// Starts `ctrace-rec --out run.parquet ARGS` and waits until it is attached.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with("run.parquet", args, &[])
    }

    /// Starts a recorder whose output has the name `name`.
    pub(crate) fn start_to(name: &str, args: &[&str]) -> Self {
        Self::start_with(name, args, &[])
    }

    /// Starts a recorder with additional environment variables.
    pub(crate) fn start_with(name: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        let mut child = ctrace_rec()
            .arg("--out")
            .arg(&path)
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A thread reads stderr to its end, so that the recorder never waits for a reader.
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line + "\n");
            }
        });
        let mut recorder = Recorder {
            child: KillOnDrop(child),
            lines,
            stderr: String::new(),
            path,
            dir,
        };
        recorder.wait_until("recording to");
        recorder
    }

    /// Returns the recorder's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Returns the path of a file beside the recorder's recording.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Lets the recorder run for a tenth of the time while `work` runs, so that it cannot keep up on any machine.
    pub(crate) fn slowed_down<T>(&self, work: impl FnOnce() -> T) -> T {
        let pid = Pid::from_child(&self.child.0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for (signal, ms) in [(Signal::STOP, 90), (Signal::CONT, 10)] {
                        kill_process(pid, signal).unwrap();
                        std::thread::sleep(Duration::from_millis(ms));
                    }
                }
            });
            let result = catch_unwind(AssertUnwindSafe(work));
            done.store(true, Ordering::Relaxed);
            result.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Returns the recorder's peak memory until now, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        peak_memory(self.pid()).unwrap()
    }

    /// Ends the recorder as Ctrl-C does.
    pub(crate) fn stop(self) -> Recording {
        run(Command::new("kill").args(["-INT", &self.pid().to_string()]));
        self.finish()
    }

    /// Ends the recorder as Ctrl-C does, and checks that its peak memory stays below `max_bytes`.
    pub(crate) fn stop_within(self, max_bytes: u64) -> Recording {
        let (pid, before) = (self.pid(), self.peak_memory());
        let watch = std::thread::spawn(move || {
            let mut peak = before;
            while let Some(now) = peak_memory(pid) {
                peak = peak.max(now);
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let recording = self.stop();
        let peak = watch.join().unwrap();
        eprintln!("peak memory: {} MB", peak / 1_000_000);
        assert!(peak < max_bytes, "peak memory: {peak} bytes");
        recording
    }

    /// Kills the recorder and leaves its file as it is.
    pub(crate) fn kill(mut self) -> Recording {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
        Recording {
            path: self.path,
            stderr: self.stderr,
            code: 0,
            dir: self.dir,
        }
    }

    /// Waits until the recorder ends by itself.
    pub(crate) fn finish(mut self) -> Recording {
        let status = wait_for("ctrace-rec ends", || self.child.0.try_wait().unwrap());
        self.stderr.extend(self.lines.iter());
        Recording {
            path: self.path,
            code: status
                .code()
                .unwrap_or_else(|| panic!("{status}\n{}", self.stderr)),
            stderr: self.stderr,
            dir: self.dir,
        }
    }

    /// Waits for a line on stderr that begins with `prefix`.
    pub(crate) fn wait_until(&mut self, prefix: &str) {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => self.stderr.push_str(&line),
                Err(e) => panic!("no line `{prefix}` from ctrace-rec ({e}):\n{}", self.stderr),
            }
            if self.stderr.lines().any(|line| line.starts_with(prefix)) {
                return;
            }
        }
    }
}

/// Returns VmHWM of proc_pid_status(5) in bytes, or None if there is no such process.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Returns the number in the only column of the first row of `sql` on a recording.
pub(crate) fn number(path: &Path, sql: &str) -> i64 {
    let rows = query(path, sql);
    let row = rows.first().and_then(Value::as_object);
    let number = row.and_then(|r| r.values().next()).and_then(Value::as_i64);
    number.unwrap_or_else(|| panic!("{sql}: no number in {rows:?}"))
}

impl Recording {
    /// Returns the rows of `sql`.
    pub(crate) fn query(&self, sql: &str) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.stderr);
        query(&self.path, sql)
    }

    /// Returns the one number of `sql`.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        assert_eq!(self.code, 0, "{}", self.stderr);
        number(&self.path, sql)
    }

    /// Returns the path of a file beside the recording, for more output.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
