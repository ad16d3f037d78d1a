//! Copies events into a recording, and adds up what its metadata say about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use ctrace_format::names::FileFormat;
use ctrace_redact::Redactor;
use ctrace_schema::text::path_text;
use ctrace_schema::{human, meta};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use serde_json::json;

use crate::engine::{Engine, QueryError};
use crate::messages;
use crate::output::{CopyProgress, common_mode};
use crate::rewrite::metadata::{clocks, now};
use crate::rewrite::redaction::RowRedaction;
use crate::rewrite::target::{RecordingTarget, format_of};
use crate::source::{PRODUCER, RECORDING};

/// Reason of a gap: events were dropped to stay within `--max-cpu`.
const MAX_CPU: &str = "max-cpu";

/// Sums over the events that were copied.
#[derive(Debug, Default)]
struct Totals {
    rows: u64,
    /// Lost events by class, and those of them that were dropped to stay within `--max-cpu`.
    lost: BTreeMap<String, i64>,
    shed: BTreeMap<String, i64>,
    /// The files with at least one of the events, by the value of `recording`.
    files: BTreeSet<String>,
}

impl Totals {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let text = |name: &str| {
            let column = batch.column_by_name(name);
            column
                .map(|column| cast(column, &DataType::Utf8View))
                .transpose()
        };
        let mut last = String::new();
        if let Some(files) = text(RECORDING)? {
            for file in files.as_string_view().iter().flatten() {
                if file != last {
                    last = file.to_string();
                    self.files.insert(last.clone());
                }
            }
        }
        let (Some(kinds), Some(lost)) = (text("kind")?, batch.column_by_name("lost")) else {
            return Ok(());
        };
        let kinds = kinds.as_string_view();
        if !kinds.iter().any(|kind| kind == Some("gap")) {
            return Ok(());
        }
        let lost = cast(lost, &DataType::Int64)?;
        let lost = lost.as_primitive::<Int64Type>();
        let (classes, actions) = (text("class")?, text("action")?);
        for row in (0..batch.num_rows()).filter(|row| kinds.value(*row) == "gap") {
            let value = |column: &Option<arrow::array::ArrayRef>| {
                let column = column.as_ref()?.as_string_view();
                column.is_valid(row).then(|| column.value(row).to_string())
            };
            if lost.is_null(row) || lost.value(row) <= 0 {
                continue;
            }
            let class = value(&classes).unwrap_or_else(|| "other".into());
            let mut sums = vec![&mut self.lost];
            if value(&actions).as_deref() == Some(MAX_CPU) {
                sums.push(&mut self.shed);
            }
            for sum in sums {
                let sum = sum.entry(class.clone()).or_default();
                *sum = sum.saturating_add(lost.value(row));
            }
        }
        Ok(())
    }

    /// Returns the metadata about the events.
    fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = vec![
            (meta::KEY_EVENTS.to_string(), self.rows.to_string()),
            (meta::KEY_LOST.to_string(), json!(self.lost).to_string()),
        ];
        if !self.shed.is_empty() {
            pairs.push((meta::KEY_SHED.to_string(), json!(self.shed).to_string()));
        }
        pairs
    }
}

/// The file that is written.
pub(super) struct CopyTarget<'a> {
    pub(super) path: &'a Path,
    /// The format; `None`: as the extension says.
    pub(super) format: Option<FileFormat>,
    /// The rules by which texts are replaced.
    pub(super) redactor: Option<Arc<Redactor>>,
}

/// A recording that is made of the events of others.
pub(super) struct Copying<'a> {
    engine: &'a Engine,
    to: &'a Path,
    redaction: Option<RowRedaction>,
    /// The value of [`meta::KEY_REDACTED`] of recordings that were redacted before.
    redacted_before: Option<String>,
    target: RecordingTarget,
    totals: Totals,
    pub(super) progress: CopyProgress,
    /// The first and the last time of the events, ns since 1970 UTC.
    span: (i64, i64),
}

impl<'a> Copying<'a> {
    /// Creates the file `to` for events of a span of the recordings of `engine`. `known`: the metadata that are known already.
    ///
    /// # Errors
    /// A recording cannot be read, or the file cannot be created.
    pub(super) async fn begin(
        engine: &'a Engine,
        to: CopyTarget<'a>,
        span: (i64, i64),
        known: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Copying<'a>> {
        let format = format_of(to.path, to.format)?;
        let recordings = engine.recordings().await?;
        let mut pairs = recordings.part_metadata();
        pairs.extend(known);
        let clocks = clocks(recordings, span);
        pairs.extend(clocks.map(|clocks| (meta::KEY_CLOCKS.to_string(), clocks)));
        let redaction = to.redactor.map(RowRedaction::new);
        let mut redacted_before = None;
        if let Some(redaction) = &redaction {
            // What ran is known at the end.
            let before = pairs.iter().position(|(key, _)| key == meta::KEY_REDACTED);
            redacted_before = before.map(|i| pairs.remove(i).1);
            pairs = redaction.redactor().pairs(pairs);
        }
        let paths = recordings.files.iter().map(|file| file.path.as_path());
        Ok(Copying {
            engine,
            to: to.path,
            redaction,
            redacted_before,
            target: RecordingTarget::create(to.path, format, common_mode(paths), pairs)?,
            totals: Totals::default(),
            progress: CopyProgress::new(span),
            span,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.totals.add(batch)?;
        match &mut self.redaction {
            Some(redaction) => self.target.add(&redaction.rows(batch)?),
            None => self.target.add(batch),
        }
    }

    /// Copies rows, and shows the progress.
    ///
    /// # Errors
    /// The rows cannot be read, or the file cannot be written.
    pub(super) async fn copy(&mut self, mut rows: SendableRecordBatchStream) -> Result<()> {
        while let Some(batch) = self.progress.during(rows.next()).await {
            let batch = batch.map_err(QueryError::from)?;
            self.progress.add(batch.num_rows(), last_time(&batch)?);
            self.add(&batch)?;
        }
        Ok(())
    }

    /// Copies all rows, those that are older than the recordings first.
    ///
    /// # Errors
    /// The rows cannot be read, or the file cannot be written.
    pub(super) async fn copy_all(&mut self) -> Result<()> {
        let (engine, start) = (self.engine, self.span.0);
        let older = engine.in_slices("true", (i64::MIN, start.saturating_sub(1)));
        self.copy(older.await?).await?;
        self.end_alive_rows()?;
        let own = engine.in_slices("true", (start, i64::MAX));
        self.copy(own.await?).await
    }

    /// Ends the rows that are older than the recording: see [`RecordingTarget::end_alive_rows`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn end_alive_rows(&mut self) -> Result<()> {
        self.target.end_alive_rows()
    }

    /// Returns whether any of the rows so far is from the recording at `path`.
    pub(super) fn has_rows_of(&self, path: &Path) -> bool {
        self.totals.files.contains(&path.display().to_string())
    }

    /// Completes the file, with `pairs` of metadata about its origin, and says what was `done`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) async fn complete(self, done: &str, mut pairs: Vec<(String, String)>) -> Result<()> {
        pairs.extend(self.totals.pairs());
        if let Some(redaction) = &self.redaction {
            let redactor = redaction.redactor();
            pairs = redactor.pairs(pairs);
            let before = self.redacted_before.as_deref();
            let entry = redactor.entry(before, Some(redaction.values()), PRODUCER, now());
            pairs.push((meta::KEY_REDACTED.to_string(), entry));
        }
        pairs.push((meta::KEY_START.to_string(), self.span.0.to_string()));
        pairs.push((meta::KEY_END.to_string(), self.span.1.to_string()));
        let count = self.target.rows();
        let finishing = self.target.finish(self.engine.session(), pairs);
        self.progress.during(finishing).await?;
        self.progress.finish();
        let written = format!("{} events to {}", human::count(count), path_text(self.to));
        messages::status(done, &written);
        Ok(())
    }
}

/// Returns the time of the last row, which is among the latest ones, ns since 1970 UTC.
pub(super) fn last_time(batch: &RecordBatch) -> Result<i64> {
    let Some(times) = batch
        .column_by_name("time")
        .filter(|times| !times.is_empty())
    else {
        return Ok(i64::MIN);
    };
    let last = cast(&times.slice(times.len() - 1, 1), &DataType::Int64)?;
    Ok(last.as_primitive::<Int64Type>().value(0))
}
