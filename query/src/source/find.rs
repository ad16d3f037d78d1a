//! Finds and opens recordings: those that were named, or else the newest one in the working directory.

use std::path::{Path, PathBuf};

use ctrace_format::names;
use ctrace_schema::text::path_text;
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt};

use crate::source::error::SourceError;
use crate::source::expand::{FoundFile, Origin, Search};
use crate::source::file::OpenFile;
use crate::source::missing::missing_file;
use crate::source::open::open_recording;

/// Number of files that are opened concurrently.
const CONCURRENCY: usize = 16;
/// Maximum number of unreadable files that are named, each in a warning.
const MAX_WARNINGS: usize = 10;

/// The treatment of files that cannot be read and that a directory or a pattern stands for. A file that was named
/// itself is always an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Warns, and answers from the other files.
    #[default]
    PassOver,
    /// Refuses to answer (`--strict`).
    Refuse,
}

/// The recordings that some names stand for.
#[derive(Debug, Default)]
pub(crate) struct NamedRecordings {
    pub(crate) files: Vec<OpenFile>,
    /// Sentences about files and directories that are left out.
    pub(crate) warnings: Vec<String>,
}

/// Opens the recordings that each of `named` stands for: a file, the files in a directory and below, or the files that
/// match a pattern. A file with several names is opened once.
///
/// # Errors
/// A file that was named is not a recording that this build reads, or a name stands for no recording that can be read.
/// With [`Unreadable::Refuse`]: a file in a directory cannot be read.
pub(crate) async fn open_named(
    ctx: &SessionContext,
    named: &[PathBuf],
    unreadable: Unreadable,
) -> Result<NamedRecordings, SourceError> {
    let mut search = Search::default();
    let mut all = NamedRecordings::default();
    let mut passed_over = vec![];
    for named in named {
        let found = search.find(named)?;
        let mut failures = found.failures;
        let before = all.files.len();
        let mut opened = futures::stream::iter(found.files.into_iter().map(|file| {
            let ctx = ctx.clone();
            async move { (open_or_renamed(&ctx, &file.path).await, file) }.boxed()
        }))
        .buffered(CONCURRENCY);
        while let Some((opened, file)) = opened.next().await {
            match opened {
                Ok(opened) => all.files.push(opened),
                Err(error) => failures.extend(failure(error, &file)?),
            }
        }
        if all.files.len() > before || found.has_known {
            passed_over.append(&mut failures);
        }
        match (unreadable, failures.into_iter().next()) {
            (_, Some(failure)) => return Err(failure),
            (Unreadable::Refuse, None) if !passed_over.is_empty() => {
                return Err(passed_over.swap_remove(0));
            }
            _ if all.files.len() == before && !found.has_known => {
                return Err(SourceError::NoneIn(path_text(named)));
            }
            _ => {}
        }
    }
    all.warnings = warnings(&passed_over);
    Ok(all)
}

/// Returns the error of a file that should be a recording; `None`: the file is not a recording, or has been removed.
///
/// # Errors
/// The file was named, or the file matches a pattern and is not a recording.
fn failure(error: SourceError, file: &FoundFile) -> Result<Option<SourceError>, SourceError> {
    match file.origin {
        Origin::Name if error.is_not_found() => Err(SourceError::Missing(missing_file(&file.path))),
        Origin::Name => Err(error),
        _ if error.is_not_found() => Ok(None),
        Origin::Pattern if error.is_other_content() => Err(error),
        // Directories contain other Parquet and SQLite files beside recordings.
        Origin::Directory if error.is_other_content() => Ok(None),
        Origin::Pattern | Origin::Directory => Ok(Some(error)),
    }
}

/// Returns a warning for each file, up to [`MAX_WARNINGS`], and one for the rest.
fn warnings(passed_over: &[SourceError]) -> Vec<String> {
    let sentence = |error: &SourceError| {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        format!(
            "{error}{}. The answer is without it; --strict makes this an error",
            cause.unwrap_or_default()
        )
    };
    let mut warnings: Vec<String> = passed_over
        .iter()
        .take(MAX_WARNINGS)
        .map(sentence)
        .collect();
    match passed_over.len().saturating_sub(MAX_WARNINGS) {
        0 => {}
        1 => warnings.push("one more file cannot be read, and is passed over too".into()),
        more => warnings.push(format!(
            "{more} more files cannot be read, and are passed over too"
        )),
    }
    warnings
}

/// Opens a recording, also if the recorder finishes and renames it meanwhile.
async fn open_or_renamed(ctx: &SessionContext, path: &Path) -> Result<OpenFile, SourceError> {
    let failed = match open_recording(ctx, path).await {
        Err(e) => e,
        opened => return opened,
    };
    match path.metadata() {
        Ok(_) => Err(failed),
        Err(_) if names::is_open(path) => open_recording(ctx, &names::finished(path)).await,
        // The file is gone, and the first error may be a consequence of that.
        Err(source) => Err(SourceError::Io {
            path: path_text(path),
            source,
        }),
    }
}

/// Opens the newest recording in the working directory. Files that are not recordings are skipped. A recording that cannot
/// be read is an error: an older one would answer a different question.
///
/// # Errors
/// The newest recording cannot be read, or there is none.
pub(crate) async fn open_newest(ctx: &SessionContext) -> Result<OpenFile, SourceError> {
    let found = by_age().map_err(|source| SourceError::Io {
        path: ".".into(),
        source,
    })?;
    for path in found {
        match open_recording(ctx, &path).await {
            Err(e) if e.is_other_file() => {}
            other => return other,
        }
    }
    Err(SourceError::NoneHere)
}

/// Returns the files in the working directory that may be recordings, the newest first.
pub(crate) fn by_age() -> std::io::Result<Vec<PathBuf>> {
    let mut candidates = Vec::new();
    for entry in std::fs::read_dir(".")?.flatten() {
        let path = PathBuf::from(entry.file_name());
        let Ok(file) = std::fs::metadata(&path) else {
            continue;
        };
        if names::is_recording(&path) && !names::is_hidden(&path) && file.is_file() {
            candidates.push((file.modified()?, path));
        }
    }
    candidates.sort();
    Ok(candidates.into_iter().rev().map(|(_, path)| path).collect())
}
