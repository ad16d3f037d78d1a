//! Errors of a query.

use datafusion::error::DataFusionError;

use crate::engine::sql_error::SqlError;
use crate::errors;
use crate::source::SourceError;

/// The reason why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error("{0}")]
    Run(String),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        QueryError::Run(errors::message(&error))
    }
}
