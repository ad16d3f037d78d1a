//! The rows of one rollup: a key of several facets, an event count, and the aggregates and histograms of its measures.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use ctrace_schema::histogram::Histogram;
use ctrace_schema::rollups::{EventCondition, Facet, Rollup, Stat};
use rustc_hash::FxHashMap;

use crate::rollups::aggregates::{self, Aggregate};
use crate::rollups::facet::{NONE, PieceFacets};
use crate::rollups::values::FacetValues;

/// The most facets of a rollup.
const MAX_FACETS: usize = 5;
/// The approximate memory of a row in bytes.
pub(super) const ROW_BYTES: usize = 400;

/// The rows of a record batch of the stream.
const STREAM_BATCH_ROWS: usize = 8_192;

/// The id of a key for each facet, in a piece of a batch.
pub(super) type FacetIds = [u32; Facet::ALL.len()];

/// The rows of a rollup that grows.
#[derive(Debug)]
pub(super) struct RollupTable {
    pub(super) rollup: &'static Rollup,
    /// The keys by facet, in the order of `rollup.facets`.
    values: Vec<FacetValues>,
    /// The rows by key.
    index: FxHashMap<[u32; MAX_FACETS], u32>,
    /// The keys by row.
    keys: Vec<[u32; MAX_FACETS]>,
    /// The event counts by row.
    counts: Vec<i64>,
    /// The aggregates by row, then by measure.
    aggregates: Vec<Aggregate>,
    /// The histograms by row, if a measure has one.
    histograms: Vec<Histogram>,
    histogram_bytes: usize,
    /// The id in `values` of each key of the piece, by facet.
    own_ids: Vec<Vec<u32>>,
    /// For each key of the piece, in the facet with the column of `rollup.condition`: whether its events belong to the
    /// rollup.
    includes: Vec<bool>,
    /// True if no sum of the rollup has gone beyond 64 bits.
    is_exact: bool,
}

impl RollupTable {
    pub(super) fn new(rollup: &'static Rollup) -> RollupTable {
        debug_assert!(rollup.facets.len() <= MAX_FACETS);
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
            aggregates: vec![],
            histograms: vec![],
            histogram_bytes: 0,
            own_ids: vec![vec![]; rollup.facets.len()],
            includes: vec![],
            is_exact: true,
        }
    }

    /// Forgets the ids of the last piece.
    pub(super) fn begin_piece(&mut self) {
        self.own_ids.iter_mut().for_each(Vec::clear);
        self.includes.clear();
    }

    /// Returns whether all sums of the rollup fit into 64 bits.
    pub(super) fn is_exact(&self) -> bool {
        self.is_exact
    }

    pub(super) fn rows(&self) -> usize {
        self.keys.len()
    }

    /// Returns the approximate memory of the rollup, in rows of [`ROW_BYTES`].
    pub(super) fn weight(&self) -> usize {
        let text: usize = self.values.iter().map(FacetValues::text_bytes).sum();
        self.rows() + (text + self.histogram_bytes) / ROW_BYTES
    }

    pub(super) fn has(&self, facet: Facet) -> bool {
        self.rollup.facets.contains(&facet)
    }

    /// Returns whether events with these keys belong to the rollup: the condition of `rollup.condition`.
    pub(super) fn includes(&mut self, ids: &FacetIds, piece: &PieceFacets<'_>) -> bool {
        let (EventCondition::Present(column) | EventCondition::OneOf(column, _)) =
            self.rollup.condition
        else {
            return true;
        };
        let position = |facet: &Facet| facet.columns().iter().position(|name| *name == column);
        let mut facets = self.rollup.facets.iter();
        let Some((facet, position)) = facets.find_map(|facet| Some((*facet, position(facet)?)))
        else {
            return false;
        };
        let id = ids[facet as usize];
        for id in self.includes.len() as u32..=id {
            let value = piece.key(facet, id).get(position).copied().flatten();
            self.includes.push(match self.rollup.condition {
                EventCondition::OneOf(_, names) => {
                    let text = value.and_then(|value| piece.text(value));
                    text.is_some_and(|text| names.contains(&text.as_ref()))
                }
                EventCondition::All | EventCondition::Present(_) => value.is_some(),
            });
        }
        self.includes[id as usize]
    }

    /// Adds events with the keys `ids` and the aggregates of the rollup's measures. Returns their row.
    pub(super) fn add<'a>(
        &mut self,
        ids: &FacetIds,
        piece: &PieceFacets<'_>,
        count: i64,
        aggregates: impl Iterator<Item = &'a Aggregate>,
    ) -> u32 {
        let mut key = [0; MAX_FACETS];
        for (i, facet) in self.rollup.facets.iter().enumerate() {
            let (id, own_ids) = (ids[*facet as usize], &mut self.own_ids[i]);
            if own_ids.len() <= id as usize {
                own_ids.resize(id as usize + 1, NONE);
            }
            let own_id = &mut own_ids[id as usize];
            if *own_id == NONE {
                *own_id = self.values[i].id(piece.key(*facet, id), piece);
            }
            key[i] = *own_id;
        }
        self.add_to_row(key, count, aggregates)
    }

    fn add_to_row<'a>(
        &mut self,
        key: [u32; MAX_FACETS],
        count: i64,
        aggregates: impl Iterator<Item = &'a Aggregate>,
    ) -> u32 {
        let next = self.keys.len();
        let row = *self.index.entry(key).or_insert(next as u32);
        if row as usize == next {
            self.keys.push(key);
            self.counts.push(0);
            let width = self.rollup.measures.len();
            self.aggregates
                .resize(self.aggregates.len() + width, Aggregate::default());
        }
        self.counts[row as usize] += count;
        let from = row as usize * self.rollup.measures.len();
        let aggregates = self.aggregates[from..].iter_mut().zip(aggregates);
        for ((aggregate, added), measure) in aggregates.zip(self.rollup.measures) {
            aggregate.merge(added);
            self.is_exact &= aggregate.is_exact() || !measure.stats.contains(&Stat::Sum);
        }
        row
    }

    /// Adds a value that `events` events have to the histogram of a row.
    pub(super) fn add_to_histogram(&mut self, row: u32, value: i64, events: usize) {
        if self.histograms.len() < self.rows() {
            self.histogram_bytes += (self.rows() - self.histograms.len()) * size_of::<Histogram>();
            self.histograms.resize(self.rows(), Histogram::default());
        }
        let histogram = &mut self.histograms[row as usize];
        let before = histogram.heap();
        histogram.add_times(value as f64, events as u64);
        self.histogram_bytes += histogram.heap() - before;
    }

    /// Merges the rows of each longer slice.
    pub(super) fn lengthen_slices(&mut self, slice_ns: i64) {
        let Some(position) = self.rollup.facets.iter().position(|f| *f == Facet::Slice) else {
            return;
        };
        let (values, new_ids) = self.values[position].with_longer_slices(slice_ns);
        let old = std::mem::replace(self, RollupTable::new(self.rollup));
        let width = self.rollup.measures.len();
        for (row, key) in old.keys.iter().enumerate() {
            let mut key = *key;
            key[position] = new_ids[key[position] as usize];
            let aggregates = &old.aggregates[row * width..(row + 1) * width];
            self.add_to_row(key, old.counts[row], aggregates.iter());
        }
        self.values = old.values;
        self.values[position] = values;
        self.is_exact &= old.is_exact;
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::new(self.rollup.schema(&text_type()))
    }

    /// Returns the rows as record batches of [`STREAM_BATCH_ROWS`], because a single batch would need the memory of all
    /// rows again.
    pub(super) fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        // A rollup without rows has one empty batch, so that readers see that it is empty.
        let starts = (0..self.rows().max(1)).step_by(STREAM_BATCH_ROWS);
        starts.map(|from| self.batch(from..self.rows().min(from + STREAM_BATCH_ROWS)))
    }

    fn batch(&self, rows: Range<usize>) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![];
        for (i, facet) in self.rollup.facets.iter().enumerate() {
            let keys = self.keys[rows.clone()].iter();
            let ids: Vec<u32> = keys.map(|key| key[i]).collect();
            let array = |name: &&str| self.values[i].array(name, &ids);
            columns.extend(facet.columns().iter().map(array));
        }
        columns.push(aggregates::count_array(&self.counts[rows.clone()]));
        let width = self.rollup.measures.len();
        let aggregates = &self.aggregates[rows.start * width..rows.end * width];
        for (i, measure) in self.rollup.measures.iter().enumerate() {
            let aggregates = aggregates.iter().skip(i).step_by(width);
            columns.extend(measure.stats.iter().map(|stat| match stat {
                Stat::Histogram => self.histogram_array(rows.clone()),
                stat => aggregates::array(measure.column, *stat, aggregates.clone()),
            }));
        }
        RecordBatch::try_new(self.schema(), columns)
    }

    fn histogram_array(&self, rows: Range<usize>) -> ArrayRef {
        let empty = Histogram::default();
        let each = rows.map(|row| self.histograms.get(row).unwrap_or(&empty));
        Arc::new(BinaryArray::from_iter_values(each.map(Histogram::to_bytes)))
    }
}

/// Returns the type of text columns.
fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}
