//! The journal beside a Parquet file: rows that do not fill a row group yet.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, RunArray, StringArray,
};
use arrow::datatypes::{Field, Int32Type, Schema};
use arrow::error::ArrowError;
use ctrace_schema::columns::{COLUMNS, Column, Type};
use ctrace_schema::unclosed::journal;
use rustc_hash::FxHashMap;
use zstd::bulk::Compressor;

use super::medium::{Medium, Whole};
use crate::columns::{array, unsigned};
use crate::events::Events;
use crate::series::{Run, Series};

/// Rows to a run, in the mean, from which on a column is told as runs: most are, and then cost next to nothing.
const LONG: usize = 4;

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
        let texts = columns.texts();
        let column = match series.runs().len() * LONG <= series.rows() {
            true => runs(column, &series, texts)?,
            false => field(column, &series, texts),
        };
        columns.reuse(series);
        if let Some((field, array)) = column {
            fields.push(field);
            arrays.push(array);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// A column with a value for each row; None: there is nothing in it.
pub fn field(column: &Column, series: &Series, texts: &[Arc<str>]) -> Option<(Field, ArrayRef)> {
    if series.nulls() == series.rows() {
        return None;
    }
    let array = each_row(column.ty, series, texts);
    let ty = array.data_type().clone();
    Some((Field::new(column.name, ty, column.nullable), array))
}

fn each_row(ty: Type, series: &Series, texts: &[Arc<str>]) -> ArrayRef {
    array(ty, series.iter()).unwrap_or_else(|| dictionary(series, texts))
}

/// Likewise, with a value for each run.
fn runs(
    column: &Column,
    series: &Series,
    texts: &[Arc<str>],
) -> Result<Option<(Field, ArrayRef)>, ArrowError> {
    if series.nulls() == series.rows() {
        return Ok(None);
    }
    let mut end = 0;
    let ends = series.runs().iter().map(|run| {
        end += run.rows() as i32;
        end
    });
    let ends = Int32Array::from_iter_values(ends);
    let values: Series = series.runs().iter().map(|run| run.value()).collect();
    let values = each_row(column.ty, &values, texts);
    let array = RunArray::<Int32Type>::try_new(&ends, &values)?;
    let ty = array.data_type().clone();
    Ok(Some((
        Field::new(column.name, ty, column.nullable),
        Arc::new(array),
    )))
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
