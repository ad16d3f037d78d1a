//! Keys of facets: a *facet* is a group of columns that rollups share, and a *key* is a combination of their values.
//! Each different key gets an id, so that rows are grouped by a few small numbers.

use std::sync::Arc;

use ctrace_schema::columns::{COLUMNS, Type, index};
use ctrace_schema::rollups::{Facet, POSITIVE, SLICES};
use rustc_hash::FxHashMap;

use crate::rows::Events;
use crate::rows::runs::{Series, for_each_common_run};

/// A marker in place of an id, an index or a row: none, or none yet.
pub(super) const NONE: u32 = u32::MAX;

/// The values of the columns of a facet.
pub(super) type FacetKey = [Option<i64>];

/// Different keys of a facet, and their ids: 0, 1, 2, ...
#[derive(Debug, Default)]
pub(super) struct FacetKeys {
    /// The keys by id.
    list: Vec<Box<FacetKey>>,
    ids: FxHashMap<Box<FacetKey>, u32>,
}

impl FacetKeys {
    /// Returns the id of `key`, a new one for a new key.
    pub(super) fn id(&mut self, key: &FacetKey) -> u32 {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let id = self.list.len() as u32;
        self.list.push(key.into());
        self.ids.insert(key.into(), id);
        id
    }

    /// Returns the key with the id.
    pub(super) fn get(&self, id: u32) -> &FacetKey {
        self.list.get(id as usize).map_or(&[], |key| key)
    }

    /// Returns all keys in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FacetKey> {
        self.list.iter().map(AsRef::as_ref)
    }
}

/// The facet keys found in one piece of a batch.
pub(super) struct PieceFacets<'a> {
    /// The keys by facet; empty for a facet that no rollup uses.
    keys: [FacetKeys; Facet::ALL.len()],
    /// The strings of the batch; text values are indices into this list.
    pub(super) texts: &'a [Arc<str>],
}

impl<'a> PieceFacets<'a> {
    /// Starts without keys.
    pub(super) fn new(columns: &'a dyn Events) -> PieceFacets<'a> {
        PieceFacets {
            keys: Default::default(),
            texts: columns.strings(),
        }
    }

    /// Collects the keys of a facet, and returns the id of each row's key. Times are rounded down to multiples of
    /// `slice_ns`.
    pub(super) fn ids(&mut self, facet: Facet, columns: &dyn Events, slice_ns: i64) -> Series {
        let series = facet.columns().iter().map(|name| {
            let values = columns.column(name);
            if facet != Facet::Slice && *name != "ret" {
                return values;
            }
            let mut mapped = columns.take_buffer(values.rows());
            match facet {
                Facet::Slice => round_times(&values, slice_ns, &mut mapped),
                _ => clamp_results(&values, &mut mapped),
            }
            columns.return_buffer(values);
            mapped
        });
        let series: Vec<Series> = series.collect();
        let runs: Vec<_> = series.iter().map(Series::runs).collect();
        let keys = &mut self.keys[facet as usize];
        let mut ids = columns.take_buffer(columns.rows());
        for_each_common_run(&runs, |key, rows| {
            ids.push(Some(keys.id(key).into()), rows);
        });
        series
            .into_iter()
            .for_each(|series| columns.return_buffer(series));
        ids
    }

    /// Returns the key of a facet with the id.
    pub(super) fn key(&self, facet: Facet, id: u32) -> &FacetKey {
        self.keys[facet as usize].get(id)
    }

    /// Returns the string of a text value.
    pub(super) fn text(&self, value: i64) -> Option<&Arc<str>> {
        self.texts.get(usize::try_from(value).ok()?)
    }
}

/// Returns the type of an event column.
pub(super) fn column_type(column: &str) -> Type {
    index(column).map_or(Type::Text, |i| COLUMNS[i].ty)
}

/// Replaces all positive results by [`POSITIVE`].
fn clamp_results(results: &Series, out: &mut Series) {
    for run in results.runs() {
        out.push(run.value().map(|ret| ret.min(POSITIVE)), run.rows());
    }
}

/// Replaces each time by the start of its slice.
fn round_times(times: &Series, slice_ns: i64, out: &mut Series) {
    let mut current = 0..0;
    for run in times.runs() {
        let start = run.value().map(|time| {
            // Most times are in the slice of the time before, and a division is slow.
            if !current.contains(&time) {
                let start = slice_start(time, slice_ns);
                current = start..start.saturating_add(slice_ns);
            }
            current.start
        });
        out.push(start, run.rows());
    }
}

/// Returns the start of the slice that contains `time`.
pub(super) fn slice_start(time: i64, slice_ns: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(slice_ns))
}

/// Returns the next longer slice of [`SLICES`].
pub(super) fn next_slice_ns(slice_ns: i64) -> Option<i64> {
    SLICES.into_iter().find(|longer| *longer > slice_ns)
}
