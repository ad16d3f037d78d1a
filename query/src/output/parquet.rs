//! Answers as Parquet.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use ctrace_schema::meta;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::output::answer_writer::AnswerWriter;
use crate::output::batch_writer::BatchWriter;
use crate::output::error::OutputError;

/// Checks that Parquet has the types of an answer.
///
/// # Errors
/// A column is an interval.
pub(super) fn check_types(schema: &Schema) -> Result<(), OutputError> {
    let is_interval = |ty: &DataType| matches!(ty, DataType::Interval(_));
    let mut fields = schema.fields().iter();
    match fields.find(|field| is_interval(field.data_type())) {
        Some(field) => Err(OutputError::Interval(field.name().clone())),
        None => Ok(()),
    }
}

/// Starts a Parquet file with these key-value pairs in the footer. With any, the file is a recording, and gets a digest.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn parquet_writer(
    schema: &SchemaRef,
    mut writer: AnswerWriter,
    mut metadata: Vec<(String, String)>,
) -> Result<ArrowWriter<AnswerWriter>, ArrowError> {
    let is_recording = !metadata.is_empty();
    if is_recording && let Some(placeholder) = writer.digest_placeholder() {
        metadata.push((meta::KEY_DIGEST.to_string(), placeholder.to_string()));
    }
    let options = recording_options(metadata).with_skip_arrow_metadata(is_recording);
    Ok(ArrowWriter::try_new_with_options(
        writer,
        schema.clone(),
        options,
    )?)
}

/// Returns the writer options of recordings, with these key-value pairs in the footer.
pub(crate) fn recording_options(metadata: Vec<(String, String)>) -> ArrowWriterOptions {
    let pairs = metadata
        .into_iter()
        .map(|(key, value)| KeyValue::new(key, value))
        .collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(pairs))
        .build();
    // The recorder writes no Arrow schema either, so that an extract of a recording reads like the whole.
    ArrowWriterOptions::new()
        .with_skip_arrow_metadata(true)
        .with_properties(properties)
}

impl BatchWriter for ArrowWriter<AnswerWriter> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        Ok(self.write(batch)?)
    }
    fn end_group(&mut self) -> Result<(), ArrowError> {
        Ok(self.flush()?)
    }
    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.into_inner()?.finish()?)
    }
}
