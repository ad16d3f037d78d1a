//! Counts by time: one number for each bucket.

use crate::questions::TimeBuckets;

/// One count for each bucket of time. Trailing buckets may be missing, which are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts(Vec<i64>);

impl Counts {
    /// Adds `n` to the count of a bucket.
    pub(crate) fn add(&mut self, bucket: usize, n: i64) {
        if n == 0 {
            return;
        }
        if self.0.len() <= bucket {
            self.0.resize(bucket + 1, 0);
        }
        self.0[bucket] = self.0[bucket].saturating_add(n);
    }

    /// Adds all counts of `other`.
    pub(crate) fn add_all(&mut self, other: &Counts) {
        for (bucket, n) in other.0.iter().enumerate() {
            self.add(bucket, *n);
        }
    }

    pub(crate) fn total(&self) -> i64 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Joins pairs of buckets, as [`TimeBuckets::halved`] does.
    pub(crate) fn halve(&mut self) {
        let pairs = self.0.chunks(2);
        self.0 = pairs.map(|pair| pair.iter().sum()).collect();
    }

    /// Returns the counts in the form that the page reads: a number is the count of the next bucket, and a negative number stands
    /// for as many empty buckets.
    pub(crate) fn runs(&self) -> Vec<i64> {
        let mut runs: Vec<i64> = Vec::new();
        for n in &self.0 {
            match (n, runs.last_mut()) {
                (0, Some(last)) if *last < 0 => *last -= 1,
                (0, _) => runs.push(-1),
                (n, _) => runs.push(*n),
            }
        }
        while runs.last().is_some_and(|last| *last < 0) {
            runs.pop();
        }
        runs
    }
}

/// Returns the buckets of a span in ns since 1970: the first and the last one. An end that is not known is that of the page.
pub(crate) fn span(buckets: TimeBuckets, first: Option<i64>, last: Option<i64>) -> [usize; 2] {
    [
        first.map_or(0, |first| buckets.index(first)),
        last.map_or(buckets.count - 1, |last| buckets.index(last)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_buckets_are_joined() {
        let mut counts = Counts::default();
        for (bucket, n) in [(3, 5), (4, 1), (7, 2), (9, 0), (3, 1)] {
            counts.add(bucket, n);
        }
        assert_eq!(counts.runs(), [-3, 6, 1, -2, 2]);
        assert_eq!(counts.total(), 9);
        counts.halve();
        assert_eq!(counts.runs(), [-1, 6, 1, 2]);
        let mut both = Counts::default();
        both.add_all(&counts);
        assert_eq!(both, counts);
        assert_eq!(Counts::default().runs(), [0i64; 0]);
    }
}
