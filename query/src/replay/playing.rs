//! The events to play, and the settings of the playback.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::Speed;
use crate::engine::EventSelection;
use crate::output::LineFormat;
use crate::replay::window;

/// The events that are played, and how.
#[derive(Debug)]
pub(crate) struct Playing {
    pub(crate) events: EventSelection,
    pub(crate) speed: Speed,
    /// The longest pause; `None`: pauses are as long as they were.
    pub(crate) idle: Option<Duration>,
    pub(crate) format: LineFormat,
    /// The condition in SQL of the event at which the playback stops.
    pub(crate) until: Option<String>,
    /// The most events.
    pub(crate) limit: u64,
    /// The architecture of each host, as `uname -m` prints it.
    pub(crate) architectures: BTreeMap<String, String>,
    /// The name of the recordings.
    pub(crate) title: String,
}

impl Playing {
    /// Returns the column that is true for events at which the playback stops, as SQL.
    pub(super) fn stop_column(&self) -> String {
        let until = self.until.as_deref().unwrap_or("false");
        // The condition may end with a comment.
        format!("coalesce(({until}\n), false) as \"{}\"", window::STOP)
    }
}
