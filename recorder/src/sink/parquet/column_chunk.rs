//! Encodes Parquet column chunks from the runs of a column.
//!
//! The writer of arrow-rs hashes every value of every row and compares it with the minimum and maximum of its page;
//! over all columns, that took most of the recorder's time. This encoder does the same work once per run instead of
//! once per row, and almost none for a column without values.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use crate::rows::runs::{Run, Series};
use crate::sink::parquet::column::{Bounds, LeafColumn};
use crate::sink::parquet::encodings::HybridEncoder;
use crate::sink::parquet::value_encoding::ValueEncoding;

/// The rows of a page: the least that a query reads when it finds its rows by the page index.
const PAGE_ROWS: usize = 20_000;
/// The columns with a bloom filter, with which a search for one path, peer or container skips row groups.
const BLOOM_COLUMNS: [&str; 3] = ["path", "peer_addr", "container_id"];
/// The rate of false positives of a bloom filter.
const BLOOM_FPP: f64 = 0.01;

/// Encodes columns one after the other, and reuses its buffers.
pub(crate) struct ColumnEncoder {
    zstd: Compressor<'static>,
    chunk: Vec<u8>,
    page_runs: Vec<Run>,
    uncompressed_page: Vec<u8>,
}

/// A column chunk that is being written.
struct Chunk<'a> {
    zstd: &'a mut Compressor<'static>,
    out: TrackedWrite<&'a mut Vec<u8>>,
    uncompressed_page: &'a mut Vec<u8>,
    uncompressed_bytes: usize,
    column: LeafColumn<'a>,
    encoding: ValueEncoding,
}

impl ColumnEncoder {
    /// Creates an encoder.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn new() -> io::Result<ColumnEncoder> {
        // Level 1: level 3 makes the file 2 % smaller and takes a third more CPU time.
        let mut zstd = Compressor::new(1)?;
        // Every reader can then detect a damaged page, for four bytes per page.
        zstd.include_checksum(true)?;
        Ok(ColumnEncoder {
            zstd,
            chunk: vec![],
            page_runs: vec![],
            uncompressed_page: vec![],
        })
    }

    /// Returns the bytes and metadata of the column chunk of `series`, as `SerializedRowGroupWriter::append_column`
    /// takes them. The values of a text column are indices into `texts`.
    pub(crate) fn encode(
        &mut self,
        series: &Series,
        texts: &[Arc<str>],
        descr: &ColumnDescPtr,
    ) -> Result<(&[u8], ColumnCloseResult)> {
        let column = LeafColumn { descr, texts };
        let encoding = ValueEncoding::choose(column, series, &mut self.zstd)?;
        self.chunk.clear();
        let mut chunk = Chunk {
            zstd: &mut self.zstd,
            out: TrackedWrite::new(&mut self.chunk),
            uncompressed_page: &mut self.uncompressed_page,
            uncompressed_bytes: 0,
            column,
            encoding,
        };
        let encoded = chunk.write(series, &mut self.page_runs)?;
        drop(chunk);
        Ok((&self.chunk, encoded))
    }
}

impl Chunk<'_> {
    fn write(&mut self, series: &Series, page: &mut Vec<Run>) -> Result<ColumnCloseResult> {
        let mut index = ColumnIndexBuilder::new(self.column.descr.physical_type());
        let mut offsets = OffsetIndexBuilder::new();
        let dictionary_len = self.write_dictionary()?;
        // More pages of a column with a single value would only add headers.
        let page_rows = if series.runs().len() < 2 {
            series.rows().max(1)
        } else {
            PAGE_ROWS
        };
        let mut chunk_bounds: Bounds = None;
        let mut page_count = 0;
        let mut pages = series.pages(page_rows);
        while pages.next(page) {
            let rows: usize = page.iter().map(|run| run.rows()).sum();
            let nulls: usize = page
                .iter()
                .filter(|run| run.value().is_none())
                .map(|run| run.rows())
                .sum();
            let (offset, size) = self.write_data_page(page, rows)?;
            let page_bounds = self.bounds(page);
            let (min, max) = page_bounds.map_or((vec![], vec![]), |(min, max)| {
                (
                    self.column.lower_bound(min).0,
                    self.column.upper_bound(max).0,
                )
            });
            index.append(page_bounds.is_none(), min, max, nulls as i64);
            offsets.append_offset_and_size(offset as i64, size as i32);
            offsets.append_row_count(rows as i64);
            for bound in page_bounds.iter().flat_map(|(min, max)| [*min, *max]) {
                chunk_bounds = self.column.widen(chunk_bounds, bound);
            }
            page_count += 1;
        }
        Ok(ColumnCloseResult {
            bytes_written: self.out.bytes_written() as u64,
            rows_written: series.rows() as u64,
            metadata: self.metadata(series, dictionary_len, page_count, chunk_bounds)?,
            bloom_filter: self.bloom_filter()?,
            column_index: Some(index.build()?),
            offset_index: Some(offsets.build()),
        })
    }

    fn bounds(&self, page: &[Run]) -> Bounds {
        let column = self.column;
        let present = page.iter().filter_map(|run| run.value());
        let widen = |bounds, value| column.widen(bounds, value);
        if !column.is_text() {
            return present.fold(None, widen);
        }
        // Each string is compared once only.
        let mut values: Vec<i64> = present.collect();
        values.sort_unstable();
        values.dedup();
        values.into_iter().fold(None, widen)
    }

    fn bloom_filter(&self) -> Result<Option<Sbbf>> {
        let ValueEncoding::Dictionary(dictionary) = &self.encoding else {
            return Ok(None);
        };
        if !BLOOM_COLUMNS.contains(&self.column.descr.name()) || dictionary.values.is_empty() {
            return Ok(None);
        }
        let mut filter = Sbbf::new_with_ndv_fpp(dictionary.values.len() as u64, BLOOM_FPP)?;
        let texts = dictionary
            .values
            .iter()
            .map(|value| self.column.text(*value));
        texts.for_each(|text| filter.insert(text));
        Ok(Some(filter))
    }

    fn metadata(
        &self,
        series: &Series,
        dictionary_len: usize,
        page_count: i32,
        bounds: Bounds,
    ) -> Result<ColumnChunkMetaData> {
        let page = |page_type, encoding, count| PageEncodingStats {
            page_type,
            encoding,
            count,
        };
        let encoding = self.encoding.parquet_encoding();
        let mut stats = vec![page(PageType::DATA_PAGE, encoding, page_count)];
        if dictionary_len > 0 {
            stats.insert(0, page(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1));
        }
        ColumnChunkMetaData::builder(self.column.descr.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, encoding])
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(self.out.bytes_written() as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_num_values(series.rows() as i64)
            .set_dictionary_page_offset((dictionary_len > 0).then_some(0))
            .set_data_page_offset(dictionary_len as i64)
            .set_statistics(self.column.statistics(bounds, series.nulls() as u64))
            .build()
    }

    /// Compresses and writes `uncompressed_page`. Returns the offset and the size of the page in the chunk.
    fn write_page(&mut self, page: impl FnOnce(Bytes) -> Page) -> Result<(u64, usize)> {
        let page = page(self.zstd.compress(self.uncompressed_page)?.into());
        let mut writer = SerializedPageWriter::new(&mut self.out);
        let spec = writer.write_page(CompressedPage::new(page, self.uncompressed_page.len()))?;
        self.uncompressed_bytes += spec.uncompressed_size;
        Ok((spec.offset, spec.compressed_size))
    }

    /// Writes the dictionary page, and returns its size in bytes: 0 if the column has no dictionary, or only nulls.
    fn write_dictionary(&mut self) -> Result<usize> {
        let ValueEncoding::Dictionary(dictionary) = &self.encoding else {
            return Ok(0);
        };
        if dictionary.values.is_empty() {
            return Ok(0);
        }
        self.uncompressed_page.clear();
        dictionary.write_plain(self.column, self.uncompressed_page);
        let num_values = dictionary.values.len() as u32;
        let (_, size) = self.write_page(|buf| Page::DictionaryPage {
            buf,
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        })?;
        Ok(size)
    }

    /// Writes a data page. Returns its offset and size in the chunk.
    fn write_data_page(&mut self, page: &[Run], rows: usize) -> Result<(u64, usize)> {
        let plain = &mut *self.uncompressed_page;
        plain.clear();
        if self.column.descr.max_def_level() > 0 {
            // Definition levels, after their length in four bytes.
            plain.extend_from_slice(&[0; 4]);
            let mut levels = HybridEncoder::new(1, plain);
            for run in page {
                levels.push(run.value().is_some().into(), run.rows());
            }
            levels.finish();
            let len = plain.len() as u32 - 4;
            plain[..4].copy_from_slice(&len.to_le_bytes());
        }
        self.encoding.encode(self.column, page, plain);
        let encoding = self.encoding.parquet_encoding();
        self.write_page(|buf| Page::DataPage {
            buf,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })
    }
}

#[cfg(test)]
mod tests;
