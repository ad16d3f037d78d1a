//! Answers one statement: plans it, writes the answer where it should go, and warns of what it may lack.

use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use arrow::error::ArrowError;
use ctrace_schema::{columns, meta};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;

use crate::cli::Format;
use crate::engine::{AskError, Engine};
use crate::engine::losses;
use crate::output::{self, OutputError, Sink, say};
use crate::output::progress::Progress;
use crate::engine::sql_error::plain;

/// Where an answer goes.
#[derive(Clone, Copy, Debug)]
pub enum To<'a> {
    Stdout,
    /// Stdout, through a pager where the answer is longer than the terminal.
    Screen,
    /// A file that appears when it is whole.
    File(&'a Path),
}

impl To<'_> {
    /// Opens it for an answer.
    ///
    /// # Errors
    /// As [`Sink::stdout`] and [`Sink::file`].
    pub fn open(self, format: Format) -> Result<Sink, OutputError> {
        match self {
            To::Stdout => Sink::stdout(format),
            To::Screen => Sink::screen(format),
            To::File(path) => Sink::file(path),
        }
    }
}

/// Runs one statement, writes its answer, and warns of what it may lack. Returns the number of rows.
///
/// # Errors
/// What is wrong with the statement or the recordings, or that the answer cannot be written.
pub async fn answer(
    engine: &Engine,
    sql: &str,
    format: Format,
    to: To<'_>,
) -> anyhow::Result<usize> {
    let frame = engine.plan(sql).await?;
    if let To::File(path) = to {
        spare_recordings(engine, path)?;
    }
    let meta = part_meta(engine, &frame);
    let plan = frame.clone().create_physical_plan().await;
    let plan = plan.map_err(|e| engine.explain(sql, &e))?;
    let sink = to.open(format)?;
    let rows = rows_of(plan.clone(), frame.task_ctx().into());
    let written = output::write(rows, format, sink, meta, Progress::of(plan)).await;
    let read = written.is_ok() || output::is_closed_pipe();
    if read && let Some(losses) = losses::of(engine, &frame).await.map_err(AskError::from)? {
        say("warning", &losses.to_string());
    }
    written.map_err(|error| match error {
        OutputError::Query(cause) if is_damage(&cause) => {
            anyhow!("{}: {}", damaged(engine), plain(&cause))
        }
        OutputError::Query(cause) => engine.explain(sql, &cause).into(),
        other => other.into(),
    })
}

/// Batches that are ready before they are asked for.
const READY: usize = 2;

/// The rows of a plan. Another thread works on it: the one that waits for them sees Ctrl-C, however long a step takes.
fn rows_of(plan: Arc<dyn ExecutionPlan>, ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
    let mut ready = RecordBatchReceiverStream::builder(plan.schema(), READY);
    let send = ready.tx();
    ready.spawn(async move {
        let mut rows = execute_stream(plan, ctx)?;
        while let Some(batch) = rows.next().await {
            // Nobody waits any more.
            if send.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    ready.build()
}

/// Whether an answer broke off because of what stands in a recording.
fn is_damage(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ParquetError(_) => true,
        DataFusionError::ArrowError(error, _) => matches!(**error, ArrowError::ParquetError(_)),
        _ => false,
    }
}

/// What is to be said of recordings of which a part cannot be read.
fn damaged(engine: &Engine) -> String {
    let files = engine.opened().map_or(&[][..], |r| &r.files);
    let what = match files {
        [one] => one.path.display().to_string(),
        several => format!("one of the {} recordings", several.len()),
    };
    format!(
        "{what} is damaged where this question reads it; other columns, and other times (--since, --until), may be whole"
    )
}

/// A recording is read-only: `--output` does not replace it.
///
/// # Errors
/// That `output` is one that is read.
pub fn spare_recordings(engine: &Engine, output: &Path) -> anyhow::Result<()> {
    let Ok(target) = output.canonicalize() else {
        return Ok(());
    };
    let files = engine
        .opened()
        .map(|r| r.files.as_slice())
        .unwrap_or_default();
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

/// What a part of a recording says about itself: all that is true of the whole and of each part.
fn part_meta(engine: &Engine, frame: &DataFrame) -> Vec<(String, String)> {
    let has =
        |column: &columns::Column| frame.schema().has_column_with_unqualified_name(column.name);
    let Some(recordings) = engine.opened().filter(|_| columns::COLUMNS.iter().all(has)) else {
        return Vec::new();
    };
    let (major, minor) = meta::SCHEMA_VERSION;
    let mut pairs = vec![
        (meta::KEY_SCHEMA.to_string(), format!("{major}.{minor}")),
        (
            meta::KEY_PRODUCER.to_string(),
            concat!("ctrace-query ", env!("CARGO_PKG_VERSION")).to_string(),
        ),
    ];
    let keys = [
        meta::KEY_HOST,
        meta::KEY_BOOT_ID,
        meta::KEY_KERNEL,
        meta::KEY_ARCH,
        meta::KEY_FILTERS,
    ];
    for key in keys.iter().chain([&meta::KEY_CLOCKS]) {
        let mut values = recordings.files.iter().map(|f| f.meta.get(*key));
        // Recordings of several machines have no one host.
        if let Some(Some(first)) = values.next()
            && values.all(|v| v == Some(first))
        {
            pairs.push((key.to_string(), first.clone()));
        }
    }
    pairs
}
