//! `recover`: finishes a recording that was not closed. What is in it stays where it is; the rows of the journal become its
//! last row group, and the footer is written.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use ctrace_schema::rollups::KEY_ROLLUPS;
use ctrace_format::unclosed::{self, Group, Unclosed, journal};
use ctrace_schema::{human, meta};
use datafusion::catalog::TableProvider;
use parquet::arrow::{ArrowWriter, parquet_to_arrow_schema};
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};

use crate::cli::Recover;
use crate::rewrite::convert::{Partial, sorted};
use crate::engine::Engine;
use crate::source::magic::{Magic, check_magic};
use crate::output::{self, say};
use crate::engine::rollups;
use crate::source::unclosed::{arranged, is_being_written, read};

/// Does what `recover` asks for.
///
/// # Errors
/// That it is no recording that was not closed, that one is still written, or that the other file exists or cannot be
/// written.
pub async fn recover(asked: &Recover) -> Result<()> {
    let from = &asked.recording;
    let name = from.display();
    let closed = !matches!(check_magic(from)?, Magic::Unclosed);
    if is_being_written(from) {
        bail!("{name} is still being written: stop ctrace-rec (Ctrl-C, SIGTERM), which closes it");
    }
    if closed && asked.output.is_none() && is_open(from) {
        // Its recorder was killed between its end and its name.
        let to = rename(from).with_context(|| format!("cannot name {name}"))?;
        say("recovered", &to.display().to_string());
        return Ok(());
    }
    if closed {
        bail!("{name} was closed: there is nothing to recover");
    }
    let unclosed = read(from)?;
    let engine = Engine::new(vec![from.to_path_buf()], 1).without_warnings();
    let pairs = pairs(&engine, &unclosed).await?;
    let events = engine.recordings().await?.table()?;
    let to = asked.output.as_deref().unwrap_or(from);
    let failed = || format!("cannot write {name}");
    let rows = match &asked.output {
        None => finish(from, unclosed, pairs, &events)
            .await
            .with_context(failed)?,
        Some(to) => {
            if to.exists() && !asked.force {
                bail!(
                    "{} exists: add --force to overwrite it, or choose another name",
                    to.display()
                );
            }
            let partial = Partial::of(to);
            std::fs::copy(from, &partial.0).with_context(failed)?;
            let rows = finish(&partial.0, unclosed, pairs, &events)
                .await
                .with_context(failed)?;
            std::fs::rename(&partial.0, to).with_context(failed)?;
            rows
        }
    };
    let mut to = to.to_path_buf();
    if asked.output.is_none() {
        // Its rows are in the file now.
        let _ = std::fs::remove_file(journal::path(from));
        if is_open(from) {
            to = rename(from).with_context(failed)?;
        }
    }
    say(
        "recovered",
        &format!("{} events to {}", human::count(rows), to.display()),
    );
    Ok(())
}

/// Whether it is named as segments are that are being written.
fn is_open(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "open")
}

/// Gives a segment the name that it has when it is finished.
fn rename(from: &Path) -> std::io::Result<PathBuf> {
    let to = from.with_extension("");
    std::fs::rename(from, &to)?;
    Ok(to)
}

/// The metadata of the whole: what was known at the beginning, and what the rows tell.
async fn pairs(engine: &Engine, unclosed: &Unclosed) -> Result<Vec<KeyValue>> {
    let events =
        "select count(*), cast(min(time) as bigint), cast(max(time) as bigint) from events";
    let mut pairs = vec![];
    for batch in engine.plan(events).await?.collect().await? {
        for (i, key) in [meta::KEY_EVENTS, meta::KEY_START, meta::KEY_END]
            .iter()
            .enumerate()
        {
            let values = batch.column(i).as_primitive::<Int64Type>();
            pairs.extend(
                values
                    .iter()
                    .flatten()
                    .map(|value| (*key, value.to_string())),
            );
        }
    }
    let lost = "select class, sum(lost) from events where kind = 'gap' and lost > 0 group by class";
    let mut by_class: BTreeMap<String, i64> = BTreeMap::new();
    for batch in engine.plan(lost).await?.collect().await? {
        let classes = batch.column(0).as_string_view();
        let lost = batch.column(1).as_primitive::<Int64Type>();
        for (class, lost) in classes.iter().zip(lost.iter()) {
            by_class.insert(class.unwrap_or("other").to_string(), lost.unwrap_or(0));
        }
    }
    pairs.push((meta::KEY_LOST, serde_json::json!(by_class).to_string()));
    let origin = unclosed.metadata.file_metadata().key_value_metadata();
    let known = pairs
        .into_iter()
        .map(|(key, value)| KeyValue::new(key.to_string(), value));
    Ok(origin
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .chain(known)
        .collect())
}

/// Ends the file at `path`, which has `events`, and returns how many they are. Nothing of what is whole is touched before the
/// end stands.
async fn finish(
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
    let places = rollups::make(events, count as usize, at, write).await?;
    pairs.push(KeyValue::new(KEY_ROLLUPS.to_string(), places));
    let metadata = unclosed::metadata(&schema, pairs, groups);
    unclosed::write_footer(&metadata, end + bytes.len() as u64, &mut bytes)?;
    let mut file = OpenOptions::new().write(true).open(path)?;
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    if let Err(e) = write(&mut file) {
        // As it was.
        let _ = file.set_len(end);
        return Err(e.into());
    }
    Ok(metadata.file_metadata().num_rows() as u64)
}

/// The rows of a journal as row groups with these columns that stand at `end`, and their bytes.
fn row_group(
    rows: &[arrow::array::RecordBatch],
    schema: SchemaRef,
    end: u64,
) -> Result<(Vec<Group>, Vec<u8>)> {
    let rows: Result<Vec<_>, _> = rows
        .iter()
        .map(|rows| arranged(rows, "", &schema))
        .collect();
    let rows = sorted(
        &concat_batches(&schema, &rows?)?,
        &["container_id", "tid", "syscall", "compat", "seq"],
    )?;
    let mut file = vec![];
    let mut writer = ArrowWriter::try_new_with_options(&mut file, schema, output::options(vec![]))?;
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
    // The magic stays away.
    let (bytes, moved) = (file.split_off(4), end as i64 - 4);
    let groups = unclosed::groups(metadata)
        .into_iter()
        .map(|(group, pages, mut offsets)| {
            for page in offsets
                .iter_mut()
                .flat_map(|index| &mut index.page_locations)
            {
                page.offset += moved;
            }
            let chunks: Result<Vec<_>> = group
                .columns()
                .iter()
                .map(|chunk| chunk_at(chunk, moved))
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

/// A column chunk, moved by so many bytes.
fn chunk_at(chunk: &ColumnChunkMetaData, moved: i64) -> Result<ColumnChunkMetaData> {
    let by = |place: Option<i64>| place.map(|place| place + moved);
    Ok(chunk
        .clone()
        .into_builder()
        .set_data_page_offset(chunk.data_page_offset() + moved)
        .set_dictionary_page_offset(by(chunk.dictionary_page_offset()))
        .set_bloom_filter_offset(by(chunk.bloom_filter_offset()))
        .build()?)
}
