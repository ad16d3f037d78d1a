//! The rows of `top` as an answer, for other programs.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::error::ArrowError;

use crate::top::counts::RECENT_SECONDS;
use crate::top::state::{Liveliness, Row, Top};

/// Returns the rows as a table; rates are of the last seconds.
///
/// # Errors
/// There are too many rows.
pub(crate) fn table(top: &Top) -> Result<RecordBatch, ArrowError> {
    let rows = top.rows();
    let texts = |value: &dyn Fn(&Row) -> Option<String>| {
        Arc::new(rows.iter().map(value).collect::<StringArray>()) as ArrayRef
    };
    let counts = |value: &dyn Fn(&Row) -> Option<u64>| {
        Arc::new(rows.iter().map(value).collect::<UInt64Array>()) as ArrayRef
    };
    let numbers = |value: &dyn Fn(&Row) -> Option<f64>| {
        Arc::new(rows.iter().map(value).collect::<Float64Array>()) as ArrayRef
    };
    let times = |value: &dyn Fn(&Row) -> Option<i64>| {
        let times: TimestampNanosecondArray = rows.iter().map(value).collect();
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    };
    let rate = |count: u64| Some(count as f64 / RECENT_SECONDS as f64);
    let us = |ns: u64| ns as f64 / 1e3;
    let now = top.counts.now_ns;
    let has_several_hosts = {
        let hosts = rows.iter().map(|row| &row.key.container.host);
        hosts.collect::<std::collections::BTreeSet<_>>().len() > 1
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("time", times(&|_| Some(now))),
        ("container", texts(&|row| Some(row.container.clone()))),
    ];
    if has_several_hosts {
        columns.push(("host", texts(&|row| Some(row.key.container.host.clone()))));
    }
    let process = |row: &Row| {
        let container = top.counts.containers.get(&row.key.container)?;
        container.processes.get(&row.key.pid?)
    };
    if rows.iter().any(|row| row.key.pid.is_some()) {
        columns.push((
            "pid",
            counts(&|row| row.key.pid.and_then(|pid| u64::try_from(pid).ok())),
        ));
        columns.push((
            "comm",
            texts(&|row| process(row).map(|process| process.comm.clone())),
        ));
    }
    if rows.iter().any(|row| row.key.call.is_some()) {
        columns.push(("syscall", texts(&|row| row.key.call.clone())));
    }
    columns.extend([
        ("state", texts(&|row| Some(state(row.liveliness).into()))),
        ("calls_per_s", numbers(&|row| rate(row.recent.calls))),
        ("calls", counts(&|row| Some(row.total.calls))),
        ("errors_per_s", numbers(&|row| rate(row.recent.errors))),
        ("errors", counts(&|row| Some(row.total.errors))),
        ("mean_us", numbers(&|row| row.recent.mean_ns().map(us))),
        (
            "max_us",
            numbers(&|row| Some(row.recent.slowest_ns).filter(|ns| *ns > 0).map(us)),
        ),
        ("bytes_per_s", numbers(&|row| rate(row.recent.bytes))),
        ("bytes", counts(&|row| Some(row.total.bytes))),
    ]);
    if rows.iter().all(|row| row.key.pid.is_none()) {
        columns.push((
            "last",
            texts(&|row| row.happened.as_ref().map(|(_, text)| text.clone())),
        ));
        columns.push((
            "last_time",
            times(&|row| row.happened.as_ref().map(|(time, _)| *time)),
        ));
    }
    RecordBatch::try_from_iter(columns)
}

fn state(liveliness: Liveliness) -> &'static str {
    match liveliness {
        Liveliness::Fresh { .. } | Liveliness::Active => "active",
        Liveliness::Quiet => "quiet",
        Liveliness::Stopped => "stopped",
    }
}
