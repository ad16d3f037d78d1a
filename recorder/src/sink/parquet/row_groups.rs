//! Writes the row groups of a Parquet file, the block after each row group that describes it
//! ([`ctrace_format::unclosed`]), and at the end the rollups and the footer.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::datatypes::Schema;
use crc32fast::Hasher;
use ctrace_format::PARQUET_MAGIC;
use ctrace_format::digest::{Digest, RunningHash};
use ctrace_format::rollups::{Place, footer_entry};
use ctrace_format::row_groups::shifted;
use ctrace_format::unclosed::{self, Group};
use ctrace_schema::meta;
use parquet::arrow::ArrowSchemaConverter;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::SchemaDescPtr;

use crate::rollups::Rollups;
use crate::rows::Events;
use crate::sink::parquet::column_chunk::ColumnEncoder;
use crate::sink::parquet::medium::{Append, AtomicFile, Durable, FileEnd, Medium};

/// A Parquet file that is being written.
pub(crate) struct RowGroups {
    out: AtomicFile,
    encoder: ColumnEncoder,
    schema: SchemaDescPtr,
    /// The encoded blocks of all row groups, from which the footer is made. Decoded, their metadata would need ten
    /// times the memory.
    blocks: Vec<Vec<u8>>,
    rows: u64,
}

/// Returns the key-value metadata of a footer.
pub(crate) fn pairs(metadata: Vec<(&'static str, String)>) -> Vec<KeyValue> {
    let pair = |(key, value): (&str, String)| KeyValue::new(key.to_string(), value);
    metadata.into_iter().map(pair).collect()
}

impl RowGroups {
    /// Writes the beginning of an empty file. `origin` is the metadata that the file has until it is closed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn new(
        medium: Box<dyn Medium>,
        schema: &Schema,
        origin: Vec<(&'static str, String)>,
    ) -> Result<RowGroups> {
        let schema = Arc::new(ArrowSchemaConverter::new().convert(schema)?);
        let mut out = AtomicFile::hashed(medium);
        let first = unclosed::metadata(&schema, pairs(origin), []);
        let first = unclosed::block(&first, PARQUET_MAGIC.len() as u64, 0, crc32fast::hash(&[]))?;
        out.append(|append| {
            append.write_all(PARQUET_MAGIC)?;
            append.write_all(&first)
        })?;
        Ok(RowGroups {
            out,
            encoder: ColumnEncoder::new()?,
            schema,
            blocks: vec![],
            rows: 0,
        })
    }

    /// Continues a `file` that was not closed. `metadata` describes its complete row groups, which end at the offset
    /// `len`; the rest is truncated.
    ///
    /// # Errors
    /// The file cannot be read or truncated.
    pub(crate) fn resume(mut file: File, metadata: ParquetMetaData, len: u64) -> Result<RowGroups> {
        let hash = Some(RunningHash::of_start(&mut file, len)?);
        let mut out = AtomicFile::new(Box::new(file));
        out.truncate(FileEnd { len, hash })?;
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

    /// Returns the size of the file in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.out.len()
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes a row group and its block. The block records that the first `durable_bytes` of the file are on the disk.
    ///
    /// # Errors
    /// The row group cannot be written. Earlier row groups are safe.
    pub(crate) fn write(&mut self, columns: &dyn Events, durable_bytes: u64) -> Result<()> {
        let RowGroups {
            out,
            encoder,
            schema,
            blocks,
            ..
        } = self;
        let block = out.append(|append| {
            let start = append.offset();
            let mut out = Checksummed {
                append,
                crc: Hasher::new(),
            };
            let ordinal = i16::try_from(blocks.len()).ok();
            let group = write_group(&mut out, encoder, schema, ordinal, columns)?;
            let metadata = unclosed::metadata(schema, vec![], [group]);
            let crc = out.crc.clone().finalize();
            let block = unclosed::block(&metadata, start, durable_bytes, crc)?;
            out.write_all(&block)?;
            Ok::<_, anyhow::Error>(block)
        })?;
        blocks.push(block);
        self.rows += columns.rows() as u64;
        Ok(())
    }

    /// Writes the rollups and a footer with the metadata `pairs`, and syncs the file, of which `file` is a second
    /// descriptor. Returns the digest of the file.
    ///
    /// # Errors
    /// The file cannot be written, and is left as it was.
    pub(crate) fn close(
        &mut self,
        pairs: Vec<KeyValue>,
        rollups: Option<&Rollups>,
        file: &dyn Durable,
    ) -> Result<Digest> {
        let end = self.out.end().clone();
        let closed = self.write_end(pairs, rollups);
        let closed = closed.and_then(|digest| {
            file.sync()?;
            Ok(digest)
        });
        if closed.is_err() && self.out.len() > end.len {
            // Truncating at once frees the space on the disk.
            let _ = self.out.truncate(end);
        }
        closed
    }

    fn write_end(&mut self, mut pairs: Vec<KeyValue>, rollups: Option<&Rollups>) -> Result<Digest> {
        if let Some(rollups) = rollups {
            pairs.push(write_rollups(rollups, &mut self.out)?);
        }
        let mut groups = vec![];
        for block in &self.blocks {
            groups.extend(unclosed::row_groups_of_block(block, &self.schema)?);
        }
        let placeholder = Digest::placeholder();
        let digest = KeyValue::new(meta::KEY_DIGEST.to_string(), placeholder.to_string());
        pairs.push(digest);
        let metadata = unclosed::metadata(&self.schema, pairs, groups);
        let FileEnd { len, hash } = self.out.end().clone();
        let mut footer = vec![];
        unclosed::write_footer(&metadata, len, &mut footer)?;
        let sealed = hash.and_then(|hash| hash.seal(&mut footer, &placeholder));
        let digest = sealed.context("the footer has no place for the digest")?;
        self.out.append(|append| append.write_all(&footer))?;
        Ok(digest)
    }
}

/// Writes the rollups, and returns the metadata with their offsets.
fn write_rollups(rollups: &Rollups, out: &mut AtomicFile) -> Result<KeyValue> {
    let mut places = vec![];
    for blob in rollups.blobs() {
        let blob = blob?;
        places.push(Place {
            length: blob.bytes.len() as u64,
            name: blob.name.to_string(),
            offset: out.len(),
            size: blob.size as u64,
            slice: blob.slice,
        });
        out.append(|append| append.write_all(&blob.bytes))?;
    }
    Ok(footer_entry(&places)?)
}

/// A writer that computes the checksum of its bytes.
struct Checksummed<'a, 'b> {
    append: &'a mut Append<'b>,
    crc: Hasher,
}

impl Write for Checksummed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.append.write(bytes)?;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.append.flush()
    }
}

/// Writes the column chunks of a row group, and then their bloom filters.
fn write_group(
    out: &mut Checksummed<'_, '_>,
    encoder: &mut ColumnEncoder,
    schema: &SchemaDescPtr,
    ordinal: Option<i16>,
    columns: &dyn Events,
) -> Result<Group> {
    let start = out.append.offset();
    let (mut chunks, mut pages, mut offsets, mut blooms) = (vec![], vec![], vec![], vec![]);
    for column in schema.columns() {
        let series = columns.column(column.name());
        let (bytes, close) = encoder.encode(&series, columns.strings(), column)?;
        columns.return_buffer(series);
        let offset = out.append.offset();
        out.write_all(bytes)?;
        let ColumnCloseResult {
            metadata,
            bloom_filter,
            column_index,
            offset_index,
            ..
        } = close;
        chunks.push(shifted(metadata, offset as i64)?);
        pages.extend(column_index);
        offsets.extend(offset_index.map(|mut index| {
            for page in &mut index.page_locations {
                page.offset += offset as i64;
            }
            index
        }));
        blooms.push(bloom_filter);
    }
    for (chunk, bloom) in chunks.iter_mut().zip(blooms) {
        let Some(bloom) = bloom else { continue };
        let mut bytes = vec![];
        bloom.write(&mut bytes)?;
        let offset = out.append.offset();
        out.write_all(&bytes)?;
        *chunk = chunk
            .clone()
            .into_builder()
            .set_bloom_filter_offset(Some(offset as i64))
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
