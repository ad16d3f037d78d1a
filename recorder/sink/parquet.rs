//! Parquet: a row group per batch, and a file that can be read whatever happened to the recorder, the disk or the machine.
//!
//! After each row group stands a block that says what it holds ([`ctrace_schema::unclosed`]), so that the file is read
//! without its footer; rows that wait for their row group are in a journal beside it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arrow::datatypes::Schema;
use crc32fast::Hasher;
use ctrace_schema::columns::COLUMNS;
use ctrace_schema::rollups::KEY_ROLLUPS;
use ctrace_schema::unclosed::{self, Group, journal};
use parquet::arrow::ArrowSchemaConverter;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, RowGroupMetaData};
use parquet::schema::types::SchemaDescPtr;
use serde_json::json;

use super::chunk::Encoder;
use super::journal::Journal;
use super::medium::{Durable, Medium, Piece, Whole};
use super::sync::Syncer;
use super::{Full, Sink, Summary, Wants};
use crate::events::Events;
use crate::memory::Memory;
use crate::rollups::Rollups;

/// What a Parquet file begins with.
const MAGIC: &[u8] = b"PAR1";
/// Bytes of a journal that is put on the disk out of turn, so that it can be emptied.
const JOURNAL_BYTES: u64 = 16 << 20;

/// A Parquet file that is being written.
pub struct Parquet {
    path: PathBuf,
    out: Whole,
    journal: Journal,
    sync: Syncer,
    /// Also the lock that keeps other recorders away.
    file: Box<dyn Durable>,
    encoder: Encoder,
    rollups: Rollups,
    schema: SchemaDescPtr,
    groups: Vec<Group>,
}

/// The pairs of a footer.
fn pairs(all: Vec<(&'static str, String)>) -> Vec<KeyValue> {
    let pair = |(key, value): (&str, String)| KeyValue::new(key.to_string(), value);
    all.into_iter().map(pair).collect()
}

impl Parquet {
    /// Begins a recording in the empty `file`, which stands at `path`, with its `journal`. `origin` is the metadata of one
    /// that is not closed. What is written is put on the disk at most `every` so often; sums keep within `memory`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(
        (file, journal): (File, File),
        path: &Path,
        schema: &Schema,
        origin: Vec<(&'static str, String)>,
        every: Duration,
        memory: Memory,
    ) -> Result<Parquet> {
        let failed = || format!("cannot write {}", path.display());
        let second = || -> io::Result<_> {
            let directory = path.parent().map(|parent| match parent.as_os_str() {
                none if none.is_empty() => Path::new("."),
                _ => parent,
            });
            let directory = directory.and_then(|directory| File::open(directory).ok());
            let files: Vec<Box<dyn Durable>> =
                vec![Box::new(file.try_clone()?), Box::new(journal.try_clone()?)];
            let sync = Syncer::new(every, directory, files)?;
            Ok((sync, Box::new(file.try_clone()?)))
        };
        let (sync, second) = second().with_context(failed)?;
        let mediums: (Box<dyn Medium>, Box<dyn Medium>) = (Box::new(file), Box::new(journal));
        let rollups = Rollups::new(memory);
        Parquet::over(mediums, (second, sync, rollups), path, schema, origin).with_context(failed)
    }

    /// Likewise, over what it is written through.
    fn over(
        (out, journal): (Box<dyn Medium>, Box<dyn Medium>),
        (file, sync, rollups): (Box<dyn Durable>, Syncer, Rollups),
        path: &Path,
        schema: &Schema,
        origin: Vec<(&'static str, String)>,
    ) -> Result<Parquet> {
        let schema = Arc::new(ArrowSchemaConverter::new().convert(schema)?);
        let mut out = Whole::new(out);
        let first = unclosed::metadata(&schema, pairs(origin), []);
        let first = unclosed::block(&first, MAGIC.len() as u64, 0, crc32fast::hash(&[]))?;
        out.append(|piece| {
            piece.write_all(MAGIC)?;
            piece.write_all(&first)
        })?;
        Ok(Parquet {
            path: path.to_path_buf(),
            out,
            journal: Journal::new(journal)?,
            sync,
            file,
            encoder: Encoder::new()?,
            rollups,
            schema,
            groups: vec![],
        })
    }

    /// Bytes that are written.
    pub fn len(&self) -> u64 {
        self.out.len()
    }

    /// Writes a row group and its block.
    fn row_group(&mut self, columns: &dyn Events) -> Result<()> {
        let Parquet {
            out,
            encoder,
            schema,
            groups,
            sync,
            ..
        } = self;
        let group = out.append(|piece| {
            let start = piece.at();
            let mut piece = Checked {
                piece,
                crc: Hasher::new(),
            };
            let ordinal = i16::try_from(groups.len()).ok();
            let group = write_group(&mut piece, encoder, schema, ordinal, columns)?;
            let metadata = unclosed::metadata(schema, vec![], [group.clone()]);
            let crc = piece.crc.clone().finalize();
            piece.write_all(&unclosed::block(&metadata, start, sync.done(), crc)?)?;
            Ok::<_, anyhow::Error>(group)
        })?;
        groups.push(group);
        Ok(())
    }

    /// Before something is written: whether the disk has taken what was. If not it is asked once more, for the next time.
    fn ready(&mut self) -> Result<()> {
        self.sync.check().map_err(|e| {
            self.sync.ask(self.out.len());
            self.refused(e.into())
        })
    }

    /// After something was written: has it put on the disk if it is time to.
    fn written(&mut self) {
        if self.sync.is_due() || self.journal.len() >= JOURNAL_BYTES {
            self.sync.ask(self.out.len());
        }
    }

    /// Empties the journal where its rows are on the disk in row groups.
    fn empty_journal(&mut self) -> Result<()> {
        if self.sync.reached() >= self.out.len() {
            self.journal.empty()?;
        }
        Ok(())
    }

    /// What to do about an error that ends the recording.
    fn failed(&self, e: &anyhow::Error) -> anyhow::Error {
        let path = self.path.display();
        anyhow!(
            "cannot write {path}: {e:#}; what was recorded before is kept: ctrace-query reads it, and `ctrace-query \
             recover {path}` makes it a plain Parquet file"
        )
    }

    /// Likewise, but where there is no room it can be tried again.
    fn refused(&self, e: anyhow::Error) -> anyhow::Error {
        match Full::or(e) {
            full if full.is::<Full>() => {
                Full(format!("cannot write {}: {full}", self.path.display())).into()
            }
            other => self.failed(&other),
        }
    }

    /// Ends the file, or leaves it as it was.
    ///
    /// # Errors
    /// It cannot be written. [`Full`]: it can be tried again.
    pub fn close(&mut self, summary: &Summary) -> Result<u64> {
        let start = self.out.len();
        let closed = self.footer(summary);
        let closed = closed.and_then(|()| Ok(self.file.sync()?));
        if closed.is_err() && self.out.len() > start {
            // Best at once, for the room on the disk.
            let _ = self.out.cut(start);
        }
        closed.map_err(|e| self.refused(e))?;
        // Nothing is in it that is not in the file.
        let _ = std::fs::remove_file(journal::path(&self.path));
        Ok(self.out.len())
    }

    fn footer(&mut self, summary: &Summary) -> Result<()> {
        let mut pairs = pairs(summary.metadata());
        pairs.push(embed(&self.rollups, &mut self.out)?);
        let metadata = unclosed::metadata(&self.schema, pairs, self.groups.clone());
        let footer = unclosed::footer(&metadata, self.out.len())?;
        Ok(self.out.append(|piece| piece.write_all(&footer))?)
    }
}

/// Writes the rollups, and returns what says where they stand.
fn embed(rollups: &Rollups, out: &mut Whole) -> Result<KeyValue> {
    let mut places = vec![];
    for blob in rollups.blobs()? {
        places.push(json!({
            "name": blob.name,
            "offset": out.len(),
            "length": blob.bytes.len(),
            "size": blob.size,
            "slice": blob.slice,
        }));
        out.append(|piece| piece.write_all(&blob.bytes))?;
    }
    let places = serde_json::to_string(&places)?;
    Ok(KeyValue::new(KEY_ROLLUPS.to_string(), places))
}

impl Sink for Parquet {
    fn wants(&self) -> Wants {
        Wants::GROUPS
    }

    fn keep(&mut self, columns: &dyn Events) -> Result<()> {
        self.ready()?;
        let kept = self
            .empty_journal()
            .and_then(|()| self.journal.append(columns));
        kept.map_err(|e| self.refused(e))?;
        self.written();
        Ok(())
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        self.ready()?;
        self.row_group(columns).map_err(|e| self.refused(e))?;
        self.journal.cover();
        self.rollups.add(columns);
        self.written();
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        let closed = self.close(summary);
        closed.map_err(|e| match e.downcast::<Full>() {
            Ok(full) => self.failed(&full.into()),
            Err(e) => e,
        })
    }
}

/// What is written, with its checksum.
struct Checked<'a, 'b> {
    piece: &'a mut Piece<'b>,
    crc: Hasher,
}

impl Write for Checked<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.piece.write(bytes)?;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.piece.flush()
    }
}

/// Writes a row group, column by column, and then its bloom filters.
fn write_group(
    out: &mut Checked<'_, '_>,
    encoder: &mut Encoder,
    schema: &SchemaDescPtr,
    ordinal: Option<i16>,
    columns: &dyn Events,
) -> Result<Group> {
    let start = out.piece.at();
    let (mut chunks, mut pages, mut offsets, mut blooms) = (vec![], vec![], vec![], vec![]);
    for (i, column) in COLUMNS.iter().enumerate() {
        let series = columns.series(column.name);
        let (bytes, close) = encoder.chunk(&series, columns.texts(), &schema.column(i))?;
        columns.reuse(series);
        let at = out.piece.at();
        out.write_all(bytes)?;
        let ColumnCloseResult {
            metadata,
            bloom_filter,
            column_index,
            offset_index,
            ..
        } = close;
        chunks.push(moved(metadata, at)?);
        pages.extend(column_index);
        offsets.extend(offset_index.map(|mut index| {
            for page in &mut index.page_locations {
                page.offset += at as i64;
            }
            index
        }));
        blooms.push(bloom_filter);
    }
    for (chunk, bloom) in chunks.iter_mut().zip(blooms) {
        let Some(bloom) = bloom else { continue };
        let mut bytes = vec![];
        bloom.write(&mut bytes)?;
        let at = out.piece.at();
        out.write_all(&bytes)?;
        *chunk = chunk
            .clone()
            .into_builder()
            .set_bloom_filter_offset(Some(at as i64))
            .set_bloom_filter_length(Some(bytes.len() as i32))
            .build()?;
    }
    let size = chunks.iter().map(ColumnChunkMetaData::uncompressed_size);
    let mut group = RowGroupMetaData::builder(schema.clone())
        .set_num_rows(columns.rows() as i64)
        .set_total_byte_size(size.sum())
        .set_file_offset(start as i64)
        .set_column_metadata(chunks);
    if let Some(ordinal) = ordinal {
        group = group.set_ordinal(ordinal);
    }
    Ok((group.build()?, pages, offsets))
}

/// The metadata of a column chunk that was encoded by itself and stands at `at`.
fn moved(chunk: ColumnChunkMetaData, at: u64) -> Result<ColumnChunkMetaData, ParquetError> {
    let at = at as i64;
    let (data, dictionary) = (chunk.data_page_offset(), chunk.dictionary_page_offset());
    chunk
        .into_builder()
        .set_data_page_offset(data + at)
        .set_dictionary_page_offset(dictionary.map(|dictionary| dictionary + at))
        .build()
}

#[cfg(test)]
#[path = "parquet_tests.rs"]
mod tests;
