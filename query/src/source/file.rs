//! An open file: its metadata, its columns, and the reader of its events.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use ctrace_schema::columns::{COLUMNS, Column, Type};
use ctrace_schema::meta;
use ctrace_schema::text::path_text;
use parquet::file::metadata::RowGroupMetaData;

use crate::source::boot::FileBoot;
use crate::source::error::SourceError;
use crate::source::parquet::{ParquetFile, covering};
use crate::source::sqlite::Database;

/// An open file: a recording, or any Parquet file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// The path that the user wrote.
    pub(crate) path: PathBuf,
    /// Key-value pairs of the footer, or of the table `meta`.
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) schema: SchemaRef,
    pub(crate) content: FileContent,
}

#[derive(Debug)]
pub(crate) enum FileContent {
    Parquet(Arc<ParquetFile>),
    /// A Parquet file that was not closed, and the rows of its journal.
    Unclosed(Arc<ParquetFile>, Vec<RecordBatch>),
    /// A recording in an SQLite database.
    Sqlite(Arc<Database>),
}

impl OpenFile {
    /// Returns the first and the last instant of the metadata and of the events, ns since 1970 UTC; `None`: not known
    /// without reading the events.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        let number = |key| self.meta.get(key).and_then(|text| text.parse().ok());
        let metadata = number(meta::KEY_START).zip(number(meta::KEY_END));
        let events = match &self.content {
            FileContent::Parquet(file) => file.own_span().ok()?,
            FileContent::Sqlite(database) => database.span,
            FileContent::Unclosed(..) => return None,
        };
        metadata.into_iter().chain(events).reduce(covering)
    }

    /// Returns the metadata of the recordings that the file was merged from; if it was not, its own.
    pub(crate) fn origins(&self) -> Vec<BTreeMap<String, String>> {
        let mut origins = vec![];
        add_origins(&self.meta, MAX_MERGES, &mut origins);
        origins
    }

    /// Returns the boot of the events.
    pub(crate) fn boot(&self) -> &FileBoot {
        match &self.content {
            FileContent::Parquet(file) | FileContent::Unclosed(file, _) => &file.boot,
            FileContent::Sqlite(database) => &database.boot,
        }
    }

    /// Returns the number of row groups; 0 for SQLite.
    pub(crate) fn row_groups(&self) -> usize {
        match &self.content {
            FileContent::Parquet(file) | FileContent::Unclosed(file, _) => {
                file.footer.metadata().num_row_groups()
            }
            FileContent::Sqlite(_) => 0,
        }
    }

    /// Returns whether the file begins with rows about the containers and processes that were alive when it began.
    pub(crate) fn has_alive_rows(&self) -> bool {
        match &self.content {
            FileContent::Parquet(file) | FileContent::Unclosed(file, _) => file.alive_groups > 0,
            FileContent::Sqlite(_) => false,
        }
    }

    /// Returns whether the column `setup` has a value, according to the statistics of a closed Parquet file. The column is null
    /// in recordings before version 1.5, in replays of their captures, and outside of containers.
    pub(crate) fn tells_setup(&self) -> bool {
        let FileContent::Parquet(file) = &self.content else {
            return false;
        };
        let footer = file.footer.metadata();
        let columns = footer.file_metadata().schema_descr().columns();
        let Some(at) = columns.iter().position(|c| c.name() == "setup") else {
            return false;
        };
        let nulls = |group: &RowGroupMetaData| group.column(at).statistics()?.null_count_opt();
        let has_value =
            |group| nulls(group).is_some_and(|nulls| nulls < group.num_rows().unsigned_abs());
        footer.row_groups().iter().any(has_value)
    }

    /// Returns the file if it has the columns of a recording, in a version that this build reads.
    pub(crate) fn check_recording(self) -> Result<Self, SourceError> {
        let not_recording = |reason| SourceError::NotRecording {
            path: path_text(&self.path),
            reason,
        };
        if let Some(version) = self.meta.get(meta::KEY_SCHEMA) {
            meta::check_version(version).map_err(|reason| SourceError::Version {
                path: path_text(&self.path),
                reason,
            })?;
        }
        for column in COLUMNS {
            match self.schema.field_with_name(column.name) {
                Ok(field) if is_compatible(field.data_type(), column) => {}
                Ok(field) => {
                    let reason =
                        format!("its column `{}` holds {}", column.name, field.data_type());
                    return Err(not_recording(reason));
                }
                // Nullable columns may have been added to the schema after the file was written.
                Err(_) if column.nullable => {}
                Err(_) => return Err(not_recording(format!("it has no column `{}`", column.name))),
            }
        }
        Ok(self)
    }
}

/// The number of merges of merged recordings that are followed.
const MAX_MERGES: usize = 16;

/// Adds the metadata of the recordings that a recording with the metadata `pairs` was merged from, or `pairs`.
fn add_origins(
    pairs: &BTreeMap<String, String>,
    depth: usize,
    origins: &mut Vec<BTreeMap<String, String>>,
) {
    let merged = pairs.get(meta::KEY_MERGED).filter(|_| depth > 0);
    let merged = merged.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let Some(from) = merged.as_ref().and_then(|merged| merged["from"].as_array()) else {
        origins.push(pairs.clone());
        return;
    };
    for origin in from {
        let pairs = origin["meta"].as_object().into_iter().flatten();
        let pairs =
            pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_string())));
        add_origins(&pairs.collect(), depth - 1, origins);
    }
}

/// Returns whether a column of a file can be read as `column`. The kind of value must be the same; the width may
/// differ, because other programs that extract parts of recordings widen types.
fn is_compatible(ty: &DataType, column: &Column) -> bool {
    match column.ty {
        Type::Time => matches!(
            ty,
            DataType::Timestamp(TimeUnit::Nanosecond | TimeUnit::Microsecond, _)
        ),
        Type::Int64 | Type::Int32 | Type::UInt32 => ty.is_integer(),
        Type::Bool => ty == &DataType::Boolean,
        Type::Text => match ty {
            DataType::Dictionary(_, value) => value.is_string(),
            other => other.is_string(),
        },
    }
}
