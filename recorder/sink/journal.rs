//! The journal beside a Parquet file: rows that do not fill a row group yet.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use ctrace_schema::columns::{COLUMNS, Column};
use ctrace_schema::unclosed::journal;
use rustc_hash::FxHashMap;
use zstd::bulk::Compressor;

use super::medium::{Medium, Whole};
use crate::columns::{array, unsigned};
use crate::events::Events;
use crate::series::{Run, Series};

/// A journal that is being written.
pub struct Journal {
    out: Whole,
    zstd: Compressor<'static>,
    /// Whether all its rows are in row groups.
    covered: bool,
}

impl Journal {
    /// An empty journal.
    ///
    /// # Errors
    /// zstd has no memory.
    pub fn new(medium: Box<dyn Medium>) -> Result<Journal> {
        Ok(Journal {
            out: Whole::new(medium),
            // Of little use for long: what is fastest.
            zstd: Compressor::new(1)?,
            covered: false,
        })
    }

    /// Its bytes.
    pub fn len(&self) -> u64 {
        self.out.len()
    }

    /// Adds rows.
    ///
    /// # Errors
    /// They cannot be written; what was in it is.
    pub fn append(&mut self, columns: &dyn Events) -> Result<()> {
        let frame = journal::frame(&batch(columns)?, &mut self.zstd)?;
        self.out.append(|piece| piece.write_all(&frame))?;
        self.covered = false;
        Ok(())
    }

    /// All its rows are in row groups now.
    pub fn cover(&mut self) {
        self.covered = true;
    }

    /// Empties it, if no row is only in it.
    ///
    /// # Errors
    /// It cannot be cut.
    pub fn empty(&mut self) -> Result<()> {
        if self.covered && self.len() > 0 {
            self.out.cut(0)?;
        }
        Ok(())
    }
}

/// The columns in which something is.
fn batch(columns: &dyn Events) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut arrays) = (vec![], vec![]);
    for column in COLUMNS {
        let series = columns.series(column.name);
        if let Some((field, array)) = field(column, &series, columns.texts()) {
            fields.push(field);
            arrays.push(array);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// A column as a journal has it; None: there is nothing in it.
pub fn field(column: &Column, series: &Series, texts: &[Arc<str>]) -> Option<(Field, ArrayRef)> {
    if series.nulls() == series.rows() {
        return None;
    }
    let array = array(column.ty, series.iter()).unwrap_or_else(|| dictionary(series, texts));
    let ty = array.data_type().clone();
    Some((Field::new(column.name, ty, column.nullable), array))
}

/// The values of a column of text, each once.
fn dictionary(series: &Series, texts: &[Arc<str>]) -> ArrayRef {
    let mut ids = FxHashMap::default();
    let mut values = vec![];
    let mut id = |text: i64| {
        *ids.entry(text).or_insert_with(|| {
            values.push(texts.get(text as usize).map_or("", |text| text));
            values.len() as i64 - 1
        })
    };
    let renamed = |run: &Run| Run::new(run.value().map(&mut id), run.rows());
    let renamed: Vec<Run> = series.runs().iter().map(renamed).collect();
    let keys = renamed
        .iter()
        .flat_map(|run| std::iter::repeat_n(run.value(), run.rows()));
    let keys = unsigned(keys);
    Arc::new(DictionaryArray::new(
        keys,
        Arc::new(StringArray::from(values)),
    ))
}
