//! Chooses the encoding of a column chunk: the candidate whose output for a sample of the chunk compresses best.

use std::io;

use parquet::basic::{Encoding, Type};
use rustc_hash::FxHashMap;
use zstd::bulk::Compressor;

use crate::rows::runs::{Run, Series};
use crate::sink::parquet::column::LeafColumn;
use crate::sink::parquet::encodings::{HybridEncoder, byte_stream_split, delta_binary_packed};

/// The largest dictionary in bytes, because readers keep the dictionary in memory. Chunks that need a larger one are
/// written in PLAIN encoding.
const MAX_DICTIONARY_BYTES: usize = 32 << 20;
/// Ids of smaller numbers are in a table indexed by the number; all others are in a hash map.
const TABLE_SIZE: usize = 4096;
/// A marker in place of an id: none.
const NONE: u32 = u32::MAX;
/// The runs of a sample, from [`SAMPLE_PLACES`] places of the chunk: 2 % of the largest chunk, so that each further
/// candidate costs 2 % of an encoding.
const SAMPLE_RUNS: usize = 4096;
const SAMPLE_PLACES: usize = 8;
/// The mean rows of a run from which on a column is small in any encoding. A sample has at most this many rows of a
/// run.
const LONG_RUN: usize = 16;
/// The number of different values up to which a dictionary is always tried.
const MIN_DICTIONARY_LIMIT: usize = 64;

/// The encoding of the values of a column chunk.
pub(crate) enum ValueEncoding {
    /// RLE_DICTIONARY: ids in a dictionary, which is in the order of first use.
    Dictionary(Dictionary),
    /// PLAIN.
    Plain,
    /// BYTE_STREAM_SPLIT: bytes of equal significance are adjacent, which separates random low bytes from the others.
    Split,
    /// DELTA_BINARY_PACKED: differences.
    Delta,
}

/// The different values of a chunk, and their ids.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// The values by id.
    pub(crate) values: Vec<i64>,
    /// The ids of small values by value. Most values are small.
    table: Vec<u32>,
    /// The ids of all other values.
    map: FxHashMap<i64, u32>,
}

impl ValueEncoding {
    /// Chooses the encoding of `series`. Text gets a dictionary. Numbers get the encoding with the smallest compressed
    /// sample. In a recording of real programs DELTA_BINARY_PACKED is best for times (1.9 bytes per value;
    /// BYTE_STREAM_SPLIT needs 2.3), BYTE_STREAM_SPLIT for durations with their random low bytes, and a dictionary for
    /// most results and arguments. Other recordings have other winners.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn choose(
        column: LeafColumn<'_>,
        series: &Series,
        zstd: &mut Compressor<'static>,
    ) -> io::Result<ValueEncoding> {
        let runs = series.runs();
        let dictionary = |max_values| Dictionary::new(column, runs, max_values);
        let fixed = match column.physical_type() {
            Type::BOOLEAN => Some(ValueEncoding::Plain),
            Type::BYTE_ARRAY => dictionary(usize::MAX)
                .map(ValueEncoding::Dictionary)
                .or(Some(ValueEncoding::Plain)),
            _ if runs.len() * LONG_RUN <= series.rows() => {
                dictionary(usize::MAX).map(ValueEncoding::Dictionary)
            }
            _ => None,
        };
        if let Some(encoding) = fixed {
            return Ok(encoding);
        }
        let sample = sample(runs);
        let mut buffer = vec![];
        let mut size = |encoding: &ValueEncoding| -> io::Result<usize> {
            buffer.clear();
            encoding.encode(column, &sample, &mut buffer);
            Ok(zstd.compress(&buffer)?.len())
        };
        let mut best = (ValueEncoding::Split, size(&ValueEncoding::Split)?);
        // No 32-bit column, such as ids and ports, becomes smaller with differences.
        if column.physical_type() == Type::INT64 {
            let delta = size(&ValueEncoding::Delta)?;
            if delta < best.1 {
                best = (ValueEncoding::Delta, delta);
            }
        }
        // A dictionary with more than one value per four runs saves nothing. If half of the sample's runs differ, the
        // dictionary of the chunk is not even built.
        let of_sample = Dictionary::new(column, &sample, MIN_DICTIONARY_LIMIT + sample.len() / 2);
        let max_values = MIN_DICTIONARY_LIMIT + runs.len() / 4;
        let Some(dictionary) = of_sample.and_then(|_| dictionary(max_values)) else {
            return Ok(best.0);
        };
        let encoding = ValueEncoding::Dictionary(dictionary);
        let ids_size = size(&encoding)?;
        let ValueEncoding::Dictionary(dictionary) = &encoding else {
            return Ok(best.0);
        };
        buffer.clear();
        dictionary.write_plain(column, &mut buffer);
        let dictionary_size = zstd.compress(&buffer)?.len();
        // The size of the ids is that of the sample, the size of the dictionary that of the whole chunk.
        let is_smaller =
            ids_size * runs.len() + dictionary_size * sample.len() <= best.1 * runs.len();
        Ok(if is_smaller { encoding } else { best.0 })
    }

    pub(crate) fn parquet_encoding(&self) -> Encoding {
        match self {
            // Only nulls: neither a dictionary page nor ids are written.
            ValueEncoding::Dictionary(dictionary) if dictionary.values.is_empty() => {
                Encoding::PLAIN
            }
            ValueEncoding::Dictionary(_) => Encoding::RLE_DICTIONARY,
            ValueEncoding::Plain => Encoding::PLAIN,
            ValueEncoding::Split => Encoding::BYTE_STREAM_SPLIT,
            ValueEncoding::Delta => Encoding::DELTA_BINARY_PACKED,
        }
    }

    /// Appends the non-null values of a page to `out`.
    pub(crate) fn encode(&self, column: LeafColumn<'_>, page: &[Run], out: &mut Vec<u8>) {
        let present = page
            .iter()
            .filter_map(|run| Some((run.value()?, run.rows())));
        if let ValueEncoding::Dictionary(dictionary) = self {
            if !dictionary.values.is_empty() {
                out.push(dictionary.bit_width() as u8);
                let mut ids = HybridEncoder::new(dictionary.bit_width(), out);
                present.for_each(|(value, rows)| ids.push(dictionary.id(value), rows));
                ids.finish();
            }
            return;
        }
        let rows = page.iter().map(|run| run.rows()).sum();
        let mut values = Vec::with_capacity(rows);
        present.for_each(|(value, rows)| values.resize(values.len() + rows, value));
        match (self, column.physical_type()) {
            (ValueEncoding::Split, ty) => {
                byte_stream_split(&values, if ty == Type::INT32 { 4 } else { 8 }, out)
            }
            (ValueEncoding::Delta, _) => delta_binary_packed(&values, out),
            (_, Type::BOOLEAN) => {
                let byte = |bits: &[i64]| {
                    (0..)
                        .zip(bits)
                        .map(|(i, bit)| (*bit as u8) << i)
                        .sum::<u8>()
                };
                out.extend(values.chunks(8).map(byte));
            }
            _ => values
                .iter()
                .for_each(|value| column.write_plain(*value, out)),
        }
    }
}

/// Returns runs from evenly spaced places of a column, each cut to [`LONG_RUN`] rows.
fn sample(runs: &[Run]) -> Vec<Run> {
    let shorten = |run: &Run| Run::new(run.value(), run.rows().min(LONG_RUN));
    if runs.len() <= SAMPLE_RUNS {
        return runs.iter().map(shorten).collect();
    }
    let place = |i: usize| {
        let from = (runs.len() - SAMPLE_RUNS / SAMPLE_PLACES) * i / (SAMPLE_PLACES - 1);
        &runs[from..from + SAMPLE_RUNS / SAMPLE_PLACES]
    };
    (0..SAMPLE_PLACES).flat_map(place).map(shorten).collect()
}

impl Dictionary {
    /// Builds the dictionary of `runs`. Returns `None` if it would have more than `max_values`, or more than
    /// [`MAX_DICTIONARY_BYTES`].
    fn new(column: LeafColumn<'_>, runs: &[Run], max_values: usize) -> Option<Dictionary> {
        let table_size = if column.is_text() {
            column.texts.len()
        } else {
            TABLE_SIZE
        };
        let mut dictionary = Dictionary {
            table: vec![NONE; if runs.len() > 1 { table_size } else { 0 }],
            ..Dictionary::default()
        };
        let mut bytes = 0;
        for value in runs.iter().filter_map(|run| run.value()) {
            let next = dictionary.values.len() as u32;
            let id = match dictionary
                .table
                .get_mut(usize::try_from(value).unwrap_or(usize::MAX))
            {
                Some(id) => id,
                None => dictionary.map.entry(value).or_insert(NONE),
            };
            if *id == NONE {
                *id = next;
                dictionary.values.push(value);
                bytes += if column.is_text() {
                    column.text(value).len()
                } else {
                    8
                };
                if bytes > MAX_DICTIONARY_BYTES || dictionary.values.len() > max_values {
                    return None;
                }
            }
        }
        Some(dictionary)
    }

    fn id(&self, value: i64) -> u32 {
        match self.table.get(usize::try_from(value).unwrap_or(usize::MAX)) {
            Some(id) => *id,
            None => self.map.get(&value).copied().unwrap_or(NONE),
        }
    }

    /// Appends the values in PLAIN encoding to `out`.
    pub(crate) fn write_plain(&self, column: LeafColumn<'_>, out: &mut Vec<u8>) {
        let values = self.values.iter();
        values.for_each(|value| column.write_plain(*value, out));
    }

    /// Returns the width of an id in bits: up to 4 bits, otherwise whole bytes, because zstd finds no matches among ids
    /// that cross bytes. Columns without long runs become 5 to 15 % smaller.
    fn bit_width(&self) -> u32 {
        let bits = u32::BITS - (self.values.len() as u32).saturating_sub(1).leading_zeros();
        if bits > 4 {
            bits.next_multiple_of(8)
        } else {
            bits
        }
    }
}
