//! Aggregates the events of a recording while it is written: the rollups that [`ctrace_schema::rollups`] defines.
//!
//! A batch is aggregated in two steps. First its rows are grouped by the keys of all facets ([`facet`]), in pieces of
//! [`PIECE_ROWS`]. Columns are lists of runs, so a stretch of rows in which no key changes needs one look-up, and one
//! addition per measure. Then the groups, which are far fewer than the rows, are added to each rollup ([`table`]).
//!
//! Memory is bounded: when the rows of all rollups need too much, the largest rollup is compressed and becomes one
//! *part* of several, which readers add up. A rollup whose parts are too large to be useful is dropped.

mod aggregates;
mod facet;
mod table;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use aggregates::Aggregate;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use ctrace_schema::rollups::{Facet, MIN_EVENTS_PER_ROW, Measure, ROLLUPS, SLICES, Stat};
use facet::{NONE, PieceFacets, next_slice_ns};
use rustc_hash::FxHashMap;
use table::{FacetIds, ROW_BYTES, RollupTable};

use crate::limits::memory::{Memory, trim};
use crate::rows::Events;
use crate::rows::runs::{Run, Series, for_each_common_run};

/// The rows of a rollup by time above which its slices become longer. `ctrace-query convert` allows twice as many: a
/// recorder has the rows of all rollups in memory at once, and its slices of all rollups have the same length.
const MAX_SLICED_ROWS: usize = 8_192;
/// A part is kept only if there are this many events per byte, because rollups should not make a recording much larger.
const MIN_EVENTS_PER_BYTE: usize = 8;
/// Rollups that are dropped last: most queries need them, and ctrace-query checks the event counts of others against
/// them.
const PROTECTED: [&str; 3] = ["lives", "calls", "activity"];
/// Rollups may always use at least 1/4 of their row limit, even when memory is short.
const MIN_LIMIT_DIVISOR: usize = 4;
/// The rows that are grouped at a time, which bounds the memory of the groups.
const PIECE_ROWS: usize = 8_192;

/// The rollups of a recording so far.
#[derive(Debug)]
pub(crate) struct Rollups {
    /// The limit of rows in memory, of [`ROW_BYTES`] each. Above it the largest rollup is compressed to a part.
    max_rows: usize,
    /// The limit of all parts, which stay in memory until the end. Above it a rollup is dropped.
    max_part_bytes: usize,
    memory: Memory,
    rollups: Vec<GrowingRollup>,
    slice_ns: i64,
    events: usize,
    part_bytes: usize,
}

/// A rollup that grows.
#[derive(Debug)]
struct GrowingRollup {
    /// The parts that are complete.
    parts: Vec<Blob>,
    /// Events of the recording before the current part.
    events_before: usize,
    /// The part to which rows are being added.
    table: RollupTable,
}

/// A rollup or a part of a rollup, as stored in a file.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) name: &'static str,
    /// A zstd frame.
    pub(crate) bytes: Vec<u8>,
    /// The uncompressed size in bytes.
    pub(crate) size: usize,
    /// The slice in ns, if the rollup has [`Facet::Slice`].
    pub(crate) slice: Option<i64>,
}

/// Groups of rows with the same keys in all facets.
#[derive(Default)]
struct FacetGroups {
    /// The groups by key ids.
    index: FxHashMap<FacetIds, u32>,
    /// The key ids by group.
    ids: Vec<FacetIds>,
    /// The rows of each group.
    counts: Vec<i64>,
    /// The group of each row.
    rows: Series,
    /// The aggregates by measure, then by group.
    aggregates: BTreeMap<&'static str, Vec<Aggregate>>,
}

impl Rollups {
    pub(crate) fn new(memory: Memory) -> Rollups {
        Rollups::with_limits(
            memory,
            memory.rollups_bytes() / ROW_BYTES,
            memory.rollups_bytes() / 2,
        )
    }

    fn with_limits(memory: Memory, max_rows: usize, max_part_bytes: usize) -> Rollups {
        let growing = |rollup| GrowingRollup {
            parts: vec![],
            events_before: 0,
            table: RollupTable::new(rollup),
        };
        Rollups {
            max_rows,
            max_part_bytes,
            memory,
            rollups: ROLLUPS.iter().map(growing).collect(),
            slice_ns: SLICES[0],
            events: 0,
            part_bytes: 0,
        }
    }

    /// Adds the events of a batch.
    pub(crate) fn add(&mut self, columns: &dyn Events) {
        self.events += columns.rows();
        for from in (0..columns.rows()).step_by(PIECE_ROWS) {
            // The ids of a whole batch of unique keys would need more memory than the rollups themselves.
            self.rollups.iter_mut().for_each(|r| r.table.begin_piece());
            let mut facets = PieceFacets::new(columns);
            let until = columns.rows().min(from + PIECE_ROWS);
            let Some(view) = columns.slice(from..until) else {
                self.add_piece(columns, &mut facets);
                break;
            };
            self.add_piece(&*view, &mut facets);
        }
        self.lengthen_slices();
    }

    fn add_piece(&mut self, piece: &dyn Events, facets: &mut PieceFacets<'_>) {
        let uses = |facet: &Facet| self.rollups.iter().any(|r| r.table.has(*facet));
        let ids = Facet::ALL.into_iter().filter(uses);
        let ids = ids.map(|facet| (facet, facets.ids(facet, piece, self.slice_ns)));
        let ids: Vec<(Facet, Series)> = ids.collect();
        let mut groups = FacetGroups::new(&ids, piece.take_buffer(piece.rows()));
        let rollups = self.rollups.iter();
        let measures = rollups.flat_map(|growing| growing.table.rollup.measures);
        let values = measures.map(|m| (m.column, Series::default()));
        let mut values: BTreeMap<_, _> = values.collect();
        for (name, series) in &mut values {
            *series = piece.column(name);
            groups.aggregate(name, series);
        }
        self.add_groups(&groups, &values, facets);
        let ids = ids.into_iter().map(|(_, series)| series);
        let all = ids.chain(values.into_values()).chain([groups.rows]);
        all.for_each(|series| piece.return_buffer(series));
    }

    /// Adds the groups of a piece to all rollups. `values` are the columns of the measures.
    fn add_groups(
        &mut self,
        groups: &FacetGroups,
        values: &BTreeMap<&'static str, Series>,
        facets: &PieceFacets<'_>,
    ) {
        let row_limit = self.row_limit();
        let mut next = 0;
        while let Some(GrowingRollup { table, .. }) = self.rollups.get_mut(next) {
            let rows = add_to_table(table, groups, facets);
            if !table.is_exact() {
                // Without the rollup, queries read the events, of which they can compute greater sums.
                self.remove(next);
                continue;
            }
            let has_histogram = |m: &&Measure| m.stats.contains(&Stat::Histogram);
            if let Some(measure) = table.rollup.measures.iter().find(has_histogram)
                && let Some(measured) = values.get(measure.column)
            {
                for_each_common_run(&[groups.rows.runs(), measured.runs()], |values, events| {
                    if let [Some(group), Some(value)] = values {
                        match rows[*group as usize] {
                            NONE => {}
                            row => table.add_to_histogram(row, *value, events),
                        }
                    }
                });
            }
            next += 1;
            while self.weight() > row_limit {
                if let Some(dropped) = self.shrink()
                    && dropped < next
                {
                    next -= 1;
                }
            }
        }
    }

    /// Returns the limit of rows for now: `max_rows`, or less if others use the memory.
    fn row_limit(&self) -> usize {
        let available = self.weight() + self.memory.available_bytes() / ROW_BYTES;
        let rows = available.saturating_sub(self.memory.reserved_from_rollups_bytes() / ROW_BYTES);
        rows.clamp(self.max_rows / MIN_LIMIT_DIVISOR, self.max_rows)
    }

    /// Returns the memory of all rollups, in rows of [`ROW_BYTES`].
    fn weight(&self) -> usize {
        self.rollups.iter().map(|r| r.table.weight()).sum()
    }

    /// Frees the memory of the largest rollup: compresses its rows to a part, or drops the rollup if the part would not
    /// be worth its space. In place of one of [`PROTECTED`] the largest other rollup is dropped. Returns the index of a
    /// dropped rollup.
    fn shrink(&mut self) -> Option<usize> {
        let weights = self.rollups.iter().map(|r| r.table.weight()).enumerate();
        let largest = weights.max_by_key(|(_, weight)| *weight);
        let largest = largest.map_or(0, |(i, _)| i);
        let growing = &mut self.rollups[largest];
        if let Ok(part) = compress(&growing.table, self.slice_ns)
            && part.bytes.len() * MIN_EVENTS_PER_BYTE <= self.events - growing.events_before
            && self.part_bytes + part.bytes.len() <= self.max_part_bytes
        {
            self.part_bytes += part.bytes.len();
            growing.parts.push(part);
            growing.table = RollupTable::new(growing.table.rollup);
            growing.events_before = self.events;
            trim();
            return None;
        }
        let is_protected = |i: &usize| PROTECTED.contains(&self.rollups[*i].table.rollup.name);
        let others = (0..self.rollups.len()).filter(|i| !is_protected(i));
        let other = others.max_by_key(|i| self.rollups[*i].table.weight());
        let dropped = if is_protected(&largest) {
            other.unwrap_or(largest)
        } else {
            largest
        };
        self.remove(dropped);
        trim();
        Some(dropped)
    }

    /// Drops a rollup and its parts.
    fn remove(&mut self, index: usize) {
        let parts = self.rollups[index].parts.iter();
        self.part_bytes -= parts.map(|part| part.bytes.len()).sum::<usize>();
        self.rollups.remove(index);
    }

    /// Makes the slices longer while a rollup has too many rows.
    fn lengthen_slices(&mut self) {
        let is_large =
            |r: &GrowingRollup| r.table.has(Facet::Slice) && r.table.rows() > MAX_SLICED_ROWS;
        while self.rollups.iter().any(is_large)
            && let Some(slice_ns) = next_slice_ns(self.slice_ns)
        {
            self.slice_ns = slice_ns;
            for GrowingRollup { table, .. } in &mut self.rollups {
                table.lengthen_slices(slice_ns);
            }
        }
    }

    /// Returns the rollups and parts for the file.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Result<Cow<'_, Blob>, ArrowError>> {
        // A rollup with parts was large enough to be cut into them.
        let is_useful = |r: &&GrowingRollup| {
            !r.parts.is_empty() || r.table.rows() * MIN_EVENTS_PER_ROW <= self.events
        };
        self.rollups.iter().filter(is_useful).flat_map(|growing| {
            let last =
                std::iter::once_with(|| Ok(Cow::Owned(compress(&growing.table, self.slice_ns)?)));
            let parts = growing.parts.iter().map(|part| Ok(Cow::Borrowed(part)));
            parts.chain(last)
        })
    }
}

/// Adds groups to a rollup. Returns the row of each group, [`NONE`] for groups that do not belong to the rollup.
fn add_to_table(
    table: &mut RollupTable,
    groups: &FacetGroups,
    facets: &PieceFacets<'_>,
) -> Vec<u32> {
    let measures = table.rollup.measures.iter();
    let measures: Vec<_> = measures.map(|m| groups.aggregates.get(m.column)).collect();
    let mut rows = vec![NONE; groups.ids.len()];
    for (group, ids) in groups.ids.iter().enumerate() {
        if table.includes(ids, facets) {
            let aggregates = measures.iter().flatten().map(|by_group| &by_group[group]);
            rows[group] = table.add(ids, facets, groups.counts[group], aggregates);
        }
    }
    rows
}

/// Encodes and compresses the rows of a rollup in one pass: the uncompressed stream would need their memory again.
fn compress(table: &RollupTable, slice_ns: i64) -> Result<Blob, ArrowError> {
    // The checksum lets readers detect damage.
    let mut encoder = zstd::Encoder::new(vec![], 3)?;
    encoder.include_checksum(true)?;
    let counting = CountingWriter {
        inner: encoder,
        bytes: 0,
    };
    let mut stream = StreamWriter::try_new(counting, &table.schema())?;
    for batch in table.batches() {
        stream.write(&batch?)?;
    }
    let CountingWriter {
        inner: encoder,
        bytes: size,
    } = stream.into_inner()?;
    Ok(Blob {
        name: table.rollup.name,
        bytes: encoder.finish()?,
        size,
        slice: table.has(Facet::Slice).then_some(slice_ns),
    })
}

/// A writer that counts its bytes.
struct CountingWriter<W> {
    inner: W,
    bytes: usize,
}

impl<W: Write> Write for CountingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl FacetGroups {
    /// Groups rows by the key ids of all facets. `rows` is an empty series for the result.
    fn new(facets: &[(Facet, Series)], rows: Series) -> FacetGroups {
        let mut groups = FacetGroups {
            rows,
            ..FacetGroups::default()
        };
        let runs: Vec<&[Run]> = facets.iter().map(|(_, series)| series.runs()).collect();
        for_each_common_run(&runs, |values, length| {
            let mut ids = FacetIds::default();
            for ((facet, _), value) in facets.iter().zip(values) {
                // Every row has an id.
                ids[*facet as usize] = value.unwrap_or(0) as u32;
            }
            let next = groups.ids.len() as u32;
            let group = *groups.index.entry(ids).or_insert(next);
            if group == next {
                groups.ids.push(ids);
                groups.counts.push(0);
            }
            groups.counts[group as usize] += length as i64;
            groups.rows.push(Some(group.into()), length);
        });
        groups
    }

    /// Aggregates the column of a measure by group.
    fn aggregate(&mut self, name: &'static str, values: &Series) {
        let mut aggregates = vec![Aggregate::default(); self.ids.len()];
        for_each_common_run(&[self.rows.runs(), values.runs()], |values, length| {
            if let [Some(group), Some(value)] = values {
                aggregates[*group as usize].add(*value, length as i64);
            }
        });
        self.aggregates.insert(name, aggregates);
    }
}

#[cfg(test)]
mod tests;
