//! Compares two sides, a good one and a bad one: what is new, what has vanished, and which rates and latencies have changed by
//! more than noise. Reads nothing and prints nothing; docs/diff.md describes the statistics.

mod change;
mod facts;
mod load;
mod pairs;
mod peers;
mod rates;
mod side;
mod statistics;
mod subjects;
#[cfg(test)]
mod tests;

pub(crate) use change::{Change, ChangeKind, Measure};
pub(crate) use facts::{
    Aspect, CallFacts, ContainerFacts, PeerFacts, SideFacts, SubjectFacts, slice_ns,
};

use load::Load;
use rates::Comparisons;
use side::Side;
use subjects::Subjects;

/// The settings of a comparison.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DiffSettings {
    /// True if all containers of a side count as one, whatever their names.
    pub(crate) as_one: bool,
    /// True if calls that wait, and subjects that are rare, are compared like all others.
    pub(crate) all: bool,
}

/// Returns the changes from the good side to the bad one, the most severe first.
pub(crate) fn compare(good: &SideFacts, bad: &SideFacts, settings: DiffSettings) -> Vec<Change> {
    let pairs = pairs::pairs(good, bad, settings.as_one);
    let good = Side::new(good, pairs.iter().map(|pair| (&pair.name, &pair.good)));
    let bad = Side::new(bad, pairs.iter().map(|pair| (&pair.name, &pair.bad)));
    let mut changes = vec![];
    let mut comparisons = vec![];
    for pair in &pairs {
        changes.extend(pair.changes());
        if pair.good.is_empty() || pair.bad.is_empty() {
            continue;
        }
        let load = Load::new(pair, &good, &bad);
        let subjects = Subjects::new(pair, &good, &bad, &load);
        changes.extend(subjects.changes(&load, settings.all));
        comparisons.push(Comparisons::new(&pair.name, &load, &subjects, settings.all));
    }
    changes.extend(rates::significant(&comparisons));
    changes.sort_by_key(Change::order);
    changes
}
