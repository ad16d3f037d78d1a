//! The values of a facet: each set of values that occurs has a number.

use std::sync::Arc;

use ctrace_schema::columns::{COLUMNS, Type, index};
use ctrace_schema::rollups::{Facet, POSITIVE, SLICES};
use rustc_hash::FxHashMap;

use crate::rows::Events;
use crate::rows::runs::{Series, stretches};

/// Values of the columns of a facet.
pub type Set = [Option<i64>];

/// Sets of values, each with a number.
#[derive(Debug, Default)]
pub struct Sets {
    list: Vec<Box<Set>>,
    numbers: FxHashMap<Box<Set>, u32>,
}

impl Sets {
    /// The number of a set, which is a new one if it has none.
    pub fn number(&mut self, set: &Set) -> u32 {
        if let Some(number) = self.numbers.get(set) {
            return *number;
        }
        let number = self.list.len() as u32;
        self.list.push(set.into());
        self.numbers.insert(set.into(), number);
        number
    }

    /// The set with a number.
    pub fn get(&self, number: u32) -> &Set {
        self.list.get(number as usize).map_or(&[], |set| set)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Set> {
        self.list.iter().map(AsRef::as_ref)
    }
}

/// What of a batch the rollups are of.
pub struct FoundFacets<'a> {
    /// By facet; none where no rollup has it.
    sets: [Sets; Facet::ALL.len()],
    /// What text in them is told by its place in.
    pub texts: &'a [Arc<str>],
}

impl<'a> FoundFacets<'a> {
    /// Nothing yet of the batch of `columns`.
    pub fn new(columns: &'a dyn Events) -> FoundFacets<'a> {
        FoundFacets {
            sets: Default::default(),
            texts: columns.strings(),
        }
    }

    /// Numbers the sets of a facet: returns that of each row. Times are cut to slices of so many nanoseconds.
    pub fn number(&mut self, facet: Facet, columns: &dyn Events, slice: i64) -> Series {
        let series = facet.columns().iter().map(|name| {
            let values = columns.column(name);
            if facet != Facet::Slice && *name != "ret" {
                return values;
            }
            let mut other = columns.take_buffer(values.rows());
            match facet {
                Facet::Slice => sliced(&values, slice, &mut other),
                _ => clamped(&values, &mut other),
            }
            columns.return_buffer(values);
            other
        });
        let series: Vec<Series> = series.collect();
        let runs: Vec<_> = series.iter().map(Series::runs).collect();
        let sets = &mut self.sets[facet as usize];
        let mut numbers = columns.take_buffer(columns.rows());
        stretches(&runs, |set, rows| {
            numbers.push(Some(sets.number(set).into()), rows);
        });
        series
            .into_iter()
            .for_each(|series| columns.return_buffer(series));
        numbers
    }

    /// A set of values.
    pub fn set(&self, facet: Facet, number: u32) -> &Set {
        self.sets[facet as usize].get(number)
    }

    /// A text.
    pub fn text(&self, value: i64) -> Option<&Arc<str>> {
        self.texts.get(usize::try_from(value).ok()?)
    }
}

/// The type of a column.
pub fn ty(column: &str) -> Type {
    index(column).map_or(Type::Text, |i| COLUMNS[i].ty)
}

/// A result that is positive, as [`POSITIVE`].
fn clamped(results: &Series, series: &mut Series) {
    for run in results.runs() {
        series.push(run.value().map(|ret| ret.min(POSITIVE)), run.rows());
    }
}

/// Times, each as the beginning of its slice.
fn sliced(times: &Series, slice: i64, series: &mut Series) {
    let mut current = 0..0;
    for run in times.runs() {
        let start = run.value().map(|time| {
            // Most are of the same slice as the one before, and a division is dear.
            if !current.contains(&time) {
                let start = start(time, slice);
                current = start..start.saturating_add(slice);
            }
            current.start
        });
        series.push(start, run.rows());
    }
}

/// The beginning of the slice that a time is in.
pub fn start(time: i64, slice: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(slice))
}

/// The first slice that is longer than `slice`, if there is one.
pub fn longer(slice: i64) -> Option<i64> {
    SLICES.into_iter().find(|longer| *longer > slice)
}
