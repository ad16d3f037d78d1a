//! The journal: a file next to the recording with the rows that are not in a complete row group yet.
//!
//! A journal is a sequence of frames. A frame consists of the length of its content (4 bytes, little-endian), the CRC-32 of its
//! content (likewise), and the content: an Arrow IPC stream of one record batch, compressed with zstd. The batch has the
//! columns of [`ctrace_schema::columns`] except for columns that are null in all of its rows. A column with few changes of
//! value is run-end encoded. An incomplete frame is the end of the journal.

use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, RecordBatch, RunArray, UInt32Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Field, Schema};
use arrow_select::take::take;
use zstd::bulk::Compressor;

use crate::names;

/// Length and CRC-32 before the content of each frame.
const HEADER_BYTES: usize = 8;
/// Limit for the uncompressed stream of a frame; longer streams are cut off, which makes them invalid.
const MAX_STREAM_BYTES: u64 = 1 << 30;
/// Limit for the rows of a frame. With run-end encoding a frame of few bytes can claim to have any number of rows.
const MAX_ROWS: usize = 1 << 22;

/// Returns the path of a recording's journal: `.journal` is appended to the name.
pub fn path(recording: &Path) -> PathBuf {
    names::with_suffix(recording, names::JOURNAL)
}

/// Encodes a batch as a frame.
///
/// # Errors
/// zstd has no memory, or Arrow cannot encode a type of the batch.
pub fn frame(batch: &RecordBatch, zstd: &mut Compressor<'_>) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(vec![], &batch.schema())?;
    writer.write(batch)?;
    let stream = writer.into_inner()?;
    let content = zstd.compress(&stream)?;
    let mut frame = Vec::with_capacity(HEADER_BYTES + content.len());
    frame.extend_from_slice(&(content.len() as u32).to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
    frame.extend_from_slice(&content);
    Ok(frame)
}

/// Reads the batches of a journal, up to the first incomplete frame.
///
/// # Errors
/// A complete frame does not contain a batch.
pub fn read(journal: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    batches(journal).collect()
}

/// Reads the batches of a journal lazily, up to the first incomplete frame.
///
/// # Errors
/// A complete frame does not contain a batch, or `journal` cannot be read.
pub fn batches(mut journal: impl Read) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
    std::iter::from_fn(move || {
        let content = next_content(&mut journal).transpose()?;
        Some(
            content
                .map_err(Into::into)
                .and_then(|content| batch(&content)),
        )
    })
}

fn batch(content: &[u8]) -> Result<RecordBatch, ArrowError> {
    let mut stream = vec![];
    zstd::Decoder::new(content)?
        .take(MAX_STREAM_BYTES)
        .read_to_end(&mut stream)?;
    let mut reader = StreamReader::try_new(Cursor::new(stream), None)?;
    let batch = reader.next();
    expand_runs(&batch.ok_or_else(|| ArrowError::IpcError("a frame of no rows".to_string()))??)
}

/// Decodes the run-end encoded columns of a batch.
fn expand_runs(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if batch.num_rows() > MAX_ROWS {
        let rows = batch.num_rows();
        return Err(ArrowError::IpcError(format!("a frame of {rows} rows")));
    }
    let columns = batch.columns().iter().map(expand_column);
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let fields = batch
        .schema()
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| {
            Field::new(
                field.name(),
                column.data_type().clone(),
                field.is_nullable(),
            )
        })
        .collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn expand_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(runs) = column.as_any().downcast_ref::<RunArray<Int32Type>>() else {
        return Ok(column.clone());
    };
    let mut start = 0;
    let indices = (0..).zip(runs.run_ends().values()).flat_map(|(run, end)| {
        let rows = end.saturating_sub(start).max(0) as usize;
        start = *end;
        std::iter::repeat_n(run, rows)
    });
    let indices = UInt32Array::from_iter_values(indices.take(column.len()));
    take(runs.values(), &indices, None)
}

/// Reads the content of the next frame. Returns `None` if the frame is incomplete.
fn next_content(journal: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = vec![];
    let limit = HEADER_BYTES as u64;
    journal.by_ref().take(limit).read_to_end(&mut header)?;
    let Some(([len, crc], [])) = header
        .split_at_checked(HEADER_BYTES)
        .map(|(header, _)| header.as_chunks())
    else {
        return Ok(None);
    };
    let [len, crc] = [len, crc].map(|bytes: &[u8; 4]| u32::from_le_bytes(*bytes));
    let mut content = vec![];
    journal.take(len.into()).read_to_end(&mut content)?;
    let complete = len > 0 && content.len() == len as usize && crc32fast::hash(&content) == crc;
    Ok(complete.then_some(content))
}

/// Reads the bytes of a recording's journal. A missing journal is empty.
pub(super) fn bytes(recording: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path(recording)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use arrow_array::{Int32Array, Int64Array, StringArray};

    use super::*;

    fn batch(values: &[i64]) -> RecordBatch {
        let column = Arc::new(Int64Array::from(values.to_vec())) as _;
        RecordBatch::try_from_iter([("seq", column)]).unwrap()
    }

    #[test]
    fn complete_frames_are_read_wherever_the_journal_ends() {
        let mut zstd = Compressor::new(1).unwrap();
        let batches = [batch(&[1, 2, 3]), batch(&[4]), batch(&[5, 6])];
        let mut journal = vec![];
        let mut ends = vec![];
        for batch in &batches {
            journal.extend(frame(batch, &mut zstd).unwrap());
            ends.push(journal.len());
        }
        for len in 0..=journal.len() {
            let complete = ends.iter().filter(|end| **end <= len).count();
            let read = read(&journal[..len]).unwrap();
            assert_eq!(read, batches[..complete], "{len}");
        }
    }

    #[test]
    fn run_end_encoded_columns_are_expanded() {
        let ends = Int32Array::from(vec![2, 3, 6]);
        let values = StringArray::from(vec![Some("a"), None, Some("b")]);
        let runs = RunArray::<Int32Type>::try_new(&ends, &values).unwrap();
        let column = ("comm", Arc::new(runs) as ArrayRef, true);
        let batch = RecordBatch::try_from_iter_with_nullable([column]).unwrap();
        let frame = frame(&batch, &mut Compressor::new(1).unwrap()).unwrap();
        let rows = vec![Some("a"), Some("a"), None, Some("b"), Some("b"), Some("b")];
        let column = read(&frame).unwrap()[0].column(0).clone();
        assert_eq!(*column, StringArray::from(rows));
    }

    #[test]
    fn a_small_frame_with_too_many_rows_is_rejected() {
        let ends = Int32Array::from(vec![i32::MAX]);
        let runs = RunArray::<Int32Type>::try_new(&ends, &Int64Array::from(vec![1])).unwrap();
        let batch = RecordBatch::try_from_iter([("seq", Arc::new(runs) as ArrayRef)]).unwrap();
        let frame = frame(&batch, &mut Compressor::new(1).unwrap()).unwrap();
        assert!(read(&frame).unwrap_err().to_string().contains("rows"));
    }

    #[test]
    fn a_frame_with_a_wrong_bit_is_the_end() {
        let mut zstd = Compressor::new(1).unwrap();
        let mut journal = frame(&batch(&[1]), &mut zstd).unwrap();
        let first = journal.len();
        journal.extend(frame(&batch(&[2]), &mut zstd).unwrap());
        for i in first + 4..journal.len() {
            let mut damaged = journal.clone();
            damaged[i] ^= 1;
            assert_eq!(read(&damaged).unwrap(), [batch(&[1])], "{i}");
        }
        // Zeros, which some file systems leave behind after a power failure.
        journal.truncate(first);
        journal.resize(first + 100, 0);
        assert_eq!(read(&journal).unwrap(), [batch(&[1])]);
    }
}
