//! JSON lines: an object per event, without the columns that are null.

use std::io::{BufWriter, Stdout, Write};
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Schema, TimestampNanosecondType};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;

use crate::rows::Events;
use crate::sink::stdout::closed_pipe_is_the_end;
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, Sink};

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
    fn wants(&self) -> BatchPolicy {
        BatchPolicy::LINES
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        let batch = with_numeric_zone(&columns.record_batch()?)?;
        let mut lines = Vec::new();
        LineDelimitedWriter::new(&mut lines)
            .write(&batch)
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

/// The batch with its times in the zone `+00:00`: the writer knows zones by their name only with a database of them.
fn with_numeric_zone(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        match column.as_primitive_opt::<TimestampNanosecondType>() {
            Some(times) => {
                let times: ArrayRef = Arc::new(times.clone().with_timezone("+00:00"));
                let zoned = field
                    .as_ref()
                    .clone()
                    .with_data_type(times.data_type().clone());
                fields.push(Arc::new(zoned));
                columns.push(times);
            }
            None => {
                fields.push(field.clone());
                columns.push(column.clone());
            }
        }
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
