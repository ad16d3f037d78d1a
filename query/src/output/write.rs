//! Writes a stream of rows in one of the formats.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use ctrace_schema::meta;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use crate::messages;
use crate::output::answer_writer::AnswerWriter;
use crate::output::batch_writer::BatchWriter;
use crate::output::error::OutputError;
use crate::output::format::AnswerFormat;
use crate::output::parquet::{check_types, parquet_writer};
use crate::output::progress::ScanProgress;
use crate::output::table::{MarkdownWriter, PlanWriter, TableWriter, VerticalWriter};
use crate::output::text::{DelimitedWriter, JsonWriter, NdjsonWriter};
use crate::output::times;

/// Writes all `rows`, and returns their number. `metadata` goes into the footer of a Parquet file. Nothing is written if
/// the query fails before its first row.
///
/// # Errors
/// The query failed, the destination cannot be written, or the format cannot express a type of the answer.
pub(crate) async fn write(
    mut rows: SendableRecordBatchStream,
    format: AnswerFormat,
    writer: AnswerWriter,
    metadata: Vec<(String, String)>,
    progress: Option<ScanProgress>,
) -> Result<usize, OutputError> {
    let fault = writer.fault();
    let failed = |source| match fault.get() {
        Some(fault) => OutputError::Io(fault.clone()),
        None => OutputError::Format {
            format: format.name(),
            source,
        },
    };
    let schema = match format {
        AnswerFormat::Arrow | AnswerFormat::Parquet => without_views(&rows.schema()),
        _ => rows.schema(),
    };
    let schema = match format.needs_unique_names() {
        true => with_unique_names(&schema, format),
        false => schema,
    };
    if matches!(format, AnswerFormat::Parquet) {
        check_types(&schema)?;
    }
    // The rows about live containers and processes come first, in a row group of their own.
    let alive = metadata.iter().find(|(key, _)| key == meta::KEY_ALIVE);
    let alive = alive.and_then(|(_, rows)| rows.parse().ok());
    // A reader who waits for each row gets the heading before the first one.
    let live = writer.live;
    let mut next = None;
    if !live {
        next = next_batch(&mut rows, progress.as_ref()).await?;
        while next.as_ref().is_some_and(|batch| batch.num_rows() == 0) {
            next = next_batch(&mut rows, progress.as_ref()).await?;
        }
    }
    let mut batches = batch_writer(format, &schema, writer, metadata).map_err(failed)?;
    if live {
        next = next_batch(&mut rows, progress.as_ref()).await?;
    }
    let mut count = 0;
    while let Some(batch) = next {
        let batch = recast(batch, &schema).map_err(failed)?;
        count += batch.num_rows();
        batches.batch(&batch).map_err(failed)?;
        if alive == Some(count) {
            batches.end_group().map_err(failed)?;
        }
        next = next_batch(&mut rows, progress.as_ref()).await?;
    }
    batches.finish().map_err(failed)?;
    Ok(count)
}

/// Returns the next rows; `None`: there are no more.
async fn next_batch(
    rows: &mut SendableRecordBatchStream,
    progress: Option<&ScanProgress>,
) -> Result<Option<RecordBatch>, OutputError> {
    let next = rows.next();
    let next = match progress {
        Some(progress) => progress.during(next).await,
        None => next.await,
    };
    let batch = next.transpose().map_err(OutputError::Query)?;
    if let Some(batch) = &batch {
        times::check(batch).map_err(OutputError::Query)?;
    }
    Ok(batch)
}

/// Returns the schema with numbers after the names that earlier columns have, and warns of the new names.
fn with_unique_names(schema: &SchemaRef, format: AnswerFormat) -> SchemaRef {
    let mut taken: HashSet<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let mut seen = HashSet::new();
    let mut unique = |field: &Arc<Field>| {
        if seen.insert(field.name().clone()) {
            return field.clone();
        }
        let numbered = |number| format!("{}_{number}", field.name());
        let free = (1..).map(numbered).find(|name| !taken.contains(name));
        let name = free.unwrap_or_default();
        messages::warning(&format!(
            "several columns are named `{}`, which --format {} cannot express: one of them is written as `{name}`",
            field.name(),
            format.name()
        ));
        taken.insert(name.clone());
        Arc::new(field.as_ref().clone().with_name(name))
    };
    let fields: Vec<_> = schema.fields().iter().map(&mut unique).collect();
    Arc::new(Schema::new(fields))
}

/// Returns the schema with plain strings and binaries, which other programs support better than views.
fn without_views(schema: &SchemaRef) -> SchemaRef {
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

fn batch_writer(
    format: AnswerFormat,
    schema: &SchemaRef,
    writer: AnswerWriter,
    metadata: Vec<(String, String)>,
) -> Result<Box<dyn BatchWriter>, ArrowError> {
    Ok(match format {
        AnswerFormat::Table | AnswerFormat::Vertical if is_plan(schema) => {
            Box::new(PlanWriter::new(writer))
        }
        AnswerFormat::Table => Box::new(TableWriter::new(schema, writer)),
        AnswerFormat::Vertical => Box::new(VerticalWriter::new(schema, writer)),
        AnswerFormat::Markdown => Box::new(MarkdownWriter::new(schema, writer)?),
        AnswerFormat::Csv => Box::new(DelimitedWriter::new(b',', schema, writer)?),
        AnswerFormat::Tsv => Box::new(DelimitedWriter::new(b'\t', schema, writer)?),
        AnswerFormat::Json => Box::new(JsonWriter::new(writer)),
        AnswerFormat::Ndjson => Box::new(NdjsonWriter::new(writer)),
        AnswerFormat::Arrow => Box::new(StreamWriter::try_new(writer, schema)?),
        AnswerFormat::Parquet => Box::new(parquet_writer(schema, writer, metadata)?),
    })
}

/// Returns whether the answer is that of `explain`: plans of many lines.
fn is_plan(schema: &SchemaRef) -> bool {
    let names = schema.fields().iter().map(|f| f.name().as_str());
    names.eq(["plan_type", "plan"])
}
