//! Arrow IPC streams that are in memory, as in journals and rollups. The streams may come from anyone: a message that
//! claims more bytes than there are is an error, and no memory is allocated for it.

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::ArrowError;

/// Reads the batches of a stream lazily. The batches share the memory of the stream.
///
/// The decoder panics if a buffer of a batch is not inside the batch's message.
///
/// # Errors
/// A message is invalid, or the stream ends inside a message. No batch follows.
pub fn batches(stream: Vec<u8>) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
    let mut rest = Buffer::from_vec(stream);
    let mut decoder = StreamDecoder::new();
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let next = match decoder.decode(&mut rest) {
            Ok(Some(batch)) => return Some(Ok(batch)),
            Ok(None) => decoder.finish().err(),
            Err(error) => Some(error),
        };
        is_over = true;
        next.map(Err)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};
    use arrow_ipc::writer::StreamWriter;

    use super::*;

    fn stream(batches: &[RecordBatch]) -> Vec<u8> {
        let mut writer = StreamWriter::try_new(vec![], &batches[0].schema()).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.into_inner().unwrap()
    }

    fn batch(values: &[i64]) -> RecordBatch {
        let column = Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        RecordBatch::try_from_iter([("seq", column)]).unwrap()
    }

    #[test]
    fn batches_are_read_in_order() {
        let written = [batch(&[1, 2]), batch(&[]), batch(&[3])];
        let read: Result<Vec<_>, _> = batches(stream(&written)).collect();
        assert_eq!(read.unwrap(), written);
    }

    #[test]
    fn a_stream_that_is_cut_is_an_error() {
        let whole = stream(&[batch(&[1, 2])]);
        let mut read = batches(whole[..whole.len() - 20].to_vec());
        assert!(read.next().unwrap().is_err());
        assert!(read.next().is_none());
    }

    #[test]
    fn a_message_that_claims_more_bytes_than_there_are_is_an_error() {
        let whole = stream(&[batch(&[1, 2])]);
        // Each position that may hold a length gets a huge one. The decoder may panic, but must not allocate that much.
        for at in 0..whole.len() - 8 {
            let mut forged = whole.clone();
            forged[at..at + 8].copy_from_slice(&(i64::MAX / 2).to_le_bytes());
            let _ = std::panic::catch_unwind(|| batches(forged).take(3).count());
        }
    }
}
