//! The answer to one statement.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use ctrace_schema::text::path_text;
use ctrace_schema::{columns, meta};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use serde_json::json;

use crate::engine::error::QueryError;
use crate::engine::losses::Losses;
use crate::engine::session::Engine;
use crate::errors;

/// The answer to one statement, planned and ready to run.
pub(crate) struct Answer<'a> {
    engine: &'a Engine,
    sql: &'a str,
    frame: DataFrame,
    plan: Arc<dyn ExecutionPlan>,
}

/// Number of batches that are computed ahead of the reader.
const PREFETCHED_BATCHES: usize = 2;

impl Engine {
    /// Plans one statement.
    ///
    /// # Errors
    /// The statement is wrong, or a recording cannot be read.
    pub(crate) async fn answer<'a>(&'a self, sql: &'a str) -> Result<Answer<'a>, QueryError> {
        let frame = self.plan(sql).await?;
        let plan = frame.clone().create_physical_plan().await;
        let plan = plan.map_err(|e| self.explain(sql, &e))?;
        Ok(Answer {
            engine: self,
            sql,
            frame,
            plan,
        })
    }
}

impl Answer<'_> {
    pub(crate) fn plan(&self) -> Arc<dyn ExecutionPlan> {
        self.plan.clone()
    }

    /// Runs the plan in another task, so that the reader of the rows can react to Ctrl-C during long steps.
    pub(crate) fn rows(&self) -> SendableRecordBatchStream {
        let (plan, ctx) = (self.plan.clone(), self.frame.task_ctx().into());
        let mut stream = RecordBatchReceiverStream::builder(plan.schema(), PREFETCHED_BATCHES);
        let sender = stream.tx();
        stream.spawn(async move {
            let mut rows = execute_stream(plan, ctx)?;
            while let Some(batch) = rows.next().await {
                // The reader is gone.
                if sender.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }

    /// Counts the lost events that may be missing in the answer.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn losses(&self) -> Result<Option<Losses>, QueryError> {
        Ok(self.engine.losses(&self.frame).await?)
    }

    /// Explains an error that occurred while the rows were read.
    pub(crate) fn explain(&self, error: &DataFusionError) -> QueryError {
        match is_damage(error) {
            true => QueryError::Run(format!(
                "{}: {}",
                self.damage_message(),
                errors::message(error)
            )),
            false => self.engine.explain(self.sql, error).into(),
        }
    }

    fn damage_message(&self) -> String {
        let files = self.engine.opened().map_or(&[][..], |r| &r.files);
        let name = match files {
            [one] => path_text(&one.path),
            several => format!("one of the {} recordings", several.len()),
        };
        format!(
            "{name} is damaged in a part that this query reads; other columns, and other times (--since, --until), may be intact"
        )
    }

    /// Returns the rows about live containers and processes with which a recording that consists of the answer begins.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn alive_rows(&self) -> Result<Vec<RecordBatch>, QueryError> {
        self.engine.alive_rows(&self.frame).await
    }

    /// Returns the metadata of a recording that consists of the answer: all pairs that are true of the whole recording
    /// and of each extract, and the number of missing parts of the whole recording, some of which may be missing in the
    /// extract. Empty if the answer is not a recording, because it lacks a column.
    pub(crate) fn recording_metadata(&self) -> Vec<(String, String)> {
        let schema = self.frame.schema();
        let has = |column: &columns::Column| schema.has_column_with_unqualified_name(column.name);
        let opened = self.engine.opened();
        let Some(recordings) = opened.filter(|_| columns::COLUMNS.iter().all(has)) else {
            return Vec::new();
        };
        let mut pairs = recordings.part_metadata();
        pairs.extend(recordings.common_pairs(&[
            meta::KEY_FILTERS,
            meta::KEY_CLOCKS,
            meta::KEY_DUMP,
        ]));
        let from = recordings.files.iter().map(|file| {
            json!({ "name": file.path.display().to_string(), "sha256": file.meta.get(meta::KEY_DIGEST) })
        });
        let cut = json!({ "from": from.collect::<Vec<_>>(), "sql": self.sql });
        pairs.push((meta::KEY_CUT.to_string(), cut.to_string()));
        pairs
    }
}

/// Returns whether an error was caused by the content of a recording.
fn is_damage(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ParquetError(_) => true,
        DataFusionError::ArrowError(error, _) => matches!(**error, ArrowError::ParquetError(_)),
        _ => false,
    }
}
