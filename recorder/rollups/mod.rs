//! Counts the events of a recording by a few columns as it is written: the rollups that [`ctrace_schema::rollups`]
//! defines.
//!
//! A column is a list of runs. Where no key changes over a stretch of rows, it costs one look-up, and each measure a sum.
//! All rollups come from the same groups of a batch, which are far fewer than its rows.

mod facet;
mod sums;
mod table;

use std::collections::BTreeMap;
use std::io::{self, Write};

use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use ctrace_schema::rollups::{Facet, ROLLUPS, SLICES};
use rustc_hash::FxHashMap;

use crate::events::Events;
use crate::series::{Run, Series, stretches};
use facet::{Values, longer};
use sums::Sum;
use table::{Sets, Table};

/// Rows of all rollups together, some 100 bytes each: the largest is left out where there are more.
const MOST: usize = 131_072;
/// Rows of a rollup by time, and slices that it may have: where there are more, they become longer.
const MOST_SLICED: usize = 16_384;
const MOST_SLICES: usize = 4096;
/// Events that a row of a rollup stands for, at least, in the mean: a rollup that is hardly smaller is no use.
const LEAST: usize = 4;
/// Rows that are grouped at a time, which bounds the memory that groups take.
const PIECE: usize = 32_768;

/// The rollups of a recording so far.
#[derive(Debug)]
pub struct Rollups {
    /// By facet.
    values: Vec<Values>,
    tables: Vec<Table>,
    slice: i64,
    events: usize,
}

/// A rollup as it stands in a file.
#[derive(Debug)]
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
    numbers: FxHashMap<Sets, u32>,
    sets: Vec<Sets>,
    counts: Vec<i64>,
    /// By measure, then by group.
    sums: BTreeMap<&'static str, Vec<Sum>>,
}

impl Rollups {
    /// Of no events.
    pub fn new() -> Rollups {
        Rollups {
            values: Facet::ALL.map(Values::new).into(),
            tables: ROLLUPS.iter().map(Table::new).collect(),
            slice: SLICES[0],
            events: 0,
        }
    }

    /// Adds the events of a batch.
    pub fn add(&mut self, columns: &dyn Events) {
        self.events += columns.rows();
        let mut facets: Vec<(Facet, Series)> = vec![];
        for facet in Facet::ALL {
            if self.uses(facet) {
                let numbers = self.numbers(facet, columns);
                if self.values[facet as usize].is_full() {
                    self.drop_all(facet);
                } else {
                    facets.push((facet, numbers));
                }
            }
        }
        facets.retain(|(facet, _)| self.uses(*facet));
        let measures = self.tables.iter().flat_map(|table| table.rollup.measures);
        let names: BTreeMap<&str, ()> = measures.map(|m| (m.column, ())).collect();
        let measures: Vec<_> = names
            .keys()
            .map(|name| (*name, columns.series(name)))
            .collect();

        let mut keys: Vec<_> = facets.iter().map(|(f, s)| (*f, s.pages(PIECE))).collect();
        let mut values: Vec<_> = measures.iter().map(|(n, s)| (*n, s.pages(PIECE))).collect();
        while let Some(keys) = next(&mut keys) {
            let mut groups = Groups::default();
            let rows = groups.of(&keys);
            for (name, runs) in next(&mut values).unwrap_or_default() {
                groups.measure(name, &rows, &runs);
            }
            self.take(&groups);
        }
        self.lengthen_slices();
    }

    fn uses(&self, facet: Facet) -> bool {
        let uses = |table: &Table| table.rollup.facets.contains(&facet);
        self.tables.iter().any(uses)
    }

    fn numbers(&mut self, facet: Facet, columns: &dyn Events) -> Series {
        loop {
            let values = &mut self.values[facet as usize];
            let numbers = values.numbers(columns, self.slice);
            if facet != Facet::Slice || values.len() <= MOST_SLICES || !self.longer_slices() {
                return numbers;
            }
        }
    }

    /// Leaves out all rollups that have `facet`, which has too many values.
    fn drop_all(&mut self, facet: Facet) {
        self.tables
            .retain(|table| !table.rollup.facets.contains(&facet));
        self.values[facet as usize] = Values::new(facet);
    }

    fn take(&mut self, groups: &Groups) {
        let mut rows: usize = self.tables.iter().map(Table::rows).sum();
        for (group, sets) in groups.sets.iter().enumerate() {
            for table in &mut self.tables {
                if table.takes(sets, &self.values) {
                    let sum = |measure: &ctrace_schema::rollups::Measure| {
                        groups.sums.get(measure.column).map(|sums| &sums[group])
                    };
                    let sums = table.rollup.measures.iter().filter_map(sum);
                    rows += usize::from(table.add(sets, groups.counts[group], sums));
                }
            }
            while rows > MOST {
                rows -= self.drop_largest();
            }
        }
    }

    /// Leaves out the largest rollup, and returns how many rows it had.
    fn drop_largest(&mut self) -> usize {
        let sizes = self.tables.iter().map(Table::rows).enumerate();
        let Some((at, rows)) = sizes.max_by_key(|(_, rows)| *rows) else {
            return usize::MAX;
        };
        self.tables.remove(at);
        for facet in Facet::ALL {
            if !self.uses(facet) {
                self.values[facet as usize] = Values::new(facet);
            }
        }
        rows
    }

    fn lengthen_slices(&mut self) {
        let large = |table: &Table| {
            table.rollup.facets.contains(&Facet::Slice) && table.rows() > MOST_SLICED
        };
        while self.tables.iter().any(large) && self.longer_slices() {}
    }

    /// Makes the slices longer; false: they are as long as can be.
    fn longer_slices(&mut self) -> bool {
        let Some(slice) = longer(self.slice) else {
            return false;
        };
        self.slice = slice;
        let (values, numbers) = self.values[Facet::Slice as usize].lengthened(slice);
        self.values[Facet::Slice as usize] = values;
        for table in &mut self.tables {
            if table.rollup.facets.contains(&Facet::Slice) {
                *table = table.renumbered(Facet::Slice, &numbers);
            }
        }
        true
    }

    /// What stands in the file.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn blobs(&self) -> Result<Vec<Blob>, ArrowError> {
        let pays = |table: &&Table| table.rows() * LEAST <= self.events;
        let tables = self.tables.iter().filter(pays);
        tables.map(|table| self.blob(table)).collect()
    }

    fn blob(&self, table: &Table) -> Result<Blob, ArrowError> {
        let batch = table.batch(&self.values)?;
        let mut stream = StreamWriter::try_new(vec![], &batch.schema())?;
        stream.write(&batch)?;
        let stream = stream.into_inner()?;
        let sliced = table.rollup.facets.contains(&Facet::Slice);
        Ok(Blob {
            name: table.rollup.name,
            bytes: compressed(&stream)?,
            size: stream.len(),
            slice: sliced.then_some(self.slice),
        })
    }
}

/// With a checksum, so that what is damaged is not read.
fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(vec![], 3)?;
    encoder.include_checksum(true)?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The next piece of each column; None: there is none.
fn next<K: Copy, I: Iterator<Item = Vec<Run>>>(
    columns: &mut [(K, I)],
) -> Option<Vec<(K, Vec<Run>)>> {
    let pieces = columns
        .iter_mut()
        .map(|(name, pieces)| Some((*name, pieces.next()?)));
    let pieces: Option<Vec<_>> = pieces.collect();
    pieces.filter(|pieces| !pieces.is_empty())
}

impl Groups {
    /// Groups rows, and returns the group of each.
    fn of(&mut self, keys: &[(Facet, Vec<Run>)]) -> Series {
        let runs: Vec<&[Run]> = keys.iter().map(|(_, runs)| runs.as_slice()).collect();
        let mut rows = Series::default();
        stretches(&runs, |values, length| {
            let mut sets = Sets::default();
            for ((facet, _), value) in keys.iter().zip(values) {
                // All have a number, for their facet is not full.
                sets[*facet as usize] = value.unwrap_or(0) as u32;
            }
            let next = self.sets.len() as u32;
            let group = *self.numbers.entry(sets).or_insert(next);
            if group == next {
                self.sets.push(sets);
                self.counts.push(0);
            }
            self.counts[group as usize] += length as i64;
            rows.push(Some(group.into()), length);
        });
        rows
    }

    /// Sums up a measure by group.
    fn measure(&mut self, name: &'static str, rows: &Series, runs: &[Run]) {
        let mut sums = vec![Sum::default(); self.sets.len()];
        stretches(&[rows.runs(), runs], |values, length| {
            if let [Some(group), Some(value)] = values {
                sums[*group as usize].add(*value, length as i64);
            }
        });
        self.sums.insert(name, sums);
    }
}
