//! JSON lines: an object per event, without the columns that are null.

use std::io::{BufWriter, Stdout, Write};

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;

use super::{Sink, Summary, closed_pipe_is_the_end};

/// JSON lines on stdout.
pub struct JsonLines {
    out: BufWriter<Stdout>,
    bytes: u64,
}

impl JsonLines {
    /// Writes to stdout.
    pub fn new() -> JsonLines {
        JsonLines {
            out: BufWriter::new(std::io::stdout()),
            bytes: 0,
        }
    }
}

impl Sink for JsonLines {
    fn rows(&self) -> usize {
        8192
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut lines = Vec::new();
        LineDelimitedWriter::new(&mut lines)
            .write(batch)
            .map_err(|e| match e {
                ArrowError::IoError(message, _) => anyhow::anyhow!(message),
                e => e.into(),
            })?;
        self.bytes += lines.len() as u64;
        closed_pipe_is_the_end(self.out.write_all(&lines).and_then(|()| self.out.flush()))
    }

    fn finish(mut self: Box<Self>, _: &Summary) -> Result<u64> {
        closed_pipe_is_the_end(self.out.flush())?;
        Ok(self.bytes)
    }
}
