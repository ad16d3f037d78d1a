//! `cut`: writes some of the events of recordings as a recording of its own, with everything to which they refer.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use ctrace_format::names::FileFormat;
use ctrace_redact::Redactor;
use ctrace_schema::meta;
use serde_json::{Value, json};

use crate::engine::{Engine, EventSelection};
use crate::rewrite::copy::{CopyTarget, Copying};
use crate::rewrite::metadata::{SourceFile, call_filters, now};

/// A part that is cut out.
pub(crate) struct CutPlan<'a> {
    pub(crate) selection: EventSelection,
    /// The options that selected the events, by their name.
    pub(crate) conditions: Value,
    /// The files that are read.
    pub(crate) files: Vec<SourceFile>,
    pub(crate) to: &'a Path,
    pub(crate) format: Option<FileFormat>,
    /// The rules by which texts of the part are replaced.
    pub(crate) redactor: Option<Arc<Redactor>>,
}

/// Cuts a part out of the recordings of `engine`.
///
/// # Errors
/// A recording cannot be read, or the file cannot be written.
pub(crate) async fn cut(engine: &Engine, plan: &CutPlan<'_>) -> Result<()> {
    let selection = &plan.selection;
    let filters = call_filters(engine.recordings().await?);
    let to = CopyTarget {
        path: plan.to,
        format: plan.format,
        redactor: plan.redactor.clone(),
    };
    let mut part = Copying::begin(engine, to, selection.span, filters).await?;
    let referred = part
        .progress
        .during(engine.referred_rows(selection))
        .await?;
    for batch in &referred {
        part.add(batch)?;
    }
    part.end_alive_rows()?;
    let rows = engine.in_slices(&selection.story(), selection.span).await?;
    part.copy(rows).await?;
    let files = plan
        .files
        .iter()
        .filter(|file| part.has_rows_of(&file.path));
    let origin = json!({
        "from": files.map(SourceFile::entry).collect::<Vec<_>>(),
        "conditions": plan.conditions,
        "time": now(),
    });
    let pairs = vec![(meta::KEY_CUT.to_string(), origin.to_string())];
    part.complete("cut", pairs).await
}
