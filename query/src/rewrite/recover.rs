//! `recover`: completes a recording that was not closed. The data in the file is not moved; the rows of the journal become the
//! last row group, and the footer is written.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use ctrace_format::digest::{self, Digest};
use ctrace_format::row_groups::shifted;
use ctrace_format::unclosed::{self, Group, Unclosed};
use ctrace_format::{names, regular};
use ctrace_schema::columns::FILE_ORDER;
use ctrace_schema::text::path_text;
use ctrace_schema::{human, meta};
use datafusion::catalog::TableProvider;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::prelude::col;
use parquet::arrow::{ArrowWriter, parquet_to_arrow_schema};
use parquet::file::metadata::KeyValue;

use crate::cli::Recovery;
use crate::engine::{Engine, EngineLimits};
use crate::messages;
use crate::output::{PartialFile, common_mode, recording_options};
use crate::rewrite::rollups;
use crate::rewrite::sorted::sorted;
use crate::rewrite::target::check_absent;
use crate::source::{FileKind, Repeated, events_table, file_kind, read_unclosed, with_schema};

/// Recovers a recording.
///
/// # Errors
/// The recording was closed, or is still being written, or the target exists or cannot be written.
pub(crate) async fn recover(recovery: &Recovery) -> Result<()> {
    let from = &recovery.recording;
    let name = path_text(from);
    let is_closed = !matches!(file_kind(from)?, FileKind::Unclosed);
    if names::is_being_written(from) {
        bail!("{name} is still being written: stop ctrace-rec (Ctrl-C, SIGTERM), which closes it");
    }
    let target = recovery.output.clone();
    let target = target.unwrap_or_else(|| names::finished(from));
    if target != *from {
        check_absent(&target, recovery.overwrite)?;
    }
    if is_closed && recovery.output.is_none() && names::is_open(from) {
        // The recorder was killed after it wrote the footer, and before it removed the journal or renamed the file.
        let to = names::finish(from, recovery.overwrite)
            .with_context(|| format!("cannot rename {name}"))?;
        messages::status("recovered", &path_text(&to));
        return Ok(());
    }
    if is_closed {
        bail!("{name} was closed: there is nothing to recover");
    }
    let unclosed = read_unclosed(from)?;
    // The recording is named, and known to be unclosed: no notice is needed.
    let engine = Engine::new(vec![from.to_path_buf()], EngineLimits::new(1), |_| {});
    let files = &engine.recordings().await?.files;
    // Rollups do not count the rows that are older than the file.
    let own = files.first().map(|file| Repeated::part(file, false));
    let events = events_table(files, &own.unwrap_or_default())?;
    let pairs = key_value_pairs(&engine, &unclosed, &events).await?;
    let failed = || format!("cannot write {name}");
    let (rows, to) = match &recovery.output {
        None => {
            let rows = complete(from, unclosed, pairs, &events)
                .await
                .with_context(failed)?;
            let to = names::finish(from, recovery.overwrite).with_context(failed)?;
            (rows, to)
        }
        Some(to) => {
            let failed = || format!("cannot write {}", path_text(to));
            let mode = common_mode(std::iter::once(from.as_path()));
            let (partial, mut file) = PartialFile::create(to, mode).with_context(failed)?;
            std::io::copy(&mut regular::open(from)?, &mut file).with_context(failed)?;
            let rows = complete(partial.path(), unclosed, pairs, &events)
                .await
                .with_context(failed)?;
            let finished = match recovery.overwrite {
                true => partial.finish(),
                false => partial.finish_new(),
            };
            finished.with_context(failed)?;
            (rows, to.to_path_buf())
        }
    };
    messages::status(
        "recovered",
        &format!("{} events to {}", human::count(rows), path_text(&to)),
    );
    Ok(())
}

/// Returns the metadata of the completed recording: the pairs from its start, and those that are computed from the
/// rows. `own` are the rows that are not older than the file; the span is computed from them.
///
/// The span is that of `own`, the rows that are not older than the file.
async fn key_value_pairs(
    engine: &Engine,
    unclosed: &Unclosed,
    own: &Arc<dyn TableProvider>,
) -> Result<Vec<KeyValue>> {
    let mut pairs = vec![];
    let count = engine.plan("select count(*) from events").await?;
    let span = engine.session().read_table(own.clone())?;
    let span = span.aggregate(vec![], vec![min(col("time")), max(col("time"))])?;
    let counted = [
        (count, &[meta::KEY_EVENTS][..]),
        (span, &[meta::KEY_START, meta::KEY_END][..]),
    ];
    for (frame, keys) in counted {
        for batch in frame.collect().await? {
            for (values, key) in batch.columns().iter().zip(keys) {
                let values = cast(values, &DataType::Int64)?;
                let values = values.as_primitive::<Int64Type>().iter().flatten();
                pairs.extend(values.map(|value| (*key, value.to_string())));
            }
        }
    }
    let lost = "select class, cast(sum(lost) as bigint) from events where kind = 'gap' and lost > 0 group by class";
    let mut by_class: BTreeMap<String, i64> = BTreeMap::new();
    for batch in engine.plan(lost).await?.collect().await? {
        let classes = batch.column(0).as_string_view();
        let lost = batch.column(1).as_primitive::<Int64Type>();
        for (class, lost) in classes.iter().zip(lost.iter()) {
            by_class.insert(class.unwrap_or("other").to_string(), lost.unwrap_or(0));
        }
    }
    pairs.push((meta::KEY_LOST, serde_json::json!(by_class).to_string()));
    let from_start = unclosed.metadata.file_metadata().key_value_metadata();
    let computed = pairs
        .into_iter()
        .map(|(key, value)| KeyValue::new(key.to_string(), value));
    Ok(from_start
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .chain(computed)
        .collect())
}

/// Writes the end of the file at `path`, whose rows are `events`, and returns the number of rows. The complete parts of the
/// file are not changed; if writing fails, the file is cut back to them.
async fn complete(
    path: &Path,
    unclosed: Unclosed,
    mut pairs: Vec<KeyValue>,
    events: &Arc<dyn TableProvider>,
) -> Result<u64> {
    let Unclosed {
        metadata,
        end,
        rows,
    } = unclosed;
    let schema = metadata.file_metadata().schema_descr_ptr();
    let mut bytes = vec![];
    let mut groups = unclosed::groups(metadata);
    if rows.iter().any(|rows| rows.num_rows() > 0) {
        let columns = parquet_to_arrow_schema(&schema, None)?;
        let (last, encoded) = row_group(&rows, Arc::new(columns), end)?;
        bytes = encoded;
        groups.extend(last);
    }
    let count: i64 = groups.iter().map(|(group, ..)| group.num_rows()).sum();
    let at = end as usize + bytes.len();
    let write = |frame: &[u8]| bytes.write_all(frame);
    let places = rollups::write_rollups(events, count as usize, at, write).await?;
    pairs.push(places);
    let placeholder = Digest::placeholder();
    let digest = KeyValue::new(meta::KEY_DIGEST.to_string(), placeholder.to_string());
    pairs.push(digest);
    let metadata = unclosed::metadata(&schema, pairs, groups);
    unclosed::write_footer(&metadata, end + bytes.len() as u64, &mut bytes)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    // The file behind a link is not the one that was named.
    #[cfg(unix)]
    options.custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(path)?;
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(&bytes)?;
        digest::seal(file, &placeholder)?;
        file.sync_all()
    };
    if let Err(e) = write(&mut file) {
        let _ = file.set_len(end);
        return Err(e.into());
    }
    Ok(metadata.file_metadata().num_rows() as u64)
}

/// Encodes the rows of a journal as row groups at offset `end`. Returns their metadata and their bytes.
fn row_group(rows: &[RecordBatch], schema: SchemaRef, end: u64) -> Result<(Vec<Group>, Vec<u8>)> {
    let rows: Result<Vec<_>, _> = rows
        .iter()
        .map(|rows| with_schema(rows, "", None, &schema))
        .collect();
    let rows = sorted(&concat_batches(&schema, &rows?)?, FILE_ORDER)?;
    let mut file = vec![];
    let mut writer =
        ArrowWriter::try_new_with_options(&mut file, schema, recording_options(vec![]))?;
    writer.write(&rows)?;
    let metadata = writer.close()?;
    let columns = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    let first_index = columns
        .filter_map(|column| column.column_index_offset())
        .min();
    file.truncate(first_index.unwrap_or(file.len() as i64) as usize);
    // Without the magic number at the start.
    let (bytes, shift) = (file.split_off(4), end as i64 - 4);
    let groups = unclosed::groups(metadata)
        .into_iter()
        .map(|(group, pages, mut offsets)| {
            for page in offsets
                .iter_mut()
                .flat_map(|index| &mut index.page_locations)
            {
                page.offset += shift;
            }
            let chunks: std::result::Result<Vec<_>, _> = group
                .columns()
                .iter()
                .map(|chunk| shifted(chunk.clone(), shift))
                .collect();
            let group = group
                .clone()
                .into_builder()
                .set_column_metadata(chunks?)
                .build()?;
            Ok((group, pages, offsets))
        });
    Ok((groups.collect::<Result<_>>()?, bytes))
}
