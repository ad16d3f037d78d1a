//! A change from the good side to the bad one.

use std::cmp::Reverse;

use crate::diff::facts::Aspect;

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    New,
    Slower,
    More,
    Vanished,
    Faster,
    Less,
}

impl ChangeKind {
    /// Returns the word for the change in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ChangeKind::New => "new",
            ChangeKind::Slower => "slower",
            ChangeKind::More => "more",
            ChangeKind::Vanished => "vanished",
            ChangeKind::Faster => "faster",
            ChangeKind::Less => "less",
        }
    }
}

/// The meaning of the two numbers of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Number of times.
    Count,
    /// Number of times in each second of the life of a container.
    PerSecond,
    /// Number of times in each run of a container.
    PerRun,
    /// Median duration, µs.
    Median,
    /// 99th percentile of the duration, µs.
    P99,
}

impl Measure {
    /// Returns the words for the measure in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Measure::Count => "count",
            Measure::PerSecond => "per second",
            Measure::PerRun => "per run",
            Measure::Median => "median µs",
            Measure::P99 => "p99 µs",
        }
    }
}

/// A change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    pub(crate) aspect: Aspect,
    /// The name under which the containers of both sides are compared.
    pub(crate) container: String,
    pub(crate) subject: String,
    pub(crate) action: Option<String>,
    pub(crate) good: f64,
    pub(crate) bad: f64,
    pub(crate) measure: Measure,
    /// When the bad side had it first, ns since 1970 UTC.
    pub(crate) since: Option<i64>,
    /// One of the originals of `subject`, if they differ.
    pub(crate) example: Option<String>,
    /// The severity within kind and aspect; 0 is the most severe.
    pub(crate) rank: i64,
}

impl Change {
    /// Returns the bad number divided by the good one; `None`: the good one is 0.
    pub(crate) fn factor(&self) -> Option<f64> {
        (self.good > 0.0).then(|| self.bad / self.good)
    }

    /// Returns the key by which changes are sorted: new ones by severity, others by the size of the change.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let size = match self.kind {
            ChangeKind::New => self.bad,
            ChangeKind::Vanished => self.good,
            _ => self
                .factor()
                .filter(|f| *f > 0.0)
                .map_or(f64::MAX, |f| f.ln().abs()),
        };
        let of_aspect = matches!(self.kind, ChangeKind::New | ChangeKind::Vanished);
        let of_aspect = of_aspect.then_some((self.aspect, self.rank));
        let names = (
            self.container.clone(),
            self.subject.clone(),
            self.action.clone(),
        );
        let class = match self.kind {
            ChangeKind::New => 0,
            ChangeKind::Slower | ChangeKind::More => 1,
            ChangeKind::Vanished => 2,
            ChangeKind::Faster | ChangeKind::Less => 3,
        };
        // A number that is not negative is sorted by its bits.
        (class, of_aspect, Reverse(size.max(0.0).to_bits()), names)
    }
}
