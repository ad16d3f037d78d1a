//! The recording that is written: a file that appears under its name when it is complete.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ctrace_format::names::{self, FileFormat};
use ctrace_format::sqlite::Writer;
use ctrace_format::unclosed::Unclosed;
use ctrace_schema::columns::FILE_ORDER;
use ctrace_schema::text::path_text;
use ctrace_schema::{BATCH_ROWS, columns, meta};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData};

use crate::output::{AnswerWriter, PartialFile, parquet_writer};
use crate::rewrite::rollups;
use crate::rewrite::sorted::sorted;
use crate::source::{RECORDING, Repeated, events_table, open_unclosed};

/// Rows of an SQLite transaction.
const TRANSACTION_ROWS: usize = 32_768;

/// Checks that a file may be written.
///
/// # Errors
/// The file exists and `overwrite` is not given.
pub(crate) fn check_absent(path: &Path, overwrite: bool) -> Result<()> {
    if path.exists() && !overwrite {
        bail!(
            "{} exists: add --force to overwrite it, or choose another name",
            path_text(path)
        );
    }
    Ok(())
}

/// Returns the format of a recording that is written to `path`.
///
/// # Errors
/// No format is given, and the extension is not that of one.
pub(crate) fn format_of(path: &Path, given: Option<FileFormat>) -> Result<FileFormat> {
    let format = given.or_else(|| FileFormat::from_name(path));
    format.with_context(|| {
        format!(
            "the extension of {} is not that of a format: name it .parquet or .sqlite",
            path_text(path)
        )
    })
}

/// The recording that is written. Slices of time are added in their order, and the rows of each row group are sorted.
pub(crate) struct RecordingTarget {
    path: PathBuf,
    schema: SchemaRef,
    medium: Medium,
    /// Rows that are not in a row group yet.
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    /// The number of rows before the first row that is not older than the file.
    alive: u64,
    rows: u64,
    meta: Vec<(String, String)>,
    /// The number of pairs of `meta` that are in a Parquet file from its start.
    first_pairs: usize,
}

enum Medium {
    Parquet(Box<ArrowWriter<AnswerWriter>>),
    Sqlite(Box<Writer>, PartialFile),
}

impl RecordingTarget {
    /// Creates the file, whose metadata begin with `meta`. `mode`: its greatest permissions.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn create(
        path: &Path,
        format: FileFormat,
        mode: u32,
        meta: Vec<(String, String)>,
    ) -> Result<RecordingTarget> {
        let schema = Arc::new(columns::arrow_schema());
        let failed = || cannot_write(path);
        let (medium, schema) = match format {
            FileFormat::Parquet => {
                let writer = AnswerWriter::file(path, mode)?;
                let writer = parquet_writer(&schema, writer, meta.clone()).with_context(failed)?;
                (Medium::Parquet(Box::new(writer)), schema)
            }
            FileFormat::Sqlite => {
                // SQLite takes an empty file for a new database.
                let (file, _) = PartialFile::create(path, mode).with_context(failed)?;
                let writer = Writer::create(file.path(), &[]).with_context(failed)?;
                let medium = Medium::Sqlite(Box::new(writer), file);
                (medium, with_dictionaries(&schema))
            }
        };
        Ok(RecordingTarget {
            path: path.to_path_buf(),
            schema,
            medium,
            pending: vec![],
            pending_rows: 0,
            alive: 0,
            rows: 0,
            first_pairs: meta.len(),
            meta,
        })
    }

    /// Adds rows. A full row group is written.
    ///
    /// # Errors
    /// The rows have a column that this build does not know, or a value of another type, or the file cannot be written.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut batch = self.with_schema(batch)?;
        self.rows += batch.num_rows() as u64;
        // If the row groups of the source have this size, those of the target are the same.
        while self.pending_rows + batch.num_rows() >= BATCH_ROWS {
            let missing = BATCH_ROWS - self.pending_rows;
            self.pending.push(batch.slice(0, missing));
            self.end_group()?;
            batch = batch.slice(missing, batch.num_rows() - missing);
        }
        self.pending_rows += batch.num_rows();
        self.pending.push(batch);
        Ok(())
    }

    /// Ends the rows that are older than the file: the rows so far. They are in row groups of their own, and in no rollup.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn end_alive_rows(&mut self) -> Result<()> {
        self.end_group()?;
        self.alive = self.rows;
        // The rows of SQLite have no place in the file.
        if let (Medium::Parquet(_), 1..) = (&self.medium, self.alive) {
            let pair = (meta::KEY_ALIVE.to_string(), self.alive.to_string());
            self.meta.push(pair);
        }
        Ok(())
    }

    /// Returns the number of rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the batch with the columns and types of the target.
    fn with_schema(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if let Some(unknown) = unknown_column(&batch.schema()) {
            bail!(
                "the recording has a column `{unknown}` that this program does not know: use a newer version"
            );
        }
        // A value that cannot be cast is an error, instead of null.
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
            Some(column) => cast_with_options(column, field.data_type(), &options),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        };
        let columns: Result<Vec<ArrayRef>, _> = self.schema.fields().iter().map(column).collect();
        Ok(RecordBatch::try_new(self.schema.clone(), columns?)?)
    }

    /// Writes the pending rows as a row group: Parquet in [`FILE_ORDER`], SQLite in the order of `seq`.
    fn end_group(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.pending);
        if std::mem::take(&mut self.pending_rows) == 0 && rows.iter().all(|b| b.num_rows() == 0) {
            return Ok(());
        }
        let batch = concat_batches(&self.schema, &rows)?;
        let written = match &mut self.medium {
            Medium::Parquet(writer) => {
                let batch = sorted(&batch, FILE_ORDER)?;
                let written = writer.write(&batch).and_then(|()| writer.flush());
                written.map_err(anyhow::Error::from)
            }
            Medium::Sqlite(writer, _) => write_transactions(writer, &sorted(&batch, &["seq"])?),
        };
        written.with_context(|| cannot_write(&self.path))
    }

    /// Completes the file, with more metadata.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) async fn finish(
        mut self,
        context: &SessionContext,
        pairs: Vec<(String, String)>,
    ) -> Result<()> {
        self.end_group()?;
        self.meta.extend(pairs);
        let path = self.path.clone();
        let finished = match &mut self.medium {
            Medium::Parquet(writer) => {
                write_rollups(writer, context, &self.path, self.alive, &self.meta).await
            }
            Medium::Sqlite(..) => Ok(()),
        };
        finished.with_context(|| cannot_write(&path))?;
        self.close().with_context(|| cannot_write(&path))
    }

    fn close(self) -> Result<()> {
        match self.medium {
            Medium::Parquet(mut writer) => {
                for (key, value) in self.meta.into_iter().skip(self.first_pairs) {
                    writer.append_key_value_metadata(KeyValue::new(key, value));
                }
                Ok(writer.into_inner()?.finish()?)
            }
            Medium::Sqlite(writer, file) => {
                let pairs = self.meta.iter().map(|(k, v)| (k.as_str(), v.clone()));
                let pairs: Vec<_> = pairs.collect();
                if let Some(placeholder) = writer.finish(&pairs)? {
                    file.seal(&placeholder)?;
                }
                Ok(file.finish()?)
            }
        }
    }
}

fn write_transactions(writer: &mut Writer, rows: &RecordBatch) -> Result<()> {
    for start in (0..rows.num_rows()).step_by(TRANSACTION_ROWS) {
        let count = TRANSACTION_ROWS.min(rows.num_rows() - start);
        writer.write(&rows.slice(start, count))?;
    }
    Ok(())
}

/// Computes the rollups of the rows in the file, without the first `alive`, and writes them.
async fn write_rollups(
    writer: &mut ArrowWriter<AnswerWriter>,
    context: &SessionContext,
    path: &Path,
    alive: u64,
    meta: &[(String, String)],
) -> Result<()> {
    writer.sync()?;
    let path = names::partial(path);
    if !path.is_file() {
        // A device or a pipe, which cannot be read again.
        return Ok(());
    }
    let at = writer.bytes_written();
    let events = written_rows(writer, context, &path, meta).await?;
    let groups = writer.flushed_row_groups().iter();
    let rows: i64 = groups.map(|group| group.num_rows()).sum();
    let own = (rows as u64).saturating_sub(alive) as usize;
    let write = |bytes: &[u8]| writer.write_all(bytes);
    let places = rollups::write_rollups(&events, own, at, write).await?;
    writer.append_key_value_metadata(places);
    Ok(())
}

/// Returns the table of the rows that are in the file already, without those that are older than the file.
async fn written_rows(
    writer: &ArrowWriter<AnswerWriter>,
    context: &SessionContext,
    path: &Path,
    meta: &[(String, String)],
) -> Result<Arc<dyn TableProvider>> {
    let groups = writer.flushed_row_groups().to_vec();
    let Some(first) = groups.first() else {
        return Ok(events_table(&[], &Repeated::default())?);
    };
    let schema = first.schema_descr_ptr();
    let rows = groups.iter().map(|group| group.num_rows()).sum();
    let pairs = meta
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let file = FileMetaData::new(2, rows, None, Some(pairs.collect()), schema, None);
    let metadata = ParquetMetaData::new(file, groups);
    let unclosed = Unclosed {
        metadata,
        end: writer.bytes_written() as u64,
        rows: vec![],
    };
    let file = open_unclosed(context, path, unclosed).await?;
    let own = Repeated::part(&file, false);
    Ok(events_table(&[file], &own)?)
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path_text(path))
}

/// Returns the first column that is not part of the schema of this build.
fn unknown_column(schema: &Schema) -> Option<&str> {
    let names = schema.fields().iter().map(|f| f.name().as_str());
    let mut unknown = names.filter(|name| columns::index(name).is_none());
    unknown.find(|name| *name != RECORDING)
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
