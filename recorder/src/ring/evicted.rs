//! Counts of the events that were evicted from the ring, and the gap rows that report them.

use crate::ring::frame::{ContainerRef, Tally, add_tally};
use crate::rows::batch::Boot;
use crate::rows::single::{SingleRows, Value};

/// Events of one container that were evicted because the ring was full.
#[derive(Clone, Debug)]
pub(crate) struct Evicted {
    pub(crate) owner: ContainerRef,
    /// First and last `time`, ns since 1970 UTC.
    pub(crate) span: (i64, i64),
    pub(crate) rows: u64,
    /// Events by class.
    pub(crate) tallies: Vec<Tally>,
}

impl Evicted {
    /// Adds events of the same container that were evicted later.
    pub(crate) fn join(&mut self, next: &Evicted) {
        self.span.0 = self.span.0.min(next.span.0);
        self.span.1 = self.span.1.max(next.span.1);
        self.rows += next.rows;
        for tally in &next.tallies {
            add_tally(&mut self.tallies, *tally);
        }
    }

    /// Appends one gap row for each class of the events, with the cause `cause`.
    pub(crate) fn push_gaps(&self, rows: &mut SingleRows, boot: &Boot, cause: &str) {
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
                ("host", text(&boot.host)),
                ("boot_id", boot.id.as_deref().and_then(text)),
                ("kind", text("gap")),
                ("action", text(cause)),
                ("class", text(tally.class)),
                ("lost", Some(Value::Number(tally.events as i64))),
            ];
            let values = values
                .into_iter()
                .filter_map(|(name, value)| Some((ctrace_schema::columns::index(name)?, value?)));
            rows.push(&values.collect::<Vec<_>>());
        }
    }
}
