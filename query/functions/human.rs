//! Numbers as people read them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::Float64Type;
use ctrace_schema::human;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use super::scalar::{Gives, Scalar, Takes};
use super::values::array;

/// `human_bytes(n)`.
pub fn human_bytes() -> Scalar {
    Scalar::new(
        "human_bytes",
        &[Takes::Number],
        Gives::Text,
        |args, rows| {
            each_number(args, rows, |n| match n < 0.0 {
                true => format!("-{}", human::bytes(-n as u64)),
                false => human::bytes(n as u64),
            })
        },
    )
}

/// `human_duration(ns)`.
pub fn human_duration() -> Scalar {
    Scalar::new(
        "human_duration",
        &[Takes::Number],
        Gives::Text,
        |args, rows| each_number(args, rows, |ns| human::duration(ns as i64)),
    )
}

fn each_number(args: &[ColumnarValue], rows: usize, f: fn(f64) -> String) -> Result<ArrayRef> {
    let numbers = array(args, 0, rows)?;
    let texts = numbers
        .as_primitive::<Float64Type>()
        .iter()
        .map(|n| n.map(f));
    Ok(Arc::new(texts.collect::<StringViewArray>()))
}
