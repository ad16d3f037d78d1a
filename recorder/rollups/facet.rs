//! The values of a facet: each set of values that occurs has a number.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, StringArray, UInt32Array,
};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use ctrace_schema::columns::{COLUMNS, Type, index};
use ctrace_schema::rollups::{Facet, POSITIVE, SLICES};
use rustc_hash::FxHashMap;

use crate::events::Events;
use crate::series::{Series, stretches};

/// Sets to a facet, some 200 bytes each, and bytes of its text: what has more, a rollup would hardly make smaller.
const MOST: usize = 32_768;
const TEXT_BYTES: usize = 2 << 20;
/// No number yet.
const NONE: u32 = u32::MAX;

/// The values that a facet has had so far.
#[derive(Debug)]
pub struct Values {
    facet: Facet,
    /// Text is told by its place in `texts`.
    sets: Vec<Box<[Option<i64>]>>,
    numbers: FxHashMap<Box<[Option<i64>]>, u32>,
    texts: Vec<Arc<str>>,
    places: FxHashMap<Arc<str>, u32>,
    bytes: usize,
}

impl Values {
    /// None so far.
    pub fn new(facet: Facet) -> Values {
        Values {
            facet,
            sets: vec![],
            numbers: FxHashMap::default(),
            texts: vec![],
            places: FxHashMap::default(),
            bytes: 0,
        }
    }

    /// How many sets there are.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether they have become more than a rollup may have rows.
    pub fn is_full(&self) -> bool {
        self.sets.len() > MOST || self.bytes > TEXT_BYTES
    }

    /// The value of a column in a set, and what it is if it is text.
    pub fn value(&self, set: u32, column: &str) -> (Option<i64>, Option<&str>) {
        let at = self.facet.columns().iter().position(|name| *name == column);
        let value = at.and_then(|at| self.sets.get(set as usize)?[at]);
        let text = value.filter(|_| ty(column) == Type::Text);
        (
            value,
            text.and_then(|at| self.texts.get(at as usize))
                .map(AsRef::as_ref),
        )
    }

    /// The number of each row's set. Those beyond the bound have none, and then it is full.
    pub fn numbers(&mut self, columns: &dyn Events, slice: i64) -> Series {
        let mut series: Vec<Series> = vec![];
        for name in self.facet.columns() {
            let values = columns.series(name);
            series.push(match (self.facet, *name) {
                (Facet::Slice, _) => sliced(&values, slice),
                (_, "ret") => clamped(&values),
                (_, name) if ty(name) == Type::Text => self.translated(&values, columns.texts()),
                _ => values,
            });
        }
        let runs: Vec<_> = series.iter().map(Series::runs).collect();
        let mut numbers = Series::default();
        stretches(&runs, |set, rows| {
            numbers.push(self.number(set).map(i64::from), rows);
        });
        numbers
    }

    /// Of slices of time, the same with longer ones, and the new number of each.
    pub fn lengthened(&self, slice: i64) -> (Values, Vec<u32>) {
        let mut values = Values::new(self.facet);
        let start = |time: i64| time.saturating_sub(time.rem_euclid(slice));
        let numbers = self.sets.iter().map(|set| {
            let set: Vec<_> = set.iter().map(|time| time.map(start)).collect();
            values.number(&set).unwrap_or(0)
        });
        let numbers = numbers.collect();
        (values, numbers)
    }

    fn number(&mut self, set: &[Option<i64>]) -> Option<u32> {
        if let Some(number) = self.numbers.get(set) {
            return Some(*number);
        }
        if self.is_full() {
            return None;
        }
        let number = self.sets.len() as u32;
        self.sets.push(set.into());
        self.numbers.insert(set.into(), number);
        Some(number)
    }

    /// Text that is told by its place in a batch's `texts`, told by its place in ours.
    fn translated(&mut self, values: &Series, texts: &[Arc<str>]) -> Series {
        let mut known = vec![
            NONE;
            if values.runs().len() > 1 {
                texts.len()
            } else {
                0
            }
        ];
        let mut series = Series::default();
        for run in values.runs() {
            let place = run
                .value()
                .map(|value| match known.get_mut(value as usize) {
                    Some(place) if *place != NONE => *place,
                    Some(place) => {
                        *place = self.place(texts.get(value as usize));
                        *place
                    }
                    None => self.place(texts.get(value as usize)),
                });
            series.push(place.map(i64::from), run.rows());
        }
        series
    }

    fn place(&mut self, text: Option<&Arc<str>>) -> u32 {
        let Some(text) = text else {
            return NONE;
        };
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        if self.is_full() {
            return NONE;
        }
        let place = self.texts.len() as u32;
        self.bytes += text.len();
        // A copy: what is kept of a batch keeps the pages from being given back that the rest of it was in.
        let text: Arc<str> = Arc::from(&**text);
        self.texts.push(text.clone());
        self.places.insert(text, place);
        place
    }

    /// A column of these sets, with text as a dictionary.
    pub fn column(&self, column: &str, sets: &[u32]) -> ArrayRef {
        let values = sets.iter().map(|set| self.value(*set, column).0);
        match ty(column) {
            Type::Time => {
                let times: PrimitiveArray<TimestampNanosecondType> = values.collect();
                Arc::new(times.with_timezone("UTC"))
            }
            Type::Int64 => Arc::new(values.collect::<PrimitiveArray<Int64Type>>()),
            Type::Int32 => {
                let values = values.map(|v| v.map(|v| v as i32));
                Arc::new(values.collect::<PrimitiveArray<Int32Type>>())
            }
            Type::UInt32 => Arc::new(places(values)),
            Type::Bool => Arc::new(values.map(|v| v.map(|v| v != 0)).collect::<BooleanArray>()),
            Type::Text => self.text_column(values),
        }
    }

    /// Only those texts that are used.
    fn text_column(&self, values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        let mut used = vec![NONE; self.texts.len()];
        let mut texts = vec![];
        let mut key = |value: Option<i64>| {
            let value = value? as usize;
            if *used.get(value)? == NONE {
                used[value] = texts.len() as u32;
                texts.push(self.texts[value].as_ref());
            }
            Some(used[value])
        };
        let keys: UInt32Array = values.map(&mut key).collect();
        let texts = StringArray::from_iter_values(texts);
        Arc::new(DictionaryArray::<UInt32Type>::new(keys, Arc::new(texts)))
    }
}

/// The type of a column.
fn ty(column: &str) -> Type {
    index(column).map_or(Type::Text, |i| COLUMNS[i].ty)
}

fn places(values: impl Iterator<Item = Option<i64>>) -> UInt32Array {
    values
        .map(|value| value.map(|value| value as u32))
        .collect()
}

/// A result that is positive, as [`POSITIVE`].
fn clamped(results: &Series) -> Series {
    let mut series = Series::default();
    for run in results.runs() {
        series.push(run.value().map(|ret| ret.min(POSITIVE)), run.rows());
    }
    series
}

/// Times, each as the beginning of its slice.
fn sliced(times: &Series, slice: i64) -> Series {
    let mut series = Series::default();
    let mut current = 0..0;
    for run in times.runs() {
        let start = run.value().map(|time| {
            // Most are of the same slice as the one before, and a division is dear.
            if !current.contains(&time) {
                let start = time.saturating_sub(time.rem_euclid(slice));
                current = start..start.saturating_add(slice);
            }
            current.start
        });
        series.push(start, run.rows());
    }
    series
}

/// The first slice that is longer than `slice`, if there is one.
pub fn longer(slice: i64) -> Option<i64> {
    SLICES.into_iter().find(|longer| *longer > slice)
}
