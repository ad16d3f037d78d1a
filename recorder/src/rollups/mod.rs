//! Counts the events of a recording by a few columns as it is written: the rollups that [`ctrace_schema::rollups`]
//! defines.
//!
//! A column is a list of runs. Where no key changes over a stretch of rows, it costs one look-up, and each measure a sum.
//! All rollups come from the same groups of a batch, which are far fewer than its rows.

mod facet;
mod sums;
mod table;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use ctrace_schema::rollups::{Facet, Measure, ROLLUPS, SLICES, Stat};
use facet::{FoundFacets, longer};
use rustc_hash::FxHashMap;
use sums::Sum;
use table::{FacetNumbers, NONE, ROW, RollupTable};

use crate::limits::memory::{Memory, trim};
use crate::rows::Events;
use crate::rows::runs::{Run, Series, stretches};

/// Rows of a rollup by time: where there are more, its slices become longer.
const MOST_SLICED: usize = 8_192;
/// Events of the recording to a row, at least: a rollup that is hardly smaller is no use.
const LEAST: usize = 4;
/// Events to a byte of a rollup in parts, at least: it should not make a recording much larger.
const LEAST_TO_BYTE: usize = 8;
/// Rollups that stay as long as there are others: others are held against them, and most questions are about them.
const KEPT: [&str; 3] = ["lives", "calls", "activity"];
/// Of the rows that may be in memory one in so many may in any case.
const ONE_IN: usize = 4;
/// Rows that are grouped at a time, which bounds the memory that groups take.
const PIECE: usize = 8_192;

/// The rollups of a recording so far.
#[derive(Debug)]
pub struct Rollups {
    /// Rows that may be in memory. Where there are more, the largest rollup is ended, and what follows becomes another part of
    /// it.
    most: usize,
    /// Bytes of parts, which are kept until the end: where there would be more, a rollup is left out.
    most_bytes: usize,
    memory: Memory,
    tables: Vec<Growing>,
    slice: i64,
    events: usize,
    /// Bytes of all parts.
    bytes: usize,
}

/// A rollup that grows.
#[derive(Debug)]
struct Growing {
    /// Those parts that are ended.
    parts: Vec<Blob>,
    /// Events of the recording before the one that is not.
    before: usize,
    table: RollupTable,
}

/// A rollup as it stands in a file, or a part of one.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its name.
    pub name: &'static str,
    /// A zstd frame.
    pub bytes: Vec<u8>,
    /// Bytes of what is in the frame.
    pub size: usize,
    /// Nanoseconds of a slice, where it has slices.
    pub slice: Option<i64>,
}

/// Rows of a batch with the same values in all keys.
#[derive(Default)]
struct Groups {
    index: FxHashMap<FacetNumbers, u32>,
    numbers: Vec<FacetNumbers>,
    counts: Vec<i64>,
    /// The group of each row.
    rows: Series,
    /// By measure, then by group.
    sums: BTreeMap<&'static str, Vec<Sum>>,
}

impl Rollups {
    /// Of no events, within `memory`.
    pub fn new(memory: Memory) -> Rollups {
        Rollups::within(memory, memory.rollups() / ROW, memory.rollups() / 2)
    }

    /// Likewise, with so many rows in memory and so many bytes of parts.
    fn within(memory: Memory, most: usize, most_bytes: usize) -> Rollups {
        let growing = |rollup| Growing {
            parts: vec![],
            before: 0,
            table: RollupTable::new(rollup),
        };
        Rollups {
            most,
            most_bytes,
            memory,
            tables: ROLLUPS.iter().map(growing).collect(),
            slice: SLICES[0],
            events: 0,
            bytes: 0,
        }
    }

    /// Adds the events of a batch.
    pub fn add(&mut self, columns: &dyn Events) {
        self.events += columns.rows();
        for from in (0..columns.rows()).step_by(PIECE) {
            // What is different in each row of a batch would take more memory than all that is kept of it.
            self.tables.iter_mut().for_each(|g| g.table.turn());
            let mut found = FoundFacets::new(columns);
            let until = columns.rows().min(from + PIECE);
            let Some(view) = columns.view(from..until) else {
                self.add_piece(columns, &mut found);
                break;
            };
            self.add_piece(&*view, &mut found);
        }
        self.lengthen_slices();
    }

    fn add_piece(&mut self, piece: &dyn Events, found: &mut FoundFacets<'_>) {
        let uses = |facet: &Facet| self.tables.iter().any(|g| g.table.has(*facet));
        let facets = Facet::ALL.into_iter().filter(uses);
        let facets = facets.map(|facet| (facet, found.number(facet, piece, self.slice)));
        let facets: Vec<(Facet, Series)> = facets.collect();
        let mut groups = Groups::of(&facets, piece.empty(piece.rows()));
        let tables = self.tables.iter();
        let measures = tables.flat_map(|growing| growing.table.rollup.measures);
        let values = measures.map(|m| (m.column, Series::default()));
        let mut values: BTreeMap<_, _> = values.collect();
        for (name, series) in &mut values {
            *series = piece.series(name);
            groups.measure(name, series);
        }
        self.take(&groups, &values, found);
        let facets = facets.into_iter().map(|(_, series)| series);
        let all = facets.chain(values.into_values()).chain([groups.rows]);
        all.for_each(|series| piece.reuse(series));
    }

    /// Adds a piece of a batch, of which `values` are those of the measures.
    fn take(
        &mut self,
        groups: &Groups,
        values: &BTreeMap<&'static str, Series>,
        found: &FoundFacets<'_>,
    ) {
        let most = self.most_now();
        let mut at = 0;
        while let Some(Growing { table, .. }) = self.tables.get_mut(at) {
            let rows = add(table, groups, found);
            let counted = |m: &&Measure| m.stats.contains(&Stat::Histogram);
            if let Some(measure) = table.rollup.measures.iter().find(counted)
                && let Some(measured) = values.get(measure.column)
            {
                stretches(&[groups.rows.runs(), measured.runs()], |values, times| {
                    if let [Some(group), Some(value)] = values {
                        match rows[*group as usize] {
                            NONE => {}
                            row => table.count(row, *value, times),
                        }
                    }
                });
            }
            at += 1;
            while self.weight() > most {
                let (largest, dropped) = self.end_largest();
                if dropped && largest < at {
                    at -= 1;
                }
            }
        }
    }

    /// Rows that may be in memory now: no more than others have left.
    fn most_now(&self) -> usize {
        let left = self.weight() + self.memory.available() / ROW;
        let rows = left.saturating_sub(self.memory.reserved_from_rollups() / ROW);
        rows.clamp(self.most / ONE_IN, self.most)
    }

    fn weight(&self) -> usize {
        self.tables.iter().map(|g| g.table.weight()).sum()
    }

    /// Ends the largest rollup. If that is not worth its space it is left out, or another in place of one of [`KEPT`]: returns
    /// which it was, and whether it is gone.
    fn end_largest(&mut self) -> (usize, bool) {
        let weights = self.tables.iter().map(|g| g.table.weight()).enumerate();
        let largest = weights.max_by_key(|(_, weight)| *weight);
        let largest = largest.map_or(0, |(at, _)| at);
        let growing = &mut self.tables[largest];
        if let Ok(part) = blob(&growing.table, self.slice)
            && part.bytes.len() * LEAST_TO_BYTE <= self.events - growing.before
            && self.bytes + part.bytes.len() <= self.most_bytes
        {
            self.bytes += part.bytes.len();
            growing.parts.push(part);
            growing.table = RollupTable::new(growing.table.rollup);
            growing.before = self.events;
            trim();
            return (largest, false);
        }
        let kept = |at: &usize| KEPT.contains(&self.tables[*at].table.rollup.name);
        let others = (0..self.tables.len()).filter(|at| !kept(at));
        let other = others.max_by_key(|at| self.tables[*at].table.weight());
        let gone = if kept(&largest) {
            other.unwrap_or(largest)
        } else {
            largest
        };
        let parts = self.tables[gone].parts.iter();
        self.bytes -= parts.map(|part| part.bytes.len()).sum::<usize>();
        self.tables.remove(gone);
        trim();
        (gone, true)
    }

    /// Makes the slices longer where there are too many.
    fn lengthen_slices(&mut self) {
        let large = |g: &Growing| g.table.has(Facet::Slice) && g.table.rows() > MOST_SLICED;
        while self.tables.iter().any(large)
            && let Some(slice) = longer(self.slice)
        {
            self.slice = slice;
            for Growing { table, .. } in &mut self.tables {
                table.lengthen(slice);
            }
        }
    }

    /// What stands in the file.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn blobs(&self) -> impl Iterator<Item = Result<Cow<'_, Blob>, ArrowError>> {
        let worth = |g: &&Growing| !g.parts.is_empty() || g.table.rows() * LEAST <= self.events;
        self.tables.iter().filter(worth).flat_map(|growing| {
            let last = std::iter::once_with(|| Ok(Cow::Owned(blob(&growing.table, self.slice)?)));
            let parts = growing.parts.iter().map(|part| Ok(Cow::Borrowed(part)));
            parts.chain(last)
        })
    }
}

/// Adds groups to a rollup: returns the row of each, [`NONE`] where it is not of it.
fn add(table: &mut RollupTable, groups: &Groups, found: &FoundFacets<'_>) -> Vec<u32> {
    let measures = table.rollup.measures.iter();
    let sums: Vec<_> = measures.map(|m| groups.sums.get(m.column)).collect();
    let mut rows = vec![NONE; groups.numbers.len()];
    for (group, numbers) in groups.numbers.iter().enumerate() {
        if table.takes(numbers, found) {
            let sums = sums.iter().filter_map(|sums| sums.map(|sums| &sums[group]));
            rows[group] = table.add(numbers, found, groups.counts[group], sums);
        }
    }
    rows
}

/// A rollup or a part of one is compressed as it is written: as a whole it would be in memory once more.
fn blob(table: &RollupTable, slice: i64) -> Result<Blob, ArrowError> {
    // With a checksum, so that what is damaged is not read.
    let mut encoder = zstd::Encoder::new(vec![], 3)?;
    encoder.include_checksum(true)?;
    let to = Counted {
        to: encoder,
        size: 0,
    };
    let mut stream = StreamWriter::try_new(to, &table.schema())?;
    for batch in table.batches() {
        stream.write(&batch?)?;
    }
    let Counted { to: encoder, size } = stream.into_inner()?;
    Ok(Blob {
        name: table.rollup.name,
        bytes: encoder.finish()?,
        size,
        slice: table.has(Facet::Slice).then_some(slice),
    })
}

/// A writer that knows how many bytes it was given.
struct Counted<W> {
    to: W,
    size: usize,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.size += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Groups {
    /// Groups rows. `rows` has none yet.
    fn of(keys: &[(Facet, Series)], rows: Series) -> Groups {
        let mut groups = Groups {
            rows,
            ..Groups::default()
        };
        let runs: Vec<&[Run]> = keys.iter().map(|(_, series)| series.runs()).collect();
        stretches(&runs, |values, length| {
            let mut numbers = FacetNumbers::default();
            for ((facet, _), value) in keys.iter().zip(values) {
                // All have a number.
                numbers[*facet as usize] = value.unwrap_or(0) as u32;
            }
            let next = groups.numbers.len() as u32;
            let group = *groups.index.entry(numbers).or_insert(next);
            if group == next {
                groups.numbers.push(numbers);
                groups.counts.push(0);
            }
            groups.counts[group as usize] += length as i64;
            groups.rows.push(Some(group.into()), length);
        });
        groups
    }

    /// Sums up a measure by group.
    fn measure(&mut self, name: &'static str, values: &Series) {
        let mut sums = vec![Sum::default(); self.numbers.len()];
        stretches(&[self.rows.runs(), values.runs()], |values, length| {
            if let [Some(group), Some(value)] = values {
                sums[*group as usize].add(*value, length as i64);
            }
        });
        self.sums.insert(name, sums);
    }
}

#[cfg(test)]
mod tests;
