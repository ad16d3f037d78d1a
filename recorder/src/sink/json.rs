//! JSON lines on stdout: one object per event, without its null columns.

use std::io::{BufWriter, Stdout, Write};
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Schema, TimestampNanosecondType};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;

use crate::rows::Events;
use crate::sink::stdout::detect_closed_pipe;
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, Sink};

pub(crate) struct JsonLines {
    out: BufWriter<Stdout>,
    bytes: u64,
}

impl JsonLines {
    pub(crate) fn new() -> JsonLines {
        JsonLines {
            out: BufWriter::new(std::io::stdout()),
            bytes: 0,
        }
    }
}

impl Sink for JsonLines {
    fn batch_policy(&self) -> BatchPolicy {
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
        detect_closed_pipe(self.out.write_all(&lines).and_then(|()| self.out.flush()))
    }

    fn finish(mut self: Box<Self>, _: &Summary) -> Result<u64> {
        detect_closed_pipe(self.out.flush())?;
        Ok(self.bytes)
    }
}

/// Returns the batch with its timestamps in the zone `+00:00`. arrow-json formats a zone given by name, such as `UTC`,
/// only with a time zone database, which is not compiled in.
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
