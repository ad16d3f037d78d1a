//! The journal: a file next to the recording with the rows that are not in a complete row group yet.
//!
//! A journal is a sequence of frames. A frame consists of the length of its content (4 bytes, little-endian), the CRC-32 of its
//! content (likewise), and the content: an Arrow IPC stream of one record batch, compressed with zstd. The batch has the
//! columns of [`ctrace_schema::columns`] except for columns that are null in all of its rows. A column with few changes of
//! value is run-end encoded. An incomplete frame is the end of the journal.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, RecordBatch, RunArray, UInt32Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::take::take;
use zstd::bulk::Compressor;

use crate::{ipc, names, regular};

/// Length and CRC-32 before the content of each frame.
const HEADER_BYTES: usize = 8;
/// Limit for the rows of all frames, in bytes of memory. A frame of few bytes can claim to have any number of rows, because
/// it is compressed and its columns are run-end encoded. The recorder moves 262,144 rows at most from the journal to a row
/// group, which take some 100 MB.
const MAX_BYTES: u64 = 512 << 20;

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
/// A complete frame does not contain a batch, the batches need more memory than those of a recorder, or `journal` cannot
/// be read.
pub fn batches(mut journal: impl Read) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
    let mut budget = Budget(MAX_BYTES);
    std::iter::from_fn(move || {
        let content = next_content(&mut journal).transpose()?;
        Some(
            content
                .map_err(Into::into)
                .and_then(|content| batch(&content, &mut budget)),
        )
    })
}

/// The bytes of memory that the rest of a journal may need.
struct Budget(u64);

impl Budget {
    /// Takes `bytes` out of the budget.
    fn spend(&mut self, bytes: u64) -> Result<(), ArrowError> {
        let rest = self.0.checked_sub(bytes);
        self.0 = rest.ok_or_else(|| {
            let limit = MAX_BYTES >> 20;
            ArrowError::IpcError(format!("its rows need more than {limit} MiB of memory"))
        })?;
        Ok(())
    }
}

fn batch(content: &[u8], budget: &mut Budget) -> Result<RecordBatch, ArrowError> {
    let mut stream = vec![];
    zstd::Decoder::new(content)?
        .take(budget.0.saturating_add(1))
        .read_to_end(&mut stream)?;
    budget.spend(stream.len() as u64)?;
    let batch = ipc::batches(stream).next();
    let batch = batch.ok_or_else(|| ArrowError::IpcError("a frame of no rows".to_string()))??;
    expand_runs(&batch, budget)
}

/// Decodes the run-end encoded columns of a batch.
fn expand_runs(batch: &RecordBatch, budget: &mut Budget) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| expand_column(column, budget));
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

fn expand_column(column: &ArrayRef, budget: &mut Budget) -> Result<ArrayRef, ArrowError> {
    let Some(runs) = column.as_any().downcast_ref::<RunArray<Int32Type>>() else {
        return match column.data_type() {
            // A null column has any number of rows, and needs no memory.
            DataType::RunEndEncoded(..) | DataType::Null => Err(unexpected(column.data_type())),
            _ => Ok(column.clone()),
        };
    };
    let lengths = || {
        let mut start = 0;
        runs.run_ends().values().iter().map(move |end| {
            let rows = end.saturating_sub(start).max(0) as usize;
            start = *end;
            rows
        })
    };
    let values = runs.values();
    // Each row has an index below.
    budget.spend(column.len() as u64 * size_of::<u32>() as u64)?;
    for (run, rows) in lengths().enumerate().take(values.len()) {
        budget.spend((rows as u64).saturating_mul(value_bytes(values, run)?))?;
    }
    let indices = (0..).zip(lengths());
    let indices = indices.flat_map(|(run, rows)| std::iter::repeat_n(run, rows));
    let indices = UInt32Array::from_iter_values(indices.take(column.len()));
    take(values, &indices, None)
}

/// Returns the bytes of memory that a copy of a value needs.
fn value_bytes(values: &ArrayRef, index: usize) -> Result<u64, ArrowError> {
    const OFFSET_BYTES: usize = size_of::<i32>();
    let bytes = match values.data_type() {
        DataType::Utf8 => OFFSET_BYTES + values.as_string::<i32>().value_length(index) as usize,
        DataType::Boolean => 1,
        DataType::Dictionary(key, _) => key.primitive_width().unwrap_or(OFFSET_BYTES),
        other => match other.primitive_width() {
            Some(width) => width,
            None => return Err(unexpected(other)),
        },
    };
    Ok(bytes as u64)
}

fn unexpected(ty: &DataType) -> ArrowError {
    ArrowError::IpcError(format!("a column of {ty}"))
}

/// Returns the offset of the first frame of a journal that is there as a whole and does not have its checksum. An incomplete
/// frame at the end is the trace of a killed recorder.
pub(super) fn wrong_frame(mut journal: impl Read) -> io::Result<Option<u64>> {
    let mut offset = 0;
    while let Some(frame) = next_frame(&mut journal)? {
        if crc32fast::hash(&frame.content) != frame.crc {
            return Ok(Some(offset));
        }
        offset += (HEADER_BYTES + frame.content.len()) as u64;
    }
    Ok(None)
}

/// Reads the content of the next frame. Returns `None` if the frame is incomplete or has another checksum.
fn next_content(journal: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let frame = next_frame(journal)?;
    let right = frame.filter(|frame| crc32fast::hash(&frame.content) == frame.crc);
    Ok(right.map(|frame| frame.content))
}

/// A frame, whose checksum may be wrong.
struct Frame {
    crc: u32,
    content: Vec<u8>,
}

/// Reads the next frame. Returns `None` if the frame is incomplete, or longer than all rows may be.
fn next_frame(journal: &mut impl Read) -> io::Result<Option<Frame>> {
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
    if u64::from(len) > MAX_BYTES {
        return Ok(None);
    }
    let mut content = vec![];
    journal.take(len.into()).read_to_end(&mut content)?;
    let complete = len > 0 && content.len() == len as usize;
    Ok(complete.then_some(Frame { crc, content }))
}

/// Reads the bytes of a recording's journal. A missing journal is empty.
pub(super) fn bytes(recording: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    match regular::open(&path(recording)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            return Err(io::Error::new(e.kind(), format!("the journal: {e}")));
        }
        opened => {
            opened?.read_to_end(&mut bytes)?;
        }
    }
    Ok(bytes)
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
    fn a_frame_that_claims_four_gigabytes_is_not_read() {
        let header = [u32::MAX.to_le_bytes(), [0; 4]].concat();
        let mut zeros = io::repeat(0).take(1 << 33);
        let read = batches(header.as_slice().chain(&mut zeros)).next();
        assert!(read.is_none());
        assert_eq!(zeros.limit(), 1 << 33);
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
    fn small_frames_with_too_many_rows_are_rejected() {
        let runs = |rows: i32, values: &dyn Array| {
            let ends = Int32Array::from(vec![rows]);
            let runs = RunArray::<Int32Type>::try_new(&ends, values).unwrap();
            Arc::new(runs) as ArrayRef
        };
        let read_error = |columns: Vec<ArrayRef>, frames: usize| {
            let named = columns.into_iter().enumerate();
            let named = named.map(|(i, column)| (format!("column{i}"), column));
            let batch = RecordBatch::try_from_iter(named).unwrap();
            let frame = frame(&batch, &mut Compressor::new(1).unwrap()).unwrap();
            assert!(frame.len() < 10_000);
            let read = batches(&*frame.repeat(frames)).find_map(Result::err);
            read.unwrap().to_string()
        };
        let one: &dyn Array = &Int64Array::from(vec![1]);
        let text: &dyn Array = &StringArray::from(vec!["x".repeat(10_000)]);
        for error in [
            read_error(vec![runs(i32::MAX, one)], 1),
            read_error(vec![runs(1 << 22, one); 40], 1),
            read_error(vec![runs(1 << 18, text)], 1),
            // Many frames, each of which is small enough.
            read_error(vec![runs(1 << 20, one)], 1000),
        ] {
            assert!(error.contains("more than 512 MiB"), "{error}");
        }
    }

    #[test]
    fn a_frame_that_decompresses_to_too_many_bytes_is_rejected() {
        let content = zstd::bulk::compress(&vec![0; (MAX_BYTES + 1) as usize], 1).unwrap();
        let mut journal = (content.len() as u32).to_le_bytes().to_vec();
        journal.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
        journal.extend_from_slice(&content);
        let error = read(&journal).unwrap_err().to_string();
        assert!(error.contains("more than 512 MiB"), "{error}");
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
