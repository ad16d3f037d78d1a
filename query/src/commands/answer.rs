//! Answers one statement: plans it, writes the answer to its destination, and warns of lost events.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use arrow::array::RecordBatch;
use ctrace_schema::meta;
use ctrace_schema::text::path_text;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::physical_plan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};

use crate::engine::{Engine, QueryError};
use crate::messages;
use crate::output::{
    self, AnswerDestination, AnswerFormat, OutputError, ScanProgress, common_mode,
};
use crate::source;

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
    let to = with_mode(engine, to)?;
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

/// Returns the plan and the rows of the answer to one statement, and shows the progress meanwhile.
///
/// # Errors
/// The statement is wrong, or a recording cannot be read.
pub(super) async fn collect(
    engine: &Engine,
    sql: &str,
) -> Result<(DataFrame, Vec<RecordBatch>), QueryError> {
    let frame = engine.plan(sql).await?;
    let explained = |error: DataFusionError| QueryError::from(engine.explain(sql, &error));
    let plan = frame.clone().create_physical_plan().await;
    let plan = plan.map_err(explained)?;
    let progress = ScanProgress::new(plan.clone());
    let rows = physical_plan::collect(plan, Arc::new(frame.task_ctx()));
    let rows = match progress {
        Some(progress) => progress.during(rows).await,
        None => rows.await,
    };
    Ok((frame, rows.map_err(explained)?))
}

/// Returns the destination with the permissions that a file with contents of the recordings gets.
///
/// # Errors
/// The file is a recording that is read.
pub(crate) fn with_mode<'a>(
    engine: &Engine,
    to: AnswerDestination<'a>,
) -> anyhow::Result<AnswerDestination<'a>> {
    let AnswerDestination::File(path, _) = to else {
        return Ok(to);
    };
    check_not_read(engine, path)?;
    let files = engine.opened().map_or(&[][..], |r| &r.files);
    let mode = common_mode(files.iter().map(|file| file.path.as_path()));
    Ok(AnswerDestination::File(path, mode))
}

/// Checks that an output file is no recording, which only `--force` replaces.
///
/// # Errors
/// The file is a recording, or a damaged one.
pub(crate) async fn check_replaceable(
    engine: &Engine,
    output: &Path,
    force: bool,
) -> anyhow::Result<()> {
    if !force && output.is_file() && source::is_recording(engine.session(), output).await {
        if engine.recordings().await.is_ok() {
            check_not_read(engine, output)?;
        }
        bail!(
            "{} is a recording: add --force to replace it, or choose another name",
            path_text(output)
        );
    }
    Ok(())
}

/// Checks that an output file is not one of the recordings that are read.
pub(super) fn check_not_read(engine: &Engine, output: &Path) -> anyhow::Result<()> {
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
            path_text(output)
        );
    }
    Ok(())
}
