//! Plain messages from DataFusion's errors.

use datafusion::common::{DataFusionError, Diagnostic};

/// Returns the error inside contexts, collections and shared errors, and stores the innermost diagnostic on the way.
pub(crate) fn root<'a>(
    error: &'a DataFusionError,
    diagnostic: &mut Option<&'a Diagnostic>,
) -> &'a DataFusionError {
    match error {
        DataFusionError::Context(_, inner) => root(inner, diagnostic),
        DataFusionError::Shared(inner) => root(inner, diagnostic),
        DataFusionError::Diagnostic(found, inner) => {
            *diagnostic = Some(found);
            root(inner, diagnostic)
        }
        DataFusionError::Collection(errors) if !errors.is_empty() => root(&errors[0], diagnostic),
        other => other,
    }
}

/// Returns the message of an error without the name of the stage that failed.
pub(crate) fn message(error: &DataFusionError) -> String {
    let mut diagnostic = None;
    match root(error, &mut diagnostic) {
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::ResourcesExhausted(text) => text.clone(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::ParquetError(error) => error.to_string(),
        other => other.strip_backtrace(),
    }
}
