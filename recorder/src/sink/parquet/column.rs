//! A column of a Parquet file and how its values are encoded.

use std::cmp::Ordering;
use std::sync::Arc;

use parquet::basic::{ConvertedType, Type};
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

/// A column, and how its values are told.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    pub(crate) descr: &'a ColumnDescPtr,
    /// What text's values number.
    pub(crate) texts: &'a [Arc<str>],
}

impl<'a> Column<'a> {
    /// The text that a value numbers.
    pub(crate) fn text(self, value: i64) -> &'a str {
        self.texts.get(value as usize).map_or("", |text| text)
    }

    /// Its physical type.
    pub(crate) fn ty(self) -> Type {
        self.descr.physical_type()
    }

    /// Whether it is text.
    pub(crate) fn is_text(self) -> bool {
        self.descr.physical_type() == Type::BYTE_ARRAY
    }

    pub(crate) fn compare(self, a: i64, b: i64) -> Ordering {
        if self.is_text() {
            self.text(a).cmp(self.text(b))
        } else if self.descr.converted_type() == ConvertedType::UINT_32 {
            (a as u32).cmp(&(b as u32))
        } else {
            a.cmp(&b)
        }
    }

    pub(crate) fn widen(self, bounds: Bounds, value: i64) -> Bounds {
        let (min, max) = bounds.unwrap_or((value, value));
        let less = self.compare(value, min) == Ordering::Less;
        let more = self.compare(value, max) == Ordering::Greater;
        Some((
            if less { value } else { min },
            if more { value } else { max },
        ))
    }

    /// PLAIN, without booleans.
    pub(crate) fn plain(self, value: i64, out: &mut Vec<u8>) {
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

    /// Smallest and largest, as the page index and the statistics have them; text is cut short, and whether it is not.
    pub(crate) fn lower(self, value: i64) -> (Vec<u8>, bool) {
        if !self.is_text() {
            return (self.bound(value), true);
        }
        let text = self.text(value);
        let short = cut(text);
        (short.into(), short.len() == text.len())
    }

    pub(crate) fn upper(self, value: i64) -> (Vec<u8>, bool) {
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

    pub(crate) fn bound(self, value: i64) -> Vec<u8> {
        if self.descr.physical_type() == Type::BOOLEAN {
            return vec![value as u8];
        }
        let mut out = vec![];
        self.plain(value, &mut out);
        out
    }

    pub(crate) fn statistics(self, bounds: Bounds, nulls: u64) -> Statistics {
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

/// Minimum and maximum.
pub(crate) type Bounds = Option<(i64, i64)>;

/// The longest beginning of at most [`BOUND`] bytes.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(BOUND)]
}

/// Longer minima and maxima are cut, as Parquet allows.
pub(crate) const BOUND: usize = 64;
