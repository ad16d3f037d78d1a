//! Answers for other programs: CSV, TSV, JSON, and Arrow IPC.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json;

use crate::output::answer_writer::AnswerWriter;
use crate::output::batch_writer::{BatchWriter, TIME_FORMAT};
use crate::output::escape::{self, JsonEscaper};

/// CSV and TSV, with a header even if the answer has no rows.
pub(crate) struct DelimitedWriter {
    to: csv::Writer<AnswerWriter>,
    schema: SchemaRef,
}

impl DelimitedWriter {
    pub(crate) fn new(
        delimiter: u8,
        schema: &SchemaRef,
        writer: AnswerWriter,
    ) -> Result<Self, ArrowError> {
        let mut to = csv::WriterBuilder::new()
            .with_delimiter(delimiter)
            .with_timestamp_format(TIME_FORMAT.into())
            .with_timestamp_tz_format(TIME_FORMAT.into())
            .build(writer);
        let schema = escape::schema(schema);
        to.write(&RecordBatch::new_empty(schema.clone()))?;
        Ok(DelimitedWriter { to, schema })
    }
}

impl BatchWriter for DelimitedWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.to.write(&escape::batch(batch, &self.schema)?)
    }
    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.to.into_inner().finish()?)
    }
}

/// Writes one JSON array.
pub(crate) struct JsonWriter(json::Writer<JsonEscaper<AnswerWriter>, json::writer::JsonArray>);

impl JsonWriter {
    pub(crate) fn new(writer: AnswerWriter) -> Self {
        JsonWriter(json::WriterBuilder::new().build(JsonEscaper::new(writer)))
    }
}

impl BatchWriter for JsonWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.0.write(batch)
    }
    fn finish(mut self: Box<Self>) -> Result<(), ArrowError> {
        self.0.finish()?;
        let mut writer = self.0.into_inner().into_inner();
        writer.write_all(b"\n")?;
        Ok(writer.finish()?)
    }
}

/// Writes one JSON object per line.
pub(crate) struct NdjsonWriter(
    json::Writer<JsonEscaper<AnswerWriter>, json::writer::LineDelimited>,
);

impl NdjsonWriter {
    pub(crate) fn new(writer: AnswerWriter) -> Self {
        NdjsonWriter(json::WriterBuilder::new().build(JsonEscaper::new(writer)))
    }
}

impl BatchWriter for NdjsonWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.0.write(batch)
    }
    fn finish(mut self: Box<Self>) -> Result<(), ArrowError> {
        self.0.finish()?;
        Ok(self.0.into_inner().into_inner().finish()?)
    }
}

impl BatchWriter for StreamWriter<AnswerWriter> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.write(batch)
    }
    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.into_inner()?.finish()?)
    }
}
