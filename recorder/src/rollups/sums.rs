//! What is known of the values of the measures, for some sets of events each.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, PrimitiveArray};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use ctrace_schema::rollups::Stat;

/// Count, sum, minimum and maximum of the values that are not null.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    count: i64,
    sum: i64,
    min: i64,
    max: i64,
}

impl Sum {
    /// Adds `rows` times the same value. Sums wrap, as they do in SQL engines that do not check.
    pub(crate) fn add(&mut self, value: i64, rows: i64) {
        self.merge(&Sum {
            count: rows,
            sum: value.wrapping_mul(rows),
            min: value,
            max: value,
        });
    }

    /// Adds what another is of.
    pub(crate) fn merge(&mut self, other: &Sum) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn stat(&self, stat: Stat) -> Option<i64> {
        match stat {
            Stat::Count => Some(self.count),
            _ if self.count == 0 => None,
            Stat::Sum => Some(self.sum),
            Stat::Min => Some(self.min),
            Stat::Max => Some(self.max),
            // It is kept beside.
            Stat::Histogram => None,
        }
    }
}

/// What is known of a column, by set.
pub(crate) fn column<'a>(
    column: &str,
    stat: Stat,
    sums: impl Iterator<Item = &'a Sum>,
) -> ArrayRef {
    let values = sums.map(|sum| sum.stat(stat));
    if column == "time" && stat != Stat::Count {
        let times: PrimitiveArray<TimestampNanosecondType> = values.collect();
        Arc::new(times.with_timezone("UTC"))
    } else {
        Arc::new(values.collect::<PrimitiveArray<Int64Type>>())
    }
}

/// How many events each set has.
pub(crate) fn counts(counts: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(counts.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_parts_are_the_sum_of_all() {
        let of = |values: &[(i64, i64)]| {
            let mut sum = Sum::default();
            values
                .iter()
                .for_each(|(value, rows)| sum.add(*value, *rows));
            sum
        };
        let mut sum = of(&[(5, 2)]);
        sum.merge(&of(&[]));
        sum.merge(&of(&[(-3, 1), (9, 1)]));
        let stats = [Stat::Count, Stat::Sum, Stat::Min, Stat::Max];
        assert_eq!(
            stats.map(|stat| sum.stat(stat)),
            [Some(4), Some(16), Some(-3), Some(9)]
        );
        assert_eq!(
            stats.map(|stat| of(&[]).stat(stat)),
            [Some(0), None, None, None]
        );
    }
}
