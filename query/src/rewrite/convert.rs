//! From one format of recordings to the other, with every column, every row and all metadata.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{
    CastOptions, SortColumn, cast_with_options, concat_batches, lexsort_to_indices,
    take_record_batch,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ctrace_schema::rollups::KEY_ROLLUPS;
use ctrace_format::sqlite::Writer;
use ctrace_schema::{columns, human};
use datafusion::catalog::TableProvider;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;

use crate::cli::Convert;
use crate::engine::AskError;
use crate::output::{self, Sink, say};
use crate::engine::rollups;
use crate::source::parquet::segments::recording_field;
use crate::source;

/// Rows that are sorted at a time: a row group, as the recorder makes them.
const ROWS: usize = 262_144;
/// Rows to a transaction.
const TRANSACTION: usize = 32_768;

/// Does what `convert` asks for.
///
/// # Errors
/// That the one file is no recording, or that the other exists or cannot be written.
pub async fn convert(asked: &Convert) -> Result<()> {
    let (from, to) = (&asked.from, &asked.to);
    if to.exists() && !asked.force {
        bail!(
            "{} exists: add --force to overwrite it, or choose another name",
            to.display()
        );
    }
    if to
        .canonicalize()
        .is_ok_and(|to| from.canonicalize().is_ok_and(|from| from == to))
    {
        bail!(
            "{} is the recording that is read: write to another file",
            to.display()
        );
    }
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let source = source::recording(&context, from).await?;
    // What points to places in the one file means nothing in the other.
    let kept = |(key, _): &(&String, &String)| *key != "ARROW:schema";
    let meta = source.meta.iter().filter(kept);
    let meta = meta
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut target = Target::create(to, meta)?;
    let failed = |e| AskError::from(e);
    let events = source.table().map_err(failed)?;
    let table = context.read_table(events.clone()).map_err(failed)?;
    let mut rows = table.execute_stream().await.map_err(failed)?;
    if let Some(unknown) = unknown(&rows.schema()) {
        bail!(
            "{} has a column `{unknown}` that this program does not know: convert it with a newer one",
            from.display()
        );
    }
    let mut waiting = Vec::new();
    let (mut count, mut all) = (0, 0);
    while let Some(batch) = rows.next().await {
        let mut batch = target.arranged(&batch.map_err(failed)?)?;
        all += batch.num_rows() as u64;
        // The groups are those of the file, if they are of this size.
        while count + batch.num_rows() >= ROWS {
            let rest = ROWS - count;
            waiting.push(batch.slice(0, rest));
            target.write(&waiting).with_context(|| cannot(to))?;
            waiting.clear();
            batch = batch.slice(rest, batch.num_rows() - rest);
            count = 0;
        }
        count += batch.num_rows();
        waiting.push(batch);
    }
    target.write(&waiting).with_context(|| cannot(to))?;
    target.finish(&events).await.with_context(|| cannot(to))?;
    let written = format!("{} events to {}", human::count(all), to.display());
    say("converted", &written);
    Ok(())
}

fn cannot(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

fn unknown(schema: &Schema) -> Option<&str> {
    let names = schema.fields().iter().map(|f| f.name().as_str());
    let recording = recording_field();
    let mut unknown = names.filter(|name| columns::index(name).is_none());
    unknown.find(|name| name != recording.name())
}

/// The file that is written, under another name until it is whole.
enum Target {
    Parquet(Box<ArrowWriter<Sink>>, SchemaRef),
    Sqlite {
        writer: Writer,
        schema: SchemaRef,
        meta: Vec<(String, String)>,
        partial: Partial,
        path: PathBuf,
    },
}

/// A file under the name that it has until it is whole. Dropped, it is removed if it is still there.
pub struct Partial(pub PathBuf);

impl Partial {
    /// That of `path`, without what an earlier try has left.
    pub fn of(path: &Path) -> Partial {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = Partial(PathBuf::from(partial));
        let _ = std::fs::remove_file(&partial.0);
        partial
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Target {
    fn create(path: &Path, meta: Vec<(String, String)>) -> Result<Target> {
        let schema = Arc::new(columns::arrow_schema());
        match path.extension().and_then(|e| e.to_str()) {
            Some("parquet") => {
                let sink = Sink::file(path)?;
                let writer = output::parquet(&schema, sink, meta).with_context(|| cannot(path))?;
                Ok(Target::Parquet(Box::new(writer), schema))
            }
            Some("sqlite" | "sqlite3" | "db") => {
                let partial = Partial::of(path);
                let writer = Writer::create(&partial.0, &[]).with_context(|| cannot(path))?;
                Ok(Target::Sqlite {
                    writer,
                    schema: with_dictionaries(&schema),
                    meta,
                    partial,
                    path: path.to_path_buf(),
                })
            }
            _ => bail!(
                "the ending of {} says no format: name it .parquet or .sqlite",
                path.display()
            ),
        }
    }

    /// The columns of a batch as they are written.
    fn arranged(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let (Target::Parquet(_, schema) | Target::Sqlite { schema, .. }) = self;
        // A value that does not fit is an error, and not a null.
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

    /// Writes a row group: Parquet by container, thread and call, as the recorder does, SQLite in the order of `seq`.
    fn write(&mut self, batches: &[RecordBatch]) -> Result<()> {
        let Some(first) = batches.first() else {
            return Ok(());
        };
        let batch = concat_batches(&first.schema(), batches)?;
        match self {
            Target::Parquet(writer, _) => {
                let order = ["container_id", "tid", "syscall", "compat", "seq"];
                writer.write(&sorted(&batch, &order)?)?;
                Ok(writer.flush()?)
            }
            Target::Sqlite { writer, .. } => {
                let batch = sorted(&batch, &["seq"])?;
                for start in (0..batch.num_rows()).step_by(TRANSACTION) {
                    let rows = TRANSACTION.min(batch.num_rows() - start);
                    writer.write(&batch.slice(start, rows))?;
                }
                Ok(())
            }
        }
    }

    /// Ends a file with these events.
    async fn finish(self, events: &Arc<dyn TableProvider>) -> Result<()> {
        match self {
            Target::Parquet(mut writer, _) => {
                let groups = writer.flushed_row_groups().iter();
                let rows: i64 = groups.map(|group| group.num_rows()).sum();
                let at = writer.bytes_written();
                let write = |bytes: &[u8]| writer.write_all(bytes);
                let places = rollups::make(events, rows as usize, at, write).await?;
                let places = KeyValue::new(KEY_ROLLUPS.to_string(), places);
                writer.append_key_value_metadata(places);
                Ok(writer.into_inner()?.done()?)
            }
            Target::Sqlite {
                writer,
                meta,
                partial,
                path,
                ..
            } => {
                let meta: Vec<_> = meta.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
                writer.finish(&meta)?;
                Ok(std::fs::rename(&partial.0, path)?)
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

/// The rows in the order of these columns.
pub fn sorted(batch: &RecordBatch, by: &[&str]) -> Result<RecordBatch> {
    let column = |name: &&str| {
        let values = columns::index(name).map(|i| batch.column(i).clone());
        values.map(|values| SortColumn {
            values,
            options: None,
        })
    };
    let by: Vec<SortColumn> = by.iter().filter_map(column).collect();
    Ok(take_record_batch(batch, &lexsort_to_indices(&by, None)?)?)
}
