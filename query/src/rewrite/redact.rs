//! `redact`: writes recordings as one, without the texts that rules find.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use ctrace_format::names::FileFormat;
use ctrace_redact::Redactor;
use ctrace_schema::meta;

use crate::engine::Engine;
use crate::rewrite::copy::{CopyTarget, Copying};
use crate::rewrite::merge::merged;
use crate::rewrite::metadata::SourceFile;
use crate::source::clamped_ns;

/// Redacts the recordings of `engine`, whose files are `files`. A recording in one file keeps its metadata; several are merged.
///
/// # Errors
/// A recording cannot be read, or the file cannot be written.
pub(crate) async fn redact(
    engine: &Engine,
    files: &[SourceFile],
    to: &Path,
    format: Option<FileFormat>,
    redactor: Arc<Redactor>,
) -> Result<()> {
    let recordings = engine.recordings().await?;
    let span = engine.span().await?;
    let span = (clamped_ns(span.start), clamped_ns(span.end));
    let mut known = recordings.common_pairs(&[meta::KEY_FILTERS]);
    let origin = match recordings.files.len() {
        0 | 1 => recordings.common_pairs(&[meta::KEY_CUT, meta::KEY_MERGED]),
        _ => vec![merged(recordings, files)],
    };
    known.extend(recordings.common_pairs(&[meta::KEY_DUMP]));
    let to = CopyTarget {
        path: to,
        format,
        redactor: Some(redactor),
    };
    let mut whole = Copying::begin(engine, to, span, known).await?;
    whole.copy_all().await?;
    whole.complete("redacted", origin).await
}
