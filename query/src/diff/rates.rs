//! Rates and durations that have changed by more than noise.

use ctrace_schema::syscalls::{self, Class};

use crate::diff::change::{Change, ChangeKind, Measure};
use crate::diff::facts::Aspect;
use crate::diff::load::{Load, Series, SideLoad};
use crate::diff::statistics::{Counts, LEAST_FACTOR, LogFactor, QuantilePair, Rate};
use crate::diff::subjects::{Key, Subjects};

/// Calls that wait for what others do, beside those of [`Class::Poll`]: how often and how long depends on the timing of others.
const WAITS: &[&str] = &[
    "accept",
    "accept4",
    "clock_nanosleep_time64",
    "futex",
    "futex_wait",
    "futex_waitv",
    "io_getevents",
    "io_uring_enter",
    "msgrcv",
    "pause",
    "restart_syscall",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sched_yield",
    "semop",
    "semtimedop",
    "sigreturn",
    "sigsuspend",
    "wait4",
    "waitid",
    "waitpid",
];
/// Results that are no failures, and depend on timing.
const NO_FAILURES: &[&str] = &["EAGAIN", "EALREADY", "EINPROGRESS", "EINTR", "ETIMEDOUT"];
/// The least change of a duration, ns. Shorter ones follow the clock and the caches of a CPU.
const LEAST_CHANGE_NS: f64 = 10_000.0;
/// The least number of calls from which it can be told that all of them changed.
const LEAST_CALLS: usize = 5;
/// The least number of times, on both sides together, for a comparison.
const LEAST_COUNT: u64 = 20;
/// The share of the calls whose dispersion is taken for subjects, of which the counts in slices are not known.
const SUBJECTS_QUANTILE: f64 = 0.9;
/// The quantiles of durations that are compared.
const QUANTILES: [(f64, Measure); 2] = [(0.5, Measure::Median), (0.99, Measure::P99)];

/// A rate on both sides.
struct RatePair {
    aspect: Aspect,
    subject: String,
    action: Option<String>,
    rates: [Rate; 2],
    factor: LogFactor,
}

/// The comparisons of a pair of containers.
pub(super) struct Comparisons<'a> {
    name: &'a str,
    measure: Measure,
    rates: Vec<RatePair>,
    /// The logarithm of the factor by which all calls changed.
    load: f64,
    durations: Vec<(String, Measure, QuantilePair)>,
}

impl<'a> Comparisons<'a> {
    pub(super) fn new(
        name: &'a str,
        load: &Load<'_>,
        subjects: &Subjects<'_>,
        all: bool,
    ) -> Comparisons<'a> {
        let mut rates = vec![];
        let mut durations = vec![];
        for (key, good) in &load.good.calls {
            let Some(bad) = load.bad.calls.get(key) else {
                continue;
            };
            let (call, error) = *key;
            if !all && (waits(call) || error.is_some_and(is_timing)) {
                continue;
            }
            let counts = [load.good.counts(good), load.bad.counts(bad)];
            rates.extend(rate_pair(
                (Aspect::Call, call.into(), error.map(String::from)),
                &counts,
            ));
            if error.is_none() {
                durations.extend(quantiles(call, good, bad));
            }
        }
        let load_factor = median(rates.iter().map(|pair| pair.factor.value).collect())
            .filter(|f| f.abs() >= LEAST_FACTOR.ln());
        let dispersions = [0, 1].map(|side| dispersion(&rates, side));
        rates.extend(of_subjects(load, subjects, dispersions));
        Comparisons {
            name,
            measure: load.measure(),
            rates,
            load: load_factor.unwrap_or(0.0),
            durations,
        }
    }

    fn count(&self) -> usize {
        self.rates.len() + self.durations.len()
    }

    /// Returns the changes that are larger than noise, as some of a number of comparisons.
    fn changes(&self, comparisons: usize) -> Vec<Change> {
        let mut changes: Vec<_> = self.load_change(comparisons).into_iter().collect();
        for pair in self
            .rates
            .iter()
            .filter(|pair| pair.factor.is_significant(self.load, comparisons))
        {
            let [good, bad] = pair.rates.map(|rate| rate.per_exposure);
            let kind = if bad > good {
                ChangeKind::More
            } else {
                ChangeKind::Less
            };
            changes.push(self.change(
                kind,
                pair.aspect,
                &pair.subject,
                pair.action.clone(),
                (good, bad),
                self.measure,
            ));
        }
        let mut told = "";
        for (call, measure, pair) in &self.durations {
            let is_told = call == told || (pair.bad - pair.good).abs() < LEAST_CHANGE_NS;
            if is_told || !pair.is_significant(0.0, comparisons) {
                continue;
            }
            told = call;
            let kind = if pair.log_factor() > 0.0 {
                ChangeKind::Slower
            } else {
                ChangeKind::Faster
            };
            let micros = (pair.good / 1e3, pair.bad / 1e3);
            changes.push(self.change(kind, Aspect::Call, call, None, micros, *measure));
        }
        changes
    }

    /// Returns the change of all calls together.
    fn load_change(&self, comparisons: usize) -> Option<Change> {
        let calls = self.rates.iter().filter(|pair| pair.aspect == Aspect::Call);
        let significant = calls
            .clone()
            .filter(|pair| pair.factor.is_significant(0.0, comparisons));
        if self.load == 0.0 || significant.count() == 0 {
            return None;
        }
        let sum = |side: usize| {
            calls
                .clone()
                .map(|pair| pair.rates[side].per_exposure)
                .sum::<f64>()
        };
        let (good, bad) = (sum(0), sum(1));
        let kind = if self.load > 0.0 {
            ChangeKind::More
        } else {
            ChangeKind::Less
        };
        Some(self.change(
            kind,
            Aspect::Call,
            "all calls",
            None,
            (good, bad),
            self.measure,
        ))
    }

    fn change(
        &self,
        kind: ChangeKind,
        aspect: Aspect,
        subject: &str,
        action: Option<String>,
        (good, bad): (f64, f64),
        measure: Measure,
    ) -> Change {
        Change {
            kind,
            aspect,
            container: self.name.to_string(),
            subject: subject.to_string(),
            action,
            good,
            bad,
            measure,
            since: None,
            example: None,
            rank: 0,
        }
    }
}

/// Returns the changes that are larger than noise.
pub(super) fn significant(comparisons: &[Comparisons<'_>]) -> Vec<Change> {
    let count = comparisons.iter().map(Comparisons::count).sum();
    comparisons
        .iter()
        .flat_map(|each| each.changes(count))
        .collect()
}

fn rate_pair((aspect, subject, action): Key, counts: &[Counts; 2]) -> Option<RatePair> {
    let total: u64 = counts.iter().map(Counts::total).sum();
    let rates = counts.each_ref().map(Counts::rate);
    let [good, bad] = rates;
    let factor = LogFactor::of_rates(good, bad).filter(|_| total >= LEAST_COUNT)?;
    Some(RatePair {
        aspect,
        subject,
        action,
        rates,
        factor,
    })
}

/// Returns the comparisons of subjects that both sides used. They vary as the calls do.
fn of_subjects(
    load: &Load<'_>,
    subjects: &Subjects<'_>,
    dispersions: [Option<Rate>; 2],
) -> Vec<RatePair> {
    let of = |side: &SideLoad<'_>, count: u64, dispersion: Option<Rate>| Rate {
        count: count as f64,
        per_exposure: count as f64 / side.exposure().max(f64::MIN_POSITIVE),
        dispersion: dispersion.map_or(1.0, |rate| rate.dispersion),
        freedom: dispersion.and_then(|rate| rate.freedom),
    };
    let mut pairs = vec![];
    for (key, bad) in &subjects.bad {
        let (aspect, subject, action) = key;
        let is_call = matches!(aspect, Aspect::Call | Aspect::Denied);
        let Some(good) = subjects
            .good
            .get(key)
            .filter(|good| !is_call && good.count + bad.count >= LEAST_COUNT)
        else {
            continue;
        };
        let rates = [
            of(&load.good, good.count, dispersions[0]),
            of(&load.bad, bad.count, dispersions[1]),
        ];
        let factor = LogFactor::of_rates(rates[0], rates[1]);
        pairs.extend(factor.map(|factor| RatePair {
            aspect: *aspect,
            subject: subject.clone(),
            action: action.clone(),
            rates,
            factor,
        }));
    }
    pairs
}

fn quantiles(call: &str, good: &Series, bad: &Series) -> Vec<(String, Measure, QuantilePair)> {
    let pairs = QUANTILES.iter().filter_map(|(share, measure)| {
        let pair = QuantilePair::of(&good.durations, &bad.durations, *share)?;
        Some((call.to_string(), *measure, pair))
    });
    pairs.collect()
}

/// Returns whether a call waits for what others do.
fn waits(call: &str) -> bool {
    let name = call.trim_start_matches("io_uring:");
    WAITS.contains(&name) || syscalls::spec(name).class == Class::Poll
}

fn is_timing(error: &str) -> bool {
    NO_FAILURES.contains(&error) || error.starts_with("ERESTART")
}

/// Returns the median, if there are enough numbers.
fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
        .get(numbers.len() / 2)
        .copied()
        .filter(|_| numbers.len() >= LEAST_CALLS)
}

/// Returns the rate of a call that varies more than most.
fn dispersion(rates: &[RatePair], side: usize) -> Option<Rate> {
    let mut rates: Vec<_> = rates.iter().map(|pair| pair.rates[side]).collect();
    rates.sort_by(|a, b| a.dispersion.total_cmp(&b.dispersion));
    let place = (rates.len() as f64 * SUBJECTS_QUANTILE) as usize;
    rates.get(place.min(rates.len().saturating_sub(1))).copied()
}
