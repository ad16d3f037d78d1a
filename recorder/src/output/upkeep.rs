//! What has to be seen to while rows go into memory: when the ring is written out, by `ctrace-rec dump`, SIGUSR1 or its
//! trigger, and until when that goes on; when a disk that was full is tried again; and what other recorders have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ctrace_schema::human::{bytes, count};

use crate::flight::shared::Shared;
use crate::flight::socket::Door;
use crate::pipeline::Pipeline;
use crate::progress::{Progress, Said};
use crate::sink::Turn;
use crate::sink::segments::unfinished::Left;
use crate::sink::spill::disk::Disk;
use crate::sink::summary::{Reason, Summary, Why};

/// How often a full disk is tried.
const RETRY: Duration = Duration::from_secs(1);

/// What has to be seen to.
pub struct Upkeep {
    of: Of,
    left: Option<Left>,
}

enum Of {
    /// A ring that is written out now and then.
    Ring(Dumps),
    /// A disk that may be full, and when it was tried last.
    Disk(Arc<Disk>, Instant),
}

impl Upkeep {
    /// Of the ring that tells `shared` what it does; a dump goes on for `after`.
    ///
    /// # Errors
    /// Signals or a socket cannot be had.
    pub fn of_ring(shared: Arc<Shared>, after: Duration) -> Result<Upkeep> {
        Ok(Upkeep {
            of: Of::Ring(Dumps::new(shared, after)?),
            left: None,
        })
    }

    /// Of a disk.
    pub fn of_disk(disk: Arc<Disk>) -> Upkeep {
        Upkeep {
            of: Of::Disk(disk, Instant::now()),
            left: None,
        }
    }

    /// Also of what other recorders have left.
    pub fn finishing(self, left: Left) -> Upkeep {
        Upkeep {
            left: Some(left),
            ..self
        }
    }

    /// Whether rows go into a ring.
    pub fn is_ring(&self) -> bool {
        matches!(self.of, Of::Ring(_))
    }

    /// To be called now and then; `boot` is the boot time, ns. Returns what there is to say.
    pub fn step(&mut self, boot: u64, pipeline: &mut Pipeline) -> Vec<Said> {
        let mut said = match &mut self.of {
            Of::Ring(dumps) => dumps.step(boot, pipeline),
            Of::Disk(disk, tried) => {
                if disk.is_full() && tried.elapsed() >= RETRY {
                    *tried = Instant::now();
                    pipeline.turn(Turn::Retry);
                }
                said_of(disk)
            }
        };
        said.extend(self.left.iter_mut().flat_map(Left::step));
        said
    }

    /// What there is to say when the recording has ended.
    pub fn end(&mut self) -> Vec<Said> {
        let mut said = match &mut self.of {
            Of::Ring(dumps) => dumps.said(),
            Of::Disk(disk, _) => said_of(disk),
        };
        said.extend(self.left.iter_mut().flat_map(Left::join));
        said
    }

    /// Whether a dump is about to end at the boot time `boot`, ns: what was lost up to now belongs into it.
    pub fn is_ending(&self, boot: u64) -> bool {
        matches!(&self.of, Of::Ring(Dumps { state: State::Begun(until), .. }) if boot >= *until)
    }

    /// Adds to `progress` what is known here.
    pub fn tell(&self, progress: &mut Progress) {
        match &self.of {
            Of::Ring(dumps) => progress.ring = Some(dumps.shared.held()),
            Of::Disk(disk, _) => disk.tell_of(progress),
        }
    }

    /// Takes out of a summary what could not be written.
    pub fn correct(&self, summary: &mut Summary) {
        if let Of::Disk(disk, _) = &self.of {
            disk.correct(summary);
        }
    }
}

fn said_of(disk: &Disk) -> Vec<Said> {
    let said = disk.said().into_iter();
    said.map(|text| Said { text, error: true }).collect()
}

/// Has the ring written out.
pub struct Dumps {
    shared: Arc<Shared>,
    after: Duration,
    door: Door,
    signal: Arc<AtomicBool>,
    state: State,
}

enum State {
    Idle,
    /// It goes on until then, boot time in ns.
    Begun(u64),
    Ending,
}

impl Dumps {
    /// Of the ring that tells `shared` what it does; a dump goes on for `after`.
    ///
    /// # Errors
    /// Signals or a socket cannot be had.
    fn new(shared: Arc<Shared>, after: Duration) -> Result<Dumps> {
        let signal = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, signal.clone())
            .context("cannot watch for signals")?;
        Ok(Dumps {
            shared,
            after,
            door: Door::open().context("cannot listen for `ctrace-rec dump`")?,
            signal,
            state: State::Idle,
        })
    }

    /// To be called now and then; `boot` is the boot time, ns.
    fn step(&mut self, boot: u64, pipeline: &mut Pipeline) -> Vec<Said> {
        let signal = self.signal.swap(false, Ordering::Relaxed);
        match self.state {
            State::Idle => {
                let asked = self.door.look(self.after);
                let time = pipeline.now();
                let why = |reason| Some(Why { reason, time });
                let hit = self.shared.take_hit();
                let why = hit
                    .or_else(|| why(Reason::Asked).filter(|_| asked))
                    .or_else(|| why(Reason::Signal).filter(|_| signal));
                if let Some(why) = why {
                    pipeline.turn(Turn::Begin(why));
                    self.state = State::Begun(boot.saturating_add(self.after.as_nanos() as u64));
                }
            }
            State::Begun(until) => {
                // Who asks now gets the same.
                self.door.look(self.after);
                if boot >= until && !pipeline.is_turning() {
                    let summary = pipeline.summary();
                    pipeline.turn(Turn::End(Box::new(summary)));
                    self.state = State::Ending;
                }
            }
            State::Ending => {}
        }
        self.said()
    }

    /// What there is to say. To be called once more when the recording has ended.
    fn said(&mut self) -> Vec<Said> {
        let mut said = vec![];
        if let Some(text) = self.shared.take_warning() {
            said.push(Said { text, error: true });
        }
        if let Some(ended) = self.shared.take_ended() {
            self.state = State::Idle;
            self.door.tell(&ended);
            said.push(match ended {
                Ok(dump) => Said {
                    text: format!(
                        "dumped {} events to {} ({}): {}",
                        count(dump.events),
                        dump.path.display(),
                        bytes(dump.bytes),
                        dump.why
                    ),
                    error: false,
                },
                Err(e) => Said {
                    text: format!("the ring cannot be dumped: {e:#}; it goes on"),
                    error: true,
                },
            });
        }
        said
    }
}
