//! A column of a Parquet file: converts values of runs to bytes, bounds and statistics of its Parquet type.

use std::cmp::Ordering;
use std::sync::Arc;

use parquet::basic::{ConvertedType, Type};
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

/// A leaf column of the Parquet schema, with the strings that the values of a text column are indices into.
#[derive(Clone, Copy)]
pub(crate) struct LeafColumn<'a> {
    pub(crate) descr: &'a ColumnDescPtr,
    pub(crate) texts: &'a [Arc<str>],
}

impl<'a> LeafColumn<'a> {
    /// Returns the string with the index `value`.
    pub(crate) fn text(self, value: i64) -> &'a str {
        self.texts.get(value as usize).map_or("", |text| text)
    }

    pub(crate) fn physical_type(self) -> Type {
        self.descr.physical_type()
    }

    pub(crate) fn is_text(self) -> bool {
        self.physical_type() == Type::BYTE_ARRAY
    }

    /// Compares two values in Parquet's order: strings by their bytes, unsigned numbers as unsigned.
    fn compare(self, a: i64, b: i64) -> Ordering {
        if self.is_text() {
            self.text(a).cmp(self.text(b))
        } else if self.descr.converted_type() == ConvertedType::UINT_32 {
            (a as u32).cmp(&(b as u32))
        } else {
            a.cmp(&b)
        }
    }

    /// Extends `bounds` to include `value`.
    pub(crate) fn widen(self, bounds: Bounds, value: i64) -> Bounds {
        let (min, max) = bounds.unwrap_or((value, value));
        let is_less = self.compare(value, min) == Ordering::Less;
        let is_greater = self.compare(value, max) == Ordering::Greater;
        Some((
            if is_less { value } else { min },
            if is_greater { value } else { max },
        ))
    }

    /// Appends a value in PLAIN encoding. The type must not be BOOLEAN.
    pub(crate) fn write_plain(self, value: i64, out: &mut Vec<u8>) {
        match self.physical_type() {
            Type::BYTE_ARRAY => {
                let text = self.text(value);
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Type::INT32 => out.extend_from_slice(&(value as i32).to_le_bytes()),
            _ => out.extend_from_slice(&value.to_le_bytes()),
        }
    }

    /// Returns the lower bound `value` for the page index and the statistics, and whether it is exact: text is
    /// truncated to [`MAX_BOUND_BYTES`].
    pub(crate) fn lower_bound(self, value: i64) -> (Vec<u8>, bool) {
        if !self.is_text() {
            return (self.bound_bytes(value), true);
        }
        let text = self.text(value);
        let short = truncate(text);
        (short.into(), short.len() == text.len())
    }

    /// Returns the upper bound `value` likewise.
    pub(crate) fn upper_bound(self, value: i64) -> (Vec<u8>, bool) {
        if !self.is_text() {
            return (self.bound_bytes(value), true);
        }
        let text = self.text(value);
        let mut short = truncate(text).to_string();
        if short.len() == text.len() {
            return (short.into(), true);
        }
        // An upper bound must not be less than `text`: the last character is replaced by its successor.
        while let Some(last) = short.pop() {
            if let Some(next) = char::from_u32(last as u32 + 1) {
                short.push(next);
                return (short.into(), false);
            }
        }
        (text.into(), true)
    }

    fn bound_bytes(self, value: i64) -> Vec<u8> {
        if self.physical_type() == Type::BOOLEAN {
            return vec![value as u8];
        }
        let mut out = vec![];
        self.write_plain(value, &mut out);
        out
    }

    pub(crate) fn statistics(self, bounds: Bounds, nulls: u64) -> Statistics {
        let (min, max) = bounds.unzip();
        let int = |value: Option<i64>| value.map(|value| value as i32);
        match self.physical_type() {
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
                let (min, max) = (
                    min.map(|v| self.lower_bound(v)),
                    max.map(|v| self.upper_bound(v)),
                );
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

/// Minimum and maximum of values; `None`: all are null.
pub(crate) type Bounds = Option<(i64, i64)>;

fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_BOUND_BYTES)]
}

/// The size to which minima and maxima of text are truncated, as Parquet allows.
pub(crate) const MAX_BOUND_BYTES: usize = 64;
