//! The row groups of a Parquet file, with a block after each that says what it holds ([`ctrace_format::unclosed`]), and its end.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Result;
use arrow::datatypes::Schema;
use crc32fast::Hasher;
use ctrace_format::unclosed::{self, Group};
use ctrace_schema::rollups::KEY_ROLLUPS;
use parquet::arrow::ArrowSchemaConverter;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::SchemaDescPtr;
use serde_json::json;

use crate::rollups::Rollups;
use crate::rows::Events;
use crate::sink::parquet::column_chunk::ColumnEncoder;
use crate::sink::parquet::medium::{Durable, Medium, Piece, Whole};

/// What a Parquet file begins with.
const MAGIC: &[u8] = b"PAR1";

/// A Parquet file that is being written.
pub struct RowGroups {
    out: Whole,
    encoder: ColumnEncoder,
    schema: SchemaDescPtr,
    /// Their blocks, of which the end is made: what these say takes ten times the memory when it is unpacked.
    blocks: Vec<Vec<u8>>,
    rows: u64,
}

/// The pairs of a footer.
pub fn pairs(all: Vec<(&'static str, String)>) -> Vec<KeyValue> {
    let pair = |(key, value): (&str, String)| KeyValue::new(key.to_string(), value);
    all.into_iter().map(pair).collect()
}

impl RowGroups {
    /// Begins an empty file. `origin` is the metadata of one that is not closed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(
        medium: Box<dyn Medium>,
        schema: &Schema,
        origin: Vec<(&'static str, String)>,
    ) -> Result<RowGroups> {
        let schema = Arc::new(ArrowSchemaConverter::new().convert(schema)?);
        let mut out = Whole::new(medium);
        let first = unclosed::metadata(&schema, pairs(origin), []);
        let first = unclosed::block(&first, MAGIC.len() as u64, 0, crc32fast::hash(&[]))?;
        out.append(|piece| {
            piece.write_all(MAGIC)?;
            piece.write_all(&first)
        })?;
        Ok(RowGroups {
            out,
            encoder: ColumnEncoder::new()?,
            schema,
            blocks: vec![],
            rows: 0,
        })
    }

    /// Goes on with one that was not closed, of which `metadata` says what is whole, up to `end`.
    ///
    /// # Errors
    /// What is not whole cannot be cut off.
    pub fn resume(
        medium: Box<dyn Medium>,
        metadata: ParquetMetaData,
        end: u64,
    ) -> Result<RowGroups> {
        let mut out = Whole::new(medium);
        out.cut(end)?;
        let schema = metadata.file_metadata().schema_descr_ptr();
        let rows = metadata.file_metadata().num_rows() as u64;
        let blocks = unclosed::groups(metadata).into_iter().map(|group| {
            let metadata = unclosed::metadata(&schema, vec![], [group]);
            unclosed::block(&metadata, 0, 0, 0)
        });
        Ok(RowGroups {
            out,
            encoder: ColumnEncoder::new()?,
            blocks: blocks.collect::<Result<_, _>>()?,
            schema,
            rows,
        })
    }

    /// Bytes that are written.
    pub fn len(&self) -> u64 {
        self.out.len()
    }

    /// Rows that are written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes a row group and its block, which says that so many bytes before are on the disk.
    ///
    /// # Errors
    /// They cannot be written; what was before is kept.
    pub fn write(&mut self, columns: &dyn Events, synced: u64) -> Result<()> {
        let RowGroups {
            out,
            encoder,
            schema,
            blocks,
            ..
        } = self;
        let block = out.append(|piece| {
            let start = piece.at();
            let mut piece = Checked {
                piece,
                crc: Hasher::new(),
            };
            let ordinal = i16::try_from(blocks.len()).ok();
            let group = write_group(&mut piece, encoder, schema, ordinal, columns)?;
            let metadata = unclosed::metadata(schema, vec![], [group]);
            let crc = piece.crc.clone().finalize();
            let block = unclosed::block(&metadata, start, synced, crc)?;
            piece.write_all(&block)?;
            Ok::<_, anyhow::Error>(block)
        })?;
        blocks.push(block);
        self.rows += columns.rows() as u64;
        Ok(())
    }

    /// Ends the file, which is `file` too, with these pairs and sums, and has it put on the disk; or leaves it as it was.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn close(
        &mut self,
        pairs: Vec<KeyValue>,
        rollups: Option<&Rollups>,
        file: &dyn Durable,
    ) -> Result<()> {
        let start = self.out.len();
        let closed = self.footer(pairs, rollups);
        let closed = closed.and_then(|()| Ok(file.sync()?));
        if closed.is_err() && self.out.len() > start {
            // Best at once, for the room on the disk.
            let _ = self.out.cut(start);
        }
        closed
    }

    fn footer(&mut self, mut pairs: Vec<KeyValue>, rollups: Option<&Rollups>) -> Result<()> {
        if let Some(rollups) = rollups {
            pairs.push(embed(rollups, &mut self.out)?);
        }
        let mut groups = vec![];
        for block in &self.blocks {
            groups.extend(unclosed::of_block(block, &self.schema)?);
        }
        let metadata = unclosed::metadata(&self.schema, pairs, groups);
        let len = self.out.len();
        self.out
            .append(|piece| Ok(unclosed::write_footer(&metadata, len, piece)?))
    }
}

/// Writes the rollups, and returns what says where they stand.
fn embed(rollups: &Rollups, out: &mut Whole) -> Result<KeyValue> {
    let mut places = vec![];
    for blob in rollups.blobs() {
        let blob = blob?;
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
    encoder: &mut ColumnEncoder,
    schema: &SchemaDescPtr,
    ordinal: Option<i16>,
    columns: &dyn Events,
) -> Result<Group> {
    let start = out.piece.at();
    let (mut chunks, mut pages, mut offsets, mut blooms) = (vec![], vec![], vec![], vec![]);
    for column in schema.columns() {
        let series = columns.column(column.name());
        let (bytes, close) = encoder.chunk(&series, columns.strings(), column)?;
        columns.return_buffer(series);
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
