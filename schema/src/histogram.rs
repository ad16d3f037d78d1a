//! Histograms of numbers with a relative error of less than 1/64, from which percentiles are computed.
//!
//! The bucket of a positive number consists of the exponent and the first 6 bits of the fraction of the double: its bits, shifted
//! right. Negative numbers have negative buckets, and 0 has bucket 0. So buckets are in the order of the numbers.

use std::collections::BTreeMap;

/// Bits of a number's fraction that are part of its bucket: the width of a bucket is at most 1/64 of its numbers.
const FRACTION_BITS: u32 = 6;
/// Low bits of a number that are not part of its bucket.
const DROPPED_BITS: u32 = f64::MANTISSA_DIGITS - 1 - FRACTION_BITS;
/// Number of magnitudes. The last one is infinity.
const MAGNITUDES: u32 = ((f64::INFINITY.to_bits() >> DROPPED_BITS) + 1) as u32;

/// Approximate size of an entry in [`Counts::high`].
const HIGH_ENTRY_BYTES: usize = 24;

/// The number of values in each bucket.
#[derive(Clone, Debug)]
pub struct Histogram {
    negative: Counts,
    zeros: u64,
    positive: Counts,
    min: f64,
    max: f64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            negative: Counts::default(),
            zeros: 0,
            positive: Counts::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

/// Counts by magnitude, which is the absolute value of a bucket.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// The magnitude of the first element of `low`.
    first: u32,
    /// The low bytes of the counts. Few counts are larger than a byte.
    low: Vec<u8>,
    /// The other bytes of larger counts, by magnitude.
    high: BTreeMap<u32, u64>,
}

impl Counts {
    fn add(&mut self, magnitude: u32, times: u64) {
        if self.low.is_empty() {
            self.first = magnitude;
        }
        if magnitude < self.first {
            let missing = (self.first - magnitude) as usize;
            self.low.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = magnitude;
        }
        let at = (magnitude - self.first) as usize;
        if at >= self.low.len() {
            self.low.resize(at + 1, 0);
        }
        let sum = u64::from(self.low[at]).saturating_add(times);
        self.low[at] = sum as u8;
        if sum > u64::from(u8::MAX) {
            *self.high.entry(magnitude).or_default() += sum >> u8::BITS;
        }
    }

    /// Returns the magnitudes with a count greater than 0, in ascending order.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, u64)> {
        let end = self.first + self.low.len() as u32;
        let counts = (self.first..end).zip(self.low.iter());
        let counts = counts.map(|(magnitude, low)| {
            let high = self.high.get(&magnitude).copied().unwrap_or(0);
            (magnitude, high << u8::BITS | u64::from(*low))
        });
        counts.filter(|(_, count)| *count > 0)
    }
}

impl Histogram {
    /// Counts a number. NaN is ignored.
    pub fn add(&mut self, number: f64) {
        self.add_times(number, 1);
    }

    /// Counts a number `times` times. NaN is ignored.
    pub fn add_times(&mut self, number: f64, times: u64) {
        if !number.is_nan() {
            self.extend_range(number, number);
            self.count(bucket(number), times);
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        self.extend_range(other.min, other.max);
        other.buckets().for_each(|(b, n)| self.count(b, n));
    }

    fn extend_range(&mut self, min: f64, max: f64) {
        self.min = self.min.min(min);
        self.max = self.max.max(max);
    }

    fn count(&mut self, bucket: i32, times: u64) {
        match bucket {
            0 => self.zeros = self.zeros.saturating_add(times),
            1.. => self.positive.add(bucket.unsigned_abs(), times),
            _ => self.negative.add(bucket.unsigned_abs(), times),
        }
    }

    /// Returns the buckets that are not empty, in ascending order, with their counts.
    fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        let negative = self.negative.iter().rev();
        let negative = negative.map(|(magnitude, count)| (-(magnitude as i32), count));
        let zero = (self.zeros > 0).then_some((0, self.zeros));
        let positive = self.positive.iter();
        let positive = positive.map(|(magnitude, count)| (magnitude as i32, count));
        negative.chain(zero).chain(positive)
    }

    /// Returns the least number that at least `percent` percent of the numbers do not exceed, or `None` if there are no numbers.
    /// The result is the middle of the number's bucket. The result is exact if the bucket contains a single integer and all
    /// numbers are integers.
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let total: u128 = self.buckets().map(|(_, count)| u128::from(count)).sum();
        let rank = (total * u128::from(percent)).div_ceil(100).max(1);
        self.of_rank(rank)
    }

    /// Returns the number of numbers.
    pub fn total(&self) -> u64 {
        let counts = self.buckets().map(|(_, count)| count);
        counts.fold(0, u64::saturating_add)
    }

    /// Returns the number that has this rank if the numbers are sorted, counted from 1, as [`Histogram::percentile`] does; `None`:
    /// there are not so many.
    pub fn at_rank(&self, rank: u64) -> Option<f64> {
        self.of_rank(u128::from(rank))
    }

    fn of_rank(&self, rank: u128) -> Option<f64> {
        let mut cumulative = 0;
        let mut buckets = self.buckets();
        let found = buckets.find(|(_, count)| {
            cumulative += u128::from(*count);
            cumulative >= rank
        });
        found.map(|(bucket, _)| middle(bucket).min(self.max).max(self.min))
    }

    /// Returns the approximate number of heap bytes.
    pub fn heap(&self) -> usize {
        let high = self.negative.high.len() + self.positive.high.len();
        self.negative.low.len() + self.positive.low.len() + high * HIGH_ENTRY_BYTES
    }

    /// Encodes the histogram: the least and the greatest number as little-endian doubles; then two LEB128 numbers for each bucket
    /// that is not empty, in ascending order: the difference to the previous bucket (of the first bucket, to -131,009), and
    /// the count.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.min.to_le_bytes(), self.max.to_le_bytes()].concat();
        let mut previous = -(MAGNITUDES as i32);
        for (bucket, count) in self.buckets() {
            put_leb128(u64::from(previous.abs_diff(bucket)), &mut bytes);
            put_leb128(count, &mut bytes);
            previous = bucket;
        }
        bytes
    }

    /// Adds a histogram that [`Histogram::to_bytes`] encoded. Returns false if the bytes are invalid.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> bool {
        let Some((min, rest)) = bytes.split_first_chunk::<8>() else {
            return false;
        };
        let Some((max, mut rest)) = rest.split_first_chunk::<8>() else {
            return false;
        };
        self.extend_range(f64::from_le_bytes(*min), f64::from_le_bytes(*max));
        let mut bucket = -i64::from(MAGNITUDES);
        while !rest.is_empty() {
            let (Some(step), Some(count)) = (take_leb128(&mut rest), take_leb128(&mut rest)) else {
                return false;
            };
            bucket = bucket.saturating_add_unsigned(step);
            if bucket >= i64::from(MAGNITUDES) {
                return false;
            }
            self.count(bucket as i32, count);
        }
        true
    }
}

fn put_leb128(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Removes a number from the front of `bytes`. Returns `None` if there is no number, or if it has more than 64 bits.
fn take_leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn bucket(number: f64) -> i32 {
    let magnitude = (number.abs().to_bits() >> DROPPED_BITS) as i32;
    match number {
        _ if number == 0.0 => 0,
        // The smallest numbers have magnitude 0 after the shift. Such numbers belong to the buckets next to 0's.
        _ if number < 0.0 => -magnitude.max(1),
        _ => magnitude.max(1),
    }
}

/// Returns the number that represents the numbers of a bucket.
fn middle(bucket: i32) -> f64 {
    let number = |magnitude: u32| f64::from_bits(u64::from(magnitude) << DROPPED_BITS);
    let start = number(bucket.unsigned_abs());
    let end = number(bucket.unsigned_abs() + 1);
    // A bucket that is at most 1 wide contains one integer, its start, and most measured numbers are integers.
    let magnitude = match end - start > 1.0 && end.is_finite() {
        true => (start + end) / 2.0,
        false => start,
    };
    if bucket < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram_of(numbers: impl IntoIterator<Item = f64>) -> Histogram {
        let mut histogram = Histogram::default();
        numbers.into_iter().for_each(|n| histogram.add(n));
        histogram
    }

    #[test]
    fn the_relative_error_of_percentiles_is_below_1_in_64() {
        let histogram = histogram_of((1..=100_000).map(f64::from));
        for percent in 1..=100 {
            let exact = f64::from(percent) * 1000.0;
            let error = (histogram.percentile(percent).unwrap_or(0.0) - exact).abs() / exact;
            assert!(error < 1.0 / 64.0, "{percent}: {error}");
        }
    }

    #[test]
    fn small_integers_zero_and_small_negative_integers_are_exact() {
        let histogram = histogram_of([-3.0, -3.0, 0.0, -0.0, 7.0, 100.0, f64::NAN]);
        let percentiles = [1, 33, 50, 60, 80, 100].map(|p| histogram.percentile(p));
        assert_eq!(percentiles, [-3.0, -3.0, 0.0, 0.0, 7.0, 100.0].map(Some));
        assert_eq!(histogram_of([]).percentile(50), None);
        assert_eq!(
            histogram_of([f64::INFINITY]).percentile(50),
            Some(f64::INFINITY)
        );
    }

    #[test]
    fn a_rank_is_a_place_in_the_order_of_the_numbers() {
        let histogram = histogram_of([5.0, 1.0, 3.0, 3.0]);
        assert_eq!(histogram.total(), 4);
        let ranks = [1, 2, 3, 4, 5].map(|rank| histogram.at_rank(rank));
        assert_eq!(ranks, [Some(1.0), Some(3.0), Some(3.0), Some(5.0), None]);
        assert_eq!(histogram_of([]).at_rank(1), None);
    }

    #[test]
    fn buckets_are_in_order_and_add_up() {
        let numbers = [
            f64::NEG_INFINITY,
            -1e300,
            -5.0,
            -1e-310,
            0.0,
            1e-310,
            0.5,
            1.0,
            1.02,
            64.0,
            f64::INFINITY,
        ];
        let buckets = numbers.map(bucket);
        assert!(buckets.is_sorted_by(|a, b| a < b), "{buckets:?}");
        let mut sum = histogram_of([1.0, 2.0]);
        sum.merge(&histogram_of([2.0, 0.5, -7.0]));
        let all: Vec<u64> = sum.buckets().map(|(_, count)| count).collect();
        assert_eq!(all, [1, 1, 1, 2]);
    }

    #[test]
    fn bytes_are_decoded_and_invalid_bytes_are_rejected() {
        let mut histogram =
            histogram_of([f64::NEG_INFINITY, -2.5, 0.0, 1.0, 1.0, 1e9, f64::INFINITY]);
        histogram.add_times(77.0, u64::from(u32::MAX) + 5);
        let bytes = histogram.to_bytes();
        let mut decoded = Histogram::default();
        assert!(decoded.merge_bytes(&bytes));
        assert!(decoded.buckets().eq(histogram.buckets()));
        let many = u64::from(u32::MAX) + 5;
        assert!(decoded.buckets().any(|(_, count)| count == many));
        assert_eq!(decoded.to_bytes(), bytes);
        assert!(!Histogram::default().merge_bytes(&bytes[..bytes.len() - 1]));
        assert!(!Histogram::default().merge_bytes(&bytes[..15]));
        let out_of_range = [&bytes[..16], &[0xff; 10], &[1]].concat();
        assert!(!Histogram::default().merge_bytes(&out_of_range));
        assert!(histogram_of([]).to_bytes().len() == 16);
    }
}
