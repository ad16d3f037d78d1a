//! Rows that were stored in the journal's form and read back, as columns for a sink.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use rustc_hash::FxHashMap;

use crate::rows::Events;
use crate::rows::batch::Strings;
use crate::rows::runs::Series;

/// Rows that were read back, in one or more record batches.
#[derive(Default)]
pub(crate) struct StoredRows {
    batches: Vec<StoredBatch>,
    strings: Strings,
    rows: usize,
}

struct StoredBatch {
    batch: RecordBatch,
    /// The index in [`StoredRows::strings`] of each value of the dictionary, by text column.
    texts: FxHashMap<String, Vec<i64>>,
}

impl StoredRows {
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Appends a record batch in the journal's form.
    pub(crate) fn push(&mut self, batch: RecordBatch) {
        let mut texts = FxHashMap::default();
        let schema = batch.schema();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let values = column.as_dictionary_opt::<UInt32Type>();
            if let Some(values) = values.and_then(|d| d.values().as_string_opt::<i32>()) {
                let intern = |text: Option<&str>| self.strings.intern_opt(text).into();
                texts.insert(field.name().clone(), values.iter().map(intern).collect());
            }
        }
        self.rows += batch.num_rows();
        self.batches.push(StoredBatch { batch, texts });
    }

    /// Returns the values of a column in a range of rows.
    fn column_in(&self, name: &str, rows: Range<usize>) -> Series {
        let (mut series, mut before) = (Series::default(), 0);
        for stored in &self.batches {
            let until = before + stored.batch.num_rows();
            let (from, to) = (rows.start.max(before), rows.end.min(until));
            if from < to {
                stored.append_column(name, from - before..to - before, &mut series);
            }
            before = until;
        }
        series
    }
}

impl StoredBatch {
    /// Appends the values of a column in a range of rows.
    fn append_column(&self, name: &str, rows: Range<usize>, series: &mut Series) {
        let Some(column) = self.batch.column_by_name(name) else {
            series.push(None, rows.len());
            return;
        };
        let mut push = |row: usize, value: i64| {
            series.push(column.is_valid(row).then_some(value), 1);
        };
        match column.data_type() {
            DataType::Timestamp(..) => {
                let values = column.as_primitive::<TimestampNanosecondType>();
                rows.for_each(|row| push(row, values.value(row)));
            }
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>();
                rows.for_each(|row| push(row, values.value(row)));
            }
            DataType::Int32 => {
                let values = column.as_primitive::<Int32Type>();
                rows.for_each(|row| push(row, values.value(row).into()));
            }
            DataType::UInt32 => {
                let values = column.as_primitive::<UInt32Type>();
                rows.for_each(|row| push(row, values.value(row).into()));
            }
            DataType::Boolean => {
                let values = column.as_boolean();
                rows.for_each(|row| push(row, values.value(row).into()));
            }
            _ => {
                let keys = column.as_dictionary_opt::<UInt32Type>().map(|d| d.keys());
                let texts = self.texts.get(name);
                let text = |row| texts?.get(keys?.value(row) as usize).copied();
                for row in rows {
                    let value = column.is_valid(row).then(|| text(row)).flatten();
                    series.push(value, 1);
                }
            }
        }
    }
}

impl Events for StoredRows {
    fn rows(&self) -> usize {
        self.rows
    }

    fn strings(&self) -> &[Arc<str>] {
        &self.strings.list
    }

    fn column(&self, name: &str) -> Series {
        self.column_in(name, 0..self.rows)
    }

    fn slice(&self, rows: Range<usize>) -> Option<Box<dyn Events + '_>> {
        Some(Box::new(StoredView { stored: self, rows }))
    }
}

/// A range of the rows.
struct StoredView<'a> {
    stored: &'a StoredRows,
    rows: Range<usize>,
}

impl Events for StoredView<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn strings(&self) -> &[Arc<str>] {
        self.stored.strings()
    }

    fn column(&self, name: &str) -> Series {
        self.stored.column_in(name, self.rows.clone())
    }
}
