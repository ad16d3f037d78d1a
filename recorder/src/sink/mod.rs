//! Where a recording goes.

pub mod full;
pub mod json;
pub mod parquet;
pub mod segments;
pub mod spill;
pub mod sqlite;
pub mod stdout;
pub mod strace;
pub mod summary;

use std::time::Duration;

use anyhow::Result;

use crate::rows::{Events, batch};
use crate::sink::summary::{DumpRequest, Summary};

/// Something that events are written to.
pub trait Sink: Send {
    /// How it wants them.
    fn wants(&self) -> BatchPolicy;

    /// Does what is due between batches: what it was given was whole ones.
    ///
    /// # Errors
    /// A file could not be ended.
    fn turn(&mut self, _: SinkCommand) -> Result<()> {
        Ok(())
    }

    /// Keeps rows that will come again in a whole batch.
    ///
    /// # Errors
    /// They cannot be written. What was written before is kept.
    fn keep(&mut self, _: &dyn Events) -> Result<()> {
        Ok(())
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// It cannot be written. What was written before is kept, and can be read. [`Full`]: it can be tried again.
    fn write(&mut self, columns: &dyn Events) -> Result<()>;

    /// Ends the output, and returns how many bytes it has.
    ///
    /// # Errors
    /// It cannot be written.
    fn finish(self: Box<Self>, summary: &Summary) -> Result<u64>;
}

/// How events are wanted.
#[derive(Clone, Copy, Debug)]
pub struct BatchPolicy {
    /// Rows at a time.
    pub rows: usize,
    /// How long rows may wait until there are so many; `None`: as long as that takes.
    pub patience: Option<Duration>,
    /// Whether rows that have waited so long are still wanted together with those that follow, rows of a thread and a call
    /// beside each other; until then they are given to [`Sink::keep`].
    pub gathers: bool,
    /// After how long a batch is to end, whatever it holds, with [`SinkCommand::Next`].
    pub turns_after: Option<Duration>,
}

impl BatchPolicy {
    /// Batches as they come, of so many rows at most.
    pub const fn batches(rows: usize, patience: Option<Duration>) -> BatchPolicy {
        BatchPolicy {
            rows,
            patience,
            gathers: false,
            turns_after: None,
        }
    }

    /// Lines that somebody watches.
    const LINES: BatchPolicy = BatchPolicy::batches(8192, Some(SHOWN_AFTER));

    /// Row groups.
    const GROUPS: BatchPolicy = BatchPolicy {
        gathers: true,
        ..BatchPolicy::batches(batch::ROWS_PER_BATCH, Some(KEPT_AFTER))
    };
}

/// How long rows wait until they are in a file, beside the time for which they are held while it is undecided whose they
/// are: together less than a second, which is what a kill may cost.
pub const KEPT_AFTER: Duration = Duration::from_millis(250);
/// How long rows wait that somebody watches.
const SHOWN_AFTER: Duration = Duration::from_millis(100);

/// What a sink does between two batches.
#[derive(Debug)]
pub enum SinkCommand {
    /// It goes on in another file, if it writes several.
    Next,
    /// It tries again what it could not write.
    Retry,
    /// It begins to write what it has in memory.
    Begin(DumpRequest),
    /// It ends that; what is known of the recording so far.
    End(Box<Summary>),
}
