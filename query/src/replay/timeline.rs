//! The events over time, for the chart of the player.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::engine::{Engine, QueryError};
use crate::questions::failure;

/// The most bars of a chart.
const MAX_BARS: i64 = 240;
/// The least bars of a chart from rollups.
const MIN_BARS: i64 = 24;
const SECOND_NS: i64 = 1_000_000_000;

/// The numbers of events in equal steps of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeline {
    /// The start of the first step, ns since 1970 UTC.
    start: i64,
    step_ns: i64,
    pub(super) events: Vec<u64>,
    /// The failures of the ranks 1 and 2; `None`: not counted yet.
    pub(super) failures: Option<Vec<u64>>,
    /// The lost events.
    pub(super) lost: Vec<u64>,
}

impl Timeline {
    /// Returns the same numbers, with those of the failures.
    pub(super) fn with_failures(mut self, failures: Vec<u64>) -> Timeline {
        self.failures = Some(failures);
        self
    }

    /// Returns the sums of one of the fields for `columns` columns that cover `span`.
    pub(super) fn columns(&self, values: &[u64], span: (i64, i64), columns: usize) -> Vec<u64> {
        let mut sums = vec![0u64; columns];
        for (i, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
            let start = self.start + self.step_ns * i as i64;
            let first = column(start, span, columns);
            let last = column(start + self.step_ns - 1, span, columns);
            // A step that is wider than a column is as high in each.
            let share = value.div_ceil((last - first + 1) as u64);
            for sum in &mut sums[first..=last] {
                *sum += share;
            }
        }
        sums
    }
}

/// Returns the column of a time, of `columns` columns that cover `span`.
pub(super) fn column(time: i64, (first, last): (i64, i64), columns: usize) -> usize {
    let length = (i128::from(last) - i128::from(first) + 1).max(1);
    let at = i128::from(time).clamp(first.into(), last.into()) - i128::from(first);
    let column = at * columns as i128 / length;
    usize::try_from(column)
        .unwrap_or(0)
        .min(columns.saturating_sub(1))
}

/// Returns the length of a step, ns, of which at most [`MAX_BARS`] cover `span`. The step is a multiple of `slice`, the length of the
/// time slices of rollups, unless that makes the chart too coarse.
fn step(span: (i64, i64), slice: Option<i64>) -> i64 {
    const SECONDS: [i64; 15] = [
        1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 3600, 7200, 18_000, 36_000, 86_400,
    ];
    let length = span.1.saturating_sub(span.0).max(1);
    // From 10 µs to 500 ms.
    let fractions = (4..9).flat_map(|power| [1, 2, 5].map(|n| n * 10i64.pow(power)));
    let seconds = SECONDS.iter().map(|seconds| seconds * SECOND_NS);
    let slice = slice
        .filter(|slice| *slice > 0 && length / slice >= MIN_BARS)
        .unwrap_or(1);
    let fits = |step: &i64| length / step < MAX_BARS && step % slice == 0;
    fractions
        .chain(seconds)
        .find(fits)
        .unwrap_or_else(|| (length / MAX_BARS / SECOND_NS / 86_400 + 1) * SECOND_NS * 86_400)
}

/// Counts the events of `span` that pass `condition`, which also restricts them to the span. Rollups answer if they can.
///
/// # Errors
/// A recording cannot be read.
pub(super) async fn events(
    engine: &Engine,
    span: (i64, i64),
    condition: &str,
) -> Result<Timeline, QueryError> {
    let step_ns = step(span, engine.recordings().await?.slice_ns());
    let (events, lost) = counts(engine, span, step_ns, condition).await?;
    Ok(Timeline {
        start: span.0.div_euclid(step_ns) * step_ns,
        step_ns,
        events,
        failures: None,
        lost,
    })
}

/// Counts the failures too, which reads events.
///
/// # Errors
/// As [`events`].
pub(super) async fn failures(
    engine: &Engine,
    span: (i64, i64),
    condition: &str,
) -> Result<Vec<u64>, QueryError> {
    let failed = format!("({condition}) and {}", failure_condition());
    let step_ns = step(span, engine.recordings().await?.slice_ns());
    Ok(counts(engine, span, step_ns, &failed).await?.0)
}

/// Returns the condition for failures of the ranks 1 and 2.
pub(super) fn failure_condition() -> String {
    // The first condition passes over most events without evaluating the second.
    format!(
        "(error is not null or kind <> 'syscall') and ({}) <= 2",
        failure()
    )
}

async fn counts(
    engine: &Engine,
    span: (i64, i64),
    step_ns: i64,
    condition: &str,
) -> Result<(Vec<u64>, Vec<u64>), QueryError> {
    let interval = match step_ns % SECOND_NS {
        0 => format!("{} seconds", step_ns / SECOND_NS),
        _ => format!("{} microseconds", step_ns / 1000),
    };
    let sql = format!(
        "select cast(date_bin(interval '{interval}', time) as bigint) as step,
            count(*) as events, cast(coalesce(sum(lost), 0) as bigint) as lost
        from events where {condition} group by 1"
    );
    let start = span.0.div_euclid(step_ns) * step_ns;
    let bars = usize::try_from(span.1.saturating_sub(start) / step_ns + 1).unwrap_or(1);
    let (mut events, mut lost) = (vec![0; bars], vec![0; bars]);
    for batch in engine.collect_apart(&sql).await? {
        let column = |i: usize| batch.column(i).as_primitive_opt::<Int64Type>();
        let (Some(steps), Some(counts), Some(losses)) = (column(0), column(1), column(2)) else {
            continue;
        };
        for row in 0..batch.num_rows() {
            let step = usize::try_from(steps.value(row).saturating_sub(start) / step_ns);
            if let Ok(step) = step
                && step < bars
            {
                events[step] += counts.value(row).unsigned_abs();
                lost[step] += losses.value(row).unsigned_abs();
            }
        }
    }
    Ok((events, lost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        let of = |length: i64| step((0, length), None);
        assert_eq!(
            step((0, 3600 * SECOND_NS), Some(60 * SECOND_NS)),
            60 * SECOND_NS
        );
        assert_eq!(
            step((0, 3600 * SECOND_NS), Some(10 * SECOND_NS)),
            20 * SECOND_NS
        );
        assert_eq!(
            step((0, 60 * SECOND_NS), Some(10 * SECOND_NS)),
            SECOND_NS / 2
        );
        assert_eq!(of(1), 10_000);
        assert_eq!(of(SECOND_NS), 5_000_000);
        assert_eq!(of(60 * SECOND_NS), 500_000_000);
        assert_eq!(of(239 * SECOND_NS), SECOND_NS);
        assert_eq!(of(3600 * SECOND_NS), 20 * SECOND_NS);
        assert_eq!(of(i64::MAX) % (86_400 * SECOND_NS), 0);
        for power in 0..63 {
            let length = 1i64 << power;
            assert!(length / of(length) <= MAX_BARS, "{length}");
        }
    }

    #[test]
    fn steps_become_columns() {
        let timeline = Timeline {
            start: 0,
            step_ns: 10,
            ..Timeline::default()
        };
        let columns = |count| timeline.columns(&[8, 0, 4, 2], (0, 39), count);
        assert_eq!(columns(2), [8, 6]);
        assert_eq!(columns(4)[0], 8);
        assert_eq!(columns(8), [4, 4, 0, 0, 2, 2, 1, 1]);
        assert_eq!(column(i64::MAX, (0, 39), 8), 7);
        assert_eq!(column(i64::MIN, (0, 0), 1), 0);
    }
}
