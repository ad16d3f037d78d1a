//! The time span of recordings.

use chrono::{DateTime, Utc};

/// The first and the last instant of something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeSpan {
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
}

impl TimeSpan {
    /// The empty span at 1970, for callers whose times are not relative to a recording.
    pub(crate) const EPOCH: TimeSpan = TimeSpan {
        start: DateTime::UNIX_EPOCH,
        end: DateTime::UNIX_EPOCH,
    };

    /// Returns whether the span is that of events, or of a recording: not [`TimeSpan::EPOCH`].
    pub(crate) fn is_known(self) -> bool {
        (self.start, self.end) != (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH)
    }
}
