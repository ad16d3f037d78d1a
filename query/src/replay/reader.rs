//! Reads what the player asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::RecordBatch;

use crate::engine::{Engine, QueryError, SliceEnd, SliceReader};
use crate::output::LineFormat;
use crate::questions::{failure, literal};
use crate::replay::details::{self, Details};
use crate::replay::filters::{Filter, value};
use crate::replay::playing::Playing;
use crate::replay::state::{Direction, Wanted};
use crate::replay::timeline::failure_condition;
use crate::replay::window::{EventKey, FAILURE, MAX_SLICE_ROWS, Slice};

/// Number of events that a search reads at once.
const SEARCH_ROWS: u64 = 262_144;

/// Columns of filters and details that lines do not have.
const MORE_COLUMNS: &str = "boot_id, container_id, pid, ppid, exe";

/// The columns in which a text is looked for.
const SEARCHED: [&str; 16] = [
    "container",
    "comm",
    "exe",
    "kind",
    "action",
    "syscall",
    "error",
    "path",
    "path_arg",
    "path2",
    "peer_addr",
    "peer_path",
    "dns_name",
    "argv",
    "image",
    "cast(tid as varchar)",
];

/// Reads events that pass the filters of the player.
pub(super) struct Reader<'a> {
    engine: &'a Engine,
    playing: &'a Playing,
    /// The condition for the events.
    condition: String,
    lines: SliceReader,
    all_columns: SliceReader,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// A recording cannot be opened.
    pub(super) async fn new(
        engine: &'a Engine,
        playing: &'a Playing,
    ) -> Result<Reader<'a>, QueryError> {
        let condition = playing.events.events();
        Ok(Reader {
            lines: lines(engine, playing, &condition).await?,
            all_columns: engine
                .slice_reader(&LineFormat::Json.columns(), "true")
                .await?,
            engine,
            playing,
            condition,
        })
    }

    /// Restricts the events to those that pass all filters.
    ///
    /// # Errors
    /// A filter is wrong.
    pub(super) async fn filter(&mut self, filters: &[Filter]) -> Result<(), QueryError> {
        let mut condition = format!("({})", self.playing.events.events());
        for filter in filters {
            condition += &format!(" and {}", filter.sql);
        }
        self.lines = lines(self.engine, self.playing, &condition).await?;
        self.condition = condition;
        Ok(())
    }

    /// Reads a slice of time.
    pub(super) fn slice(
        &self,
        slice: (i64, i64),
    ) -> impl Future<Output = Result<Slice, QueryError>> + use<> {
        let lines = self.lines.clone();
        async move {
            let rows = lines.read(slice, SliceEnd::First, MAX_SLICE_ROWS).await?;
            Slice::new(rows).map_err(|error| QueryError::Run(error.to_string()))
        }
    }

    /// Returns the condition for all events that pass the filters.
    pub(super) fn condition(&self) -> String {
        self.condition.clone()
    }

    /// Returns the reader of the details of events.
    pub(super) fn all_columns(&self) -> SliceReader {
        self.all_columns.clone()
    }

    /// Returns the condition for the events of the timeline.
    pub(super) fn timeline_condition(&self, recorded: (i64, i64)) -> String {
        let (from, to) = self.playing.events.span;
        // Rollups answer for whole recordings.
        match (from, to) == recorded {
            true => self.condition.clone(),
            false => format!("({}) and {}", self.condition, self.playing.events.in_span()),
        }
    }
}

/// Finds the nearest event that is wanted, not counting the one at `from`. Stores the time that it has reached in
/// `reached`.
///
/// # Errors
/// A recording cannot be read.
pub(super) async fn search(
    engine: &Engine,
    condition: String,
    span: (i64, i64),
    wanted: Wanted,
    from: EventKey,
    direction: Direction,
    reached: Arc<AtomicI64>,
) -> Result<Option<EventKey>, QueryError> {
    let EventKey { time, seq } = from;
    let (sign, end) = match direction {
        Direction::Forward => (">", SliceEnd::First),
        Direction::Backward => ("<", SliceEnd::Last),
    };
    let is_other = format!(
        "(time {sign} to_timestamp_nanos({time}) or (time = to_timestamp_nanos({time}) and seq {sign} {seq}))"
    );
    let is_wanted = match wanted {
        Wanted::Text(text) => text_condition(&text),
        Wanted::Failure => failure_condition(),
    };
    let condition = format!("({condition}) and {is_other} and ({is_wanted})");
    let events = engine.slice_reader("time, seq", &condition).await?;
    let part = match direction {
        Direction::Forward => (time, span.1),
        Direction::Backward => (span.0, time),
    };
    let mut slices = engine.time_slices(part, SEARCH_ROWS).await?;
    if direction == Direction::Backward {
        slices.reverse();
    }
    for slice in slices {
        reached.store(slice.0, Ordering::Relaxed);
        let found = events.read(slice, end, 1).await?;
        let key = |batch: &RecordBatch| {
            let seq = value(batch, "seq")?.parse().ok()?;
            let time = details::time_of(batch)?;
            Some(EventKey { time, seq })
        };
        if let Some(key) = key(&found) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Reads everything about an event, a batch of one row.
///
/// # Errors
/// A recording cannot be read.
pub(super) async fn details(
    engine: &Engine,
    all_columns: SliceReader,
    event: RecordBatch,
) -> Result<Details, QueryError> {
    let columns = details::columns(all_columns, &event).await?;
    Ok(Details {
        columns: columns.as_ref().map(details::pairs).unwrap_or_default(),
        processes: details::processes(engine, &event).await?,
        container: details::container(engine, &event).await?,
    })
}

/// Returns the reader of the columns that lines, filters and the player itself need.
async fn lines(
    engine: &Engine,
    playing: &Playing,
    condition: &str,
) -> Result<SliceReader, QueryError> {
    let columns = format!(
        "{}, {MORE_COLUMNS}, {} as \"{FAILURE}\", {}",
        LineFormat::Table.columns(),
        failure(),
        playing.stop_column()
    );
    engine.slice_reader(&columns, condition).await
}

/// Returns the condition for events in whose line, or in one of whose columns, a text is; capital and small letters are the same.
fn text_condition(text: &str) -> String {
    let text = literal(&text.to_lowercase());
    let columns = SEARCHED.map(|column| format!("strpos(lower({column}), {text}) > 0"));
    format!(
        "{} or (kind = 'syscall' and strpos(lower(strace()), {text}) > 0)",
        columns.join(" or ")
    )
}
