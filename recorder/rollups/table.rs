//! The rows of one rollup.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use ctrace_schema::rollups::{Facet, Only, Rollup};
use rustc_hash::FxHashMap;

use super::facet::Values;
use super::sums::{self, Sum};

/// Facets of a rollup, at most.
const WIDTH: usize = 5;

/// The number of a set of values of each facet.
pub type Sets = [u32; Facet::ALL.len()];

/// One rollup so far.
#[derive(Debug)]
pub struct Table {
    /// What it is of.
    pub rollup: &'static Rollup,
    index: FxHashMap<[u32; WIDTH], u32>,
    keys: Vec<[u32; WIDTH]>,
    counts: Vec<i64>,
    /// By row, then by measure.
    sums: Vec<Sum>,
    /// Whether it is of events with a set of values, by the number of the set; of the facet that decides it.
    takes: Vec<bool>,
}

impl Table {
    /// Without rows.
    pub fn new(rollup: &'static Rollup) -> Table {
        debug_assert!(rollup.facets.len() <= WIDTH);
        Table {
            rollup,
            index: FxHashMap::default(),
            keys: vec![],
            counts: vec![],
            sums: vec![],
            takes: vec![],
        }
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    /// Whether it is of events with these values.
    pub fn takes(&mut self, sets: &Sets, values: &[Values]) -> bool {
        let (Only::Present(column) | Only::OneOf(column, _)) = self.rollup.only else {
            return true;
        };
        let has = |facet: &&Facet| facet.columns().contains(&column);
        let Some(facet) = self.rollup.facets.iter().find(has) else {
            return false;
        };
        let (set, values) = (sets[*facet as usize], &values[*facet as usize]);
        for set in self.takes.len()..=set as usize {
            let (value, text) = values.value(set as u32, column);
            self.takes.push(match self.rollup.only {
                Only::OneOf(_, names) => text.is_some_and(|text| names.contains(&text)),
                Only::All | Only::Present(_) => value.is_some(),
            });
        }
        self.takes[set as usize]
    }

    /// Adds events. `sums` are those of its measures. Returns whether that made a row more.
    pub fn add<'a>(
        &mut self,
        sets: &Sets,
        count: i64,
        sums: impl Iterator<Item = &'a Sum>,
    ) -> bool {
        let mut key = [0; WIDTH];
        for (key, facet) in key.iter_mut().zip(self.rollup.facets) {
            *key = sets[*facet as usize];
        }
        let new = self.keys.len();
        let row = *self.index.entry(key).or_insert(new as u32) as usize;
        if row == new {
            self.keys.push(key);
            self.counts.push(0);
            let width = self.rollup.measures.len();
            self.sums.resize(self.sums.len() + width, Sum::default());
        }
        self.counts[row] += count;
        let from = row * self.rollup.measures.len();
        for (sum, more) in self.sums[from..].iter_mut().zip(sums) {
            sum.merge(more);
        }
        row == new
    }

    /// The same with other numbers for the sets of a facet, of which several may have become one.
    pub fn renumbered(&self, facet: Facet, numbers: &[u32]) -> Table {
        let mut table = Table::new(self.rollup);
        let width = self.rollup.measures.len();
        for (row, key) in self.keys.iter().enumerate() {
            let mut sets = Sets::default();
            for (of, set) in self.rollup.facets.iter().zip(key) {
                sets[*of as usize] = match *of == facet {
                    true => numbers[*set as usize],
                    false => *set,
                };
            }
            let sums = &self.sums[row * width..(row + 1) * width];
            table.add(&sets, self.counts[row], sums.iter());
        }
        table
    }

    /// The rows as Arrow has them.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn batch(&self, values: &[Values]) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![];
        for (at, facet) in self.rollup.facets.iter().enumerate() {
            let sets: Vec<u32> = self.keys.iter().map(|key| key[at]).collect();
            let values = &values[*facet as usize];
            columns.extend(
                facet
                    .columns()
                    .iter()
                    .map(|name| values.column(name, &sets)),
            );
        }
        columns.push(sums::counts(&self.counts));
        let width = self.rollup.measures.len();
        for (at, measure) in self.rollup.measures.iter().enumerate() {
            let sums = self.sums.iter().skip(at).step_by(width);
            columns.extend(sums::columns(measure, sums));
        }
        let schema = self.rollup.schema(&dictionary());
        RecordBatch::try_new(Arc::new(schema), columns)
    }
}

/// The type of text.
fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}
