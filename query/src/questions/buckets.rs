//! Time in buckets of equal width, by which a ready question can count.

use crate::source::{TimeSpan, clamped_ns};

/// The least width of a bucket.
const MIN_WIDTH_NS: i64 = 10_000;
const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// Widths from a minute to a day, seconds. Shorter and longer ones are 1, 2 or 5 times a power of ten.
const ROUND_SECONDS: &[i64] = &[
    10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
];

/// Buckets that cover a time window, with a round width and a round start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeBuckets {
    pub(crate) start_ns: i64,
    pub(crate) width_ns: i64,
    pub(crate) count: usize,
}

impl TimeBuckets {
    /// Divides a time window into at most `max` buckets.
    pub(crate) fn new(window: TimeSpan, max: usize) -> TimeBuckets {
        let (start, end) = (clamped_ns(window.start), clamped_ns(window.end));
        let max = max.max(1) as i64;
        // Rounding the start down can add a bucket.
        let least = end.saturating_sub(start).max(0) / (max - 1).max(1) + 1;
        let width_ns = round_width(least);
        let start_ns = start.div_euclid(width_ns).saturating_mul(width_ns);
        let count = (end.saturating_sub(start_ns) / width_ns + 1).clamp(1, max) as usize;
        TimeBuckets {
            start_ns,
            width_ns,
            count,
        }
    }

    /// Returns buckets of twice the width, which cover the same time.
    pub(crate) fn halved(self) -> TimeBuckets {
        TimeBuckets {
            width_ns: self.width_ns.saturating_mul(2),
            count: self.count.div_ceil(2),
            ..self
        }
    }

    /// Returns the bucket of a time in ns since 1970, or the nearest one.
    pub(crate) fn index(self, ns: i64) -> usize {
        self.clamped(ns.saturating_sub(self.start_ns) / self.width_ns)
    }

    /// Returns the bucket with a number that [`TimeBuckets::sql`] has computed, or the nearest one.
    pub(crate) fn clamped(self, number: i64) -> usize {
        number.clamp(0, self.count as i64 - 1) as usize
    }

    /// Returns the SQL expression for the number of the bucket of a column with a time.
    pub(crate) fn sql(self, column: &str) -> String {
        format!(
            "(cast({column} as bigint) - ({})) / {}",
            self.start_ns, self.width_ns
        )
    }
}

/// Returns the least round width that is at least `ns`.
fn round_width(ns: i64) -> i64 {
    let round = ROUND_SECONDS.iter().map(|seconds| seconds * SECOND_NS);
    if (5 * SECOND_NS + 1..=DAY_NS).contains(&ns)
        && let Some(width) = round.into_iter().find(|width| *width >= ns)
    {
        return width;
    }
    let unit = if ns > DAY_NS { DAY_NS } else { MIN_WIDTH_NS };
    let mut ten = unit;
    loop {
        for step in [1, 2, 5] {
            let width = ten.saturating_mul(step);
            if width >= ns {
                return width;
            }
        }
        ten = ten.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn buckets(start: i64, end: i64) -> TimeBuckets {
        let window = TimeSpan {
            start: DateTime::from_timestamp_nanos(start),
            end: DateTime::from_timestamp_nanos(end),
        };
        TimeBuckets::new(window, 240)
    }

    #[test]
    fn buckets_are_round_and_cover_the_window() {
        const MS: i64 = 1_000_000;
        for (start, length, width) in [
            (7 * SECOND_NS, 0, MIN_WIDTH_NS),
            (7 * SECOND_NS + 1, 60 * SECOND_NS, 500 * MS),
            (7 * SECOND_NS, 3600 * SECOND_NS, 30 * SECOND_NS),
            (7 * SECOND_NS, 30 * DAY_NS, 21_600 * SECOND_NS),
            (-7 * SECOND_NS, 800 * DAY_NS, 5 * DAY_NS),
            (0, 2 * SECOND_NS, 10 * MS),
        ] {
            let found = buckets(start, start + length);
            assert_eq!(found.width_ns, width, "{start} {length}");
            assert!(found.count <= 240 && found.start_ns <= start, "{found:?}");
            assert!(found.start_ns + found.width_ns * found.count as i64 > start + length);
            assert_eq!(found.index(start), found.index(start - length));
            assert_eq!(found.index(start + length), found.count - 1);
            assert_eq!(found.index(i64::MAX), found.count - 1);
            assert!(found.halved().count * 2 >= found.count);
        }
        assert_eq!(buckets(i64::MIN, i64::MAX).index(i64::MIN), 0);
        assert!(buckets(i64::MIN, i64::MAX).count > 1);
    }
}
