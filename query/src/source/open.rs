//! Opens files.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use ctrace_format::unclosed::Unclosed;
use ctrace_schema::columns;
use ctrace_schema::rollups::KEY_ROLLUPS;
use ctrace_schema::text::path_text;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::object_store::ObjectStoreExt;
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::{FileMetaData, PageIndexPolicy};

use crate::source::error::SourceError;
use crate::source::file::{FileContent, OpenFile};
use crate::source::magic::{FileKind, file_kind};
use crate::source::parquet::ParquetFile;
use crate::source::sqlite::{Database, ReadError};
use crate::source::unclosed::read_unclosed;

/// Opens one recording.
///
/// # Errors
/// The errors of [`open`], and the file is not a recording that this build reads.
pub(crate) async fn open_recording(
    ctx: &SessionContext,
    path: &Path,
) -> Result<OpenFile, SourceError> {
    open(ctx, path).await?.check_recording()
}

/// Opens one file: a Parquet file of any kind, or a recording in SQLite.
///
/// # Errors
/// The file does not exist, is not a regular file, has neither format, is cut off, or is damaged.
pub(crate) async fn open(ctx: &SessionContext, path: &Path) -> Result<OpenFile, SourceError> {
    match file_kind(path)? {
        FileKind::Parquet => open_parquet(ctx, path, None).await,
        FileKind::Unclosed => open_unclosed(ctx, path, read_unclosed(path)?).await,
        FileKind::Sqlite => open_sqlite(path),
    }
}

/// Opens a Parquet file without a footer, whose metadata are known.
///
/// # Errors
/// The file cannot be found.
pub(crate) async fn open_unclosed(
    ctx: &SessionContext,
    path: &Path,
    unclosed: Unclosed,
) -> Result<OpenFile, SourceError> {
    open_parquet(ctx, path, Some(unclosed)).await
}

/// Returns whether a file is a recording, or looks like one that is damaged or of another version.
pub(crate) async fn is_recording(ctx: &SessionContext, path: &Path) -> bool {
    match open_recording(ctx, path).await {
        Ok(_) => true,
        Err(error) => matches!(
            error,
            SourceError::Damaged { .. } | SourceError::NotClosed(_) | SourceError::Version { .. }
        ),
    }
}

fn open_sqlite(path: &Path) -> Result<OpenFile, SourceError> {
    let name = path_text(path);
    let database = Database::open(path).map_err(|e| match e {
        ReadError::NotRecording(reason) => SourceError::NotRecordingSqlite { path: name, reason },
        other => SourceError::Damaged {
            path: name,
            reason: other.to_string(),
        },
    })?;
    Ok(OpenFile {
        path: path.to_path_buf(),
        meta: database.meta.clone(),
        schema: Arc::new(columns::arrow_schema()),
        content: FileContent::Sqlite(Arc::new(database)),
    })
}

/// Opens a Parquet file. `unclosed` replaces the footer of a file that was not closed.
async fn open_parquet(
    ctx: &SessionContext,
    path: &Path,
    unclosed: Option<Unclosed>,
) -> Result<OpenFile, SourceError> {
    let name = path_text(path);
    let damaged = |reason: String| SourceError::Damaged {
        path: name.clone(),
        reason,
    };
    let absolute = path.canonicalize().map_err(|source| SourceError::Io {
        path: name.clone(),
        source,
    })?;
    // Not parsed from text: a path may contain characters that have a meaning in patterns and URLs.
    let url = url::Url::from_file_path(&absolute)
        .map_err(|()| damaged("its path is not absolute".into()))?;
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
        // The decoder panics on a footer with wrong lengths.
        None => AssertUnwindSafe(footer.fetch_metadata())
            .catch_unwind()
            .await
            .map_err(|_| damaged("its footer is invalid".into()))?
            .map(|metadata| (metadata, None))
            .map_err(|e| damaged(e.strip_backtrace()))?,
    };
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        .map_err(|e| damaged(e.to_string()))?;
    let meta = key_value_pairs(file);
    let file = Arc::new(ParquetFile::new(
        name, url, object, absolute, metadata, &meta,
    ));
    Ok(OpenFile {
        path: path.to_path_buf(),
        meta,
        schema: Arc::new(schema),
        content: match rows {
            Some(rows) => FileContent::Unclosed(file, rows),
            None => FileContent::Parquet(file),
        },
    })
}

/// Returns the key-value pairs of a footer, without those that point to places in the file.
fn key_value_pairs(file: &FileMetaData) -> BTreeMap<String, String> {
    let pairs = file.key_value_metadata().into_iter().flatten();
    pairs
        .filter(|pair| pair.key != KEY_ROLLUPS)
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect()
}
