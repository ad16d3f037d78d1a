//! Small answers in memory, for commands that run queries of their own.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::runtime::SpawnedTask;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;

use crate::engine::error::QueryError;
use crate::engine::session::Engine;

impl Engine {
    /// Returns the plan and the rows of the answer to one statement.
    ///
    /// # Errors
    /// The statement is wrong, or a recording cannot be read.
    pub(crate) async fn collect(
        &self,
        sql: &str,
    ) -> Result<(DataFrame, Vec<RecordBatch>), QueryError> {
        let frame = self.plan(sql).await?;
        let batches = frame.clone().collect().await?;
        Ok((frame, batches))
    }

    /// Returns the rows of the answer to one statement, which another task computes: the task of the caller can do something else
    /// meanwhile. If the future is dropped, the computation ends.
    ///
    /// # Errors
    /// The statement is wrong, or a recording cannot be read.
    pub(crate) async fn collect_apart(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        let frame = self.plan(sql).await?;
        Ok(apart(frame.collect()).await?)
    }

    /// Returns the values of the first column of an answer as text, without nulls.
    ///
    /// # Errors
    /// The statement is wrong, or a recording cannot be read.
    pub(crate) async fn first_column(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let (_, batches) = self.collect(sql).await?;
        let mut texts = Vec::new();
        for batch in &batches {
            let column = cast(batch.column(0), &DataType::Utf8)?;
            texts.extend(column.as_string::<i32>().iter().flatten().map(String::from));
        }
        Ok(texts)
    }
}

/// Waits for `work`, which another task does. If the future is dropped, the work ends.
///
/// # Errors
/// The errors of the work; or the work panicked.
pub(super) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, DataFusionError>> + Send + 'static,
) -> Result<T, DataFusionError> {
    let done = SpawnedTask::spawn(work).await;
    done.unwrap_or_else(|error| Err(DataFusionError::External(error.into())))
}
