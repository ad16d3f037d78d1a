//! Aggregates of a measure: count, sum, minimum and maximum of its values in a group of events.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, PrimitiveArray};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use ctrace_schema::rollups::Stat;

/// Count, sum, minimum and maximum of the non-null values. Without values (`count` is 0) the others mean nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aggregate {
    count: i64,
    /// `None`: beyond 64 bits.
    sum: Option<i64>,
    min: i64,
    max: i64,
}

impl Aggregate {
    /// Adds a value that `rows` rows have.
    pub(super) fn add(&mut self, value: i64, rows: i64) {
        self.merge(&Aggregate {
            count: rows,
            sum: value.checked_mul(rows),
            min: value,
            max: value,
        });
    }

    /// Adds the values of another aggregate.
    pub(super) fn merge(&mut self, other: &Aggregate) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        self.count += other.count;
        self.sum = self.sum.zip(other.sum).and_then(|(a, b)| a.checked_add(b));
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Returns whether the sum fits into 64 bits, or there is no sum.
    pub(super) fn is_exact(&self) -> bool {
        self.count == 0 || self.sum.is_some()
    }

    fn stat(&self, stat: Stat) -> Option<i64> {
        match stat {
            Stat::Count => Some(self.count),
            _ if self.count == 0 => None,
            Stat::Sum => self.sum,
            Stat::Min => Some(self.min),
            Stat::Max => Some(self.max),
            // Histograms are stored beside the aggregates.
            Stat::Histogram => None,
        }
    }
}

/// Returns a statistic of a measure column as an array, with a value for each row of the rollup.
pub(super) fn array<'a>(
    column: &str,
    stat: Stat,
    aggregates: impl Iterator<Item = &'a Aggregate>,
) -> ArrayRef {
    let values = aggregates.map(|sum| sum.stat(stat));
    if column == "time" && stat != Stat::Count {
        let times: PrimitiveArray<TimestampNanosecondType> = values.collect();
        Arc::new(times.with_timezone("UTC"))
    } else {
        Arc::new(values.collect::<PrimitiveArray<Int64Type>>())
    }
}

/// Returns the event counts as an array.
pub(super) fn count_array(counts: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(counts.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_aggregates_equal_the_aggregate_of_all_values() {
        let aggregate = |values: &[(i64, i64)]| {
            let mut aggregate = Aggregate::default();
            values
                .iter()
                .for_each(|(value, rows)| aggregate.add(*value, *rows));
            aggregate
        };
        let mut merged = aggregate(&[(5, 2)]);
        merged.merge(&aggregate(&[]));
        merged.merge(&aggregate(&[(-3, 1), (9, 1)]));
        let stats = [Stat::Count, Stat::Sum, Stat::Min, Stat::Max];
        assert_eq!(
            stats.map(|stat| merged.stat(stat)),
            [Some(4), Some(16), Some(-3), Some(9)]
        );
        assert_eq!(
            stats.map(|stat| aggregate(&[]).stat(stat)),
            [Some(0), None, None, None]
        );
        assert!(merged.is_exact());
        merged.merge(&aggregate(&[(i64::MAX, 1)]));
        assert!(!merged.is_exact());
        assert!(!aggregate(&[(i64::MAX / 2, 3)]).is_exact());
    }
}
