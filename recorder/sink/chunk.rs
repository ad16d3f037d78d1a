//! Parquet column chunks, from the runs of a column.
//!
//! arrow-rs hashes every value of every row, and compares it with its page's minimum and maximum; with some 50 columns
//! that took most of the recorder's time. Here a run costs what a row costs there, and a column in which nothing is,
//! nothing.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ConvertedType, Encoding, PageType, Type, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use rustc_hash::FxHashMap;
use zstd::bulk::Compressor;

use super::encodings::{Hybrid, delta, split};
use crate::series::{Run, Series};

/// Rows to a page: what a question that finds its rows by the page index reads at least.
const PAGE_ROWS: usize = 20_000;
/// Columns that have a bloom filter: what a lookup of one path or peer needs to leave row groups out.
const BLOOM: [&str; 3] = ["path", "peer_addr", "container_id"];
/// How often a bloom filter says yes where it should say no.
const BLOOM_WRONG: f64 = 0.01;
/// Readers hold a dictionary in memory; what would need a larger one is written plain, bytes.
const LARGEST: usize = 32 << 20;
/// Longer minima and maxima are cut, as Parquet allows.
const BOUND: usize = 64;
/// No value, or no number of a value.
const NONE: u32 = u32::MAX;

/// Encodes columns, one after the other.
pub struct Encoder {
    zstd: Compressor<'static>,
}

/// A column, and how its values are told.
#[derive(Clone, Copy)]
struct Column<'a> {
    descr: &'a ColumnDescPtr,
    texts: &'a [Arc<str>],
}

/// How the values of a column are encoded.
enum Values {
    /// By their number in a dictionary, which is in the order of their first use.
    Dictionary(Dictionary),
    Plain,
    Split,
    Delta,
}

#[derive(Default)]
struct Dictionary {
    values: Vec<i64>,
    /// By value where it is small, which most are.
    small: Vec<u32>,
    other: FxHashMap<i64, u32>,
}

/// Minimum and maximum.
type Bounds = Option<(i64, i64)>;

/// A column chunk that is being written.
struct Chunk<'a> {
    zstd: &'a mut Compressor<'static>,
    out: TrackedWrite<Vec<u8>>,
    uncompressed: usize,
    column: Column<'a>,
    values: Values,
}

impl Encoder {
    /// An encoder.
    ///
    /// # Errors
    /// zstd has no memory.
    pub fn new() -> io::Result<Encoder> {
        // Level 1: 3 makes the file 2 % smaller for a third more CPU.
        Ok(Encoder {
            zstd: Compressor::new(1)?,
        })
    }

    /// The column chunk of `series`, for `SerializedRowGroupWriter::append_column`. `texts` are what text's values number.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn chunk(
        &mut self,
        series: &Series,
        texts: &[Arc<str>],
        descr: &ColumnDescPtr,
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let column = Column { descr, texts };
        let mut chunk = Chunk {
            zstd: &mut self.zstd,
            out: TrackedWrite::new(vec![]),
            uncompressed: 0,
            column,
            values: column.values(series),
        };
        let encoded = chunk.write(series)?;
        Ok((chunk.out.into_inner()?.into(), encoded))
    }
}

impl<'a> Column<'a> {
    fn text(self, value: i64) -> &'a str {
        self.texts.get(value as usize).map_or("", |text| text)
    }

    fn is_text(self) -> bool {
        self.descr.physical_type() == Type::BYTE_ARRAY
    }

    fn compare(self, a: i64, b: i64) -> Ordering {
        if self.is_text() {
            self.text(a).cmp(self.text(b))
        } else if self.descr.converted_type() == ConvertedType::UINT_32 {
            (a as u32).cmp(&(b as u32))
        } else {
            a.cmp(&b)
        }
    }

    fn widen(self, bounds: Bounds, value: i64) -> Bounds {
        let (min, max) = bounds.unwrap_or((value, value));
        let less = self.compare(value, min) == Ordering::Less;
        let more = self.compare(value, max) == Ordering::Greater;
        Some((
            if less { value } else { min },
            if more { value } else { max },
        ))
    }

    /// PLAIN, without booleans.
    fn plain(self, value: i64, out: &mut Vec<u8>) {
        match self.descr.physical_type() {
            Type::BYTE_ARRAY => {
                let text = self.text(value);
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Type::INT32 => out.extend_from_slice(&(value as i32).to_le_bytes()),
            _ => out.extend_from_slice(&value.to_le_bytes()),
        }
    }

    /// How to encode it: what a dictionary makes smallest most often, and what makes it smaller where it does not.
    fn values(self, series: &Series) -> Values {
        match (self.descr.name(), self.descr.physical_type()) {
            // Times, and inodes, differ in their low bytes only: split by byte, the high ones compress away. In a real mix
            // 2.5 bytes for a time (plain 2.7, dictionary 5.3), 1.5 for a duration (1.8, 1.9), 0.6 for an inode (0.7, 1.0).
            ("time" | "duration" | "inode", _) => Values::Split,
            // It rises by little within a thread's calls: 0.45 bytes, split by byte 0.8.
            ("seq", _) => Values::Delta,
            (_, Type::BOOLEAN) => Values::Plain,
            (_, ty) => match (Dictionary::new(self, series), ty) {
                (Some(dictionary), _) => Values::Dictionary(dictionary),
                (None, Type::BYTE_ARRAY) => Values::Plain,
                (None, _) => Values::Split,
            },
        }
    }

    /// Smallest and largest, as the page index and the statistics have them; text is cut short, and whether it is not.
    fn lower(self, value: i64) -> (Vec<u8>, bool) {
        if !self.is_text() {
            return (self.bound(value), true);
        }
        let text = self.text(value);
        let short = cut(text);
        (short.into(), short.len() == text.len())
    }

    fn upper(self, value: i64) -> (Vec<u8>, bool) {
        if !self.is_text() {
            return (self.bound(value), true);
        }
        let text = self.text(value);
        let mut short = cut(text).to_string();
        if short.len() == text.len() {
            return (short.into(), true);
        }
        // At least `text`: its last character is the next one.
        while let Some(last) = short.pop() {
            if let Some(next) = char::from_u32(last as u32 + 1) {
                short.push(next);
                return (short.into(), false);
            }
        }
        (text.into(), true)
    }

    fn bound(self, value: i64) -> Vec<u8> {
        if self.descr.physical_type() == Type::BOOLEAN {
            return vec![value as u8];
        }
        let mut out = vec![];
        self.plain(value, &mut out);
        out
    }

    fn statistics(self, bounds: Bounds, nulls: u64) -> Statistics {
        let (min, max) = bounds.unzip();
        let int = |value: Option<i64>| value.map(|value| value as i32);
        match self.descr.physical_type() {
            Type::BOOLEAN => Statistics::boolean(
                min.map(|v| v != 0),
                max.map(|v| v != 0),
                None,
                Some(nulls),
                false,
            ),
            Type::INT32 => Statistics::int32(int(min), int(max), None, Some(nulls), false),
            Type::INT64 => Statistics::int64(min, max, None, Some(nulls), false),
            _ => {
                let (min, max) = (min.map(|v| self.lower(v)), max.map(|v| self.upper(v)));
                let exact = |bound: &Option<(Vec<u8>, bool)>| bound.as_ref().is_some_and(|b| b.1);
                let (min_exact, max_exact) = (exact(&min), exact(&max));
                let bytes = |bound: Option<(Vec<u8>, bool)>| bound.map(|b| ByteArray::from(b.0));
                let statistics =
                    ValueStatistics::new(bytes(min), bytes(max), None, Some(nulls), false)
                        .with_min_is_exact(min_exact)
                        .with_max_is_exact(max_exact);
                Statistics::ByteArray(statistics)
            }
        }
    }
}

/// Values below this have a place of their own in a dictionary's table.
const SMALL: i64 = 4096;
/// So many values may differ in any case.
const FEW: usize = 64;

impl Dictionary {
    /// The dictionary of a column. None: it does not pay, for nearly every run has a value of its own, or it is too large.
    fn new(column: Column<'_>, series: &Series) -> Option<Dictionary> {
        let table = if column.is_text() {
            column.texts.len()
        } else {
            SMALL as usize
        };
        let mut dictionary = Dictionary {
            small: vec![NONE; if series.runs().len() > 1 { table } else { 0 }],
            ..Dictionary::default()
        };
        let mut bytes = 0;
        let most = if column.is_text() {
            usize::MAX
        } else {
            FEW + series.runs().len() / 2
        };
        for value in series.runs().iter().filter_map(|run| run.value()) {
            let next = dictionary.values.len() as u32;
            let id = match dictionary
                .small
                .get_mut(usize::try_from(value).unwrap_or(usize::MAX))
            {
                Some(id) => id,
                None => dictionary.other.entry(value).or_insert(NONE),
            };
            if *id == NONE {
                *id = next;
                dictionary.values.push(value);
                bytes += if column.is_text() {
                    column.text(value).len()
                } else {
                    8
                };
                if bytes > LARGEST || dictionary.values.len() > most {
                    return None;
                }
            }
        }
        Some(dictionary)
    }

    fn id(&self, value: i64) -> u32 {
        match self.small.get(usize::try_from(value).unwrap_or(usize::MAX)) {
            Some(id) => *id,
            None => self.other.get(&value).copied().unwrap_or(NONE),
        }
    }

    /// Bits of a number.
    fn width(&self) -> u32 {
        u32::BITS - (self.values.len() as u32).saturating_sub(1).leading_zeros()
    }
}

impl Values {
    fn encoding(&self) -> Encoding {
        match self {
            // Nothing is in it.
            Values::Dictionary(dictionary) if dictionary.values.is_empty() => Encoding::PLAIN,
            Values::Dictionary(_) => Encoding::RLE_DICTIONARY,
            Values::Plain => Encoding::PLAIN,
            Values::Split => Encoding::BYTE_STREAM_SPLIT,
            Values::Delta => Encoding::DELTA_BINARY_PACKED,
        }
    }
}

impl Chunk<'_> {
    fn write(&mut self, series: &Series) -> Result<ColumnCloseResult> {
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
        for page in series.pages(step) {
            let rows: usize = page.iter().map(|run| run.rows()).sum();
            let nulls: usize = page
                .iter()
                .filter(|run| run.value().is_none())
                .map(|run| run.rows())
                .sum();
            let (offset, size) = self.data(&page, rows)?;
            let within = self.bounds(&page);
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
        let mut values: Vec<i64> = page.iter().filter_map(|run| run.value()).collect();
        if column.is_text() {
            // To compare each of them once.
            values.sort_unstable();
            values.dedup();
        }
        values
            .into_iter()
            .fold(None, |bounds, value| column.widen(bounds, value))
    }

    fn bloom(&self) -> Result<Option<Sbbf>> {
        let Values::Dictionary(dictionary) = &self.values else {
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

    /// Compresses a page and writes it; returns where, and its bytes.
    fn page(&mut self, plain: &[u8], page: impl FnOnce(Bytes) -> Page) -> Result<(u64, usize)> {
        let page = page(self.zstd.compress(plain)?.into());
        let mut writer = SerializedPageWriter::new(&mut self.out);
        let spec = writer.write_page(CompressedPage::new(page, plain.len()))?;
        self.uncompressed += spec.uncompressed_size;
        Ok((spec.offset, spec.compressed_size))
    }

    /// Writes the dictionary, and returns its bytes. A column that has none, or is null everywhere, has none.
    fn dictionary(&mut self) -> Result<usize> {
        let Values::Dictionary(dictionary) = &self.values else {
            return Ok(0);
        };
        if dictionary.values.is_empty() {
            return Ok(0);
        }
        let mut plain = vec![];
        dictionary
            .values
            .iter()
            .for_each(|value| self.column.plain(*value, &mut plain));
        let num_values = dictionary.values.len() as u32;
        let written = self.page(&plain, |buf| Page::DictionaryPage {
            buf,
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        })?;
        Ok(written.1)
    }

    /// Writes a page.
    fn data(&mut self, page: &[Run], rows: usize) -> Result<(u64, usize)> {
        let mut plain = vec![];
        if self.column.descr.max_def_level() > 0 {
            // Definition levels: their length in four bytes before them.
            plain.extend_from_slice(&[0; 4]);
            let mut levels = Hybrid::new(1, &mut plain);
            for run in page {
                levels.push(run.value().is_some().into(), run.rows());
            }
            levels.finish();
            let len = plain.len() as u32 - 4;
            plain[..4].copy_from_slice(&len.to_le_bytes());
        }
        self.encode(page, &mut plain);
        let encoding = self.values.encoding();
        self.page(&plain, |buf| Page::DataPage {
            buf,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })
    }

    /// The values of a page that are there.
    fn encode(&self, page: &[Run], out: &mut Vec<u8>) {
        let present = page
            .iter()
            .filter_map(|run| Some((run.value()?, run.rows())));
        if let Values::Dictionary(dictionary) = &self.values {
            if !dictionary.values.is_empty() {
                out.push(dictionary.width() as u8);
                let mut ids = Hybrid::new(dictionary.width(), out);
                present.for_each(|(value, rows)| ids.push(dictionary.id(value), rows));
                ids.finish();
            }
            return;
        }
        let mut values = Vec::with_capacity(PAGE_ROWS);
        present.for_each(|(value, rows)| values.resize(values.len() + rows, value));
        let int32 = self.column.descr.physical_type() == Type::INT32;
        match &self.values {
            Values::Split => split(&values, if int32 { 4 } else { 8 }, out),
            Values::Delta => delta(&values, out),
            _ if self.column.descr.physical_type() == Type::BOOLEAN => {
                let bits = |eight: &[i64]| {
                    (0..)
                        .zip(eight)
                        .map(|(i, bit)| (*bit as u8) << i)
                        .sum::<u8>()
                };
                out.extend(values.chunks(8).map(bits));
            }
            _ => values
                .iter()
                .for_each(|value| self.column.plain(*value, out)),
        }
    }
}

/// The longest beginning of at most [`BOUND`] bytes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(BOUND)]
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
