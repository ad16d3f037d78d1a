//! Functions that format numbers for people.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::{DataType, DurationNanosecondType, Float64Type, IntervalMonthDayNanoType};
use ctrace_schema::human;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::array;

/// Defines `human_bytes(n)`.
pub(crate) fn human_bytes() -> ScalarFn {
    let takes = &[ArgType::Number];
    ScalarFn::new("human_bytes", takes, ResultType::Text, |args, rows| {
        let numbers = array(args, 0, rows)?;
        let numbers = numbers.as_primitive::<Float64Type>().iter();
        texts(numbers.map(|n| n.map(human::bytes_of)))
    })
}

/// Defines `human_duration(ns)`, also of an interval.
pub(crate) fn human_duration() -> ScalarFn {
    let takes = &[ArgType::NumberOrInterval];
    ScalarFn::new("human_duration", takes, ResultType::Text, durations)
}

fn durations(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    const DAY: i64 = 86_400_000_000_000;
    let spans = array(args, 0, rows)?;
    match spans.data_type() {
        DataType::Duration(_) => {
            let spans = spans.as_primitive::<DurationNanosecondType>().iter();
            texts(spans.map(|ns| ns.map(human::duration)))
        }
        DataType::Interval(_) => {
            let spans = spans.as_primitive::<IntervalMonthDayNanoType>().iter();
            texts(spans.map(|span| {
                // A month counts as 30 days.
                let days = span.map(|s| i64::from(s.months) * 30 + i64::from(s.days));
                let ns = days?.saturating_mul(DAY).saturating_add(span?.nanoseconds);
                Some(human::duration(ns))
            }))
        }
        _ => {
            let spans = spans.as_primitive::<Float64Type>().iter();
            texts(spans.map(|ns| ns.map(duration)))
        }
    }
}

/// Formats a short duration with a fraction, such as a mean, with one decimal.
fn duration(ns: f64) -> String {
    match ns.abs() < 1e3 && ns.fract() != 0.0 {
        true => format!("{ns:.1}ns"),
        false => human::duration(ns as i64),
    }
}

fn texts(texts: impl Iterator<Item = Option<String>>) -> Result<ArrayRef> {
    Ok(Arc::new(texts.collect::<StringViewArray>()))
}
