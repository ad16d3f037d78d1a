//! The journal beside a Parquet file: rows that do not fill a row group yet.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use ctrace_format::unclosed::journal;
use ctrace_schema::columns::COLUMNS;
use zstd::bulk::Compressor;

use crate::rows::Events;
use crate::rows::arrow::{field, runs};
use crate::sink::parquet::medium::{Medium, Whole};

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
        let series = columns.column(column.name);
        let texts = columns.strings();
        let column = match series.runs().len() * LONG <= series.rows() {
            true => runs(column, &series, texts)?,
            false => field(column, &series, texts),
        };
        columns.return_buffer(series);
        if let Some((field, array)) = column {
            fields.push(field);
            arrays.push(array);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}
