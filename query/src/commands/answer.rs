//! Answers one statement: plans it, writes the answer to its destination, and warns of lost events.

use std::path::Path;

use anyhow::bail;
use arrow::array::RecordBatch;
use ctrace_schema::meta;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};

use crate::engine::Engine;
use crate::messages;
use crate::output::{self, AnswerDestination, AnswerFormat, OutputError, ScanProgress};

/// Runs one statement, and writes the answer. Returns the number of rows.
///
/// # Errors
/// The statement is wrong, a recording cannot be read, or the answer cannot be written.
pub(crate) async fn answer(
    engine: &Engine,
    sql: &str,
    format: AnswerFormat,
    to: AnswerDestination<'_>,
) -> anyhow::Result<usize> {
    let answer = engine.answer(sql).await?;
    if let AnswerDestination::File(path) = to {
        check_not_recording(engine, path)?;
    }
    let writer = to.open(format)?;
    let progress = ScanProgress::new(answer.plan());
    let mut metadata = answer.recording_metadata();
    let mut rows = answer.rows();
    if format == AnswerFormat::Parquet && !metadata.is_empty() {
        let alive = answer.alive_rows().await?;
        let count = alive.iter().map(RecordBatch::num_rows).sum::<usize>();
        if count > 0 {
            metadata.push((meta::KEY_ALIVE.to_string(), count.to_string()));
            let first = stream::iter(alive.into_iter().map(Ok));
            rows = Box::pin(RecordBatchStreamAdapter::new(
                rows.schema(),
                first.chain(rows),
            ));
        }
    }
    let written = output::write(rows, format, writer, metadata, progress).await;
    let was_read = written.is_ok() || output::is_closed_pipe();
    if was_read && let Some(losses) = answer.losses().await? {
        messages::warning(&losses.to_string());
    }
    written.map_err(|error| match error {
        OutputError::Query(cause) => answer.explain(&cause).into(),
        other => other.into(),
    })
}

/// Checks that an output file is not one of the recordings, which are read-only.
///
/// # Errors
/// `output` is a recording that is read.
pub(crate) fn check_not_recording(engine: &Engine, output: &Path) -> anyhow::Result<()> {
    let Ok(target) = output.canonicalize() else {
        return Ok(());
    };
    let files = engine.opened().map_or(&[][..], |r| &r.files);
    if files
        .iter()
        .any(|f| f.path.canonicalize().is_ok_and(|path| path == target))
    {
        bail!(
            "{} is the recording that is read: write to another file",
            output.display()
        );
    }
    Ok(())
}
