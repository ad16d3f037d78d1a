//! Events as lines, each at the instant at which it is due.

use std::io::Write;
use std::pin::pin;

use arrow::array::{Array, AsArray, RecordBatch};
use ctrace_schema::human;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::time::{Instant, sleep_until};

use crate::engine::{Engine, QueryError};
use crate::messages;
use crate::output::{AnswerFormat, AnswerWriter, EventLines, LineFormat};
use crate::replay::pace::Pace;
use crate::replay::playing::Playing;
use crate::replay::window::STOP;

/// Plays events to stdout, until the last one, the event that passes the condition, or Ctrl-C. Returns whether all were played.
///
/// # Errors
/// A recording cannot be read, or stdout cannot be written.
pub(crate) async fn play_lines(engine: &Engine, playing: &Playing) -> anyhow::Result<bool> {
    let columns = format!("{}, {}", playing.format.columns(), playing.stop_column());
    let rows = engine
        .in_order(&columns, &playing.events.events(), playing.events.span)
        .await?;
    let mut lines = Lines {
        writer: AnswerWriter::stdout(match playing.format {
            LineFormat::Table => AnswerFormat::Table,
            LineFormat::Json => AnswerFormat::Ndjson,
        })?,
        pace: Pace::new(playing.speed, playing.idle),
        start: Instant::now(),
        left: playing.limit,
    };
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let ended = tokio::select! {
        // Ctrl-C is awaited first, so that its handler is installed before the first event.
        biased;
        _ = &mut interrupt => None,
        played = lines.play(rows, playing) => Some(played?),
    };
    lines.writer.finish()?;
    Ok(ended.is_some())
}

/// Writes lines at the instants at which they are due.
struct Lines {
    writer: AnswerWriter,
    pace: Pace,
    start: Instant,
    /// The number of events that may still be played.
    left: u64,
}

impl Lines {
    /// Plays all rows, up to the one at which the playback stops.
    ///
    /// # Errors
    /// The rows cannot be read, or the lines cannot be written.
    async fn play(
        &mut self,
        mut rows: SendableRecordBatchStream,
        playing: &Playing,
    ) -> anyhow::Result<()> {
        while self.left > 0
            && let Some(batch) = rows.next().await
        {
            let mut batch = batch.map_err(QueryError::from)?;
            let stop = stop_row(&batch);
            if let Ok(column) = batch.schema().index_of(STOP) {
                batch.remove_column(column);
            }
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let count = batch.num_rows().min(left);
            let count = stop.map_or(count, |row| count.min(row + 1));
            self.left -= count as u64;
            let lines = EventLines::new(
                &batch.slice(0, count),
                playing.format,
                &playing.architectures,
            )?;
            self.play_lines(&lines).await?;
            if stop.is_some_and(|row| row < count) {
                messages::status("stopped", "the last event passes --until-condition");
                break;
            }
        }
        Ok(())
    }

    async fn play_lines(&mut self, lines: &EventLines) -> anyhow::Result<()> {
        let mut written = 0;
        for line in 0..lines.len() {
            let due = self.pace.due(lines.time(line));
            if due.at <= self.start.elapsed() && due.shortened.is_none() {
                continue;
            }
            self.writer.write_all(lines.text(written, line))?;
            self.writer.flush()?;
            written = line;
            if let Some(pause) = due.shortened {
                let pause = human::duration(i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX));
                messages::status("idle", &format!("{pause} without events, shortened"));
            }
            // An instant that cannot be expressed never comes.
            match self.start.checked_add(due.at) {
                Some(instant) => sleep_until(instant).await,
                None => std::future::pending().await,
            }
        }
        self.writer.write_all(lines.text(written, lines.len()))?;
        self.writer.flush()?;
        Ok(())
    }
}

/// Returns the first row of a batch at which the playback stops.
fn stop_row(batch: &RecordBatch) -> Option<usize> {
    let stops = batch.column_by_name(STOP)?.as_boolean_opt()?;
    (0..stops.len()).find(|row| stops.is_valid(*row) && stops.value(*row))
}
