//! Periodic work of a recording: starts and ends dumps of the ring (on `ctrace-rec dump`, SIGUSR1 or the trigger),
//! retries a full disk, and finishes the segments that killed recorders left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ctrace_schema::human::{bytes, count};

use crate::flight::shared::FlightShared;
use crate::flight::socket::DumpListener;
use crate::peer::Peer;
use crate::pipeline::Pipeline;
use crate::progress::{Notice, Progress, Warnings};
use crate::sink::SinkCommand;
use crate::sink::segments::unfinished::UnfinishedSegments;
use crate::sink::spill::disk::DiskStatus;
use crate::sink::summary::{DumpReason, DumpRequest, Summary};

/// Time between two attempts to write to a full disk.
const RETRY_TIME: Duration = Duration::from_secs(1);

/// The periodic work of a recording.
pub(crate) struct Upkeep {
    kind: UpkeepKind,
    unfinished: Option<UnfinishedSegments>,
    /// Warnings of the threads that write.
    warnings: Warnings,
}

enum UpkeepKind {
    Ring(DumpControl),
    /// A disk that may be full, and the time of the last attempt to write.
    Disk(Arc<DiskStatus>, Instant),
}

impl Upkeep {
    /// Creates the upkeep of a flight recorder. A dump continues to record for `after`.
    ///
    /// # Errors
    /// SIGUSR1 cannot be set up.
    pub(crate) fn for_ring(
        shared: Arc<FlightShared>,
        after: Duration,
        warnings: Warnings,
    ) -> Result<Upkeep> {
        Ok(Upkeep {
            kind: UpkeepKind::Ring(DumpControl::new(shared, after, &warnings)?),
            unfinished: None,
            warnings,
        })
    }

    /// Creates the upkeep of a recording to a disk.
    pub(crate) fn for_disk(disk: Arc<DiskStatus>, warnings: Warnings) -> Upkeep {
        Upkeep {
            kind: UpkeepKind::Disk(disk, Instant::now()),
            unfinished: None,
            warnings,
        }
    }

    /// Adds the segments that killed recorders left behind.
    pub(crate) fn with_unfinished(self, unfinished: UnfinishedSegments) -> Upkeep {
        Upkeep {
            unfinished: Some(unfinished),
            ..self
        }
    }

    /// Returns whether events are kept in a ring.
    pub(crate) fn is_ring(&self) -> bool {
        matches!(self.kind, UpkeepKind::Ring(_))
    }

    /// Does the work that is due at the boot time `boot_ns`, and returns notices for the user. Called on every
    /// iteration of the session's loop.
    pub(crate) fn poll(&mut self, boot_ns: u64, pipeline: &mut Pipeline) -> Vec<Notice> {
        let mut notices = match &mut self.kind {
            UpkeepKind::Ring(dumps) => dumps.poll(boot_ns, pipeline),
            UpkeepKind::Disk(disk, tried) => {
                if disk.is_full() && tried.elapsed() >= RETRY_TIME {
                    *tried = Instant::now();
                    pipeline.command(SinkCommand::Retry);
                }
                disk_notices(disk)
            }
        };
        notices.extend(
            self.unfinished
                .iter_mut()
                .flat_map(UnfinishedSegments::poll),
        );
        notices.extend(self.warnings.take());
        notices
    }

    /// Returns the last notices, after the recording has ended.
    pub(crate) fn finish(&mut self) -> Vec<Notice> {
        let mut notices = match &mut self.kind {
            UpkeepKind::Ring(dumps) => dumps.notices(),
            UpkeepKind::Disk(disk, _) => disk_notices(disk),
        };
        notices.extend(
            self.unfinished
                .iter_mut()
                .flat_map(UnfinishedSegments::join),
        );
        notices.extend(self.warnings.take());
        notices
    }

    /// Returns whether a dump ends at the boot time `boot_ns`, so that the losses up to now must be read before.
    pub(crate) fn is_ending(&self, boot_ns: u64) -> bool {
        match &self.kind {
            UpkeepKind::Ring(dumps) => dumps.is_ending(boot_ns),
            UpkeepKind::Disk(..) => false,
        }
    }

    /// Adds the use of the ring or the state of the disk to `progress`.
    pub(crate) fn add_to(&self, progress: &mut Progress) {
        match &self.kind {
            UpkeepKind::Ring(dumps) => progress.ring = Some(dumps.shared.ring_use()),
            UpkeepKind::Disk(disk, _) => disk.report_to(progress),
        }
    }

    /// Corrects a summary by the events that could not be written.
    pub(crate) fn correct(&self, summary: &mut Summary) {
        if let UpkeepKind::Disk(disk, _) = &self.kind {
            disk.correct(summary);
        }
    }
}

fn disk_notices(disk: &DiskStatus) -> Vec<Notice> {
    let texts = disk.take_messages().into_iter();
    texts
        .map(|text| Notice {
            text,
            is_warning: true,
        })
        .collect()
}

/// Starts and ends dumps of the ring.
struct DumpControl {
    shared: Arc<FlightShared>,
    /// Time for which a dump continues to record.
    after: Duration,
    /// The socket of `ctrace-rec dump`; `None` if it cannot be created.
    listener: Option<DumpListener>,
    /// True if SIGUSR1 was received.
    signal: Arc<AtomicBool>,
    state: DumpState,
}

enum DumpState {
    Idle,
    /// The dump records until this boot time, ns.
    Started(u64),
    /// The sink was asked to end the dump; the result is not known yet.
    Ending,
}

impl DumpControl {
    fn new(shared: Arc<FlightShared>, after: Duration, warnings: &Warnings) -> Result<DumpControl> {
        let signal = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, signal.clone())
            .context("cannot watch for signals")?;
        let listener = DumpListener::open();
        if let Err(e) = &listener {
            warnings.add(format!(
                "`ctrace-rec dump` cannot reach this recorder: {e:#}; SIGUSR1 makes a dump too"
            ));
        }
        Ok(DumpControl {
            shared,
            after,
            listener: listener.ok(),
            signal,
            state: DumpState::Idle,
        })
    }

    /// Accepts a client of `ctrace-rec dump`, and returns who has waited longest.
    fn accept(&mut self) -> Option<Peer> {
        self.listener.as_mut()?.accept(self.after)
    }

    fn is_ending(&self, boot_ns: u64) -> bool {
        matches!(self.state, DumpState::Started(until_ns) if boot_ns >= until_ns)
    }

    fn poll(&mut self, boot_ns: u64, pipeline: &mut Pipeline) -> Vec<Notice> {
        let signal = self.signal.swap(false, Ordering::Relaxed);
        match self.state {
            DumpState::Idle => {
                let asked = self.accept();
                let time = pipeline.wall_ns();
                let request = |reason| DumpRequest { reason, time };
                let by_trigger = self.shared.take_trigger_request();
                let request = by_trigger
                    .or_else(|| Some(request(DumpReason::Command(asked?))))
                    .or_else(|| signal.then(|| request(DumpReason::Signal)));
                if let Some(request) = request {
                    pipeline.command(SinkCommand::Begin(request));
                    self.state =
                        DumpState::Started(boot_ns.saturating_add(self.after.as_nanos() as u64));
                }
            }
            DumpState::Started(until_ns) => {
                // Clients that connect now receive the result of this dump.
                self.accept();
                if boot_ns >= until_ns && !pipeline.has_command() {
                    let summary = pipeline.summary();
                    pipeline.command(SinkCommand::End(Box::new(summary)));
                    self.state = DumpState::Ending;
                }
            }
            DumpState::Ending => {}
        }
        self.notices()
    }

    /// Returns notices about dumps that have ended. Called once more after the recording has ended.
    fn notices(&mut self) -> Vec<Notice> {
        let mut notices = vec![];
        if let Some(text) = self.shared.take_warning() {
            notices.push(Notice {
                text,
                is_warning: true,
            });
        }
        if let Some(ended) = self.shared.take_ended() {
            self.state = DumpState::Idle;
            self.listener.iter_mut().for_each(|l| l.reply(&ended));
            notices.push(match ended {
                Ok(dump) => Notice {
                    text: format!(
                        "dumped {} events to {} ({}): {}",
                        count(dump.events),
                        dump.path.display(),
                        bytes(dump.bytes),
                        dump.request
                    ),
                    is_warning: false,
                },
                Err(e) => Notice {
                    text: format!("the ring cannot be dumped: {e:#}; the recording continues"),
                    is_warning: true,
                },
            });
        }
        notices
    }
}
