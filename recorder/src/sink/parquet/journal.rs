//! The journal beside a Parquet file: rows that do not fill a row group yet, as frames of [`ctrace_format::unclosed`].

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
use crate::sink::parquet::medium::{AtomicFile, FileEnd, Medium};

/// Columns whose runs have at least this many rows on average are written as run-end encoded arrays. Most columns are,
/// and then have almost no size.
const MIN_MEAN_RUN: usize = 4;

/// The journal of a file that is being written.
pub(crate) struct Journal {
    out: AtomicFile,
    zstd: Compressor<'static>,
    /// True if row groups contain all rows of the journal.
    covered: bool,
}

impl Journal {
    /// Begins an empty journal.
    ///
    /// # Errors
    /// zstd has no memory.
    pub(crate) fn new(medium: Box<dyn Medium>) -> Result<Journal> {
        Ok(Journal {
            out: AtomicFile::new(medium),
            // The fastest level: the journal is short-lived.
            zstd: Compressor::new(1)?,
            covered: false,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.out.len()
    }

    /// Appends rows.
    ///
    /// # Errors
    /// The rows cannot be written. Earlier rows of the journal are safe.
    pub(crate) fn append(&mut self, columns: &dyn Events) -> Result<()> {
        let frame = journal::frame(&journal_batch(columns)?, &mut self.zstd)?;
        self.out.append(|append| append.write_all(&frame))?;
        self.covered = false;
        Ok(())
    }

    /// Notes that row groups contain all rows of the journal now.
    pub(crate) fn set_covered(&mut self) {
        self.covered = true;
    }

    /// Empties the journal if row groups contain all of its rows.
    ///
    /// # Errors
    /// The journal cannot be truncated.
    pub(crate) fn empty_if_covered(&mut self) -> Result<()> {
        if self.covered && self.len() > 0 {
            self.out.truncate(FileEnd::default())?;
        }
        Ok(())
    }
}

/// Returns the columns that have a value in any row.
fn journal_batch(columns: &dyn Events) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut arrays) = (vec![], vec![]);
    for column in COLUMNS {
        let series = columns.column(column.name);
        let texts = columns.strings();
        let column = match series.runs().len() * MIN_MEAN_RUN <= series.rows() {
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
