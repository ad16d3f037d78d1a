//! How the values of a column chunk are told: chosen for each chunk by what takes least of a sample of it.

use std::io;

use parquet::basic::{Encoding, Type};
use rustc_hash::FxHashMap;
use zstd::bulk::Compressor;

use crate::rows::runs::{Run, Series};
use crate::sink::parquet::column::Column;
use crate::sink::parquet::encodings::{Hybrid, delta, split};

/// Readers hold a dictionary in memory; what would need a larger one is written plain, bytes.
const LARGEST: usize = 32 << 20;
/// Values below this have a place of their own in a dictionary's table.
const SMALL: i64 = 4096;
/// No number of a value.
const NONE: u32 = u32::MAX;
/// Runs of a sample, from so many places of the chunk: 2 % of the largest chunk, which is what a second encoding costs.
const SAMPLE: usize = 4096;
const PLACES: usize = 8;
/// Rows to a run, in the mean, of a column of which there is little to encode however it is done.
const LONG: usize = 16;
/// So many values may differ in any case.
const FEW: usize = 64;

/// How the values of a column are encoded.
pub(crate) enum ValueEncoding {
    /// By their number in a dictionary, which is in the order of their first use.
    Dictionary(Dictionary),
    /// As they are.
    Plain,
    /// The bytes of the same weight beside each other: those of noise by themselves.
    Split,
    /// Differences.
    Delta,
}

/// Values, each once.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// By number.
    pub(crate) values: Vec<i64>,
    /// By value where it is small, which most are.
    small: Vec<u32>,
    other: FxHashMap<i64, u32>,
}

impl ValueEncoding {
    /// How to encode `series`. Text is told by its number; of what can encode a number, what makes a sample smallest is taken.
    /// In a real mix differences are best for times (1.9 bytes, split by byte 2.3), noise split by byte for durations, and
    /// dictionaries for most results and arguments; elsewhere it is the other way round.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn new(
        column: Column<'_>,
        series: &Series,
        zstd: &mut Compressor<'static>,
    ) -> io::Result<ValueEncoding> {
        let runs = series.runs();
        let dictionary = |most| Dictionary::new(column, runs, most);
        let always = match column.ty() {
            Type::BOOLEAN => Some(ValueEncoding::Plain),
            Type::BYTE_ARRAY => dictionary(usize::MAX)
                .map(ValueEncoding::Dictionary)
                .or(Some(ValueEncoding::Plain)),
            _ if runs.len() * LONG <= series.rows() => {
                dictionary(usize::MAX).map(ValueEncoding::Dictionary)
            }
            _ => None,
        };
        if let Some(values) = always {
            return Ok(values);
        }
        let sample = sample(runs);
        let mut plain = vec![];
        let mut size = |values: &ValueEncoding| -> io::Result<usize> {
            plain.clear();
            values.encode(column, &sample, &mut plain);
            Ok(zstd.compress(&plain)?.len())
        };
        let mut best = (ValueEncoding::Split, size(&ValueEncoding::Split)?);
        // Of 32 bits there is none in which it pays: ids and ports.
        if column.ty() == Type::INT64 {
            let delta = size(&ValueEncoding::Delta)?;
            if delta < best.1 {
                best = (ValueEncoding::Delta, delta);
            }
        }
        // A dictionary that has every fourth value is no use; where the sample shows that, none is made.
        let few = Dictionary::new(column, &sample, FEW + sample.len() / 2);
        let Some(dictionary) = few.and_then(|_| dictionary(FEW + runs.len() / 4)) else {
            return Ok(best.0);
        };
        let values = ValueEncoding::Dictionary(dictionary);
        let numbers = size(&values)?;
        let ValueEncoding::Dictionary(dictionary) = &values else {
            return Ok(best.0);
        };
        plain.clear();
        dictionary.plain(column, &mut plain);
        let own = zstd.compress(&plain)?.len();
        let smaller = numbers * runs.len() + own * sample.len() <= best.1 * runs.len();
        Ok(if smaller { values } else { best.0 })
    }

    /// Parquet's name of it.
    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            // Nothing is in it.
            ValueEncoding::Dictionary(dictionary) if dictionary.values.is_empty() => {
                Encoding::PLAIN
            }
            ValueEncoding::Dictionary(_) => Encoding::RLE_DICTIONARY,
            ValueEncoding::Plain => Encoding::PLAIN,
            ValueEncoding::Split => Encoding::BYTE_STREAM_SPLIT,
            ValueEncoding::Delta => Encoding::DELTA_BINARY_PACKED,
        }
    }

    /// The values of a page that are there.
    pub(crate) fn encode(&self, column: Column<'_>, page: &[Run], out: &mut Vec<u8>) {
        let present = page
            .iter()
            .filter_map(|run| Some((run.value()?, run.rows())));
        if let ValueEncoding::Dictionary(dictionary) = self {
            if !dictionary.values.is_empty() {
                out.push(dictionary.width() as u8);
                let mut ids = Hybrid::new(dictionary.width(), out);
                present.for_each(|(value, rows)| ids.push(dictionary.id(value), rows));
                ids.finish();
            }
            return;
        }
        let rows = page.iter().map(|run| run.rows()).sum();
        let mut values = Vec::with_capacity(rows);
        present.for_each(|(value, rows)| values.resize(values.len() + rows, value));
        match (self, column.ty()) {
            (ValueEncoding::Split, ty) => {
                split(&values, if ty == Type::INT32 { 4 } else { 8 }, out)
            }
            (ValueEncoding::Delta, _) => delta(&values, out),
            (_, Type::BOOLEAN) => {
                let bits = |eight: &[i64]| {
                    (0..)
                        .zip(eight)
                        .map(|(i, bit)| (*bit as u8) << i)
                        .sum::<u8>()
                };
                out.extend(values.chunks(8).map(bits));
            }
            _ => values.iter().for_each(|value| column.plain(*value, out)),
        }
    }
}

/// Some runs of all parts of a column; long ones are cut short.
fn sample(runs: &[Run]) -> Vec<Run> {
    let short = |run: &Run| Run::new(run.value(), run.rows().min(LONG));
    if runs.len() <= SAMPLE {
        return runs.iter().map(short).collect();
    }
    let place = |i: usize| {
        let from = (runs.len() - SAMPLE / PLACES) * i / (PLACES - 1);
        &runs[from..from + SAMPLE / PLACES]
    };
    (0..PLACES).flat_map(place).map(short).collect()
}

impl Dictionary {
    /// The dictionary of some runs. None: it has more than `most` values, or is too large.
    fn new(column: Column<'_>, runs: &[Run], most: usize) -> Option<Dictionary> {
        let table = if column.is_text() {
            column.texts.len()
        } else {
            SMALL as usize
        };
        let mut dictionary = Dictionary {
            small: vec![NONE; if runs.len() > 1 { table } else { 0 }],
            ..Dictionary::default()
        };
        let mut bytes = 0;
        for value in runs.iter().filter_map(|run| run.value()) {
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

    /// Adds the values, one after the other, to `out`.
    pub(crate) fn plain(&self, column: Column<'_>, out: &mut Vec<u8>) {
        let values = self.values.iter();
        values.for_each(|value| column.plain(*value, out));
    }

    /// Bits of a number: whole bytes, where it does not fit into half a one, for zstd sees no sense in what crosses
    /// bytes. 5 to 15 % smaller in the columns that are not the same over long runs.
    fn width(&self) -> u32 {
        let bits = u32::BITS - (self.values.len() as u32).saturating_sub(1).leading_zeros();
        if bits > 4 {
            bits.next_multiple_of(8)
        } else {
            bits
        }
    }
}
