//! Recorders that have replayed a part of a capture and wait for the rest.

use super::capture::{Capture, EVENTS};
use super::programs::ctrace_rec;
use super::wait::wait_for;
use rustix::fs::{OFlags, fcntl_setfl};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A recorder whose capture has not ended.
pub(crate) struct Paused {
    pub(crate) child: Child,
    capture: Capture,
    /// `None`: the recorder ended before it read anything.
    fifo: Option<File>,
    rounds: u64,
    _dir: TempDir,
}

/// A recorder that has ended.
pub(crate) struct Ended {
    /// The exit code; `None`: a signal ended the recorder.
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    /// The number of events that the capture had.
    pub(crate) events: String,
}

impl Paused {
    /// Starts the recorder with the arguments `args`. The commands of `shell` run before it in the same process.
    pub(crate) fn start(shell: &str, args: &[&str]) -> Paused {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("demo.raw");
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let mut child = Command::new("sh")
            .args(["-c", &format!("{shell}; exec \"$@\""), "sh"])
            .arg(ctrace_rec().get_program())
            .arg("--from-raw")
            .arg(&fifo)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let fifo = open_for_writing(&fifo, &mut child);
        let capture = Capture::read();
        let mut paused = Paused {
            child,
            capture,
            fifo,
            rounds: 0,
            _dir: dir,
        };
        let begin = paused.capture.begin_boot();
        paused.send(&begin);
        paused.feed();
        paused
    }

    /// Sends a round.
    pub(crate) fn feed(&mut self) {
        let round = self.capture.round().to_vec();
        self.send(&round);
        self.rounds += 1;
    }

    /// Sends bytes of a capture. A recorder that has failed reads no more.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.fifo.as_mut().map(|fifo| fifo.write_all(bytes));
    }

    /// Starts a recorder to `out`, and waits until events are written. The commands of `shell` run before it.
    pub(crate) fn recording(shell: &str, out: &Path, flags: &[&str]) -> Paused {
        let args = [&["--out", out.to_str().unwrap()], flags].concat();
        let mut paused = Paused::start(shell, &args);
        let in_progress = |path: &PathBuf| {
            let name = path.to_str().unwrap();
            let has_rows = fs::metadata(path).is_ok_and(|file| file.len() > 0);
            (name.ends_with(".journal") || name.ends_with("-wal")) && has_rows
        };
        let root = match out.to_str().unwrap().ends_with('/') {
            true => out,
            false => out.parent().unwrap(),
        };
        wait_for("events are written", || {
            paused.feed();
            files_below(root).into_iter().find(in_progress)
        });
        paused
    }

    /// Sends more rounds, waits for the end, and returns the outcome.
    pub(crate) fn resume(mut self) -> Ended {
        for _ in 0..4 {
            self.feed();
            // Longer than events wait before they are written.
            std::thread::sleep(Duration::from_millis(300));
        }
        self.end()
    }

    /// Ends the capture, waits for the end of the recorder, and returns the outcome.
    pub(crate) fn end(self) -> Ended {
        drop(self.fifo);
        let output = self.child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Ended {
            code: output.status.code(),
            stderr,
            // The first round has two more.
            events: (self.rounds * EVENTS + 4).to_string(),
        }
    }
}

/// Opens a FIFO when `reader` has opened it. Returns `None` if `reader` ends before.
fn open_for_writing(path: &Path, reader: &mut Child) -> Option<File> {
    let mut options = File::options();
    options.write(true).custom_flags(libc::O_NONBLOCK);
    let fifo = wait_for("the recorder reads its capture", || {
        let has_ended = reader.try_wait().unwrap().is_some();
        match options.open(path) {
            Ok(fifo) => Some(Some(fifo)),
            Err(_) if has_ended => Some(None),
            Err(_) => None,
        }
    });
    fifo.inspect(|fifo| fcntl_setfl(fifo, OFlags::empty()).unwrap())
}

/// Returns all files below a directory, links not followed.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.flat_map(|entry| match entry.file_type().unwrap().is_dir() {
        true => files_below(&entry.path()),
        false => vec![entry.path()],
    });
    files.collect()
}
