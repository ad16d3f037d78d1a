//! `convert`: writes a recording in another format, with all columns, rows and metadata.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ctrace_format::names::FileFormat;
use ctrace_format::sqlite::Writer;
use ctrace_schema::columns::FILE_ORDER;
use ctrace_schema::{BATCH_ROWS, columns, human, meta};
use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;

use crate::cli::Conversion;
use crate::engine::{QueryError, session_with_functions};
use crate::messages;
use crate::output::{AnswerWriter, PartialFile, common_mode, parquet_writer};
use crate::rewrite::rollups;
use crate::rewrite::sorted::sorted;
use crate::rewrite::target::check_absent;
use crate::source::{RECORDING, Repeated, events_table, open_recording};

/// Rows of an SQLite transaction.
const TRANSACTION_ROWS: usize = 32_768;

/// Converts a recording.
///
/// # Errors
/// The source is not a recording, or the target exists or cannot be written.
pub(crate) async fn convert(conversion: &Conversion) -> Result<()> {
    let (from, to) = (&conversion.from, &conversion.to);
    check_target(conversion)?;
    let session = session_with_functions()
        .with_config(SessionConfig::new().with_target_partitions(1))
        .build();
    let context = SessionContext::new_with_state(session);
    let source = open_recording(&context, from).await?;
    let has_row_groups = to.extension() == Some("parquet".as_ref());
    let is_copied = |(key, _): &(&String, &String)| match key.as_str() {
        // The Arrow schema describes the encoding of the source file.
        "ARROW:schema" => false,
        // The rows of SQLite have no place in the file.
        meta::KEY_ALIVE => has_row_groups,
        _ => true,
    };
    let meta = source.meta.iter().filter(is_copied);
    let meta = meta
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mode = common_mode(std::iter::once(from.as_path()));
    let mut target = ConversionTarget::create(to, mode, meta)?;
    // The rows that are older than the file stay in row groups of their own, and are in no rollup.
    let mut parts = vec![Repeated::part(&source, false)];
    if source.has_alive_rows() {
        parts.insert(0, Repeated::part(&source, true));
    }
    let files = [source];
    let mut count = 0;
    let mut events = None;
    for part in &parts {
        let part = events_table(&files, part).map_err(QueryError::from)?;
        let table = context.read_table(part.clone());
        let table = table.map_err(QueryError::from)?;
        let mut rows = table.execute_stream().await.map_err(QueryError::from)?;
        if let Some(unknown) = unknown_column(&rows.schema()) {
            bail!(
                "{} has a column `{unknown}` that this program does not know: convert it with a newer version",
                from.display()
            );
        }
        count += copy_rows(&mut rows, &mut target, to).await?;
        events = Some(part);
    }
    let events = events.context("the recording has no part")?;
    target
        .finish(&events)
        .await
        .with_context(|| cannot_write(to))?;
    let written = format!("{} events to {}", human::count(count), to.display());
    messages::status("converted", &written);
    Ok(())
}

fn check_target(conversion: &Conversion) -> Result<()> {
    let (from, to) = (&conversion.from, &conversion.to);
    check_absent(to, conversion.overwrite)?;
    if to
        .canonicalize()
        .is_ok_and(|to| from.canonicalize().is_ok_and(|from| from == to))
    {
        bail!(
            "{} is the recording that is read: write to another file",
            to.display()
        );
    }
    Ok(())
}

/// Copies the rows in groups of [`BATCH_ROWS`], and returns their number.
async fn copy_rows(
    rows: &mut SendableRecordBatchStream,
    target: &mut ConversionTarget,
    to: &Path,
) -> Result<u64> {
    let mut pending = Vec::new();
    let (mut pending_rows, mut total) = (0, 0);
    while let Some(batch) = rows.next().await {
        let mut batch = target.with_schema(&batch.map_err(QueryError::from)?)?;
        total += batch.num_rows() as u64;
        // If the row groups of the source have this size, those of the target are the same.
        while pending_rows + batch.num_rows() >= BATCH_ROWS {
            let missing = BATCH_ROWS - pending_rows;
            pending.push(batch.slice(0, missing));
            target.write(&pending).with_context(|| cannot_write(to))?;
            pending.clear();
            batch = batch.slice(missing, batch.num_rows() - missing);
            pending_rows = 0;
        }
        pending_rows += batch.num_rows();
        pending.push(batch);
    }
    target.write(&pending).with_context(|| cannot_write(to))?;
    Ok(total)
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// Returns the first column that is not part of the schema of this build.
fn unknown_column(schema: &Schema) -> Option<&str> {
    let names = schema.fields().iter().map(|f| f.name().as_str());
    let mut unknown = names.filter(|name| columns::index(name).is_none());
    unknown.find(|name| *name != RECORDING)
}

/// The file that is written. The file appears under its name when it is complete.
enum ConversionTarget {
    Parquet(Box<ArrowWriter<AnswerWriter>>, SchemaRef),
    Sqlite {
        writer: Writer,
        schema: SchemaRef,
        meta: Vec<(String, String)>,
        file: PartialFile,
    },
}

impl ConversionTarget {
    fn create(path: &Path, mode: u32, meta: Vec<(String, String)>) -> Result<ConversionTarget> {
        let schema = Arc::new(columns::arrow_schema());
        match FileFormat::from_name(path) {
            Some(FileFormat::Parquet) => {
                let writer = AnswerWriter::file(path, mode)?;
                let writer =
                    parquet_writer(&schema, writer, meta).with_context(|| cannot_write(path))?;
                Ok(ConversionTarget::Parquet(Box::new(writer), schema))
            }
            Some(FileFormat::Sqlite) => {
                // SQLite takes an empty file for a new database.
                let created = PartialFile::create(path, mode).with_context(|| cannot_write(path));
                let (file, _) = created?;
                let writer =
                    Writer::create(file.path(), &[]).with_context(|| cannot_write(path))?;
                Ok(ConversionTarget::Sqlite {
                    writer,
                    schema: with_dictionaries(&schema),
                    meta,
                    file,
                })
            }
            None => bail!(
                "the extension of {} is not that of a format: name it .parquet or .sqlite",
                path.display()
            ),
        }
    }

    /// Returns the batch with the columns and types of the target.
    fn with_schema(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let (ConversionTarget::Parquet(_, schema) | ConversionTarget::Sqlite { schema, .. }) = self;
        // A value that cannot be cast is an error, instead of null.
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
            Some(column) => cast_with_options(column, field.data_type(), &options),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        };
        let columns: Result<Vec<ArrayRef>, _> = schema.fields().iter().map(column).collect();
        Ok(RecordBatch::try_new(schema.clone(), columns?)?)
    }

    /// Writes a row group: Parquet in [`FILE_ORDER`], SQLite in the order of `seq`.
    fn write(&mut self, batches: &[RecordBatch]) -> Result<()> {
        let Some(first) = batches.first() else {
            return Ok(());
        };
        let batch = concat_batches(&first.schema(), batches)?;
        match self {
            ConversionTarget::Parquet(writer, _) => {
                writer.write(&sorted(&batch, FILE_ORDER)?)?;
                Ok(writer.flush()?)
            }
            ConversionTarget::Sqlite { writer, .. } => {
                let batch = sorted(&batch, &["seq"])?;
                for start in (0..batch.num_rows()).step_by(TRANSACTION_ROWS) {
                    let rows = TRANSACTION_ROWS.min(batch.num_rows() - start);
                    writer.write(&batch.slice(start, rows))?;
                }
                Ok(())
            }
        }
    }

    /// Completes the file, whose rows are those of `events`.
    async fn finish(self, events: &Arc<dyn TableProvider>) -> Result<()> {
        match self {
            ConversionTarget::Parquet(mut writer, _) => {
                let groups = writer.flushed_row_groups().iter();
                let rows: i64 = groups.map(|group| group.num_rows()).sum();
                let at = writer.bytes_written();
                let write = |bytes: &[u8]| writer.write_all(bytes);
                let places = rollups::write_rollups(events, rows as usize, at, write).await?;
                writer.append_key_value_metadata(places);
                Ok(writer.into_inner()?.finish()?)
            }
            ConversionTarget::Sqlite {
                writer, meta, file, ..
            } => {
                let meta: Vec<_> = meta.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
                writer.finish(&meta)?;
                Ok(file.finish()?)
            }
        }
    }
}

fn with_dictionaries(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => {
            let ty = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
            field.as_ref().clone().with_data_type(ty)
        }
        _ => field.as_ref().clone(),
    };
    Arc::new(Schema::new(
        schema.fields().iter().map(field).collect::<Vec<_>>(),
    ))
}
