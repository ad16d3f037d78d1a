//! What has to be seen to while rows go into memory: when the ring is written out, by `ctrace-rec dump`, SIGUSR1 or its
//! trigger, and until when that goes on; when a disk that was full is tried again; and what other recorders have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ctrace_schema::human::{bytes, count};

use crate::flight::shared::FlightShared;
use crate::flight::socket::Door;
use crate::pipeline::Pipeline;
use crate::progress::{Notice, Progress};
use crate::sink::SinkCommand;
use crate::sink::segments::unfinished::UnfinishedSegments;
use crate::sink::spill::disk::DiskStatus;
use crate::sink::summary::{DumpReason, DumpRequest, Summary};

/// How often a full disk is tried.
const RETRY: Duration = Duration::from_secs(1);

/// What has to be seen to.
pub(crate) struct Upkeep {
    of: Watched,
    left: Option<UnfinishedSegments>,
}

enum Watched {
    /// A ring that is written out now and then.
    Ring(DumpControl),
    /// A disk that may be full, and when it was tried last.
    Disk(Arc<DiskStatus>, Instant),
}

impl Upkeep {
    /// Of the ring that tells `shared` what it does; a dump goes on for `after`.
    ///
    /// # Errors
    /// Signals or a socket cannot be had.
    pub(crate) fn of_ring(shared: Arc<FlightShared>, after: Duration) -> Result<Upkeep> {
        Ok(Upkeep {
            of: Watched::Ring(DumpControl::new(shared, after)?),
            left: None,
        })
    }

    /// Of a disk.
    pub(crate) fn of_disk(disk: Arc<DiskStatus>) -> Upkeep {
        Upkeep {
            of: Watched::Disk(disk, Instant::now()),
            left: None,
        }
    }

    /// Also of what other recorders have left.
    pub(crate) fn finishing(self, left: UnfinishedSegments) -> Upkeep {
        Upkeep {
            left: Some(left),
            ..self
        }
    }

    /// Whether rows go into a ring.
    pub(crate) fn is_ring(&self) -> bool {
        matches!(self.of, Watched::Ring(_))
    }

    /// To be called now and then; `boot` is the boot time, ns. Returns what there is to say.
    pub(crate) fn poll(&mut self, boot: u64, pipeline: &mut Pipeline) -> Vec<Notice> {
        let mut said = match &mut self.of {
            Watched::Ring(dumps) => dumps.step(boot, pipeline),
            Watched::Disk(disk, tried) => {
                if disk.is_full() && tried.elapsed() >= RETRY {
                    *tried = Instant::now();
                    pipeline.command(SinkCommand::Retry);
                }
                said_of(disk)
            }
        };
        said.extend(self.left.iter_mut().flat_map(UnfinishedSegments::poll));
        said
    }

    /// What there is to say when the recording has ended.
    pub(crate) fn finish(&mut self) -> Vec<Notice> {
        let mut said = match &mut self.of {
            Watched::Ring(dumps) => dumps.said(),
            Watched::Disk(disk, _) => said_of(disk),
        };
        said.extend(self.left.iter_mut().flat_map(UnfinishedSegments::join));
        said
    }

    /// Whether a dump is about to end at the boot time `boot`, ns: what was lost up to now belongs into it.
    pub(crate) fn is_ending(&self, boot: u64) -> bool {
        matches!(&self.of, Watched::Ring(DumpControl { state: DumpState::Started(until), .. }) if boot >= *until)
    }

    /// Adds to `progress` what is known here.
    pub(crate) fn add_to(&self, progress: &mut Progress) {
        match &self.of {
            Watched::Ring(dumps) => progress.ring = Some(dumps.shared.held()),
            Watched::Disk(disk, _) => disk.report_to(progress),
        }
    }

    /// Takes out of a summary what could not be written.
    pub(crate) fn correct(&self, summary: &mut Summary) {
        if let Watched::Disk(disk, _) = &self.of {
            disk.correct(summary);
        }
    }
}

fn said_of(disk: &DiskStatus) -> Vec<Notice> {
    let said = disk.take_messages().into_iter();
    said.map(|text| Notice {
        text,
        is_warning: true,
    })
    .collect()
}

/// Has the ring written out.
pub(crate) struct DumpControl {
    shared: Arc<FlightShared>,
    after: Duration,
    door: Door,
    signal: Arc<AtomicBool>,
    state: DumpState,
}

enum DumpState {
    Idle,
    /// It goes on until then, boot time in ns.
    Started(u64),
    Ending,
}

impl DumpControl {
    /// Of the ring that tells `shared` what it does; a dump goes on for `after`.
    ///
    /// # Errors
    /// Signals or a socket cannot be had.
    fn new(shared: Arc<FlightShared>, after: Duration) -> Result<DumpControl> {
        let signal = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, signal.clone())
            .context("cannot watch for signals")?;
        Ok(DumpControl {
            shared,
            after,
            door: Door::open().context("cannot listen for `ctrace-rec dump`")?,
            signal,
            state: DumpState::Idle,
        })
    }

    /// To be called now and then; `boot` is the boot time, ns.
    fn step(&mut self, boot: u64, pipeline: &mut Pipeline) -> Vec<Notice> {
        let signal = self.signal.swap(false, Ordering::Relaxed);
        match self.state {
            DumpState::Idle => {
                let asked = self.door.accept(self.after);
                let time = pipeline.now();
                let why = |reason| Some(DumpRequest { reason, time });
                let hit = self.shared.take_hit();
                let why = hit
                    .or_else(|| why(DumpReason::Asked).filter(|_| asked))
                    .or_else(|| why(DumpReason::Signal).filter(|_| signal));
                if let Some(why) = why {
                    pipeline.command(SinkCommand::Begin(why));
                    self.state =
                        DumpState::Started(boot.saturating_add(self.after.as_nanos() as u64));
                }
            }
            DumpState::Started(until) => {
                // Who asks now gets the same.
                self.door.accept(self.after);
                if boot >= until && !pipeline.has_command() {
                    let summary = pipeline.summary();
                    pipeline.command(SinkCommand::End(Box::new(summary)));
                    self.state = DumpState::Ending;
                }
            }
            DumpState::Ending => {}
        }
        self.said()
    }

    /// What there is to say. To be called once more when the recording has ended.
    fn said(&mut self) -> Vec<Notice> {
        let mut said = vec![];
        if let Some(text) = self.shared.take_warning() {
            said.push(Notice {
                text,
                is_warning: true,
            });
        }
        if let Some(ended) = self.shared.take_ended() {
            self.state = DumpState::Idle;
            self.door.reply(&ended);
            said.push(match ended {
                Ok(dump) => Notice {
                    text: format!(
                        "dumped {} events to {} ({}): {}",
                        count(dump.events),
                        dump.path.display(),
                        bytes(dump.bytes),
                        dump.why
                    ),
                    is_warning: false,
                },
                Err(e) => Notice {
                    text: format!("the ring cannot be dumped: {e:#}; it goes on"),
                    is_warning: true,
                },
            });
        }
        said
    }
}
