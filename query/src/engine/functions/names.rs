//! Functions that name errnos and signals.

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::{DataType, Int64Type};
use ctrace_schema::{errno, strace};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::{array, each_text};

/// Defines `errno_name(n)`.
pub(crate) fn errno_name() -> ScalarFn {
    ScalarFn::new(
        "errno_name",
        &[ArgType::Integer],
        ResultType::Text,
        |args, rows| each_errno(&array(args, 0, rows)?, errno::name),
    )
}

/// Defines `errno_text(n or name)`.
pub(crate) fn errno_text() -> ScalarFn {
    ScalarFn::new(
        "errno_text",
        &[ArgType::IntegerOrText],
        ResultType::Text,
        text,
    )
}

/// Defines `signal_name(n)`.
pub(crate) fn signal_name() -> ScalarFn {
    ScalarFn::new(
        "signal_name",
        &[ArgType::Integer],
        ResultType::Text,
        |args, rows| {
            let numbers = array(args, 0, rows)?;
            let names = numbers.as_primitive::<Int64Type>().iter();
            let names = names.map(|n| n.map(strace::signal).filter(|n| n.starts_with("SIG")));
            Ok(std::sync::Arc::new(names.collect::<StringViewArray>()))
        },
    )
}

fn text(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let errnos = array(args, 0, rows)?;
    match errnos.data_type() {
        DataType::Int64 => each_errno(&errnos, errno::text),
        _ => each_text::<_, StringViewArray>(&errnos, |name| {
            errno::number(name).and_then(errno::text)
        }),
    }
}

/// Accepts both signs, because a failed call returns the negative errno.
fn each_errno(errnos: &ArrayRef, f: fn(i32) -> Option<&'static str>) -> Result<ArrayRef> {
    let name = |n: Option<i64>| i32::try_from(n?.unsigned_abs()).ok().and_then(f);
    let names = errnos.as_primitive::<Int64Type>().iter().map(name);
    Ok(std::sync::Arc::new(names.collect::<StringViewArray>()))
}
