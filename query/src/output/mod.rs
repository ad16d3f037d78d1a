//! Writes an answer: to stdout or a file, in the format that was asked for.

mod escape;
mod layout;
pub mod pager;
mod sink;
mod table;

use std::io::Write;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json;
use arrow::util::display::FormatOptions;
use ctrace_schema::text;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::cli::Format;
use crate::output::progress::Progress;
use crate::engine::sql_error::plain;
pub use sink::{Sink, is_closed_pipe, next_reader};

/// Why an answer was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("{0}")]
    Io(String),
    #[error("this answer cannot be written as {format}")]
    Format { format: String, source: ArrowError },
    #[error("--format {0} is not for a terminal: add `--output FILE`, or pipe it into a program")]
    Binary(String),
    #[error("{}", plain(.0))]
    Query(DataFusionError),
}

/// A message on stderr. It may quote a file that a stranger wrote.
pub fn say(kind: &str, message: &str) {
    let message = message.replace('\t', "    ");
    let lines: Vec<_> = message.lines().map(text::printable).collect();
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "{kind}: {}", lines.join("\n"));
}

/// How a time is written where the format has no type for it; UTC.
const TIME: &str = "%Y-%m-%d %H:%M:%S%.9f";

/// Writes all of `rows` to `sink`, and returns how many they are. `meta` goes into the footer of a Parquet file.
///
/// # Errors
/// That the query failed on the way, that the sink did, or that the format has no place for a type of the answer.
pub async fn write(
    mut rows: SendableRecordBatchStream,
    format: Format,
    sink: Sink,
    meta: Vec<(String, String)>,
    progress: Option<Progress>,
) -> Result<usize, OutputError> {
    let fault = sink.fault();
    let failed = |source| match fault.get() {
        Some(fault) => OutputError::Io(fault.clone()),
        None => OutputError::Format {
            format: format!("{format:?}").to_lowercase(),
            source,
        },
    };
    let schema = match format {
        Format::Arrow | Format::Parquet => plain_strings(&rows.schema()),
        _ => rows.schema(),
    };
    let mut writer = writer(format, &schema, sink, meta).map_err(failed)?;
    let mut count = 0;
    loop {
        let next = rows.next();
        let next = match &progress {
            Some(progress) => progress.during(next).await,
            None => next.await,
        };
        let Some(batch) = next else { break };
        let batch = batch.map_err(OutputError::Query)?;
        let batch = recast(batch, &schema).map_err(failed)?;
        count += batch.num_rows();
        writer.batch(&batch).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(count)
}

/// Other programs know plain strings better than views.
fn plain_strings(schema: &SchemaRef) -> SchemaRef {
    let plain = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8View => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
        DataType::BinaryView => Arc::new(field.as_ref().clone().with_data_type(DataType::Binary)),
        _ => field.clone(),
    };
    Arc::new(Schema::new(
        schema.fields().iter().map(plain).collect::<Vec<_>>(),
    ))
}

fn recast(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(
        |(column, field)| match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            false => cast(column, field.data_type()),
        },
    );
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &rows)
}

/// A format being written.
trait BatchWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError>;
    fn finish(self: Box<Self>) -> Result<(), ArrowError>;
}

fn writer(
    format: Format,
    schema: &SchemaRef,
    sink: Sink,
    meta: Vec<(String, String)>,
) -> Result<Box<dyn BatchWriter>, ArrowError> {
    Ok(match format {
        Format::Table | Format::Vertical if is_plan(schema) => Box::new(table::Plans::new(sink)),
        Format::Table => Box::new(table::Table::new(schema, sink)),
        Format::Vertical => Box::new(table::Vertical::new(schema, sink)),
        Format::Markdown => Box::new(table::Markdown::new(schema, sink)?),
        Format::Csv => Box::new(delimited(b',', schema, sink)?),
        Format::Tsv => Box::new(delimited(b'\t', schema, sink)?),
        Format::Json => Box::new(Json(
            json::WriterBuilder::new().build::<_, json::writer::JsonArray>(escape::Json::new(sink)),
        )),
        Format::Ndjson => Box::new(Ndjson(
            json::WriterBuilder::new()
                .build::<_, json::writer::LineDelimited>(escape::Json::new(sink)),
        )),
        Format::Arrow => Box::new(StreamWriter::try_new(sink, schema)?),
        Format::Parquet => Box::new(parquet(schema, sink, meta)?),
    })
}

/// Whether an answer is that of `explain`: plans of many lines.
fn is_plan(schema: &SchemaRef) -> bool {
    let names = schema.fields().iter().map(|f| f.name().as_str());
    names.eq(["plan_type", "plan"])
}

/// How values are written for people.
static CELLS: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(true)
    .with_timestamp_format(Some(TIME))
    .with_timestamp_tz_format(Some(TIME));

/// An answer without rows has a header all the same.
struct Delimited {
    to: csv::Writer<Sink>,
    schema: SchemaRef,
}

fn delimited(delimiter: u8, schema: &SchemaRef, sink: Sink) -> Result<Delimited, ArrowError> {
    let mut to = csv::WriterBuilder::new()
        .with_delimiter(delimiter)
        .with_timestamp_format(TIME.into())
        .with_timestamp_tz_format(TIME.into())
        .build(sink);
    let schema = escape::schema(schema);
    to.write(&RecordBatch::new_empty(schema.clone()))?;
    Ok(Delimited { to, schema })
}

impl BatchWriter for Delimited {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.to.write(&escape::batch(batch, &self.schema)?)
    }
    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.to.into_inner().done()?)
    }
}

struct Json(json::Writer<escape::Json, json::writer::JsonArray>);

impl BatchWriter for Json {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.0.write(batch)
    }
    fn finish(mut self: Box<Self>) -> Result<(), ArrowError> {
        self.0.finish()?;
        let mut sink = self.0.into_inner().into_inner();
        sink.write_all(b"\n")?;
        Ok(sink.done()?)
    }
}

struct Ndjson(json::Writer<escape::Json, json::writer::LineDelimited>);

impl BatchWriter for Ndjson {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.0.write(batch)
    }
    fn finish(mut self: Box<Self>) -> Result<(), ArrowError> {
        self.0.finish()?;
        Ok(self.0.into_inner().into_inner().done()?)
    }
}

impl BatchWriter for StreamWriter<Sink> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.write(batch)
    }
    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.into_inner()?.done()?)
    }
}

/// A Parquet file, with `meta` in its footer.
///
/// # Errors
/// That it cannot be written.
pub fn parquet(
    schema: &SchemaRef,
    sink: Sink,
    meta: Vec<(String, String)>,
) -> Result<ArrowWriter<Sink>, ArrowError> {
    let skip = !meta.is_empty();
    let options = options(meta).with_skip_arrow_metadata(skip);
    Ok(ArrowWriter::try_new_with_options(
        sink,
        schema.clone(),
        options,
    )?)
}

/// How recordings in Parquet are written, with these pairs in the footer.
pub fn options(meta: Vec<(String, String)>) -> ArrowWriterOptions {
    let pairs = meta
        .into_iter()
        .map(|(key, value)| KeyValue::new(key, value))
        .collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(pairs))
        .build();
    // The recorder writes no Arrow schema either, so that a part of a recording reads like the whole.
    ArrowWriterOptions::new()
        .with_skip_arrow_metadata(true)
        .with_properties(properties)
}

impl BatchWriter for ArrowWriter<Sink> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        Ok(self.write(batch)?)
    }
    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.into_inner()?.done()?)
    }
}
