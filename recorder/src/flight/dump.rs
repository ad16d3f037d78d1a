//! A dump: writes the frames of the ring to a file, in a thread of its own, while the recording continues.

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

/// Maximum number of rows in a batch that is written to the sink.
const MAX_ROWS: usize = 131_072;
/// Time without new frames after which the remaining frames are written, even if they do not fill a batch.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file that was created for a dump.
pub(crate) struct StartedDump {
    pub(crate) sink: Box<dyn Sink>,
    /// Path of the finished file.
    pub(crate) path: PathBuf,
    /// Called after the sink has finished: renames the file to `path` if necessary.
    pub(crate) on_finished: Box<dyn FnOnce() -> Result<()> + Send>,
}

/// Function that creates the file of a dump. The argument is the number of rows about live containers and processes at
/// the beginning.
pub(crate) type OpenDump = Box<dyn FnMut(&DumpRequest, u64) -> Result<StartedDump> + Send>;

/// A dump that is being written.
pub(crate) struct Dump {
    messages: Sender<DumpMessage>,
    thread: JoinHandle<()>,
}

enum DumpMessage {
    Alive(SingleRows),
    Rows(SingleRows),
    Frames(Vec<Arc<Frame>>),
    /// The dump ends. The summary describes the recording except for its rows.
    End(Box<Summary>),
}

impl Dump {
    /// Starts a thread that writes to the file `started`, with at most `max_unpacked_bytes` of decompressed rows in
    /// memory, and reports the result to `shared`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn begin(
        started: StartedDump,
        request: DumpRequest,
        max_unpacked_bytes: usize,
        shared: Arc<FlightShared>,
    ) -> Result<Dump> {
        let (messages, received) = channel();
        let thread = std::thread::Builder::new()
            .name("dump".to_string())
            .spawn(move || {
                shared.report_ended(run(&received, started, request, max_unpacked_bytes))
            })
            .context("cannot start a thread")?;
        Ok(Dump { messages, thread })
    }

    /// Adds the rows about live containers and processes, before all others.
    pub(crate) fn add_alive(&self, rows: SingleRows) {
        self.send(DumpMessage::Alive(rows));
    }

    /// Adds gap rows.
    pub(crate) fn add_rows(&self, rows: SingleRows) {
        self.send(DumpMessage::Rows(rows));
    }

    pub(crate) fn add_frames(&self, frames: Vec<Arc<Frame>>) {
        self.send(DumpMessage::Frames(frames));
    }

    /// Ends the dump. `summary` describes the recording; its counts of rows are replaced by those of the dump.
    pub(crate) fn end(&self, summary: &Summary) {
        self.send(DumpMessage::End(Box::new(summary.clone())));
    }

    fn send(&self, message: DumpMessage) {
        // A dump that failed has reported its error.
        let _ = self.messages.send(message);
    }

    /// Returns whether the dump is still being written.
    pub(crate) fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits until the dump is finished.
    pub(crate) fn join(self) {
        drop(self.messages);
        let _ = self.thread.join();
    }
}

/// The dump thread's sink, and the frames that are not written yet.
struct DumpWriter {
    sink: Box<dyn Sink>,
    summary: Summary,
    pending: VecDeque<Arc<Frame>>,
    max_rows: usize,
    max_unpacked_bytes: usize,
}

fn run(
    messages: &Receiver<DumpMessage>,
    started: StartedDump,
    request: DumpRequest,
    max_unpacked_bytes: usize,
) -> Result<Dumped> {
    let StartedDump {
        sink,
        path,
        on_finished,
    } = started;
    let mut writer = DumpWriter {
        max_rows: sink.batch_policy().max_rows.min(MAX_ROWS),
        sink,
        summary: Summary::default(),
        pending: VecDeque::new(),
        max_unpacked_bytes,
    };
    let summary = loop {
        match messages.recv_timeout(PATIENCE) {
            Ok(DumpMessage::Alive(rows)) => writer.write_alive(&rows)?,
            Ok(DumpMessage::Rows(rows)) => writer.write_rows(&rows)?,
            Ok(DumpMessage::Frames(frames)) => {
                writer.pending.extend(frames);
                writer.write_frames(false)?;
            }
            Ok(DumpMessage::End(summary)) => break *summary,
            Err(RecvTimeoutError::Timeout) => writer.write_frames(true)?,
            Err(RecvTimeoutError::Disconnected) => break Summary::default(),
        }
    };
    writer.write_frames(true)?;
    let counted = summary.with_counts_of(writer.summary, &request);
    let bytes = writer.sink.finish(&counted)?;
    on_finished()?;
    Ok(Dumped {
        path,
        events: counted.events,
        bytes,
        request,
    })
}

impl DumpWriter {
    fn write_alive(&mut self, rows: &SingleRows) -> Result<()> {
        if rows.rows() > 0 {
            self.sink.begin(rows)?;
            self.summary.count_alive(rows);
        }
        Ok(())
    }

    fn write_rows(&mut self, rows: &SingleRows) -> Result<()> {
        if rows.rows() > 0 {
            self.sink.write(rows)?;
            // The times of these rows are older than the start of the dump.
            self.summary.count(rows, false);
        }
        Ok(())
    }

    /// Writes the pending frames in batches of up to `max_rows` rows; with `all`, also the last batch if it is not
    /// full.
    fn write_frames(&mut self, all: bool) -> Result<()> {
        loop {
            let (mut rows, mut unpacked_bytes, mut count) = (0, 0, 0);
            for frame in &self.pending {
                rows += frame.rows;
                unpacked_bytes += frame.unpacked_bytes;
                if count > 0 && (rows > self.max_rows || unpacked_bytes > self.max_unpacked_bytes) {
                    break;
                }
                count += 1;
            }
            if count == 0 || count == self.pending.len() && !all {
                return Ok(());
            }
            let mut group: Vec<_> = self.pending.drain(..count).collect();
            // Rows of one container are adjacent in the file.
            group.sort_by(|a, b| a.owner.container_id.cmp(&b.owner.container_id));
            let rows = read_frames(&group)?;
            drop(group);
            self.sink.write(&rows)?;
            self.summary.count(&rows, true);
        }
    }
}
