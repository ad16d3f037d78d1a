//! Numbers counted by size, to a part in 64: what percentiles are read from.

use std::collections::BTreeMap;

/// Bits of a number's fraction that tell buckets apart: a bucket is less than 1/64 of its numbers wide.
const FRACTION: u32 = 6;
/// Low bits that do not.
const REST: u32 = f64::MANTISSA_DIGITS - 1 - FRACTION;
/// Buckets of sizes: those of infinity are the last.
const SIZES: u32 = ((f64::INFINITY.to_bits() >> REST) + 1) as u32;

/// Bytes that a count takes which is more than a byte, about.
const HIGH: usize = 24;

/// How many numbers each bucket has.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Those below 0, by their size.
    below: Counts,
    zeros: u64,
    above: Counts,
    /// Least and greatest number.
    ends: (f64, f64),
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            below: Counts::default(),
            zeros: 0,
            above: Counts::default(),
            ends: (f64::INFINITY, f64::NEG_INFINITY),
        }
    }
}

/// Counts by size.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// The size of the first.
    first: u32,
    /// Their low bytes, for few are larger.
    counts: Vec<u8>,
    /// What is above, by size.
    high: BTreeMap<u32, u64>,
}

impl Counts {
    fn add(&mut self, size: u32, numbers: u64) {
        if self.counts.is_empty() {
            self.first = size;
        }
        if size < self.first {
            let more = (self.first - size) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = size;
        }
        let at = (size - self.first) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        let sum = u64::from(self.counts[at]).saturating_add(numbers);
        self.counts[at] = sum as u8;
        if sum > u64::from(u8::MAX) {
            *self.high.entry(size).or_default() += sum >> u8::BITS;
        }
    }

    /// Those that are not 0, by size.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, u64)> {
        let last = self.first + self.counts.len() as u32;
        let each = (self.first..last).zip(self.counts.iter());
        let each = each.map(|(size, low)| {
            let high = self.high.get(&size).copied().unwrap_or(0);
            (size, high << u8::BITS | u64::from(*low))
        });
        each.filter(|(_, count)| *count > 0)
    }
}

impl Histogram {
    /// Counts a number. One that is none (NaN) is left out.
    pub fn add(&mut self, number: f64) {
        self.add_times(number, 1);
    }

    /// Counts a number so many times.
    pub fn add_times(&mut self, number: f64, times: u64) {
        if !number.is_nan() {
            self.reach((number, number));
            self.count(bucket(number), times);
        }
    }

    /// Adds what another counts.
    pub fn merge(&mut self, other: &Histogram) {
        self.reach(other.ends);
        other.buckets().for_each(|(b, n)| self.count(b, n));
    }

    fn reach(&mut self, ends: (f64, f64)) {
        self.ends = (self.ends.0.min(ends.0), self.ends.1.max(ends.1));
    }

    fn count(&mut self, bucket: i32, numbers: u64) {
        match bucket {
            0 => self.zeros = self.zeros.saturating_add(numbers),
            1.. => self.above.add(bucket.unsigned_abs(), numbers),
            _ => self.below.add(bucket.unsigned_abs(), numbers),
        }
    }

    /// The buckets that are not empty, from the least on, with their counts.
    fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        let below = self.below.iter().rev();
        let below = below.map(|(size, count)| (-(size as i32), count));
        let zero = (self.zeros > 0).then_some((0, self.zeros));
        let above = self.above.iter();
        let above = above.map(|(size, count)| (size as i32, count));
        below.chain(zero).chain(above)
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
        found.map(|(bucket, _)| middle(bucket).min(greatest).max(least))
    }

    /// Bytes that it takes beside itself, about.
    pub fn heap(&self) -> usize {
        let high = self.below.high.len() + self.above.high.len();
        self.below.counts.len() + self.above.counts.len() + high * HIGH
    }

    /// Least and greatest number, as little-endian doubles; then, for each bucket that is not empty, from the least on, two
    /// LEB128 numbers: how far it is beyond the one before, the first beyond -131,009, and its count.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.ends.0.to_le_bytes(), self.ends.1.to_le_bytes()].concat();
        let mut before = -(SIZES as i32);
        for (bucket, count) in self.buckets() {
            put(u64::from(before.abs_diff(bucket)), &mut bytes);
            put(count, &mut bytes);
            before = bucket;
        }
        bytes
    }

    /// Adds what [`Histogram::to_bytes`] made of another. False: it made no such bytes.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> bool {
        let Some((least, rest)) = bytes.split_first_chunk::<8>() else {
            return false;
        };
        let Some((greatest, mut rest)) = rest.split_first_chunk::<8>() else {
            return false;
        };
        self.reach((f64::from_le_bytes(*least), f64::from_le_bytes(*greatest)));
        let mut bucket = -i64::from(SIZES);
        while !rest.is_empty() {
            let (Some(step), Some(count)) = (take(&mut rest), take(&mut rest)) else {
                return false;
            };
            bucket = bucket.saturating_add_unsigned(step);
            if bucket >= i64::from(SIZES) {
                return false;
            }
            self.count(bucket as i32, count);
        }
        true
    }
}

fn put(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number from the front; None: there is none, or it is too large.
fn take(bytes: &mut &[u8]) -> Option<u64> {
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

/// The bucket of a number: they are in the order of the numbers, and that of 0 is 0.
fn bucket(number: f64) -> i32 {
    let size = (number.abs().to_bits() >> REST) as i32;
    match number {
        _ if number == 0.0 => 0,
        // What is smaller than all that has a bucket of its own is not 0 for that.
        _ if number < 0.0 => -size.max(1),
        _ => size.max(1),
    }
}

/// The number that stands for those of a bucket.
fn middle(bucket: i32) -> f64 {
    let at = |size: u32| f64::from_bits(u64::from(size) << REST);
    let (start, end) = (at(bucket.unsigned_abs()), at(bucket.unsigned_abs() + 1));
    // In buckets this narrow there is one integer, and integers are what is measured.
    let size = match end - start > 1.0 && end.is_finite() {
        true => (start + end) / 2.0,
        false => start,
    };
    if bucket < 0 { -size } else { size }
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
        let mut sum = of([1.0, 2.0]);
        sum.merge(&of([2.0, 0.5, -7.0]));
        let all: Vec<u64> = sum.buckets().map(|(_, count)| count).collect();
        assert_eq!(all, [1, 1, 1, 2]);
    }

    #[test]
    fn bytes_say_the_same_and_what_are_none_is_found() {
        let mut histogram = of([f64::NEG_INFINITY, -2.5, 0.0, 1.0, 1.0, 1e9, f64::INFINITY]);
        histogram.add_times(77.0, u64::from(u32::MAX) + 5);
        let bytes = histogram.to_bytes();
        let mut other = Histogram::default();
        assert!(other.merge_bytes(&bytes));
        assert!(other.buckets().eq(histogram.buckets()));
        let many = u64::from(u32::MAX) + 5;
        assert!(other.buckets().any(|(_, count)| count == many));
        assert_eq!(other.to_bytes(), bytes);
        assert!(!Histogram::default().merge_bytes(&bytes[..bytes.len() - 1]));
        assert!(!Histogram::default().merge_bytes(&bytes[..15]));
        let far = [&bytes[..16], &[0xff; 10], &[1]].concat();
        assert!(!Histogram::default().merge_bytes(&far));
        assert!(of([]).to_bytes().len() == 16);
    }
}
