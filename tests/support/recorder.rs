//! The two programs, as a user runs them.

use super::{LIMIT, run, wait_for};
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

pub use super::programs::{ctrace_query, ctrace_rec};

/// The rows that `sql` gives on the recording `path`, each a JSON object in which a null has no key.
pub fn query(path: &Path, sql: &str) -> Vec<Value> {
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

/// A recorder at work.
pub struct Recorder {
    child: KillOnDrop,
    said: Receiver<String>,
    stderr: String,
    path: PathBuf,
    dir: TempDir,
}

/// A recording in a directory of its own, which goes when this goes.
pub struct Recording {
    /// The file.
    pub path: PathBuf,
    /// What the recorder said on stderr, its summary at the end.
    pub stderr: String,
    /// Its exit code.
    pub code: i32,
    dir: TempDir,
}

/// A recorder must not outlive a test that failed.
pub struct KillOnDrop(pub Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Recorder {
    /// Starts `ctrace-rec --out FILE ARGS` and waits until it is attached.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with("run.parquet", args, &[])
    }

    /// Likewise, to a file with this name.
    pub fn start_to(name: &str, args: &[&str]) -> Self {
        Self::start_with(name, args, &[])
    }

    /// Likewise, with variables in its environment.
    pub fn start_with(name: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
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
        // A thread reads on to the end, so that the recorder never waits for a reader.
        let (say, said) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = say.send(line + "\n");
            }
        });
        let mut recorder = Recorder {
            child: KillOnDrop(child),
            said,
            stderr: String::new(),
            path,
            dir,
        };
        recorder.wait_until("recording to");
        recorder
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// A file beside its recording.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Lets it run for a tenth of the time while `work` is done: it cannot keep up then, however fast the machine is.
    pub fn hampered<T>(&self, work: impl FnOnce() -> T) -> T {
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

    /// Its memory at its highest up to now, bytes.
    pub fn memory(&self) -> u64 {
        memory(self.pid()).unwrap()
    }

    /// Ends it as Ctrl-C does.
    pub fn stop(self) -> Recording {
        run(Command::new("kill").args(["-INT", &self.pid().to_string()]));
        self.finish()
    }

    /// Likewise; its memory at its highest, to the end, is less than `bound` bytes.
    pub fn stop_within(self, bound: u64) -> Recording {
        let (pid, before) = (self.pid(), self.memory());
        let watch = std::thread::spawn(move || {
            let mut most = before;
            while let Some(now) = memory(pid) {
                most = most.max(now);
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let recording = self.stop();
        let most = watch.join().unwrap();
        eprintln!("{} MB of memory at most", most / 1_000_000);
        assert!(most < bound, "{most} bytes of memory");
        recording
    }

    /// Kills it, and leaves its file as it is.
    pub fn kill(mut self) -> Recording {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
        Recording {
            path: self.path,
            stderr: self.stderr,
            code: 0,
            dir: self.dir,
        }
    }

    /// Waits until it ends by itself.
    pub fn finish(mut self) -> Recording {
        let status = wait_for("ctrace-rec ends", LIMIT, || {
            self.child.0.try_wait().unwrap()
        });
        self.stderr.extend(self.said.iter());
        Recording {
            path: self.path,
            code: status
                .code()
                .unwrap_or_else(|| panic!("{status}\n{}", self.stderr)),
            stderr: self.stderr,
            dir: self.dir,
        }
    }

    /// Waits until it has said a line on stderr that begins so.
    pub fn wait_until(&mut self, begins: &str) {
        loop {
            match self.said.recv_timeout(LIMIT) {
                Ok(line) => self.stderr.push_str(&line),
                Err(e) => panic!("ctrace-rec has not said `{begins}` ({e}):\n{}", self.stderr),
            }
            if self.stderr.lines().any(|line| line.starts_with(begins)) {
                return;
            }
        }
    }
}

/// What proc_pid_status(5) says, in bytes; None: there is no such process.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

impl Recording {
    /// The rows that `sql` gives on it.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.stderr);
        query(&self.path, sql)
    }

    /// The one number that `sql` gives on it.
    pub fn count(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        let row = rows.first().and_then(Value::as_object);
        let number = row.and_then(|r| r.values().next()).and_then(Value::as_i64);
        number.unwrap_or_else(|| panic!("{sql}: no number in {rows:?}"))
    }

    /// A file beside the recording, for more output.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
