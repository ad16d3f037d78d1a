//! The statistics of rates and quantiles.

use ctrace_schema::histogram::Histogram;

/// Probability with which anything is told although nothing has changed, over all comparisons (Bonferroni).
const FALSE_ALARMS: f64 = 0.01;
/// The least factor of a change.
pub(super) const LEAST_FACTOR: f64 = 1.5;
/// Standard deviation of the logarithm of a rate or a quantile between two runs of one program, beyond the deviation within a
/// run. Two sides differ by a tenth.
const BETWEEN_RUNS: f64 = 0.07;
/// The least number of units from which their dispersion is computed.
const LEAST_UNITS: usize = 5;
/// The least share of the longest unit's exposure with which a unit counts for the dispersion.
const LEAST_EXPOSURE: f64 = 0.05;

/// Counts of units, such as slices of time or runs of a program.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) counts: Vec<u64>,
    /// The length of each unit, in seconds, or 1 for a run.
    pub(super) exposures: Vec<f64>,
}

/// A rate with its uncertainty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) count: f64,
    pub(super) per_exposure: f64,
    /// Variance of a unit's count, as a multiple of the count that is expected; 1 for a Poisson process.
    pub(super) dispersion: f64,
    /// Degrees of freedom of `dispersion`; `None`: it is assumed.
    pub(super) freedom: Option<f64>,
}

impl Counts {
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the rate, with the dispersion of the units: Pearson's statistic divided by its degrees of freedom (McCullagh and
    /// Nelder, Generalized Linear Models, 1989, section 4.5).
    pub(super) fn rate(&self) -> Rate {
        let exposure: f64 = self.exposures.iter().sum();
        let count = self.total() as f64;
        let per_exposure = if exposure > 0.0 {
            count / exposure
        } else {
            0.0
        };
        let longest = self.exposures.iter().copied().fold(0.0, f64::max);
        let units = self.counts.iter().zip(&self.exposures);
        let units = units.filter(|(_, e)| **e > 0.0 && **e >= longest * LEAST_EXPOSURE);
        let terms: Vec<f64> = units
            .map(|(n, e)| {
                let expected = per_exposure * e;
                (*n as f64 - expected).powi(2) / expected.max(f64::MIN_POSITIVE)
            })
            .collect();
        let freedom = terms.len().saturating_sub(1) as f64;
        let is_known = terms.len() >= LEAST_UNITS && count > 0.0;
        Rate {
            count,
            per_exposure,
            dispersion: match is_known {
                true => (terms.iter().sum::<f64>() / freedom).max(1.0),
                false => 1.0,
            },
            freedom: is_known.then_some(freedom),
        }
    }
}

/// The logarithm of the bad number divided by the good one, its standard error, and the degrees of freedom of the error.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogFactor {
    pub(super) value: f64,
    error: f64,
    freedom: Option<f64>,
}

impl LogFactor {
    /// Compares two rates; `None`: one of them is 0. The variance of the logarithm of a count is that of a negative binomial
    /// distribution by the delta method: dispersion / count + variance between runs.
    pub(super) fn of_rates(good: Rate, bad: Rate) -> Option<LogFactor> {
        let rates = [good, bad];
        if rates.iter().any(|rate| rate.per_exposure <= 0.0) {
            return None;
        }
        let variance = |rate: &Rate| rate.dispersion / rate.count + BETWEEN_RUNS.powi(2);
        let freedom = rates.iter().filter_map(|rate| rate.freedom);
        Some(LogFactor {
            value: (bad.per_exposure / good.per_exposure).ln(),
            error: rates.iter().map(variance).sum::<f64>().sqrt(),
            freedom: freedom.reduce(|a, b| a + b),
        })
    }

    /// Returns whether the factor is larger than noise in relation to the logarithm `load` of a factor that all have in common,
    /// as one of a number of `comparisons`.
    pub(super) fn is_significant(&self, load: f64, comparisons: usize) -> bool {
        let least = LEAST_FACTOR.ln();
        let beyond = self.value - load;
        self.value.abs() >= least
            && beyond.abs() >= least
            && beyond.signum() == self.value.signum()
            && beyond.abs() >= self.error * critical(comparisons, self.freedom)
    }
}

/// A quantile of durations on both sides.
#[derive(Clone, Debug)]
pub(super) struct QuantilePair {
    pub(super) good: f64,
    pub(super) bad: f64,
    /// The histograms of all durations, good and bad.
    totals: [Histogram; 2],
    /// The share of the durations that are not greater.
    share: f64,
    /// The deviation of the slices' quantiles.
    factor: LogFactor,
}

impl QuantilePair {
    /// Compares the quantile of the durations of slices; `None`: one side has no durations.
    pub(super) fn of(good: &[Histogram], bad: &[Histogram], share: f64) -> Option<QuantilePair> {
        // A slice's quantile lies below its greatest durations only if it has several of these.
        let least = (10.0 / (1.0 - share)) as u64;
        let total = |slices: &[Histogram]| {
            let mut sum = Histogram::default();
            slices.iter().for_each(|slice| sum.merge(slice));
            sum
        };
        let totals = [total(good), total(bad)];
        let logs = |slices: &[Histogram]| -> Vec<f64> {
            let enough = slices.iter().filter(|slice| slice.total() >= least);
            let quantiles = enough.filter_map(|slice| quantile(slice, share));
            quantiles.map(|value| value.max(1.0).ln()).collect()
        };
        let logs = [logs(good), logs(bad)];
        let mut variance = 2.0 * BETWEEN_RUNS.powi(2);
        let mut freedom = 0.0;
        for logs in logs.iter().filter(|logs| logs.len() > 1) {
            let count = logs.len() as f64;
            let mean = logs.iter().sum::<f64>() / count;
            let squares = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
            variance += squares / (count - 1.0) / count;
            freedom += count - 1.0;
        }
        let [good, bad] = totals.each_ref().map(|total| quantile(total, share));
        let (good, bad) = (good?, bad?);
        Some(QuantilePair {
            good,
            bad,
            totals,
            share,
            factor: LogFactor {
                value: (bad.max(1.0) / good.max(1.0)).ln(),
                error: variance.sqrt(),
                freedom: (freedom > 0.0).then_some(freedom),
            },
        })
    }

    /// Returns the logarithm of the factor.
    pub(super) fn log_factor(&self) -> f64 {
        self.factor.value
    }

    /// Returns whether the change is larger than noise: the confidence intervals of both quantiles, by their order statistics
    /// (David and Nagaraja, Order Statistics, 2003, section 7.1), are apart, and so are the quantiles of the slices.
    pub(super) fn is_significant(&self, load: f64, comparisons: usize) -> bool {
        let z = critical(comparisons, None);
        let [good, bad] = self.totals.each_ref().map(|h| interval(h, self.share, z));
        let (Some(good), Some(bad)) = (good, bad) else {
            return false;
        };
        let are_apart = good.1 < bad.0 || bad.1 < good.0;
        are_apart && self.factor.is_significant(load, comparisons)
    }
}

/// Returns the least number that a share of the numbers do not exceed.
fn quantile(histogram: &Histogram, share: f64) -> Option<f64> {
    let rank = (histogram.total() as f64 * share).ceil().max(1.0);
    histogram.at_rank(rank as u64)
}

/// Returns the confidence interval of a quantile; `None`: there are too few numbers for one.
fn interval(histogram: &Histogram, share: f64, z: f64) -> Option<(f64, f64)> {
    let count = histogram.total() as f64;
    let (middle, width) = (count * share, z * (count * share * (1.0 - share)).sqrt());
    let (low, high) = ((middle - width).floor(), (middle + width).ceil());
    if low < 1.0 || high > count {
        return None;
    }
    Some((
        histogram.at_rank(low as u64)?,
        histogram.at_rank(high as u64)?,
    ))
}

/// Returns the number of standard errors from which on one of `comparisons` is told.
fn critical(comparisons: usize, freedom: Option<f64>) -> f64 {
    let z = normal_quantile(FALSE_ALARMS / 2.0 / comparisons.max(1) as f64);
    match freedom {
        None => z,
        // Student's distribution (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5).
        Some(freedom) => {
            let first = (z.powi(3) + z) / 4.0;
            let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
            let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
            z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
        }
    }
}

/// Returns the number that a standard normal variable exceeds with the probability `tail`.
fn normal_quantile(tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..64 {
        let middle: f64 = (low + high) / 2.0;
        match libm::erfc(middle / std::f64::consts::SQRT_2) / 2.0 > tail {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn counts(counts: &[u64]) -> Counts {
        Counts {
            counts: counts.to_vec(),
            exposures: vec![1.0; counts.len()],
        }
    }

    #[test]
    fn quantiles_of_the_normal_and_of_students_distribution() {
        assert!((normal_quantile(0.025) - 1.959_964).abs() < 1e-5);
        assert!((normal_quantile(1e-6) - 4.753_424).abs() < 1e-5);
        // t with 10 degrees of freedom and a tail of 0.005 is 3.1693.
        assert!((critical(1, Some(10.0)) - 3.1693).abs() < 0.01);
    }

    #[test]
    fn rates_that_vary_by_themselves_need_a_larger_change() {
        let (steady, double) = (counts(&[100; 20]), counts(&[200; 20]));
        let factor =
            |good: &Counts, bad: &Counts| LogFactor::of_rates(good.rate(), bad.rate()).unwrap();
        assert!(factor(&steady, &double).is_significant(0.0, 100));
        assert!(factor(&double, &steady).is_significant(0.0, 100));
        // All others have doubled too.
        assert!(!factor(&steady, &double).is_significant(2f64.ln(), 100));
        assert!(!factor(&steady, &counts(&[120; 20])).is_significant(0.0, 1));
        let bursts: Vec<u64> = (0..20)
            .map(|i| if i % 10 == 0 { 1000 } else { 0 })
            .collect();
        let more: Vec<u64> = bursts.iter().map(|n| n * 2).collect();
        assert!(!factor(&counts(&bursts), &counts(&more)).is_significant(0.0, 100));
        // One run each: the deviation is assumed.
        assert!(factor(&counts(&[100]), &counts(&[200])).is_significant(0.0, 100));
        assert!(!factor(&counts(&[10]), &counts(&[20])).is_significant(0.0, 100));
        assert!(LogFactor::of_rates(counts(&[0]).rate(), counts(&[9]).rate()).is_none());
    }

    fn slices(median: f64, count: usize) -> Vec<Histogram> {
        let slice = |i: usize| {
            let mut histogram = Histogram::default();
            // From half of the median to one and a half of it.
            for n in 0..count {
                let spread = 0.5 + n as f64 / count as f64;
                histogram.add(median * spread * (1.0 + (i % 3) as f64 / 100.0));
            }
            histogram
        };
        (0..20).map(slice).collect()
    }

    #[test]
    fn quantiles_are_compared_by_their_intervals_and_by_slices() {
        let pair = |good: &[Histogram], bad: &[Histogram], share| {
            QuantilePair::of(good, bad, share).unwrap()
        };
        let (fast, slow) = (slices(1e6, 100), slices(3e6, 100));
        assert!(pair(&fast, &slow, 0.5).is_significant(0.0, 100));
        assert!(pair(&slow, &fast, 0.5).is_significant(0.0, 100));
        assert!(!pair(&fast, &slices(1.2e6, 100), 0.5).is_significant(0.0, 1));
        assert!(!pair(&fast, &fast, 0.5).is_significant(0.0, 1));
        // A 99th percentile needs some thousand durations.
        assert!(!pair(&slices(1e6, 20), &slices(3e6, 20), 0.99).is_significant(0.0, 100));
        let (fast, slow) = (slices(1e6, 1000), slices(3e6, 1000));
        assert!(pair(&fast, &slow, 0.99).is_significant(0.0, 100));
        assert!(QuantilePair::of(&fast, &[], 0.5).is_none());
    }
}
