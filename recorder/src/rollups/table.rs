//! The rows of one rollup.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use ctrace_schema::histogram::Histogram;
use ctrace_schema::rollups::{Facet, Only, Rollup, Stat};
use rustc_hash::FxHashMap;

use crate::rollups::facet::FoundFacets;
use crate::rollups::sums::{self, Sum};
use crate::rollups::values::FacetValues;

/// Facets of a rollup, at most.
const WIDTH: usize = 5;
/// No number yet, or none at all.
pub(crate) const NONE: u32 = u32::MAX;
/// Bytes that a row takes in memory, about.
pub(crate) const ROW: usize = 400;

/// Rows that are made columns of at a time.
const AT_ONCE: usize = 8_192;

/// The number of a set of values of each facet, in a batch.
pub(crate) type FacetNumbers = [u32; Facet::ALL.len()];

/// One rollup so far.
#[derive(Debug)]
pub(crate) struct RollupTable {
    /// What it is of.
    pub(crate) rollup: &'static Rollup,
    /// By its facets.
    values: Vec<FacetValues>,
    index: FxHashMap<[u32; WIDTH], u32>,
    keys: Vec<[u32; WIDTH]>,
    counts: Vec<i64>,
    /// By row, then by measure.
    sums: Vec<Sum>,
    /// By row, where it has them.
    histograms: Vec<Histogram>,
    /// Bytes that they take.
    heap: usize,
    /// Our number of a set of values of the batch, by facet.
    known: Vec<Vec<u32>>,
    /// Whether it is of events with a set of values of the batch; of the facet that decides it.
    takes: Vec<bool>,
}

impl RollupTable {
    /// Without rows.
    pub(crate) fn new(rollup: &'static Rollup) -> RollupTable {
        debug_assert!(rollup.facets.len() <= WIDTH);
        RollupTable {
            rollup,
            values: rollup
                .facets
                .iter()
                .copied()
                .map(FacetValues::new)
                .collect(),
            index: FxHashMap::default(),
            keys: vec![],
            counts: vec![],
            sums: vec![],
            histograms: vec![],
            heap: 0,
            known: vec![vec![]; rollup.facets.len()],
            takes: vec![],
        }
    }

    /// What follows is of another batch.
    pub(crate) fn turn(&mut self) {
        self.known.iter_mut().for_each(Vec::clear);
        self.takes.clear();
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.keys.len()
    }

    /// How much memory it takes, in rows.
    pub(crate) fn weight(&self) -> usize {
        let text: usize = self.values.iter().map(FacetValues::bytes).sum();
        self.rows() + (text + self.heap) / ROW
    }

    /// Whether it has a facet.
    pub(crate) fn has(&self, facet: Facet) -> bool {
        self.rollup.facets.contains(&facet)
    }

    /// Whether it is of events with these values.
    pub(crate) fn takes(&mut self, numbers: &FacetNumbers, found: &FoundFacets<'_>) -> bool {
        let (Only::Present(column) | Only::OneOf(column, _)) = self.rollup.only else {
            return true;
        };
        let place = |facet: &Facet| facet.columns().iter().position(|name| *name == column);
        let mut facets = self.rollup.facets.iter();
        let Some((facet, at)) = facets.find_map(|facet| Some((*facet, place(facet)?))) else {
            return false;
        };
        let set = numbers[facet as usize];
        for set in self.takes.len() as u32..=set {
            let value = found.set(facet, set).get(at).copied().flatten();
            self.takes.push(match self.rollup.only {
                Only::OneOf(_, names) => {
                    let text = value.and_then(|value| found.text(value));
                    text.is_some_and(|text| names.contains(&text.as_ref()))
                }
                Only::All | Only::Present(_) => value.is_some(),
            });
        }
        self.takes[set as usize]
    }

    /// Adds events. `sums` are those of its measures. Returns their row.
    pub(crate) fn add<'a>(
        &mut self,
        numbers: &FacetNumbers,
        found: &FoundFacets<'_>,
        count: i64,
        sums: impl Iterator<Item = &'a Sum>,
    ) -> u32 {
        let mut key = [0; WIDTH];
        for (at, facet) in self.rollup.facets.iter().enumerate() {
            let (set, known) = (numbers[*facet as usize], &mut self.known[at]);
            if known.len() <= set as usize {
                known.resize(set as usize + 1, NONE);
            }
            let own = &mut known[set as usize];
            if *own == NONE {
                *own = self.values[at].number(found.set(*facet, set), found);
            }
            key[at] = *own;
        }
        self.add_to(key, count, sums)
    }

    fn add_to<'a>(
        &mut self,
        key: [u32; WIDTH],
        count: i64,
        sums: impl Iterator<Item = &'a Sum>,
    ) -> u32 {
        let new = self.keys.len();
        let row = *self.index.entry(key).or_insert(new as u32);
        if row as usize == new {
            self.keys.push(key);
            self.counts.push(0);
            let width = self.rollup.measures.len();
            self.sums.resize(self.sums.len() + width, Sum::default());
        }
        self.counts[row as usize] += count;
        let from = row as usize * self.rollup.measures.len();
        for (sum, more) in self.sums[from..].iter_mut().zip(sums) {
            sum.merge(more);
        }
        row
    }

    /// Counts a value of the column that it has histograms of, in a row.
    pub(crate) fn count(&mut self, row: u32, value: i64, times: usize) {
        if self.histograms.len() < self.rows() {
            self.heap += (self.rows() - self.histograms.len()) * size_of::<Histogram>();
            self.histograms.resize(self.rows(), Histogram::default());
        }
        let histogram = &mut self.histograms[row as usize];
        let before = histogram.heap();
        histogram.add_times(value as f64, times as u64);
        self.heap += histogram.heap() - before;
    }

    /// Makes the slices of time longer.
    pub(crate) fn lengthen(&mut self, slice: i64) {
        let Some(at) = self.rollup.facets.iter().position(|f| *f == Facet::Slice) else {
            return;
        };
        let (values, numbers) = self.values[at].lengthened(slice);
        let old = std::mem::replace(self, RollupTable::new(self.rollup));
        let width = self.rollup.measures.len();
        for (row, key) in old.keys.iter().enumerate() {
            let mut key = *key;
            key[at] = numbers[key[at] as usize];
            let sums = &old.sums[row * width..(row + 1) * width];
            self.add_to(key, old.counts[row], sums.iter());
        }
        self.values = old.values;
        self.values[at] = values;
    }

    /// Its columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::new(self.rollup.schema(&dictionary()))
    }

    /// The rows as Arrow has them, [`AT_ONCE`] at a time: all of them would be in memory once more.
    ///
    /// # Errors
    /// None that a user can cause.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        // Of none one batch without rows: it says that there are none.
        let begins = (0..self.rows().max(1)).step_by(AT_ONCE);
        begins.map(|from| self.batch(from..self.rows().min(from + AT_ONCE)))
    }

    fn batch(&self, rows: Range<usize>) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![];
        for (at, facet) in self.rollup.facets.iter().enumerate() {
            let keys = self.keys[rows.clone()].iter();
            let sets: Vec<u32> = keys.map(|key| key[at]).collect();
            let column = |name: &&str| self.values[at].column(name, &sets);
            columns.extend(facet.columns().iter().map(column));
        }
        columns.push(sums::counts(&self.counts[rows.clone()]));
        let width = self.rollup.measures.len();
        let sums = &self.sums[rows.start * width..rows.end * width];
        for (at, measure) in self.rollup.measures.iter().enumerate() {
            let sums = sums.iter().skip(at).step_by(width);
            columns.extend(measure.stats.iter().map(|stat| match stat {
                Stat::Histogram => self.histograms(rows.clone()),
                stat => sums::column(measure.column, *stat, sums.clone()),
            }));
        }
        RecordBatch::try_new(self.schema(), columns)
    }

    fn histograms(&self, rows: Range<usize>) -> ArrayRef {
        let none = Histogram::default();
        let each = rows.map(|row| self.histograms.get(row).unwrap_or(&none));
        Arc::new(BinaryArray::from_iter_values(each.map(Histogram::to_bytes)))
    }
}

/// The type of text.
fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}
