//! The function for times relative to the recording.

use std::sync::Arc;

use arrow::array::{AsArray, TimestampNanosecondArray};
use arrow::datatypes::Int64Type;
use datafusion::common::exec_err;
use datafusion::logical_expr::Expr;

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::{array, views};
use crate::source::parse_duration;

/// Defines `ago(span)`. [`super::expand()`] adds a second argument: the end of the recording, ns since 1970.
pub(crate) fn ago() -> ScalarFn {
    let takes = &[ArgType::Text, ArgType::Integer];
    ScalarFn::new("ago", takes, ResultType::Time, |args, rows| {
        let spans = views(&array(args, 0, rows)?)?;
        let ends = array(args, 1, rows)?;
        let mut times = Vec::with_capacity(rows);
        for (span, end) in spans.iter().zip(ends.as_primitive::<Int64Type>()) {
            let (Some(span), Some(end)) = (span, end) else {
                times.push(None);
                continue;
            };
            let span = match parse_duration(span) {
                Ok(span) => span,
                Err(error) => return exec_err!("{}", error.message(span)),
            };
            let span = i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
            // The earliest time that the type expresses is in 1677.
            let time = i128::from(end).saturating_sub(span);
            times.push(Some(i64::try_from(time).unwrap_or(i64::MIN)));
        }
        Ok(Arc::new(
            TimestampNanosecondArray::from(times).with_timezone("UTC"),
        ))
    })
    .column_name(|args| match args {
        [Expr::Literal(span, _), ..] => Some(format!("ago({span})")),
        _ => None,
    })
}
