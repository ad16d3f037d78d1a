//! The outputs of a recording: the trait [`Sink`], and a file or folder for each format.
//!
//! The encoder thread owns one sink, and passes every complete batch to [`Sink::write`]. Batches that fill slowly go
//! to [`Sink::journal`] in parts first, so that a kill of the recorder costs less than a second of events. `spill/` wraps
//! another sink and keeps events in memory while the disk is full.

pub(crate) mod alive;
pub(crate) mod full;
pub(crate) mod json;
pub(crate) mod parquet;
pub(crate) mod proof;
pub(crate) mod redacting;
pub(crate) mod segments;
pub(crate) mod spill;
pub(crate) mod sqlite;
pub(crate) mod stdout;
pub(crate) mod strace;
pub(crate) mod summary;

use std::time::Duration;

use anyhow::Result;
use ctrace_schema::BATCH_ROWS;

use crate::rows::Events;
use crate::sink::summary::{DumpRequest, Summary};

/// An output that events are written to.
pub(crate) trait Sink: Send {
    /// Returns how this sink wants its rows to be batched.
    fn batch_policy(&self) -> BatchPolicy;

    /// Writes the rows about live containers and processes, which are older than the file, as the first rows of the
    /// file.
    ///
    /// # Errors
    /// As [`Sink::write`].
    fn begin(&mut self, alive: &dyn Events) -> Result<()> {
        self.write(alive)
    }

    /// Executes a command between two batches: all earlier rows were passed to [`Sink::write`] in complete batches.
    ///
    /// # Errors
    /// A file could not be finished.
    fn command(&mut self, _: SinkCommand) -> Result<()> {
        Ok(())
    }

    /// Writes rows to the journal before their batch is complete. The same rows come again in [`Sink::write`].
    ///
    /// # Errors
    /// The rows cannot be written. Rows written earlier are safe.
    fn journal(&mut self, _: &dyn Events) -> Result<()> {
        Ok(())
    }

    /// Writes the rows of a complete batch.
    ///
    /// # Errors
    /// The rows cannot be written. Rows written earlier are safe and can be read. After a [`full::DiskFull`] the same
    /// call can be repeated.
    fn write(&mut self, columns: &dyn Events) -> Result<()>;

    /// Finishes the output, and returns its size in bytes.
    ///
    /// # Errors
    /// The output cannot be written.
    fn finish(self: Box<Self>, summary: &Summary) -> Result<u64>;
}

/// The size of batches, and the time after which rows go to the sink although their batch is not full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchPolicy {
    pub(crate) max_rows: usize,
    /// The longest time that rows wait for their batch to fill; `None`: as long as it takes.
    pub(crate) max_wait: Option<Duration>,
    /// True if rows that waited `max_wait` go to the journal ([`Sink::journal`]) first and are written again when the
    /// batch is full, with the rows of a thread and a call beside each other. Otherwise the batch ends after
    /// `max_wait`.
    pub(crate) regroups: bool,
    /// The time after which a batch ends, full or not, followed by [`SinkCommand::Next`].
    pub(crate) command_after: Option<Duration>,
}

impl BatchPolicy {
    /// Creates a policy for batches that are written once, in the order of their rows.
    pub(crate) const fn batches(max_rows: usize, max_wait: Option<Duration>) -> BatchPolicy {
        BatchPolicy {
            max_rows,
            max_wait,
            regroups: false,
            command_after: None,
        }
    }

    /// Lines on stdout that someone watches.
    const LINES: BatchPolicy = BatchPolicy::batches(8192, Some(PRINT_AFTER));

    /// Row groups of a Parquet file.
    const GROUPS: BatchPolicy = BatchPolicy {
        regroups: true,
        ..BatchPolicy::batches(BATCH_ROWS, Some(WRITE_AFTER))
    };
}

/// The time after which rows are written to a file or its journal. Together with the time that rows are held while
/// their container is undecided it is less than a second, the most that a kill of the recorder may cost.
pub(crate) const WRITE_AFTER: Duration = Duration::from_millis(250);
/// The time after which rows are printed.
const PRINT_AFTER: Duration = Duration::from_millis(100);

/// A request to a sink, executed between two batches.
#[derive(Debug)]
pub(crate) enum SinkCommand {
    /// Continues in the next file, if the sink writes several.
    Next,
    /// Retries rows that could not be written.
    Retry,
    /// Begins a dump of the rows in memory.
    Begin(DumpRequest),
    /// Ends the dump, with the summary of the recording so far.
    End(Box<Summary>),
}
