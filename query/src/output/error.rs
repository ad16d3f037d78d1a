//! Errors of writing an answer.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::errors;

/// The reason why an answer was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("{0}")]
    Io(String),
    #[error("this answer cannot be written as {format}")]
    Format {
        format: &'static str,
        source: ArrowError,
    },
    #[error("--format {0} is not for a terminal: add `--output FILE`, or pipe it into a program")]
    Binary(&'static str),
    #[error("--format parquet has no intervals: cast the column `{0}` to text, or to a number")]
    Interval(String),
    #[error("{}", errors::message(.0))]
    Query(DataFusionError),
}
