//! `convert`: writes a recording in another format, with all columns, rows and metadata.

use anyhow::{Result, bail};
use ctrace_schema::text::path_text;
use ctrace_schema::{human, meta};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;

use crate::cli::Conversion;
use crate::engine::{QueryError, session_with_functions};
use crate::messages;
use crate::output::{CopyProgress, common_mode};
use crate::rewrite::copy::last_time;
use crate::rewrite::target::{RecordingTarget, check_absent, format_of};
use crate::source::{Repeated, events_table, open_recording};

/// Converts a recording.
///
/// # Errors
/// The source is not a recording, or the target exists or cannot be written.
pub(crate) async fn convert(conversion: &Conversion) -> Result<()> {
    let (from, to) = (&conversion.from, &conversion.to);
    check_target(conversion)?;
    let session = session_with_functions()
        .with_config(SessionConfig::new().with_target_partitions(1))
        .build();
    let context = SessionContext::new_with_state(session);
    let source = open_recording(&context, from).await?;
    let is_copied = |(key, _): &(&String, &String)| match key.as_str() {
        // The Arrow schema describes the encoding of the source file.
        "ARROW:schema" => false,
        // The target has its own digest and its own place for the rows that are older than the file, and is no segment.
        meta::KEY_DIGEST | meta::KEY_PREVIOUS | meta::KEY_ALIVE => false,
        _ => true,
    };
    let pairs = source.meta.iter().filter(is_copied);
    let pairs = pairs
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mode = common_mode(std::iter::once(from.as_path()));
    let mut target = RecordingTarget::create(to, format_of(to, None)?, mode, pairs)?;
    // The rows that are older than the file stay in row groups of their own, and are in no rollup.
    let mut parts = vec![Repeated::part(&source, false)];
    let has_alive_rows = source.has_alive_rows();
    if has_alive_rows {
        parts.insert(0, Repeated::part(&source, true));
    }
    let span = source.span().unwrap_or((0, 0));
    let mut progress = CopyProgress::new(span);
    let files = [source];
    for (number, part) in parts.iter().enumerate() {
        let table = context.read_table(events_table(&files, part).map_err(QueryError::from)?);
        let table = table.map_err(QueryError::from)?;
        let mut rows = table.execute_stream().await.map_err(QueryError::from)?;
        while let Some(batch) = progress.during(rows.next()).await {
            let batch = batch.map_err(QueryError::from)?;
            progress.add(batch.num_rows(), last_time(&batch)?);
            target.add(&batch)?;
        }
        if has_alive_rows && number == 0 {
            target.end_alive_rows()?;
        }
    }
    let count = target.rows();
    progress.during(target.finish(&context, vec![])).await?;
    progress.finish();
    let written = format!("{} events to {}", human::count(count), path_text(to));
    messages::status("converted", &written);
    Ok(())
}

fn check_target(conversion: &Conversion) -> Result<()> {
    let (from, to) = (&conversion.from, &conversion.to);
    check_absent(to, conversion.overwrite)?;
    if to
        .canonicalize()
        .is_ok_and(|to| from.canonicalize().is_ok_and(|from| from == to))
    {
        bail!(
            "{} is the recording that is read: write to another file",
            path_text(to)
        );
    }
    Ok(())
}
