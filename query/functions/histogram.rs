//! Numbers counted by size, to a part in 64: what percentiles are read from.

use std::ops::Range;

/// Bits of a number's fraction that tell buckets apart: a bucket is less than 1/64 of its numbers wide.
const FRACTION: u32 = 6;
/// Low bits that do not.
const REST: u32 = f64::MANTISSA_DIGITS - 1 - FRACTION;

/// How many numbers each bucket has.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// The bucket of the first count.
    first: i32,
    counts: Vec<u64>,
    /// Least and greatest number.
    ends: (f64, f64),
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            first: 0,
            counts: vec![],
            ends: (f64::INFINITY, f64::NEG_INFINITY),
        }
    }
}

impl Histogram {
    /// Counts a number. One that is none (NaN) is left out.
    pub fn add(&mut self, number: f64) {
        if !number.is_nan() {
            self.reach((number, number));
            self.count(bucket(number), 1);
        }
    }

    /// Least and greatest number.
    pub fn ends(&self) -> (f64, f64) {
        self.ends
    }

    /// Numbers that are counted lie between these.
    pub fn reach(&mut self, ends: (f64, f64)) {
        self.ends = (self.ends.0.min(ends.0), self.ends.1.max(ends.1));
    }

    /// Counts numbers of a bucket.
    pub fn count(&mut self, bucket: i32, numbers: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let more = self.first.abs_diff(bucket) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = bucket;
        }
        let at = self.first.abs_diff(bucket) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] = self.counts[at].saturating_add(numbers);
    }

    /// The buckets that are not empty, from the least on, with their counts.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        let buckets = (self.first..).zip(self.counts.iter().copied());
        buckets.filter(|(_, count)| *count > 0)
    }

    /// What `percent` of 100 numbers are not above: the middle of the bucket in which that one is, or an integer that is
    /// alone in it. None: there are no numbers.
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let all: u128 = self.buckets().map(|(_, count)| u128::from(count)).sum();
        let rank = (all * u128::from(percent)).div_ceil(100).max(1);
        let mut below = 0;
        let mut buckets = self.buckets();
        let found = buckets.find(|(_, count)| {
            below += u128::from(*count);
            below >= rank
        });
        let (least, greatest) = self.ends;
        found.map(|(bucket, _)| middle(numbers(bucket)).min(greatest).max(least))
    }

    /// Bytes on the heap.
    pub fn size(&self) -> usize {
        self.counts.capacity() * size_of::<u64>()
    }
}

/// The bucket of a number: they are in the order of the numbers.
fn bucket(number: f64) -> i32 {
    let bits = number.to_bits();
    let size = ((bits & (u64::MAX >> 1)) >> REST) as i32;
    if number.is_sign_negative() && number != 0.0 {
        -1 - size
    } else {
        size
    }
}

/// Between which numbers those of a bucket lie, by size: the first is in it.
fn numbers(bucket: i32) -> Range<f64> {
    let at = |size: i32| f64::from_bits((size as u64) << REST);
    if bucket < 0 {
        let size = -1 - bucket;
        -at(size)..-at(size + 1)
    } else {
        at(bucket)..at(bucket + 1)
    }
}

fn middle(numbers: Range<f64>) -> f64 {
    // In buckets this narrow there is one integer, and integers are what is measured.
    match (numbers.end - numbers.start).abs() > 1.0 && numbers.end.is_finite() {
        true => (numbers.start + numbers.end) / 2.0,
        false => numbers.start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: impl IntoIterator<Item = f64>) -> Histogram {
        let mut histogram = Histogram::default();
        numbers.into_iter().for_each(|n| histogram.add(n));
        histogram
    }

    #[test]
    fn a_percentile_is_right_to_a_part_in_64() {
        let histogram = of((1..=100_000).map(f64::from));
        for percent in 1..=100 {
            let exact = f64::from(percent) * 1000.0;
            let error = (histogram.percentile(percent).unwrap_or(0.0) - exact).abs() / exact;
            assert!(error < 1.0 / 64.0, "{percent}: {error}");
        }
    }

    #[test]
    fn small_integers_and_what_is_not_positive_are_exact() {
        let histogram = of([-3.0, -3.0, 0.0, -0.0, 7.0, 100.0, f64::NAN]);
        let percentiles = [1, 33, 50, 60, 80, 100].map(|p| histogram.percentile(p));
        assert_eq!(percentiles, [-3.0, -3.0, 0.0, 0.0, 7.0, 100.0].map(Some));
        assert_eq!(of([]).percentile(50), None);
        assert_eq!(of([f64::INFINITY]).percentile(50), Some(f64::INFINITY));
    }

    #[test]
    fn buckets_are_in_order_and_add_up() {
        let numbers = [
            -1e300, -5.0, -1e-300, 0.0, 1e-300, 0.5, 1.0, 1.02, 64.0, 1e300,
        ];
        let buckets = numbers.map(bucket);
        assert!(buckets.is_sorted_by(|a, b| a < b), "{buckets:?}");
        let mut sum = of([1.0, 2.0]);
        of([2.0, 0.5]).buckets().for_each(|(b, n)| sum.count(b, n));
        let all: Vec<u64> = sum.buckets().map(|(_, count)| count).collect();
        assert_eq!(all, [1, 1, 2]);
    }
}
