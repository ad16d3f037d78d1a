//! The rows of an answer, as text.

use std::collections::HashMap;
use std::str::FromStr;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

/// Rows of an answer as text; times are ns since 1970.
pub(crate) struct AnswerRows {
    columns: HashMap<String, StringArray>,
    pub(crate) count: usize,
}

impl AnswerRows {
    /// Takes the first `limit` rows of `batches`.
    ///
    /// # Errors
    /// A value cannot be cast to text.
    pub(crate) fn new(batches: &[RecordBatch], limit: usize) -> anyhow::Result<AnswerRows> {
        let Some(first) = batches.first() else {
            let columns = HashMap::new();
            return Ok(AnswerRows { columns, count: 0 });
        };
        let all = arrow::compute::concat_batches(&first.schema(), batches)?;
        let all = all.slice(0, all.num_rows().min(limit));
        let mut columns = HashMap::new();
        for (field, column) in all.schema().fields().iter().zip(all.columns()) {
            let column = match column.data_type() {
                DataType::Timestamp(..) => cast(column, &DataType::Int64)?,
                _ => column.clone(),
            };
            let text = cast(&column, &DataType::Utf8)?;
            columns.insert(field.name().clone(), text.as_string().clone());
        }
        let count = all.num_rows();
        Ok(AnswerRows { columns, count })
    }

    /// Returns the rows without a column.
    pub(crate) fn without(mut self, column: &str) -> AnswerRows {
        self.columns.remove(column);
        self
    }

    /// Returns whether the answer has a column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    /// Returns a value, if not null.
    pub(crate) fn text(&self, column: &str, row: usize) -> Option<&str> {
        let column = self.columns.get(column)?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// Returns a value as a number, if the value is one.
    pub(crate) fn number<T: FromStr>(&self, column: &str, row: usize) -> Option<T> {
        self.text(column, row)?.parse().ok()
    }

    /// Returns the values of some columns, by which the row is found in another answer.
    pub(crate) fn key(&self, columns: &[&str], row: usize) -> Vec<Option<String>> {
        let value = |column: &&str| self.text(column, row).map(str::to_string);
        columns.iter().map(value).collect()
    }

    /// Returns the name of a container on the page, with its host if the answer has one.
    pub(crate) fn container(&self, host: &str, container: &str, row: usize) -> Option<String> {
        let name = self.text(container, row)?;
        Some(match self.text(host, row) {
            Some(host) => format!("{host}/{name}"),
            None => name.to_string(),
        })
    }
}
