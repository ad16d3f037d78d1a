//! Events as lines, as the recorder prints them live: in the style of strace, or as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use ctrace_schema::columns::COLUMNS;
use ctrace_schema::strace::{End, Event, Socket};

use crate::output::escape::{self, JsonEscaper};

/// The format of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFormat {
    /// As strace prints calls.
    Table,
    /// One JSON object for each event, without null columns.
    Json,
}

const TEXTS: [&str; 22] = [
    "host",
    "container",
    "comm",
    "kind",
    "action",
    "class",
    "syscall",
    "error",
    "path",
    "path_arg",
    "path2",
    "family",
    "protocol",
    "local_addr",
    "peer_addr",
    "peer_path",
    "dns_name",
    "dns_type",
    "dns_code",
    "dns_answers",
    "argv",
    "image",
];
const NUMBERS: [&str; 15] = [
    "time",
    "duration",
    "tid",
    "ret",
    "arg0",
    "arg1",
    "arg2",
    "arg3",
    "arg4",
    "arg5",
    "local_port",
    "peer_port",
    "exit_code",
    "exit_signal",
    "lost",
];
const FLAGS: [&str; 2] = ["compat", "denied"];

impl LineFormat {
    /// Returns the columns that the lines need, as SQL.
    pub(crate) fn columns(self) -> String {
        let names: Vec<&str> = match self {
            LineFormat::Json => COLUMNS.iter().map(|column| column.name).collect(),
            LineFormat::Table => TEXTS
                .iter()
                .chain(&NUMBERS)
                .chain(&FLAGS)
                .chain(&["seq"])
                .copied()
                .collect(),
        };
        names.join(", ")
    }
}

/// The lines of a batch of events.
pub(crate) struct EventLines {
    text: Vec<u8>,
    /// The end of each line in `text`.
    ends: Vec<usize>,
    /// The time of each event, ns since 1970 UTC.
    times: Int64Array,
}

impl EventLines {
    /// Formats a batch with the columns of `format`. `architectures`: that of each host, as `uname -m` prints it.
    ///
    /// # Errors
    /// A column has another type than in a recording.
    pub(crate) fn new(
        batch: &RecordBatch,
        format: LineFormat,
        architectures: &BTreeMap<String, String>,
    ) -> Result<EventLines, ArrowError> {
        let times = numbers(batch, "time")?;
        let (text, ends) = match format {
            LineFormat::Table => strace_lines(batch, architectures)?,
            LineFormat::Json => json_lines(batch)?,
        };
        Ok(EventLines { text, ends, times })
    }

    /// Returns the number of lines.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the time of an event, ns since 1970 UTC.
    pub(crate) fn time(&self, line: usize) -> i64 {
        self.times.value(line)
    }

    /// Returns the text of the lines from `first` on and before `end`, each with its line break.
    pub(crate) fn text(&self, first: usize, end: usize) -> &[u8] {
        let start_of = |line: usize| match line {
            0 => 0,
            line => self.ends[line - 1],
        };
        &self.text[start_of(first)..start_of(end)]
    }
}

fn strace_lines(
    batch: &RecordBatch,
    architectures: &BTreeMap<String, String>,
) -> Result<(Vec<u8>, Vec<usize>), ArrowError> {
    // Texts of unknown origin must not control a terminal.
    let batch = escape::batch(batch, &escape::schema(&batch.schema()))?;
    let columns = EventColumns::new(&batch)?;
    let mut text = String::new();
    let mut ends = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", columns.event(row, architectures));
        ends.push(text.len());
    }
    Ok((text.into_bytes(), ends))
}

fn json_lines(batch: &RecordBatch) -> Result<(Vec<u8>, Vec<usize>), ArrowError> {
    let batch = with_numeric_zone(batch)?;
    let mut lines = JsonEscaper::new(Vec::new());
    LineDelimitedWriter::new(&mut lines).write(&batch)?;
    let text = lines.into_inner();
    // A line break in a text is escaped.
    let ends = memchr::memchr_iter(b'\n', &text).map(|at| at + 1);
    let ends = ends.collect();
    Ok((text, ends))
}

/// Returns the batch with its timestamps in the zone `+00:00`, as the recorder writes them.
fn with_numeric_zone(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let zone = DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()));
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(..) => Arc::new(field.as_ref().clone().with_data_type(zone.clone())),
        _ => field.clone(),
    });
    let fields: Vec<_> = fields.collect();
    let columns = batch.columns().iter().zip(&fields);
    let columns = columns.map(|(column, field)| match field.data_type() {
        DataType::Timestamp(..) => cast(column, &zone),
        _ => Ok(column.clone()),
    });
    RecordBatch::try_new(
        Arc::new(Schema::new(fields.clone())),
        columns.collect::<Result<_, _>>()?,
    )
}

fn column(batch: &RecordBatch, name: &str, ty: &DataType) -> Result<ArrayRef, ArrowError> {
    match batch.column_by_name(name) {
        Some(column) => cast(column, ty),
        None => Err(ArrowError::SchemaError(format!(
            "there is no column `{name}`"
        ))),
    }
}

fn numbers(batch: &RecordBatch, name: &str) -> Result<Int64Array, ArrowError> {
    let column = column(batch, name, &DataType::Int64)?;
    Ok(column.as_primitive::<Int64Type>().clone())
}

/// The columns of a batch of events, each found once.
struct EventColumns {
    texts: Vec<StringViewArray>,
    numbers: Vec<Int64Array>,
    flags: Vec<BooleanArray>,
}

impl EventColumns {
    fn new(batch: &RecordBatch) -> Result<EventColumns, ArrowError> {
        let texts = TEXTS.iter().map(|name| {
            let column = column(batch, name, &DataType::Utf8View)?;
            Ok::<_, ArrowError>(column.as_string_view().clone())
        });
        let flags = FLAGS.iter().map(|name| {
            let column = column(batch, name, &DataType::Boolean)?;
            Ok::<_, ArrowError>(column.as_boolean().clone())
        });
        Ok(EventColumns {
            texts: texts.collect::<Result<_, _>>()?,
            numbers: NUMBERS
                .iter()
                .map(|name| numbers(batch, name))
                .collect::<Result<_, _>>()?,
            flags: flags.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the values of a row, in the order of [`TEXTS`], [`NUMBERS`] and [`FLAGS`].
    fn event<'a>(&'a self, row: usize, architectures: &'a BTreeMap<String, String>) -> Event<'a> {
        let mut texts = self.texts.iter();
        let mut text = || {
            let column = texts.next()?;
            column.is_valid(row).then(|| column.value(row))
        };
        let mut numbers = self.numbers.iter();
        let mut number = || {
            let column = numbers.next()?;
            column.is_valid(row).then(|| column.value(row))
        };
        let mut flags = self.flags.iter();
        let mut flag = || {
            let column = flags.next();
            column.is_some_and(|column| column.is_valid(row) && column.value(row))
        };
        let arch = text().and_then(|host| architectures.get(host));
        let mut event = Event {
            arch: arch.map_or("", String::as_str),
            container: text(),
            comm: text(),
            kind: text().unwrap_or_default(),
            action: text(),
            class: text(),
            syscall: text(),
            error: text(),
            path: text(),
            path_arg: text(),
            path2: text(),
            time: number(),
            duration: number(),
            tid: number(),
            ret: number(),
            args: [(); 6].map(|()| number()),
            compat: flag(),
            denied: flag(),
            ..Event::default()
        };
        let mut socket = Socket {
            family: text(),
            protocol: text(),
            ..Socket::default()
        };
        let (local_addr, peer_addr) = (text(), text());
        socket.peer_path = text();
        socket.local = End {
            addr: local_addr,
            port: number(),
        };
        socket.peer = End {
            addr: peer_addr,
            port: number(),
        };
        event.socket = socket;
        event.dns_name = text();
        event.dns_type = text();
        event.dns_code = text();
        event.dns_answers = text();
        event.argv = text();
        event.image = text();
        event.exit_code = number();
        event.exit_signal = number();
        event.lost = number();
        event
    }
}
