//! Parquet column chunks, from the runs of a column.
//!
//! arrow-rs hashes every value of every row, and compares it with its page's minimum and maximum; with some 50 columns
//! that took most of the recorder's time. Here a run costs what a row costs there, and a column in which nothing is,
//! nothing.

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
use crate::sink::parquet::column::{Bounds, Column};
use crate::sink::parquet::encodings::Hybrid;
use crate::sink::parquet::value_encoding::ValueEncoding;

/// Rows to a page: what a question that finds its rows by the page index reads at least.
const PAGE_ROWS: usize = 20_000;
/// Columns that have a bloom filter: what a lookup of one path or peer needs to leave row groups out.
const BLOOM: [&str; 3] = ["path", "peer_addr", "container_id"];
/// How often a bloom filter says yes where it should say no.
const BLOOM_WRONG: f64 = 0.01;

/// Encodes columns, one after the other.
pub(crate) struct ColumnEncoder {
    zstd: Compressor<'static>,
    /// The chunk.
    out: Vec<u8>,
    /// The runs of a page, and the page before it is compressed.
    page: Vec<Run>,
    plain: Vec<u8>,
}

/// A column chunk that is being written.
struct Chunk<'a> {
    zstd: &'a mut Compressor<'static>,
    out: TrackedWrite<&'a mut Vec<u8>>,
    plain: &'a mut Vec<u8>,
    uncompressed: usize,
    column: Column<'a>,
    values: ValueEncoding,
}

impl ColumnEncoder {
    /// An encoder.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn new() -> io::Result<ColumnEncoder> {
        // Level 1: 3 makes the file 2 % smaller for a third more CPU.
        let mut zstd = Compressor::new(1)?;
        // Every reader then finds a page that was damaged, for four bytes of each.
        zstd.include_checksum(true)?;
        Ok(ColumnEncoder {
            zstd,
            out: vec![],
            page: vec![],
            plain: vec![],
        })
    }

    /// The column chunk of `series`, for `SerializedRowGroupWriter::append_column`. `texts` are what text's values number.
    ///
    /// # Errors
    /// None that a user can cause.
    pub(crate) fn chunk(
        &mut self,
        series: &Series,
        texts: &[Arc<str>],
        descr: &ColumnDescPtr,
    ) -> Result<(&[u8], ColumnCloseResult)> {
        let column = Column { descr, texts };
        let values = ValueEncoding::new(column, series, &mut self.zstd)?;
        self.out.clear();
        let mut chunk = Chunk {
            zstd: &mut self.zstd,
            out: TrackedWrite::new(&mut self.out),
            plain: &mut self.plain,
            uncompressed: 0,
            column,
            values,
        };
        let encoded = chunk.write(series, &mut self.page)?;
        drop(chunk);
        Ok((&self.out, encoded))
    }
}

impl Chunk<'_> {
    fn write(&mut self, series: &Series, page: &mut Vec<Run>) -> Result<ColumnCloseResult> {
        let mut index = ColumnIndexBuilder::new(self.column.descr.physical_type());
        let mut offsets = OffsetIndexBuilder::new();
        let dictionary_len = self.dictionary()?;
        // A page more for what is the same everywhere would say nothing.
        let step = if series.runs().len() < 2 {
            series.rows().max(1)
        } else {
            PAGE_ROWS
        };
        let mut bounds: Bounds = None;
        let mut pages = 0;
        let mut rest = series.pages(step);
        while rest.next(page) {
            let rows: usize = page.iter().map(|run| run.rows()).sum();
            let nulls: usize = page
                .iter()
                .filter(|run| run.value().is_none())
                .map(|run| run.rows())
                .sum();
            let (offset, size) = self.data(page, rows)?;
            let within = self.bounds(page);
            let (min, max) = within.map_or((vec![], vec![]), |(min, max)| {
                (self.column.lower(min).0, self.column.upper(max).0)
            });
            index.append(within.is_none(), min, max, nulls as i64);
            offsets.append_offset_and_size(offset as i64, size as i32);
            offsets.append_row_count(rows as i64);
            for bound in within.iter().flat_map(|(min, max)| [*min, *max]) {
                bounds = self.column.widen(bounds, bound);
            }
            pages += 1;
        }
        Ok(ColumnCloseResult {
            bytes_written: self.out.bytes_written() as u64,
            rows_written: series.rows() as u64,
            metadata: self.metadata(series, dictionary_len, pages, bounds)?,
            bloom_filter: self.bloom()?,
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
        // To compare each of them once.
        let mut values: Vec<i64> = present.collect();
        values.sort_unstable();
        values.dedup();
        values.into_iter().fold(None, widen)
    }

    fn bloom(&self) -> Result<Option<Sbbf>> {
        let ValueEncoding::Dictionary(dictionary) = &self.values else {
            return Ok(None);
        };
        if !BLOOM.contains(&self.column.descr.name()) || dictionary.values.is_empty() {
            return Ok(None);
        }
        let mut filter = Sbbf::new_with_ndv_fpp(dictionary.values.len() as u64, BLOOM_WRONG)?;
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
        pages: i32,
        bounds: Bounds,
    ) -> Result<ColumnChunkMetaData> {
        let page = |page_type, encoding, count| PageEncodingStats {
            page_type,
            encoding,
            count,
        };
        let encoding = self.values.encoding();
        let mut stats = vec![page(PageType::DATA_PAGE, encoding, pages)];
        if dictionary_len > 0 {
            stats.insert(0, page(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1));
        }
        ColumnChunkMetaData::builder(self.column.descr.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, encoding])
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(self.out.bytes_written() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(series.rows() as i64)
            .set_dictionary_page_offset((dictionary_len > 0).then_some(0))
            .set_data_page_offset(dictionary_len as i64)
            .set_statistics(self.column.statistics(bounds, series.nulls() as u64))
            .build()
    }

    /// Compresses `plain`, which is a page, and writes it; returns where, and its bytes.
    fn page(&mut self, page: impl FnOnce(Bytes) -> Page) -> Result<(u64, usize)> {
        let page = page(self.zstd.compress(self.plain)?.into());
        let mut writer = SerializedPageWriter::new(&mut self.out);
        let spec = writer.write_page(CompressedPage::new(page, self.plain.len()))?;
        self.uncompressed += spec.uncompressed_size;
        Ok((spec.offset, spec.compressed_size))
    }

    /// Writes the dictionary, and returns its bytes. A column that has none, or is null everywhere, has none.
    fn dictionary(&mut self) -> Result<usize> {
        let ValueEncoding::Dictionary(dictionary) = &self.values else {
            return Ok(0);
        };
        if dictionary.values.is_empty() {
            return Ok(0);
        }
        self.plain.clear();
        dictionary.plain(self.column, self.plain);
        let num_values = dictionary.values.len() as u32;
        let written = self.page(|buf| Page::DictionaryPage {
            buf,
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        })?;
        Ok(written.1)
    }

    /// Writes a page.
    fn data(&mut self, page: &[Run], rows: usize) -> Result<(u64, usize)> {
        let plain = &mut *self.plain;
        plain.clear();
        if self.column.descr.max_def_level() > 0 {
            // Definition levels: their length in four bytes before them.
            plain.extend_from_slice(&[0; 4]);
            let mut levels = Hybrid::new(1, plain);
            for run in page {
                levels.push(run.value().is_some().into(), run.rows());
            }
            levels.finish();
            let len = plain.len() as u32 - 4;
            plain[..4].copy_from_slice(&len.to_le_bytes());
        }
        self.values.encode(self.column, page, plain);
        let encoding = self.values.encoding();
        self.page(|buf| Page::DataPage {
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
