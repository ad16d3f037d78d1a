//! Some of the events: those of a span of time and of some containers, and of them those that pass a condition.

use crate::engine::error::QueryError;
use crate::engine::session::Engine;

/// Condition for the rows that tell which containers and processes there were, and which events were lost.
const STORY: &str = "kind in ('container', 'process', 'gap') or child_pid is not null
    or (syscall in ('execve', 'execveat') and ret = 0)";

/// Some of the events. The conditions are SQL.
#[derive(Debug)]
pub(crate) struct EventSelection {
    /// The first and the last time, ns since 1970 UTC.
    pub(crate) span: (i64, i64),
    /// The condition for the containers; `None`: all.
    pub(crate) containers: Option<String>,
    /// The condition for the events of these containers; `None`: all.
    pub(crate) rows: Option<String>,
}

impl EventSelection {
    /// Returns the condition for the containers.
    pub(crate) fn containers(&self) -> &str {
        self.containers.as_deref().unwrap_or("true")
    }

    /// Returns the condition for the selected events and for losses, at any time. A loss without a container may belong to any
    /// container.
    pub(crate) fn events(&self) -> String {
        let rows = self.rows.as_deref();
        self.with_gaps(&rows.map_or("true".into(), |rows| format!("{rows}\n    or kind = 'gap'")))
    }

    /// Returns the condition for the selected events, at any time, together with all rows about the containers and their
    /// processes, and about losses.
    pub(crate) fn story(&self) -> String {
        let rows = self.rows.as_deref();
        self.with_gaps(&rows.map_or("true".into(), |rows| format!("{rows}\n    or {STORY}")))
    }

    fn with_gaps(&self, rows: &str) -> String {
        match &self.containers {
            None => rows.to_string(),
            Some(containers) => format!(
                "((({containers}) and ({rows}))\n    or (kind = 'gap' and container is null))"
            ),
        }
    }

    /// Returns the condition for the span of time.
    pub(crate) fn in_span(&self) -> String {
        let (from, to) = self.span;
        format!("time >= to_timestamp_nanos({from}) and time <= to_timestamp_nanos({to})")
    }
}

impl Engine {
    /// Checks that a text is a condition on an event, which can be part of another statement: there, its brackets could end those
    /// of other conditions.
    ///
    /// # Errors
    /// It is not; the message is a sentence without a position. Or a recording cannot be read.
    pub(crate) async fn check_condition(&self, condition: &str) -> Result<(), QueryError> {
        let alone = format!("select 1 from events where {condition}");
        let within = format!("select 1 from events where ({condition}\n)");
        for sql in [alone, within] {
            self.plan(&sql).await.map_err(|error| match error {
                QueryError::Sql(error) => {
                    let help = error.help.map_or(String::new(), |help| format!(". {help}"));
                    QueryError::Run(error.message + &help)
                }
                other => other,
            })?;
        }
        Ok(())
    }
}
