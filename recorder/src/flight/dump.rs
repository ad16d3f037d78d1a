//! Writing the ring out: in a thread of its own, while the recording goes on.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::flight::shared::{Dumped, FlightShared};
use crate::ring::frame::{Frame, read_frames};
use crate::rows::Events;
use crate::rows::single::SingleRows;
use crate::sink::Sink;
use crate::sink::summary::{DumpRequest, Summary};

/// Rows that are written together at most.
const ROWS: usize = 131_072;
/// How long frames wait for more that are to be written with them.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file that a dump goes into.
pub(crate) struct StartedDump {
    /// What writes it.
    pub(crate) sink: Box<dyn Sink>,
    /// Where it is when it is finished.
    pub(crate) path: PathBuf,
    /// To be called when it is finished.
    pub(crate) end: Box<dyn FnOnce() -> Result<()> + Send>,
}

/// Begins a file.
pub(crate) type OpenDump = Box<dyn FnMut(&DumpRequest) -> Result<StartedDump> + Send>;

/// A dump that is being written.
pub(crate) struct Dump {
    parts: Sender<DumpMessage>,
    thread: JoinHandle<()>,
}

enum DumpMessage {
    Rows(SingleRows),
    Frames(Vec<Arc<Frame>>),
    End(Box<Summary>),
}

impl Dump {
    /// Begins one in `begun`, and tells `shared` what becomes of it. Rows that take no more than `most` bytes are in memory
    /// at a time.
    ///
    /// # Errors
    /// There is no thread.
    pub(crate) fn begin(
        begun: StartedDump,
        why: DumpRequest,
        most: usize,
        shared: Arc<FlightShared>,
    ) -> Result<Dump> {
        let (parts, waiting) = channel();
        let thread = std::thread::Builder::new()
            .name("dump".to_string())
            .spawn(move || shared.ended(run(&waiting, begun, why, most)))
            .context("cannot start a thread")?;
        Ok(Dump { parts, thread })
    }

    /// Adds rows that are no ring's: what was there before, and what is missing.
    pub(crate) fn lines(&self, lines: SingleRows) {
        self.send(DumpMessage::Rows(lines));
    }

    /// Adds frames.
    pub(crate) fn frames(&self, frames: Vec<Arc<Frame>>) {
        self.send(DumpMessage::Frames(frames));
    }

    /// Has it finished. `summary` says what is known beside its rows.
    pub(crate) fn end(&self, summary: &Summary) {
        self.send(DumpMessage::End(Box::new(summary.clone())));
    }

    fn send(&self, message: DumpMessage) {
        // Where it has failed, it has said so.
        let _ = self.parts.send(message);
    }

    /// Whether something is still being written.
    pub(crate) fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits until it is.
    pub(crate) fn join(self) {
        drop(self.parts);
        let _ = self.thread.join();
    }
}

/// What has come and is not written.
struct DumpWriter {
    sink: Box<dyn Sink>,
    summary: Summary,
    frames: VecDeque<Arc<Frame>>,
    rows: usize,
    most: usize,
}

fn run(
    waiting: &Receiver<DumpMessage>,
    begun: StartedDump,
    why: DumpRequest,
    most: usize,
) -> Result<Dumped> {
    let StartedDump { sink, path, end } = begun;
    let mut writer = DumpWriter {
        rows: sink.batch_policy().max_rows.min(ROWS),
        sink,
        summary: Summary::default(),
        frames: VecDeque::new(),
        most,
    };
    let summary = loop {
        match waiting.recv_timeout(PATIENCE) {
            Ok(DumpMessage::Rows(lines)) => writer.lines(&lines)?,
            Ok(DumpMessage::Frames(frames)) => {
                writer.frames.extend(frames);
                writer.write(false)?;
            }
            Ok(DumpMessage::End(summary)) => break *summary,
            Err(RecvTimeoutError::Timeout) => writer.write(true)?,
            Err(RecvTimeoutError::Disconnected) => break Summary::default(),
        }
    };
    writer.write(true)?;
    let counted = summary.with_counts_of(writer.summary, &why);
    let bytes = writer.sink.finish(&counted)?;
    end()?;
    Ok(Dumped {
        path,
        events: counted.events,
        bytes,
        why,
    })
}

impl DumpWriter {
    fn lines(&mut self, lines: &SingleRows) -> Result<()> {
        if lines.rows() > 0 {
            self.sink.write(lines)?;
            // When they began says nothing of when the dump does.
            self.summary.count(lines, false);
        }
        Ok(())
    }

    /// Writes the frames that are enough for a row group; `all`: also if they are not.
    fn write(&mut self, all: bool) -> Result<()> {
        loop {
            let (mut rows, mut bytes, mut count) = (0, 0, 0);
            for frame in &self.frames {
                (rows, bytes) = (rows + frame.rows, bytes + frame.unpacked);
                if count > 0 && (rows > self.rows || bytes > self.most) {
                    break;
                }
                count += 1;
            }
            if count == 0 || count == self.frames.len() && !all {
                return Ok(());
            }
            let mut group: Vec<_> = self.frames.drain(..count).collect();
            // Rows of a container stand together.
            group.sort_by(|a, b| a.owner.container_id.cmp(&b.owner.container_id));
            let kept = read_frames(&group)?;
            drop(group);
            self.sink.write(&kept)?;
            self.summary.count(&kept, true);
        }
    }
}
