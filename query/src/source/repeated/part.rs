//! One part of a file, with the ranges of its events that are known without reading them.

/// The place of a part in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The row group with this number.
    Group(usize),
    Journal,
    Database,
}

/// A part of a file, and the ranges of its events according to statistics and metadata.
#[derive(Debug)]
pub(super) struct Part {
    /// The number of the file.
    pub(super) file: usize,
    pub(super) place: Place,
    pub(super) rows: u64,
    /// True if the rows are about the containers and processes that were alive when the file began.
    pub(super) is_alive: bool,
    /// The boot of all events; `None`: they are of several boots.
    pub(super) boot: Option<String>,
    /// The host of all events; `None`: not known.
    pub(super) host: Option<String>,
    /// The run of the recorder; `None`: not known.
    pub(super) run: Option<String>,
    /// The least and the greatest `seq`.
    pub(super) seq: (i64, i64),
    /// The least and the greatest `time`, µs since 1970 UTC, because other programs write µs instead of ns.
    pub(super) micros: (i64, i64),
}

/// The range of all numbers: that of a column without statistics.
pub(super) const ANY: (i64, i64) = (i64::MIN, i64::MAX);

/// Returns whether two ranges, both ends included, have a number in common.
pub(super) fn overlap(a: (i64, i64), b: (i64, i64)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

/// Returns whether two values, each of which may be unknown, may be equal.
fn may_equal(a: &Option<String>, b: &Option<String>) -> bool {
    a.is_none() || b.is_none() || a == b
}

impl Part {
    /// Returns whether two parts are of different files and may have an event in common.
    pub(super) fn may_share(&self, other: &Part) -> bool {
        self.is_compatible(other)
            && overlap(self.seq, other.seq)
            && (self.is_same_run(other) || overlap(self.micros, other.micros))
    }

    fn is_compatible(&self, other: &Part) -> bool {
        self.file != other.file
            && may_equal(&self.boot, &other.boot)
            && may_equal(&self.host, &other.host)
            && may_equal(&self.run, &other.run)
    }

    /// Returns whether both parts are known to be of one run.
    pub(super) fn is_same_run(&self, other: &Part) -> bool {
        self.run.is_some() && self.run == other.run
    }

    /// Returns whether the part has every event of its run from its first to its last number.
    pub(super) fn is_whole(&self) -> bool {
        let span = self.seq.1.checked_sub(self.seq.0);
        self.boot.is_some() && span.and_then(|n| n.checked_add(1)) == i64::try_from(self.rows).ok()
    }
}
