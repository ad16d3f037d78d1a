//! Parquet column chunks of text, from the dictionary that a batch has already.
//!
//! arrow-rs hashes the string of every row, and compares it with its page's minimum and maximum; with some 25 columns of
//! text that took most of the recorder's time. Here a row costs what its index costs, and a run of rows hardly more.

use std::cmp::Ordering;
use std::io;

use arrow::array::{Array, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::UInt32Type;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, Type, ZstdLevel};
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
use zstd::bulk::Compressor;

/// Rows to a page: what a question that finds its rows by the page index reads at least.
pub const PAGE_ROWS: usize = 20_000;
/// Columns that have a bloom filter: what a lookup of one path or peer needs to leave row groups out.
const BLOOM: [&str; 3] = ["path", "peer_addr", "container_id"];
/// How often a bloom filter says yes where it should say no.
const BLOOM_WRONG: f64 = 0.01;
/// A larger dictionary is left to arrow-rs, which gives up on it in time.
const LARGEST: usize = 32 << 20;
/// Longer minima and maxima are cut, as Parquet allows.
const BOUND: usize = 64;

/// Encodes columns, one after the other.
pub struct Encoder {
    zstd: Compressor<'static>,
}

/// The values of a column, in the order in which they are first used.
struct Dictionary<'a> {
    values: Vec<&'a str>,
    /// By row that is not null.
    ids: Vec<u32>,
    bytes: usize,
}

/// Minimum and maximum.
type Bounds<'a> = Option<(&'a str, &'a str)>;

/// A column chunk that is being written.
struct Chunk<'a> {
    zstd: &'a mut Compressor<'static>,
    out: TrackedWrite<Vec<u8>>,
    uncompressed: usize,
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

    /// The column chunk of `column`, for `SerializedRowGroupWriter::append_column`. None: its dictionary is too large.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn chunk(
        &mut self,
        column: &DictionaryArray<UInt32Type>,
        descr: &ColumnDescPtr,
    ) -> Result<Option<(Bytes, ColumnCloseResult)>> {
        let Some(dictionary) = Dictionary::new(column) else {
            return Ok(None);
        };
        let mut chunk = Chunk {
            zstd: &mut self.zstd,
            out: TrackedWrite::new(vec![]),
            uncompressed: 0,
        };
        let encoded = chunk.write(column, &dictionary, descr)?;
        Ok(Some((chunk.out.into_inner()?.into(), encoded)))
    }
}

impl<'a> Dictionary<'a> {
    fn new(column: &'a DictionaryArray<UInt32Type>) -> Option<Dictionary<'a>> {
        let all: &StringArray = column.values().as_string_opt::<i32>()?;
        let mut id_of = vec![u32::MAX; all.len()];
        let mut d = Dictionary {
            values: vec![],
            ids: Vec::with_capacity(column.len() - column.null_count()),
            bytes: 0,
        };
        let mut last = (u32::MAX, u32::MAX);
        let mut add = |key: u32| {
            if key != last.0 {
                let id = &mut id_of[key as usize];
                if *id == u32::MAX {
                    *id = d.values.len() as u32;
                    let value = all.value(key as usize);
                    d.values.push(value);
                    d.bytes += 4 + value.len();
                }
                last = (key, *id);
            }
            d.ids.push(last.1);
        };
        match column.null_count() {
            0 => column.keys().values().iter().copied().for_each(&mut add),
            _ => column.keys().iter().flatten().for_each(&mut add),
        }
        (d.bytes <= LARGEST).then_some(d)
    }

    /// PLAIN: the length in four bytes, and the bytes.
    fn plain(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes);
        for value in &self.values {
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out
    }

    fn bloom(&self) -> Result<Sbbf> {
        let mut filter = Sbbf::new_with_ndv_fpp(self.values.len() as u64, BLOOM_WRONG)?;
        self.values.iter().for_each(|value| filter.insert(*value));
        Ok(filter)
    }
}

impl Chunk<'_> {
    fn write(
        &mut self,
        column: &DictionaryArray<UInt32Type>,
        dictionary: &Dictionary<'_>,
        descr: &ColumnDescPtr,
    ) -> Result<ColumnCloseResult> {
        let rows = column.len();
        let mut index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
        let mut offsets = OffsetIndexBuilder::new();
        let dictionary_len = self.dictionary(dictionary)?;
        // A page more for what is the same everywhere would say nothing.
        let step = if dictionary.values.len() < 2 {
            rows.max(1)
        } else {
            PAGE_ROWS
        };
        let mut seen = vec![u32::MAX; dictionary.values.len()];
        let mut bounds: Bounds<'_> = None;
        let mut ids = dictionary.ids.as_slice();
        let mut pages = 0;
        for from in (0..rows).step_by(step) {
            let len = step.min(rows - from);
            let valid: Option<Vec<u32>> = column
                .nulls()
                .filter(|nulls| (1..rows).contains(&nulls.null_count()))
                .map(|nulls| {
                    (from..from + len)
                        .map(|i| nulls.is_valid(i).into())
                        .collect()
                });
            let values = match &valid {
                Some(valid) => valid.iter().sum::<u32>() as usize,
                None if ids.is_empty() => 0,
                None => len,
            };
            let (now, rest) = ids.split_at(values);
            ids = rest;
            let nullable = descr.max_def_level() > 0;
            let written = self.data(now, len, nullable, valid.as_deref(), dictionary)?;
            let mut page: Bounds<'_> = None;
            for &id in now {
                // Each value once a page.
                if std::mem::replace(&mut seen[id as usize], pages) != pages {
                    page = widen(page, dictionary.values[id as usize]);
                }
            }
            let (min, max) = page.map_or((vec![], vec![]), |(min, max)| (lower(min), upper(max)));
            index.append(page.is_none(), min, max, (len - values) as i64);
            offsets.append_offset_and_size(written.0 as i64, written.1 as i32);
            offsets.append_row_count(len as i64);
            for bound in page.iter().flat_map(|(min, max)| [*min, *max]) {
                bounds = widen(bounds, bound);
            }
            pages += 1;
        }
        let metadata = self.metadata(descr, rows, dictionary, dictionary_len, pages, bounds)?;
        let filtered = BLOOM.contains(&descr.name()) && !dictionary.values.is_empty();
        Ok(ColumnCloseResult {
            bytes_written: self.out.bytes_written() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: filtered.then(|| dictionary.bloom()).transpose()?,
            column_index: Some(index.build()?),
            offset_index: Some(offsets.build()),
        })
    }

    fn metadata(
        &self,
        descr: &ColumnDescPtr,
        rows: usize,
        dictionary: &Dictionary<'_>,
        dictionary_len: usize,
        pages: u32,
        bounds: Bounds<'_>,
    ) -> Result<ColumnChunkMetaData> {
        let nulls = (rows - dictionary.ids.len()) as u64;
        let (min, max) = bounds.unzip();
        let min_bound = min.map(lower);
        let max_bound = max.map(upper);
        let exact = |bound: &Option<Vec<u8>>, value: Option<&str>| {
            bound.as_deref() == value.map(str::as_bytes)
        };
        let (min_exact, max_exact) = (exact(&min_bound, min), exact(&max_bound, max));
        let statistics = ValueStatistics::new(
            min_bound.map(ByteArray::from),
            max_bound.map(ByteArray::from),
            None,
            Some(nulls),
            false,
        )
        .with_min_is_exact(min_exact)
        .with_max_is_exact(max_exact);
        let page = |page_type, encoding, count| PageEncodingStats {
            page_type,
            encoding,
            count,
        };
        let mut stats = vec![page(
            PageType::DATA_PAGE,
            data_encoding(dictionary),
            pages as i32,
        )];
        if dictionary_len > 0 {
            stats.insert(0, page(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1));
        }
        ColumnChunkMetaData::builder(descr.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(vec![
                Encoding::PLAIN,
                Encoding::RLE,
                data_encoding(dictionary),
            ])
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(self.out.bytes_written() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(rows as i64)
            .set_dictionary_page_offset((dictionary_len > 0).then_some(0))
            .set_data_page_offset(dictionary_len as i64)
            .set_statistics(Statistics::ByteArray(statistics))
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

    /// Writes the dictionary, and returns its bytes. A column that is null everywhere has none.
    fn dictionary(&mut self, dictionary: &Dictionary<'_>) -> Result<usize> {
        if dictionary.values.is_empty() {
            return Ok(0);
        }
        let written = self.page(&dictionary.plain(), |buf| Page::DictionaryPage {
            buf,
            num_values: dictionary.values.len() as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        })?;
        Ok(written.1)
    }

    /// Writes a page of `rows` rows, of which those that `valid` says, or all, or none, have a value.
    fn data(
        &mut self,
        ids: &[u32],
        rows: usize,
        nullable: bool,
        valid: Option<&[u32]>,
        dictionary: &Dictionary<'_>,
    ) -> Result<(u64, usize)> {
        let mut plain = vec![];
        if nullable {
            // Definition levels: their length in four bytes before them.
            plain.extend_from_slice(&[0; 4]);
            match valid {
                Some(valid) => hybrid(valid, 1, &mut plain),
                None => run(u32::from(!ids.is_empty()), rows, 1, &mut plain),
            }
            let len = plain.len() as u32 - 4;
            plain[..4].copy_from_slice(&len.to_le_bytes());
        }
        if !dictionary.values.is_empty() {
            let width = u32::BITS - (dictionary.values.len() as u32 - 1).leading_zeros();
            plain.push(width as u8);
            hybrid(ids, width, &mut plain);
        }
        self.page(&plain, |buf| Page::DataPage {
            buf,
            num_values: rows as u32,
            encoding: data_encoding(dictionary),
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })
    }
}

fn data_encoding(dictionary: &Dictionary<'_>) -> Encoding {
    if dictionary.values.is_empty() {
        Encoding::PLAIN
    } else {
        Encoding::RLE_DICTIONARY
    }
}

fn widen<'a>(bounds: Bounds<'a>, value: &'a str) -> Bounds<'a> {
    let (min, max) = bounds.unwrap_or((value, value));
    Some((
        if value.cmp(min) == Ordering::Less {
            value
        } else {
            min
        },
        if value.cmp(max) == Ordering::Greater {
            value
        } else {
            max
        },
    ))
}

/// The longest beginning of at most [`BOUND`] bytes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(BOUND)]
}

fn lower(min: &str) -> Vec<u8> {
    cut(min).into()
}

/// At least `max`, and short: where it is cut, its last character is the next one.
fn upper(max: &str) -> Vec<u8> {
    let mut short = cut(max).to_string();
    if short.len() == max.len() {
        return short.into();
    }
    while let Some(last) = short.pop() {
        if let Some(next) = char::from_u32(last as u32 + 1) {
            short.push(next);
            return short.into();
        }
    }
    max.into()
}

/// A variable-length integer: seven bits a byte, the low ones first.
fn varint(mut n: usize, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A run of Parquet's hybrid encoding: `value`, of `width` bits, `count` times.
fn run(value: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    varint(count << 1, out);
    out.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
}

/// Bit-packed values of Parquet's hybrid encoding, in groups of eight, the last filled up with zeros.
fn packed(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let groups = values.len().div_ceil(8);
    if groups == 0 {
        return;
    }
    varint(groups << 1 | 1, out);
    let end = out.len() + groups * width as usize;
    let (mut bits, mut filled) = (0u64, 0);
    for &value in values {
        bits |= u64::from(value) << filled;
        filled += width;
        while filled >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(bits as u8);
    }
    out.resize(end, 0);
}

/// Parquet's hybrid of runs and bit-packed groups: a run where at least eight values in a row are the same.
fn hybrid(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut at, mut pending) = (0, 0);
    while let Some(&value) = values.get(at) {
        let same = values[at..].iter().take_while(|v| **v == value).count();
        // Packed groups are of eight: the run fills up the last one.
        let fill = (8 - (at - pending) % 8) % 8;
        if same >= 8 + fill {
            packed(&values[pending..at + fill], width, out);
            run(value, same - fill, width, out);
            pending = at + same;
        }
        at += same;
    }
    packed(&values[pending..], width, out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, PrimitiveArray, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::arrow::ArrowSchemaConverter;
    use parquet::arrow::arrow_reader::ArrowReaderOptions;
    use parquet::arrow::arrow_reader::{
        ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
    };
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::writer::SerializedFileWriter;

    use super::*;

    /// Writes a column as a file of its own.
    fn file(keys: &[Option<u32>], values: &[&str], nullable: bool) -> Bytes {
        let field = Field::new("path", DataType::Utf8, nullable);
        let schema = Schema::new(vec![field]);
        let descr = Arc::new(ArrowSchemaConverter::new().convert(&schema).unwrap());
        let values: ArrayRef = Arc::new(StringArray::from_iter_values(values));
        let keys: PrimitiveArray<UInt32Type> = keys.iter().copied().collect();
        let column = DictionaryArray::new(keys, values);
        let root = descr.root_schema_ptr();
        let mut out = SerializedFileWriter::new(vec![], root, Arc::default()).unwrap();
        let (bytes, close) = Encoder::new()
            .unwrap()
            .chunk(&column, &descr.column(0))
            .unwrap()
            .unwrap();
        let mut group = out.next_row_group().unwrap();
        group.append_column(&bytes, close).unwrap();
        group.close().unwrap();
        out.into_inner().unwrap().into()
    }

    fn read(file: Bytes, from: usize) -> Vec<Option<String>> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        let all = reader.metadata().file_metadata().num_rows() as usize;
        let selection = vec![RowSelector::skip(from), RowSelector::select(all - from)];
        let reader = reader.with_row_selection(RowSelection::from(selection));
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let column = |b: &RecordBatch| -> Vec<Option<String>> {
            let texts = b.column(0).as_string::<i32>();
            texts.iter().map(|t| t.map(str::to_string)).collect()
        };
        batches.iter().flat_map(column).collect()
    }

    fn round_trip(keys: &[Option<u32>], values: &[&str], nullable: bool) {
        let file = file(keys, values, nullable);
        let expected: Vec<_> = keys
            .iter()
            .map(|k| k.map(|k| values[k as usize].to_string()))
            .collect();
        for from in [0, keys.len() / 2, keys.len() - 1] {
            assert_eq!(read(file.clone(), from), expected[from..], "from {from}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let texts: Vec<String> = (0..3000).map(|i| format!("/usr/lib/{i}")).collect();
        let values: Vec<&str> = texts.iter().map(String::as_str).collect();
        let some = |key: u32| Some(key);
        // Runs and literals of every length, over several pages; with nulls between them.
        let mixed: Vec<_> = (0..70u32)
            .flat_map(|i| std::iter::repeat_n(some(i * 37 % 3000), (i * i % 97) as usize))
            .chain((0..50_000).map(|i| some(i * 7919 % 3000)))
            .collect();
        let holes: Vec<_> = (0..)
            .zip(&mixed)
            .map(|(i, k)| k.filter(|_| i % 11 > 3))
            .collect();
        round_trip(&mixed, &values, false);
        round_trip(&mixed, &values, true);
        round_trip(&holes, &values, true);
        round_trip(&vec![some(5); 45_000], &values, false);
        round_trip(&vec![None; 45_000], &values, true);
        round_trip(&[some(0), None, some(1)], &["", "é"], true);
    }

    #[test]
    fn bounds_are_those_of_the_values() {
        let long = "z".repeat(100);
        let file = file(&[Some(1), Some(0), None], &[&long, "b", "a"], true);
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let group = reader.metadata().row_group(0).column(0).clone();
        let statistics = group.statistics().unwrap();
        assert_eq!(statistics.null_count_opt(), Some(1));
        assert_eq!(statistics.min_bytes_opt().unwrap(), b"b");
        let max = statistics.max_bytes_opt().unwrap();
        assert!(max > long.as_bytes() && max.len() == BOUND && !statistics.max_is_exact());
    }
}
