//! The journal: rows of a recording that are in no whole row group yet, in a file beside it.
//!
//! A sequence of frames, each a length of four bytes and a CRC-32 of four, little-endian, of what follows: an Arrow IPC
//! stream of one record batch, under zstd. The batch has columns of [`ctrace_schema::columns`], without those that are null in
//! all of its rows; one that seldom changes is run-end encoded. A frame that is not whole ends it.

use std::ffi::OsString;
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

/// Bytes before each frame.
const HEAD: usize = 8;
/// The longest stream of a frame that is believed, bytes.
const LARGEST: u64 = 1 << 30;
/// The most rows of a frame that are believed: few bytes may tell of many.
const MOST: usize = 1 << 22;

/// Where the journal of a recording is.
pub fn path(recording: &Path) -> PathBuf {
    let mut name: OsString = recording.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

/// The frame of a batch.
///
/// # Errors
/// zstd has no memory.
pub fn frame(batch: &RecordBatch, zstd: &mut Compressor<'_>) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(vec![], &batch.schema())?;
    writer.write(batch)?;
    let stream = writer.into_inner()?;
    let content = zstd.compress(&stream)?;
    let mut frame = Vec::with_capacity(HEAD + content.len());
    frame.extend_from_slice(&(content.len() as u32).to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
    frame.extend_from_slice(&content);
    Ok(frame)
}

/// The batches of a journal, up to the first frame that is not whole.
///
/// # Errors
/// A frame is whole and holds no batch.
pub fn read(journal: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    batches(journal).collect()
}

/// Likewise, one after the other as they are read.
pub fn batches(mut journal: impl Read) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
    std::iter::from_fn(move || {
        let content = next(&mut journal).transpose()?;
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
        .take(LARGEST)
        .read_to_end(&mut stream)?;
    let mut reader = StreamReader::try_new(Cursor::new(stream), None)?;
    let batch = reader.next();
    expanded(&batch.ok_or_else(|| ArrowError::IpcError("a frame of no rows".to_string()))??)
}

/// The same with a value for each row where it has runs.
fn expanded(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if batch.num_rows() > MOST {
        let rows = batch.num_rows();
        return Err(ArrowError::IpcError(format!("a frame of {rows} rows")));
    }
    let columns = batch.columns().iter().map(each_row);
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

fn each_row(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(runs) = column.as_any().downcast_ref::<RunArray<Int32Type>>() else {
        return Ok(column.clone());
    };
    let mut from = 0;
    let numbers = (0..).zip(runs.run_ends().values()).flat_map(|(run, end)| {
        let rows = end.saturating_sub(from).max(0) as usize;
        from = *end;
        std::iter::repeat_n(run, rows)
    });
    let numbers = UInt32Array::from_iter_values(numbers.take(column.len()));
    take(runs.values(), &numbers, None)
}

/// The content of the next frame; None: it is not whole.
fn next(journal: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = vec![];
    journal.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    let Some(([len, crc], [])) = head
        .split_at_checked(HEAD)
        .map(|(head, _)| head.as_chunks())
    else {
        return Ok(None);
    };
    let [len, crc] = [len, crc].map(|bytes: &[u8; 4]| u32::from_le_bytes(*bytes));
    let mut content = vec![];
    journal.take(len.into()).read_to_end(&mut content)?;
    let whole = len > 0 && content.len() == len as usize && crc32fast::hash(&content) == crc;
    Ok(whole.then_some(content))
}

/// The bytes of the journal of a recording; none where there is no journal.
///
/// # Errors
/// It is there and cannot be read.
pub fn bytes(recording: &Path) -> io::Result<Vec<u8>> {
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
    fn what_is_whole_is_read_wherever_the_journal_ends() {
        let mut zstd = Compressor::new(1).unwrap();
        let batches = [batch(&[1, 2, 3]), batch(&[4]), batch(&[5, 6])];
        let mut journal = vec![];
        let mut ends = vec![];
        for batch in &batches {
            journal.extend(frame(batch, &mut zstd).unwrap());
            ends.push(journal.len());
        }
        for len in 0..=journal.len() {
            let whole = ends.iter().filter(|end| **end <= len).count();
            assert_eq!(read(&journal[..len]).unwrap(), batches[..whole], "{len}");
        }
    }

    #[test]
    fn runs_are_a_value_for_each_row_again() {
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
    fn a_frame_of_few_bytes_that_tells_of_very_many_rows_is_refused() {
        let ends = Int32Array::from(vec![i32::MAX]);
        let runs = RunArray::<Int32Type>::try_new(&ends, &Int64Array::from(vec![1])).unwrap();
        let batch = RecordBatch::try_from_iter([("seq", Arc::new(runs) as ArrayRef)]).unwrap();
        let frame = frame(&batch, &mut Compressor::new(1).unwrap()).unwrap();
        assert!(read(&frame).unwrap_err().to_string().contains("rows"));
    }

    #[test]
    fn a_frame_of_which_a_bit_is_wrong_ends_it() {
        let mut zstd = Compressor::new(1).unwrap();
        let mut journal = frame(&batch(&[1]), &mut zstd).unwrap();
        let first = journal.len();
        journal.extend(frame(&batch(&[2]), &mut zstd).unwrap());
        for i in first + 4..journal.len() {
            let mut bad = journal.clone();
            bad[i] ^= 1;
            assert_eq!(read(&bad).unwrap(), [batch(&[1])], "{i}");
        }
        // Zeros, as a file system leaves them after a power cut.
        journal.truncate(first);
        journal.resize(first + 100, 0);
        assert_eq!(read(&journal).unwrap(), [batch(&[1])]);
    }
}
