//! Recorders that are fed a capture that never ends, which needs no privileges.

// Each test binary takes what it needs.
#![allow(dead_code)]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Events of a round of `fixtures/demo.raw`; the first has two more, for the containers are new then.
pub const EVENTS: u64 = 3111;

/// A capture as it is fed: what it begins with, and what is repeated.
pub struct Capture {
    begin: Vec<u8>,
    round: Vec<u8>,
}

impl Capture {
    /// That of `fixtures/demo.raw`.
    pub fn read() -> Capture {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw");
        let file = std::fs::read(path).unwrap();
        let line = file.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let mut frames = zstd::decode_all(&file[line..]).unwrap();
        // The first says what machine it is from: a tag, four bytes of length, and JSON.
        let machine = 5 + u32::from_le_bytes(frames[1..5].try_into().unwrap()) as usize;
        let round = frames.split_off(machine);
        let begin = zstd::encode_all(&frames[..], 1).unwrap();
        Capture {
            begin: [&file[..line], &begin].concat(),
            round: zstd::encode_all(&round[..], 1).unwrap(),
        }
    }
}

impl Capture {
    /// With a loss of 7 events in each round, which is one event more.
    pub fn with_losses(mut self) -> Capture {
        let gap =
            r#"{"gap":{"cgroup":0,"class":"file","lost":7,"since":7000,"until":9000,"cpu":1}}"#;
        let head = [&b"N"[..], &(gap.len() as u32).to_le_bytes()].concat();
        let frame = zstd::encode_all(&[&head, gap.as_bytes()].concat()[..], 1).unwrap();
        self.round.extend(frame);
        self
    }
}

/// A recorder that replays rounds of a capture as they come.
pub struct Recorder {
    /// Its process.
    pub child: Child,
    /// Its output.
    pub path: PathBuf,
    fifo: PathBuf,
    /// When each round was there to be read.
    pub fed: Arc<Mutex<Vec<Instant>>>,
    feeder: JoinHandle<()>,
}

impl Recorder {
    /// Begins `NAME.parquet` in a directory; a round comes after each `pause`.
    pub fn start(capture: &Arc<Capture>, dir: &Path, name: &str, pause: Duration) -> Recorder {
        let path = dir.join(format!("{name}.parquet"));
        Recorder::start_to(capture, path, dir.join(name), pause, &[])
    }

    /// Likewise to `path`, through `fifo`, with more flags.
    pub fn start_to(
        capture: &Arc<Capture>,
        path: PathBuf,
        fifo: PathBuf,
        pause: Duration,
        flags: &[&str],
    ) -> Recorder {
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let child = Command::new(env!("CARGO_BIN_EXE_ctrace-rec"))
            .args(["--quiet", "--from-raw"])
            .arg(&fifo)
            .arg("--out")
            .arg(&path)
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let fed = Arc::new(Mutex::new(vec![]));
        let feeder = std::thread::spawn({
            let (capture, fed, fifo) = (capture.clone(), fed.clone(), fifo.clone());
            move || {
                let mut pipe = File::options().write(true).open(fifo).unwrap();
                let mut written = pipe.write_all(&capture.begin);
                while written.is_ok() {
                    written = pipe.write_all(&capture.round);
                    fed.lock().unwrap().push(Instant::now());
                    std::thread::sleep(pause);
                }
            }
        });
        Recorder {
            child,
            path,
            fifo,
            fed,
            feeder,
        }
    }

    /// Waits until it has been fed so many rounds.
    pub fn wait(&self, rounds: usize) {
        let began = Instant::now();
        while self.fed.lock().unwrap().len() < rounds {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it. Returns what it had been fed a second ago, in rounds.
    pub fn kill(mut self) -> (PathBuf, u64) {
        let killed = Instant::now();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while !self.feeder.is_finished() {
            // Where the recorder has not opened it, the feeder still waits for somebody who does.
            let mut reader = File::options();
            reader.read(true).custom_flags(libc::O_NONBLOCK);
            drop(reader.open(&self.fifo));
            std::thread::sleep(Duration::from_millis(1));
        }
        self.feeder.join().unwrap();
        let old = |at: &&Instant| killed.duration_since(**at) > Duration::from_secs(1);
        let old = self.fed.lock().unwrap().iter().filter(old).count();
        (self.path, old as u64)
    }
}
