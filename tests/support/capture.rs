//! Recorders that replay an endless capture, which needs no privileges.

use super::replay::{fixture, replay};
use super::wait::wait_for;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Events in a round of `fixtures/demo.raw`. The first round has four more, because its containers are new.
pub(crate) const EVENTS: u64 = 3971;

/// A capture in parts: its first line, the frame that describes the machine, and a round that is repeated.
pub(crate) struct Capture {
    line: Vec<u8>,
    machine: Vec<u8>,
    round: Vec<u8>,
}

/// The number of recorders so far. Each records another boot: events of the same boot with the same `seq` are the same
/// event.
static BOOTS: AtomicU32 = AtomicU32::new(0);

impl Capture {
    /// Reads `fixtures/demo.raw`.
    pub(crate) fn read() -> Capture {
        let file = std::fs::read(fixture()).unwrap();
        let line = file.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let mut frames = zstd::decode_all(&file[line..]).unwrap();
        // The first frame describes the machine: a tag, four bytes of length, and JSON.
        let machine = 5 + u32::from_le_bytes(frames[1..5].try_into().unwrap()) as usize;
        let round = frames.split_off(machine);
        Capture {
            line: file[..line].into(),
            machine: frames,
            round: zstd::encode_all(&round[..], 1).unwrap(),
        }
    }

    /// Returns the beginning of a capture of a boot of its own.
    pub(crate) fn begin_boot(&self) -> Vec<u8> {
        self.begin(BOOTS.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns a round, which can be repeated.
    pub(crate) fn round(&self) -> &[u8] {
        &self.round
    }

    /// Returns the beginning of a capture of the boot `boot` of the machine.
    fn begin(&self, boot: u32) -> Vec<u8> {
        let key = br#""boot_id":""#;
        let mut machine = self.machine.clone();
        let found = machine.windows(key.len()).position(|bytes| bytes == key);
        let id = found.unwrap() + key.len();
        machine[id..id + 8].copy_from_slice(format!("{boot:08x}").as_bytes());
        [&self.line[..], &zstd::encode_all(&machine[..], 1).unwrap()].concat()
    }

    /// Returns the capture in two parts, to be written one after the other. The first ends after `percent` of its
    /// bytes.
    pub(crate) fn split(self, percent: usize) -> [Vec<u8>; 2] {
        let mut first = zstd::decode_all(&self.round[..]).unwrap();
        let mut end = 0;
        // A frame has a tag, four bytes of length, and a payload.
        while end * 100 < first.len() * percent {
            let length = first[end + 1..end + 5].try_into().unwrap();
            end += 5 + u32::from_le_bytes(length) as usize;
        }
        let second = first.split_off(end);
        let [first, second] = [first, second].map(|part| zstd::encode_all(&part[..], 1).unwrap());
        [[self.begin(0), first].concat(), second]
    }

    /// Replaces each text by another of the same length. Each must be in the capture.
    pub(crate) fn with_texts(mut self, texts: &[(&str, &str)]) -> Capture {
        let mut round = zstd::decode_all(&self.round[..]).unwrap();
        for (old, new) in texts {
            assert_eq!(old.len(), new.len(), "{old}, {new}");
            let windows = round.windows(old.len()).enumerate();
            let places = windows.filter(|(_, bytes)| *bytes == old.as_bytes());
            let places: Vec<usize> = places.map(|(at, _)| at).collect();
            assert!(!places.is_empty(), "{old}");
            for at in places {
                round[at..at + new.len()].copy_from_slice(new.as_bytes());
            }
        }
        self.round = zstd::encode_all(&round[..], 1).unwrap();
        self
    }

    /// Adds a loss of 7 events to each round; the loss itself is one more event.
    pub(crate) fn with_losses(mut self) -> Capture {
        let gap =
            r#"{"gap":{"cgroup":0,"class":"file","lost":7,"since":7000,"until":9000,"cpu":1}}"#;
        let head = [&b"N"[..], &(gap.len() as u32).to_le_bytes()].concat();
        let frame = zstd::encode_all(&[&head, gap.as_bytes()].concat()[..], 1).unwrap();
        self.round.extend(frame);
        self
    }
}

/// A recorder that replays rounds of a capture as they arrive in a FIFO.
pub(crate) struct ReplayingRecorder {
    /// The recorder's process.
    pub(crate) child: Child,
    /// The recorder's output.
    pub(crate) path: PathBuf,
    fifo: PathBuf,
    /// The time at which each round was written to the FIFO.
    fed: Arc<Mutex<Vec<Instant>>>,
    feeder: JoinHandle<()>,
}

impl ReplayingRecorder {
    /// Starts a recorder to `NAME.parquet` in a directory; `pause` is the time between two rounds.
    pub(crate) fn start(
        capture: &Arc<Capture>,
        dir: &Path,
        name: &str,
        pause: Duration,
    ) -> ReplayingRecorder {
        let path = dir.join(format!("{name}.parquet"));
        ReplayingRecorder::start_to(capture, path, dir.join(name), pause, &[])
    }

    /// Starts a recorder to `path` with more flags, fed through `fifo`.
    pub(crate) fn start_to(
        capture: &Arc<Capture>,
        path: PathBuf,
        fifo: PathBuf,
        pause: Duration,
        flags: &[&str],
    ) -> ReplayingRecorder {
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let child = replay(&fifo, &path)
            .arg("--quiet")
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let fed = Arc::new(Mutex::new(vec![]));
        let feeder = std::thread::spawn({
            let (capture, fed, fifo) = (capture.clone(), fed.clone(), fifo.clone());
            let begin = capture.begin_boot();
            move || {
                let mut pipe = File::options().write(true).open(fifo).unwrap();
                let mut written = pipe.write_all(&begin);
                while written.is_ok() {
                    written = pipe.write_all(&capture.round);
                    fed.lock().unwrap().push(Instant::now());
                    std::thread::sleep(pause);
                }
            }
        });
        ReplayingRecorder {
            child,
            path,
            fifo,
            fed,
            feeder,
        }
    }

    /// Waits until `rounds` rounds have been written.
    pub(crate) fn wait(&self, rounds: usize) {
        wait_for("the capture is fed", || {
            (self.fed.lock().unwrap().len() >= rounds).then_some(())
        });
    }

    /// Kills the recorder. Returns its output and how many rounds had been written more than a second before.
    pub(crate) fn kill(mut self) -> (PathBuf, u64) {
        let killed = Instant::now();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while !self.feeder.is_finished() {
            // If the recorder has not opened the FIFO, the feeder still waits for a reader.
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
