//! Where events come from: finds the recordings, checks that they are what they say, makes tables of them.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ctrace_schema::columns::{self, COLUMNS, Column, Type};
use ctrace_schema::meta;
use ctrace_schema::rollups::KEY_ROLLUPS;
use ctrace_format::unclosed::Unclosed;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::object_store::ObjectStoreExt;
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::{FileMetaData, PageIndexPolicy};

use crate::source::parquet::footers::Footer;
use crate::source::magic::{Magic, check_magic};
use crate::source::missing;
use crate::engine::rollups::Embedded;
use crate::source::parquet::segments::{Segment, Segments, recording_field};
use crate::source::sqlite::{Database, ReadError, SqliteTable};
use crate::source::unclosed;
use crate::source::union::Union;

/// Why a file cannot be read as a recording. Each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {path}")]
    Io {
        path: String,
        source: std::io::Error,
    },
    #[error("{0}")]
    Missing(String),
    #[error("there is no recording in {0}: those of a directory end in .parquet or .sqlite")]
    NoneIn(String),
    #[error("nothing is named like `{pattern}`{why}")]
    NoMatch { pattern: String, why: String },
    #[error(
        "{0} is neither Parquet nor SQLite: a recording is written by `ctrace-rec --out FILE.parquet` or FILE.sqlite"
    )]
    NotParquet(String),
    #[error("{0} is a directory, and here one file is meant: name a recording that is in it")]
    Directory(String),
    #[error(
        "{0} has no end, and nothing in it that could be read without: it was copied in part, or broke off as it began. \
         Copy it again, with {0}.journal if there is one"
    )]
    NotClosed(String),
    #[error("{path} is damaged, or no file that can be read: {reason}")]
    Damaged { path: String, reason: String },
    #[error(
        "{path} is no recording of ctrace-rec: {reason}. Any Parquet file can be read with `select * from '{path}'`"
    )]
    NotRecording { path: String, reason: String },
    #[error(
        "{path} is no recording of ctrace-rec: {reason}. Any other SQLite database is read with `sqlite3 {path}`"
    )]
    NotRecordingSqlite { path: String, reason: String },
    #[error("cannot read {path}: {reason}")]
    Version { path: String, reason: String },
    #[error(
        "no recording here: name one with `-r FILE`, set $CTRACE_RECORDING, or make one with `ctrace-rec --out run.parquet`"
    )]
    NoneHere,
}

impl SourceError {
    /// Whether the file is not there (any more): that of a directory may have been removed.
    pub fn is_gone(&self) -> bool {
        matches!(self, SourceError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// Whether the file is readable and simply something else.
    fn is_no_recording(&self) -> bool {
        matches!(
            self,
            SourceError::NotRecording { .. }
                | SourceError::NotRecordingSqlite { .. }
                | SourceError::NotParquet(_)
                | SourceError::Directory(_)
        )
    }
}

/// How the names of recordings end.
const ENDINGS: [&str; 2] = ["parquet", "sqlite"];
/// And of segments that are not finished.
const OPEN: &str = "parquet.open";

/// One file that can be read.
#[derive(Debug)]
pub struct Source {
    /// As the user named it.
    pub path: PathBuf,
    /// Key-value pairs of the footer, or of the table `meta`.
    pub meta: BTreeMap<String, String>,
    schema: SchemaRef,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A Parquet file.
    Parquet(Arc<Segment>),
    /// A Parquet file that was not closed, and rows that are in its journal.
    Unclosed(Arc<Segment>, Vec<RecordBatch>),
    /// An SQLite database, which is a recording.
    Sqlite(Arc<Database>),
}

/// The recordings that a question is put to.
#[derive(Debug)]
pub struct Recordings {
    /// In the order given.
    pub files: Vec<Source>,
    /// Whether the program itself chose the recording, and should say so.
    pub found: bool,
}

impl Recordings {
    /// Opens `given`, else what `$CTRACE_RECORDING` names, else the newest recording in the working directory.
    ///
    /// # Errors
    /// The first file that is no recording that this build reads, or that there is none.
    pub async fn open(ctx: &SessionContext, given: &[PathBuf]) -> Result<Self, SourceError> {
        let named = match std::env::var_os("CTRACE_RECORDING") {
            Some(path) if given.is_empty() && !path.is_empty() => vec![PathBuf::from(path)],
            _ => given.to_vec(),
        };
        let mut files = Vec::new();
        for path in &named {
            files.extend(expand(ctx, path).await?);
        }
        if named.is_empty() {
            files.push(newest(ctx).await?);
        }
        Ok(Recordings {
            files,
            found: named.is_empty(),
        })
    }

    /// The table `events`: the columns of this build, then those that only a file has, then `recording`.
    pub fn table(&self) -> datafusion::error::Result<Arc<dyn TableProvider>> {
        let mut fields: Vec<Field> = COLUMNS
            .iter()
            .map(|c| Field::new(c.name, view_type(&c.ty.arrow()), true))
            .collect();
        let recording = recording_field();
        for field in self.files.iter().flat_map(|f| f.schema.fields()) {
            let known = |f: &Field| f.name() == field.name();
            if !fields.iter().any(known) && !known(&recording) {
                fields.push(Field::new(field.name(), view_type(field.data_type()), true));
            }
        }
        fields.push(recording);
        let schema = Arc::new(Schema::new(fields));
        let mut tables: Vec<Arc<dyn TableProvider>> = Vec::new();
        let mut segments = Vec::new();
        let mut store = None;
        for file in &self.files {
            match &file.content {
                Content::Parquet(segment) => {
                    store = Some(segment.url.object_store());
                    segments.push(segment.clone());
                }
                Content::Unclosed(segment, rows) => {
                    tables.push(unclosed::table(rows, &segment.name, &schema)?);
                    if segment.footer.metadata().num_row_groups() > 0 {
                        store = Some(segment.url.object_store());
                        segments.push(segment.clone());
                    }
                }
                Content::Sqlite(database) => {
                    tables.push(Arc::new(SqliteTable::new(database.clone(), schema.clone())));
                }
            }
        }
        if let Some(store) = store {
            tables.push(Arc::new(Segments::new(store, segments, schema)?));
        }
        Ok(Union::of(tables))
    }

    /// First and last instant, ns since 1970 UTC. `None`: a file does not say, and its events must be looked at.
    pub fn span(&self) -> Option<(i64, i64)> {
        let spans: Option<Vec<_>> = self.files.iter().map(Source::span).collect();
        spans?.into_iter().reduce(around)
    }

    /// What is to be said of those that were not closed.
    pub fn unclosed(&self) -> impl Iterator<Item = String> {
        let unclosed = |file: &&Source| matches!(file.content, Content::Unclosed(..));
        self.files.iter().filter(unclosed).map(|file| {
            let name = file.path.display();
            match unclosed::is_being_written(&file.path) {
                true => format!("{name} is still being written: what is in it by now is read"),
                false => format!(
                    "{name} was not closed: what is in it is read. `ctrace-query recover {name}` makes it a whole file, \
                     for other programs too"
                ),
            }
        })
    }

    /// How many of the files hold counts of calls, and no calls.
    pub fn counted(&self) -> usize {
        let counts = |file: &&Source| {
            let filters = file.meta.get(meta::KEY_FILTERS);
            let filters =
                filters.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
            filters.is_some_and(|filters| filters["mode"] == "counts")
        };
        self.files.iter().filter(counts).count()
    }

    /// The architecture of each host, as `uname -m` names it.
    pub fn machines(&self) -> BTreeMap<&str, &str> {
        let hosts = self.files.iter().map(|f| f.meta.get(meta::KEY_HOST));
        let machines = self.files.iter().map(|f| f.meta.get(meta::KEY_ARCH));
        hosts
            .zip(machines)
            .filter_map(|(host, machine)| Some((host?.as_str(), machine?.as_str())))
            .collect()
    }

    /// How many events were lost, as far as the metadata says; `None` where a file does not say.
    pub fn lost(&self) -> Option<u64> {
        self.files
            .iter()
            .map(|f| {
                let by_class = f.meta.get(meta::KEY_LOST)?;
                let by_class: BTreeMap<String, u64> = serde_json::from_str(by_class).ok()?;
                Some(
                    by_class
                        .values()
                        .fold(0, |sum: u64, n| sum.saturating_add(*n)),
                )
            })
            .try_fold(0u64, |sum, n| n.map(|n| sum.saturating_add(n)))
    }
}

/// The stretch of time that holds two.
fn around(one: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    (one.0.min(other.0), one.1.max(other.1))
}

impl Source {
    /// First and last instant: what its metadata says, and further where its events reach further.
    fn span(&self) -> Option<(i64, i64)> {
        let number = |key| self.meta.get(key).and_then(|text| text.parse().ok());
        let said = number(meta::KEY_START).zip(number(meta::KEY_END));
        let events = match &self.content {
            Content::Parquet(segment) => segment.span().ok()?,
            Content::Sqlite(database) => database.span,
            Content::Unclosed(..) => return None,
        };
        said.into_iter().chain(events).reduce(around)
    }

    /// Whether it has the columns of a recording, in a version that this build reads.
    fn check_recording(self) -> Result<Self, SourceError> {
        let not_recording = |reason| SourceError::NotRecording {
            path: self.path.display().to_string(),
            reason,
        };
        if let Some(version) = self.meta.get(meta::KEY_SCHEMA) {
            meta::check_version(version).map_err(|reason| SourceError::Version {
                path: self.path.display().to_string(),
                reason,
            })?;
        }
        for column in COLUMNS {
            match self.schema.field_with_name(column.name) {
                Ok(field) if fits(field.data_type(), column) => {}
                Ok(field) => {
                    let reason =
                        format!("its column `{}` holds {}", column.name, field.data_type());
                    return Err(not_recording(reason));
                }
                // A column that can be null may be younger than the file.
                Err(_) if column.nullable => {}
                Err(_) => return Err(not_recording(format!("it has no column `{}`", column.name))),
            }
        }
        Ok(self)
    }

    /// A table of the file as it is, or of its events if it is a recording.
    pub fn table(self) -> datafusion::error::Result<Arc<dyn TableProvider>> {
        let fields: Vec<Field> = self
            .schema
            .fields()
            .iter()
            .map(|f| f.as_ref().clone().with_data_type(view_type(f.data_type())))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        match self.content {
            Content::Parquet(segment) => listing(vec![segment.url.clone()], schema),
            content @ Content::Unclosed(..) => {
                let files = vec![Source { content, ..self }];
                Recordings {
                    files,
                    found: false,
                }
                .table()
            }
            Content::Sqlite(database) => Ok(Arc::new(SqliteTable::new(database, schema))),
        }
    }
}

/// Opens one recording.
///
/// # Errors
/// As [`open`], and that it is no recording that this build reads.
pub async fn recording(ctx: &SessionContext, path: &Path) -> Result<Source, SourceError> {
    open(ctx, path).await?.check_recording()
}

/// Opens one file, a Parquet file of any kind or a recording in SQLite.
///
/// # Errors
/// That it is not there, not a file, neither of the two, cut off, or damaged.
pub async fn open(ctx: &SessionContext, path: &Path) -> Result<Source, SourceError> {
    match check_magic(path)? {
        Magic::Parquet => open_parquet(ctx, path, None).await,
        Magic::Unclosed => open_parquet(ctx, path, Some(unclosed::read(path)?)).await,
        Magic::Sqlite => open_sqlite(path),
    }
}

fn open_sqlite(path: &Path) -> Result<Source, SourceError> {
    let name = path.display().to_string();
    let database = Database::open(path).map_err(|e| match e {
        ReadError::NotRecording(reason) => SourceError::NotRecordingSqlite { path: name, reason },
        other => SourceError::Damaged {
            path: name,
            reason: other.to_string(),
        },
    })?;
    Ok(Source {
        path: path.to_path_buf(),
        meta: database.meta.clone(),
        schema: Arc::new(columns::arrow_schema()),
        content: Content::Sqlite(Arc::new(database)),
    })
}

/// Reads the footer, unless there is something instead of it.
async fn open_parquet(
    ctx: &SessionContext,
    path: &Path,
    unclosed: Option<Unclosed>,
) -> Result<Source, SourceError> {
    let name = path.display().to_string();
    let damaged = |reason: String| SourceError::Damaged {
        path: name.clone(),
        reason,
    };
    let absolute = path.canonicalize().map_err(|source| SourceError::Io {
        path: name.clone(),
        source,
    })?;
    // Not from text: a name may hold characters that a pattern or a URL would take for its own.
    let url = url::Url::from_file_path(&absolute)
        .map_err(|()| damaged("its name is no absolute path".into()))?;
    let url = ListingTableUrl::try_new(url, None).map_err(|e| damaged(e.to_string()))?;
    let runtime = ctx.runtime_env();
    let store = runtime
        .object_store(&url)
        .map_err(|e| damaged(e.to_string()))?;
    let object = store
        .head(url.prefix())
        .await
        .map_err(|e| damaged(e.to_string()))?;
    let footer = DFParquetMetadata::new(store.as_ref(), &object)
        .with_page_index_policy(Some(PageIndexPolicy::Skip));
    let (metadata, rows) = match unclosed {
        Some(unclosed) => (Arc::new(unclosed.metadata), Some(unclosed.rows)),
        // A footer that lies about its own lengths makes the decoder panic.
        None => AssertUnwindSafe(footer.fetch_metadata())
            .catch_unwind()
            .await
            .map_err(|_| damaged("its footer makes no sense".into()))?
            .map(|metadata| (metadata, None))
            .map_err(|e| damaged(e.strip_backtrace()))?,
    };
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        .map_err(|e| damaged(e.to_string()))?;
    let segment = Segment {
        name,
        url,
        object,
        footer: Arc::new(Footer::new(absolute.clone(), metadata.clone())),
        rollups: Embedded::new(absolute, metadata.clone()),
        span: OnceLock::new(),
    };
    Ok(Source {
        path: path.to_path_buf(),
        meta: pairs(file),
        schema: Arc::new(schema),
        content: match rows {
            Some(rows) => Content::Unclosed(Arc::new(segment), rows),
            None => Content::Parquet(Arc::new(segment)),
        },
    })
}

/// What the recording says about itself: not where something stands in the file.
fn pairs(file: &FileMetaData) -> BTreeMap<String, String> {
    let pairs = file.key_value_metadata().into_iter().flatten();
    pairs
        .filter(|pair| pair.key != KEY_ROLLUPS)
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect()
}

/// How many files are opened at once.
const AT_ONCE: usize = 16;

/// The recordings that `named` stands for: a file, those of a directory and of all below it, or those that a pattern fits.
async fn expand(ctx: &SessionContext, named: &Path) -> Result<Vec<Source>, SourceError> {
    let in_directory = named.is_dir();
    let mut opened = futures::stream::iter(paths(named)?.into_iter().map(|path| {
        let ctx = ctx.clone();
        async move { segment(&ctx, &path).await }.boxed()
    }))
    .buffered(AT_ONCE);
    let mut sources = Vec::new();
    while let Some(source) = opened.next().await {
        match source {
            // Beside recordings, a directory may hold other things.
            Err(e) if in_directory && (e.is_no_recording() || e.is_gone()) => {}
            Err(e) if e.is_gone() => return Err(SourceError::Missing(missing::sentence(named))),
            other => sources.push(other?),
        }
    }
    match sources.is_empty() {
        true => Err(SourceError::NoneIn(named.display().to_string())),
        false => Ok(sources),
    }
}

/// Opens one recording, also one that gets its name meanwhile because it is finished.
async fn segment(ctx: &SessionContext, path: &Path) -> Result<Source, SourceError> {
    let failed = match recording(ctx, path).await {
        Err(e) => e,
        opened => return opened,
    };
    match path.metadata() {
        Ok(_) => Err(failed),
        Err(_) if path.extension().is_some_and(|ending| ending == "open") => {
            recording(ctx, &path.with_extension("")).await
        }
        // It is gone, whatever could not be done with it.
        Err(source) => Err(SourceError::Io {
            path: path.display().to_string(),
            source,
        }),
    }
}

/// The files that `named` stands for.
fn paths(named: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let name = named.display().to_string();
    let patterns = if named.is_dir() {
        let inside = |ending| format!("{}/**/*.{ending}", glob::Pattern::escape(&name));
        ENDINGS.into_iter().chain([OPEN]).map(inside).collect()
    } else if !named.exists() && name.contains(['*', '?', '[']) {
        vec![name]
    } else {
        return Ok(vec![named.to_path_buf()]);
    };
    let no_match = |why| SourceError::NoMatch {
        pattern: named.display().to_string(),
        why,
    };
    let mut paths = Vec::new();
    for pattern in patterns {
        for path in glob::glob(&pattern).map_err(|e| no_match(format!(" ({e})")))? {
            paths.push(path.map_err(|e| SourceError::Io {
                path: e.path().display().to_string(),
                source: e.into(),
            })?);
        }
    }
    paths.sort_unstable();
    match paths.is_empty() && !named.is_dir() {
        true => Err(no_match(String::new())),
        false => Ok(paths),
    }
}

/// The newest recording in the working directory. Other files are passed over; a recording that cannot be read
/// is not, for an older one would answer another question.
async fn newest(ctx: &SessionContext) -> Result<Source, SourceError> {
    let io = |source| SourceError::Io {
        path: ".".into(),
        source,
    };
    let mut candidates = Vec::new();
    for entry in std::fs::read_dir(".").map_err(io)?.flatten() {
        let path = PathBuf::from(entry.file_name());
        let Ok(file) = std::fs::metadata(&path) else {
            continue;
        };
        let ending = path.extension().and_then(|e| e.to_str());
        if ending.is_some_and(|e| ENDINGS.contains(&e)) && file.is_file() {
            candidates.push((file.modified().map_err(io)?, path));
        }
    }
    candidates.sort();
    for (_, path) in candidates.into_iter().rev() {
        match recording(ctx, &path).await {
            Err(e) if e.is_no_recording() => {}
            other => return other,
        }
    }
    Err(SourceError::NoneHere)
}

fn listing(
    urls: Vec<ListingTableUrl>,
    schema: SchemaRef,
) -> datafusion::error::Result<Arc<dyn TableProvider>> {
    // No file extension: the user named the files.
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Text is read as views into the decoded pages, which saves a copy.
fn view_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    }
}

/// Whether a file's column can be read as one of a recording: the same kind of value, for other tools cut recordings
/// too and widen types.
fn fits(ty: &DataType, column: &Column) -> bool {
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
