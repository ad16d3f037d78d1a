//! The function `strace()`.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringViewArray, StringViewBuilder,
};
use arrow::datatypes::Int64Type;
use ctrace_schema::strace::{Call, End, Socket};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Expr};

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::{array, constant_text, views};

const TEXTS: [&str; 11] = [
    "host",
    "syscall",
    "path",
    "path_arg",
    "path2",
    "argv",
    "family",
    "protocol",
    "peer_addr",
    "peer_path",
    "local_addr",
];
const NUMBERS: [&str; 9] = [
    "arg0",
    "arg1",
    "arg2",
    "arg3",
    "arg4",
    "arg5",
    "ret",
    "peer_port",
    "local_port",
];
const FLAGS: [&str; 2] = ["compat", "denied"];

/// Returns the columns of a call, in the order of the arguments that [`super::expand()`] adds.
pub(crate) fn columns() -> impl Iterator<Item = &'static str> {
    TEXTS.into_iter().chain(NUMBERS).chain(FLAGS)
}

/// The types of the arguments that [`super::expand()`] adds: a JSON object from hosts to architectures, then the columns.
const ARG_TYPES: &[ArgType] = &{
    let mut takes = [ArgType::Text; 1 + TEXTS.len() + NUMBERS.len() + FLAGS.len()];
    let mut i = 1 + TEXTS.len();
    while i < takes.len() {
        takes[i] = match i < takes.len() - FLAGS.len() {
            true => ArgType::Integer,
            false => ArgType::Boolean,
        };
        i += 1;
    }
    takes
};

/// Defines `strace([table])`.
pub(crate) fn strace() -> ScalarFn {
    ScalarFn::new("strace", ARG_TYPES, ResultType::Text, lines).column_name(|args| {
        match args.get(1) {
            Some(Expr::Column(column)) => {
                let table = column.relation.as_ref().map(|t| t.table());
                Some(format!("strace({})", table.unwrap_or_default()))
            }
            _ => None,
        }
    })
}

fn lines(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let architectures = architectures(args)?;
    let calls = CallColumns::new(args, rows)?;
    let mut lines = StringViewBuilder::with_capacity(rows);
    let mut line = String::new();
    for row in 0..rows {
        match calls.call(row, &architectures) {
            Some(call) => {
                line.clear();
                // Writing to a String cannot fail.
                let _ = write!(line, "{call}");
                lines.append_value(&line);
            }
            None => lines.append_null(),
        }
    }
    Ok(Arc::new(lines.finish()))
}

/// Returns the architecture of each host.
fn architectures(args: &[ColumnarValue]) -> Result<HashMap<String, String>> {
    let json = match args.first() {
        Some(ColumnarValue::Scalar(json)) => constant_text(json),
        _ => None,
    };
    serde_json::from_str(json.unwrap_or("{}"))
        .map_err(|e| exec_datafusion_err!("`strace` does not know the machines: {e}"))
}

/// The columns of the calls in a batch.
struct CallColumns {
    texts: [StringViewArray; TEXTS.len()],
    numbers: [Int64Array; NUMBERS.len()],
    flags: [BooleanArray; FLAGS.len()],
}

impl CallColumns {
    fn new(args: &[ColumnarValue], rows: usize) -> Result<Self> {
        let mut next = 1..;
        let mut column = || array(args, next.next().unwrap_or_default(), rows);
        let mut texts = TEXTS.map(|_| StringViewArray::new_null(0));
        for text in &mut texts {
            *text = views(&column()?)?;
        }
        let mut numbers = NUMBERS.map(|_| Int64Array::new_null(0));
        for number in &mut numbers {
            *number = column()?.as_primitive::<Int64Type>().clone();
        }
        let mut flags = FLAGS.map(|_| BooleanArray::new_null(0));
        for flag in &mut flags {
            *flag = column()?.as_boolean().clone();
        }
        Ok(CallColumns {
            texts,
            numbers,
            flags,
        })
    }

    /// Returns the call of a row; `None`: the row is not a call.
    fn call(&self, row: usize, architectures: &HashMap<String, String>) -> Option<Call<'_>> {
        let [
            host,
            syscall,
            path,
            path_arg,
            path2,
            argv,
            family,
            protocol,
            peer_addr,
            peer_path,
            local_addr,
        ] = self
            .texts
            .each_ref()
            .map(|t| t.is_valid(row).then(|| t.value(row)));
        let [args @ .., ret, peer_port, local_port] = self
            .numbers
            .each_ref()
            .map(|n| n.is_valid(row).then(|| n.value(row)));
        let [compat, denied] = self
            .flags
            .each_ref()
            .map(|f| f.is_valid(row) && f.value(row));
        let architecture = host
            .and_then(|h| architectures.get(h))
            .map_or("", String::as_str);
        let end = |addr, port| End { addr, port };
        let socket = Socket {
            family,
            protocol,
            local: end(local_addr, local_port),
            peer: end(peer_addr, peer_port),
            peer_path,
        };
        Some(Call {
            args,
            ret,
            path,
            path_arg,
            path2,
            socket,
            argv,
            denied,
            ..Call::of_machine(syscall?, architecture, compat)
        })
    }
}
