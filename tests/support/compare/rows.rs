//! What the recorder wrote of the same run: JSON lines, which need no query program.

use crate::common::recorder::ctrace_rec;
use crate::common::{LIMIT, run, wait_for};
use serde::Deserialize;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The columns that are compared; the others are left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row {
    pub seq: i64,
    pub kind: String,
    pub action: Option<String>,
    pub class: Option<String>,
    pub container: Option<String>,
    pub pid: i64,
    pub tid: i64,
    pub comm: String,
    pub syscall: String,
    pub compat: bool,
    pub denied: bool,
    pub ret: Option<i64>,
    pub duration: Option<i64>,
    pub error: Option<String>,
    pub arg0: Option<i64>,
    pub arg1: Option<i64>,
    pub arg2: Option<i64>,
    pub arg3: Option<i64>,
    pub arg4: Option<i64>,
    pub arg5: Option<i64>,
    pub path: Option<String>,
    pub path_arg: Option<String>,
    pub path2: Option<String>,
    pub dev: Option<String>,
    pub inode: Option<i64>,
    pub family: Option<String>,
    pub protocol: Option<String>,
    pub local_addr: Option<String>,
    pub local_port: Option<i64>,
    pub peer_addr: Option<String>,
    pub peer_port: Option<i64>,
    pub peer_path: Option<String>,
    pub dns_name: Option<String>,
    pub argv: Option<String>,
    pub child_pid: Option<i64>,
    pub exit_code: Option<i64>,
    pub exit_signal: Option<i64>,
    pub lost: Option<i64>,
}

impl Row {
    /// An argument by its index.
    pub fn arg(&self, i: usize) -> Option<i64> {
        [
            self.arg0, self.arg1, self.arg2, self.arg3, self.arg4, self.arg5,
        ][i]
    }
}

/// The rows of a container in a file of JSON lines.
pub fn read(path: &Path, container: &str) -> Vec<Row> {
    let text = fs::read_to_string(path).unwrap();
    let rows = text
        .lines()
        .map(|l| serde_json::from_str::<Row>(l).unwrap());
    rows.filter(|r| r.container.as_deref() == Some(container))
        .collect()
}

/// A recorder at work, that writes into a directory.
pub struct Recorder<'a> {
    child: Child,
    dir: &'a Path,
}

impl<'a> Recorder<'a> {
    /// Starts it for one container, and waits until it is attached.
    pub fn start(dir: &'a Path, container: &str) -> Self {
        let file = |name: &str| File::create(dir.join(name)).unwrap();
        let child = ctrace_rec()
            .args(["--format", "json", "--container", container])
            // Its own calls are ten for each that it traces.
            .args(["--exclude-comm", "strace"])
            // A machine that does other things too loses nothing.
            .env("CTRACE_RING_BYTES", "33554432")
            .stdin(Stdio::null())
            .stdout(file("rows"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        let mut recorder = Recorder { child, dir };
        wait_for("ctrace-rec records", LIMIT, || {
            assert!(
                recorder.child.try_wait().unwrap().is_none(),
                "{}",
                recorder.stderr()
            );
            recorder.stderr().contains("recording to").then_some(())
        });
        recorder
    }

    /// Ends it, and gives the rows of the container.
    pub fn stop(mut self, container: &str) -> Vec<Row> {
        run(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.stderr());
        read(&self.dir.join("rows"), container)
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.dir.join("stderr")).unwrap()
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
