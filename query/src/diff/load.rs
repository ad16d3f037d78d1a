//! The calls of a pair of containers, and the units in which they are counted: runs, or slices of time.

use std::collections::{BTreeMap, HashMap};

use ctrace_schema::histogram::Histogram;

use crate::diff::change::Measure;
use crate::diff::facts::{ContainerFacts, SLICES, SideFacts};
use crate::diff::pairs::Pair;
use crate::diff::side::Side;
use crate::diff::statistics::Counts;

/// Nanoseconds in a second.
const SECOND_NS: f64 = 1e9;

/// Calls of one name and result.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The number of calls in each unit.
    counts: Vec<u64>,
    /// The durations in each slice of time.
    pub(super) durations: Vec<Histogram>,
    pub(super) first_seen: i64,
    pub(super) is_denied: bool,
}

/// The calls by name and error.
pub(super) type Calls<'a> = BTreeMap<(&'a str, Option<&'a str>), Series>;

/// The calls of one side of a pair.
pub(super) struct SideLoad<'a> {
    exposures: Vec<f64>,
    pub(super) calls: Calls<'a>,
}

/// The calls of a pair of containers.
pub(super) struct Load<'a> {
    /// True if each container ran from its start to its end, so that a run is the unit.
    is_job: bool,
    pub(super) good: SideLoad<'a>,
    pub(super) bad: SideLoad<'a>,
}

impl<'a> Load<'a> {
    pub(super) fn new(pair: &Pair<'_>, good: &Side<'a>, bad: &Side<'a>) -> Load<'a> {
        let ran = |side: &SideFacts, containers: &[&ContainerFacts]| {
            containers
                .iter()
                .all(|container| is_run(container, side.span))
        };
        let is_job = ran(good.facts, &pair.good) && ran(bad.facts, &pair.bad);
        Load {
            is_job,
            good: SideLoad::new(&pair.good, good, is_job),
            bad: SideLoad::new(&pair.bad, bad, is_job),
        }
    }

    /// Returns the meaning of the rates.
    pub(super) fn measure(&self) -> Measure {
        match self.is_job {
            true => Measure::PerRun,
            false => Measure::PerSecond,
        }
    }

    /// Returns whether the subject that one side used `count` times would probably have been used by the other, if nothing had
    /// changed. A run is expected to repeat everything.
    pub(super) fn expects(&self, count: u64, from: &SideLoad<'_>, to: &SideLoad<'_>) -> bool {
        // The probability of none is then below 1 %, if the events are independent (Poisson).
        const LEAST: f64 = 5.0;
        self.is_job
            || count as f64 * to.exposure() / from.exposure().max(f64::MIN_POSITIVE) >= LEAST
    }
}

/// Returns whether the whole life of a container lies in a span of time.
fn is_run(container: &ContainerFacts, (from, to): (i64, i64)) -> bool {
    container.started.is_some_and(|started| started >= from)
        && container.stopped.is_some_and(|stopped| stopped <= to)
}

impl<'a> SideLoad<'a> {
    fn new(containers: &[&ContainerFacts], side: &Side<'a>, is_job: bool) -> SideLoad<'a> {
        let exposures = match is_job {
            true => vec![1.0; containers.len()],
            false => lives(containers, side.facts),
        };
        let numbers: HashMap<&str, usize> = containers
            .iter()
            .enumerate()
            .map(|(i, c)| (c.id.as_str(), i))
            .collect();
        let mut calls: Calls<'a> = Calls::new();
        for facts in side.calls(containers) {
            let series = calls
                .entry((&facts.name, facts.error.as_deref()))
                .or_insert_with(|| Series {
                    counts: vec![0; exposures.len()],
                    durations: vec![Histogram::default(); SLICES],
                    first_seen: i64::MAX,
                    is_denied: facts.is_denied,
                });
            let slice = facts.slice.min(SLICES - 1);
            let unit = match is_job {
                true => numbers.get(facts.container.as_str()).copied().unwrap_or(0),
                false => slice,
            };
            series.counts[unit] += facts.count;
            series.durations[slice].merge(&facts.durations);
            series.first_seen = series.first_seen.min(facts.first_seen);
        }
        SideLoad { exposures, calls }
    }

    /// Returns the number of runs, or the seconds that the containers lived.
    pub(super) fn exposure(&self) -> f64 {
        self.exposures.iter().sum()
    }

    /// Returns the counts of calls of one name and result.
    pub(super) fn counts(&self, series: &Series) -> Counts {
        Counts {
            counts: series.counts.clone(),
            exposures: self.exposures.clone(),
        }
    }
}

impl Series {
    /// Returns the number of calls.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Returns how many seconds containers lived in each slice of time.
fn lives(containers: &[&ContainerFacts], side: &SideFacts) -> Vec<f64> {
    let (from, to) = side.span;
    let length = side.slice_ns();
    let mut seconds = vec![0.0; SLICES];
    for container in containers {
        // What is outside of containers lives as long as the machine.
        let start = match container.has_id {
            true => container.started.unwrap_or(from).max(from),
            false => from,
        };
        let end = container.stopped.unwrap_or(to).min(to);
        for (slice, lived) in seconds.iter_mut().enumerate() {
            let first = from.saturating_add(length.saturating_mul(slice as i64));
            let last = first.saturating_add(length);
            let overlap = end.min(last).saturating_sub(start.max(first));
            *lived += overlap.max(0) as f64 / SECOND_NS;
        }
    }
    seconds
}
