//! `merge`: writes several recordings as one, with each event once.

use std::path::Path;

use anyhow::Result;
use ctrace_format::names::FileFormat;
use ctrace_schema::meta;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::rewrite::copy::{CopyTarget, Copying};
use crate::rewrite::metadata::{SourceFile, now, own_pairs};
use crate::source::{Recordings, clamped_ns};

/// Merges the recordings of `engine`, whose files are `files`.
///
/// # Errors
/// A recording cannot be read, or the file cannot be written.
pub(crate) async fn merge(
    engine: &Engine,
    files: &[SourceFile],
    to: &Path,
    format: Option<FileFormat>,
) -> Result<()> {
    let recordings = engine.recordings().await?;
    let span = engine.span().await?;
    let span = (clamped_ns(span.start), clamped_ns(span.end));
    let filters = recordings.common_pairs(&[meta::KEY_FILTERS]);
    let to = CopyTarget {
        path: to,
        format,
        redactor: None,
    };
    let mut whole = Copying::begin(engine, to, span, filters).await?;
    whole.copy_all().await?;
    whole
        .complete("merged", vec![merged(recordings, files)])
        .await
}

/// Returns the metadata about the recordings that another one is made of, whose files are `files`.
pub(super) fn merged(recordings: &Recordings, files: &[SourceFile]) -> (String, String) {
    let from = recordings.files.iter().map(|file| {
        let mut source = files.iter();
        let source = source.find(|source| source.path == file.path);
        let mut entry = source.map_or(Value::Null, SourceFile::entry);
        entry["meta"] = own_pairs(file).into();
        entry
    });
    let origin = json!({ "from": from.collect::<Vec<_>>(), "time": now() });
    (meta::KEY_MERGED.to_string(), origin.to_string())
}
