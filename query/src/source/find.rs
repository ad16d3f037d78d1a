//! Finds recordings: those that were named, and else the newest one in the working directory.

use std::path::{Path, PathBuf};

use ctrace_format::names;
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt};

use crate::source::error::SourceError;
use crate::source::file::OpenFile;
use crate::source::missing::missing_file;
use crate::source::open::open_recording;

/// The extensions of recordings.
const EXTENSIONS: [&str; 2] = ["parquet", "sqlite"];
/// The extension of unfinished segments.
const OPEN_EXTENSION: &str = "parquet.open";

/// Number of files that are opened concurrently.
const CONCURRENCY: usize = 16;

/// Opens the recordings that `named` stands for: a file, the files in a directory and below, or the files that match a
/// pattern.
///
/// # Errors
/// A file is not a recording that this build reads, or no recording was found.
pub(crate) async fn open_named(
    ctx: &SessionContext,
    named: &Path,
) -> Result<Vec<OpenFile>, SourceError> {
    let in_directory = named.is_dir();
    let mut opened = futures::stream::iter(matching_paths(named)?.into_iter().map(|path| {
        let ctx = ctx.clone();
        async move { open_or_renamed(&ctx, &path).await }.boxed()
    }))
    .buffered(CONCURRENCY);
    let mut files = Vec::new();
    while let Some(file) = opened.next().await {
        match file {
            // A directory may contain other files beside recordings.
            Err(e) if in_directory && (e.is_other_file() || e.is_not_found()) => {}
            Err(e) if e.is_not_found() => return Err(SourceError::Missing(missing_file(named))),
            other => files.push(other?),
        }
    }
    match files.is_empty() {
        true => Err(SourceError::NoneIn(named.display().to_string())),
        false => Ok(files),
    }
}

/// Opens a recording, also if the recorder finishes and renames it meanwhile.
async fn open_or_renamed(ctx: &SessionContext, path: &Path) -> Result<OpenFile, SourceError> {
    let failed = match open_recording(ctx, path).await {
        Err(e) => e,
        opened => return opened,
    };
    match path.metadata() {
        Ok(_) => Err(failed),
        Err(_) if names::is_open(path) => open_recording(ctx, &path.with_extension("")).await,
        // The file is gone, and the first error may be a consequence of that.
        Err(source) => Err(SourceError::Io {
            path: path.display().to_string(),
            source,
        }),
    }
}

fn matching_paths(named: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let name = named.display().to_string();
    let patterns = if named.is_dir() {
        let inside = |extension| format!("{}/**/*.{extension}", glob::Pattern::escape(&name));
        EXTENSIONS
            .into_iter()
            .chain([OPEN_EXTENSION])
            .map(inside)
            .collect()
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

/// Opens the newest recording in the working directory. Files that are not recordings are skipped. A recording that cannot
/// be read is an error: an older one would answer a different question.
///
/// # Errors
/// The newest recording cannot be read, or there is none.
pub(crate) async fn open_newest(ctx: &SessionContext) -> Result<OpenFile, SourceError> {
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
        let extension = path.extension().and_then(|e| e.to_str());
        if extension.is_some_and(|e| EXTENSIONS.contains(&e)) && file.is_file() {
            candidates.push((file.modified().map_err(io)?, path));
        }
    }
    candidates.sort();
    for (_, path) in candidates.into_iter().rev() {
        match open_recording(ctx, &path).await {
            Err(e) if e.is_other_file() => {}
            other => return other,
        }
    }
    Err(SourceError::NoneHere)
}
