//! Small answers in memory, for commands that run queries of their own.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::dataframe::DataFrame;

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
