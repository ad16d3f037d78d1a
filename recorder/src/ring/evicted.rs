//! Events that were evicted from the ring.

use crate::ring::frame::{ContainerRef, Tally, add};
use crate::rows::single::{SingleRows, Value};

/// Events that are there no more because there were too many.
#[derive(Clone, Debug)]
pub(crate) struct Evicted {
    /// Whose they were.
    pub(crate) owner: ContainerRef,
    /// First and last `time`, ns since 1970 UTC.
    pub(crate) span: (i64, i64),
    /// How many rows.
    pub(crate) rows: u64,
    /// How many events, by class.
    pub(crate) tallies: Vec<Tally>,
}

impl Evicted {
    /// Takes what was evicted next.
    pub(crate) fn join(&mut self, next: &Evicted) {
        self.span.0 = self.span.0.min(next.span.0);
        self.span.1 = self.span.1.max(next.span.1);
        self.rows += next.rows;
        for tally in &next.tallies {
            add(&mut self.tallies, *tally);
        }
    }
}

impl Evicted {
    /// Adds the rows that say that events are not there, for the reason `why`: one for each class of them.
    pub(crate) fn push_gaps(&self, lines: &mut SingleRows, host: &str, why: &str) {
        for tally in self.tallies.iter().filter(|tally| tally.events > 0) {
            let (start, end) = self.span;
            let text = |text: &str| Some(Value::Text(text.into()));
            let values = [
                ("time", Some(Value::Number(start))),
                ("duration", Some(Value::Number(end.saturating_sub(start)))),
                ("seq", Some(Value::Number(tally.seq))),
                ("container", self.owner.container.clone().map(Value::Text)),
                (
                    "container_id",
                    self.owner.container_id.clone().map(Value::Text),
                ),
                ("host", text(host)),
                ("kind", text("gap")),
                ("action", text(why)),
                ("class", text(tally.class)),
                ("lost", Some(Value::Number(tally.events as i64))),
            ];
            let values = values
                .into_iter()
                .filter_map(|(name, value)| Some((ctrace_schema::columns::index(name)?, value?)));
            lines.push(&values.collect::<Vec<_>>());
        }
    }
}
