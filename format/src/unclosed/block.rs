//! Blocks: the metadata of a row group, stored in the Parquet file directly after the row group. The Parquet format allows
//! other bytes between row groups, and readers that use the footer skip them.
//!
//! A block consists of Parquet metadata of one row group, encoded as in a footer and compressed with zstd, and a trailer of
//! [`TRAILER_BYTES`] bytes (integers are little-endian):
//!
//! | bytes | content |
//! |---|---|
//! | 8 | offset at which the previous block ends, where the data of this block begin |
//! | 8 | offset up to which the file had been synced to the disk when the block was written |
//! | 4 | CRC-32 of the data between the two blocks |
//! | 4 | length of the compressed metadata |
//! | 4 | CRC-32 of the compressed metadata and the trailer up to here |
//! | 8 | [`MAGIC`] |
//!
//! The first block of a file has no row group. It contains the schema and the key-value pairs that are known when the
//! recording begins.

use std::io::{self, Read, Seek, SeekFrom};

use crc32fast::Hasher;

/// The last bytes of a block.
const MAGIC: &[u8; 8] = b"ctraceRG";
const TRAILER_BYTES: usize = 36;
/// Offset of the first block, after the magic `PAR1`.
pub(super) const FIRST_START: u64 = 4;
/// Limit for the uncompressed metadata of a block; longer metadata are invalid.
const MAX_METADATA_BYTES: usize = 64 << 20;
/// Bytes that are read at a time.
const WINDOW_BYTES: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Offset at which the previous block ends, where the data of this block begin; [`FIRST_START`] in the first block.
    pub(super) data_start: u64,
    /// Offset up to which the file had been synced to the disk when the block was written.
    pub(super) synced_to: u64,
    pub(super) data_crc: u32,
    /// Encoded Parquet metadata. The offsets of page indexes in it count from the beginning of these bytes.
    pub(super) metadata: Vec<u8>,
}

/// A block, and the offsets at which it begins and ends.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) block: Block,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Block {
    /// Returns the bytes of the block in the file. Fails if zstd has no memory.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut bytes = zstd::bulk::compress(&self.metadata, 1)?;
        let len = bytes.len() as u32;
        bytes.extend_from_slice(&self.data_start.to_le_bytes());
        bytes.extend_from_slice(&self.synced_to.to_le_bytes());
        bytes.extend_from_slice(&self.data_crc.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        Ok(bytes)
    }
}

/// Returns the metadata in a block that [`Block::encode`] encoded.
pub(super) fn metadata(block: &[u8]) -> io::Result<Vec<u8>> {
    let compressed = &block[..block.len().saturating_sub(TRAILER_BYTES)];
    zstd::bulk::decompress(compressed, MAX_METADATA_BYTES)
}

/// Returns the last complete block in the first `len` bytes of a file.
pub(super) fn last(file: &mut (impl Read + Seek), len: u64) -> io::Result<Option<Located>> {
    let mut end = len;
    while end > FIRST_START {
        let start = end.saturating_sub(WINDOW_BYTES).max(FIRST_START);
        let window = read(file, start, (end - start) as usize)?;
        let is_end = |i: &usize| window[..*i].ends_with(MAGIC);
        for i in (MAGIC.len()..=window.len()).rev().filter(is_end) {
            if let Some(located) = ending_at(file, start + i as u64)? {
                return Ok(Some(located));
            }
        }
        if start == FIRST_START {
            break;
        }
        // The windows overlap, because the magic may cross the border between them.
        end = start + MAGIC.len() as u64 - 1;
    }
    Ok(None)
}

/// Returns the block that ends at the offset `end`, if there is a valid one.
pub(super) fn ending_at(file: &mut (impl Read + Seek), end: u64) -> io::Result<Option<Located>> {
    let trailer_start = end.checked_sub(TRAILER_BYTES as u64);
    let Some(trailer_start) = trailer_start.filter(|start| *start >= FIRST_START) else {
        return Ok(None);
    };
    let trailer = read(file, trailer_start, TRAILER_BYTES)?;
    let u64_at = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| trailer[i + k]));
    let u32_at = |i: usize| u32::from_le_bytes(std::array::from_fn(|k| trailer[i + k]));
    let (data_start, synced_to, data_crc) = (u64_at(0), u64_at(8), u32_at(16));
    let (len, block_crc) = (u64::from(u32_at(20)), u32_at(24));
    let start = trailer_start.checked_sub(len);
    let start = start.filter(|start| *start >= data_start);
    let valid = data_start >= FIRST_START && trailer.ends_with(MAGIC);
    let (Some(start), true) = (start, valid) else {
        return Ok(None);
    };
    let compressed = read(file, start, len as usize)?;
    let mut hasher = Hasher::new();
    hasher.update(&compressed);
    hasher.update(&trailer[..24]);
    if hasher.finalize() != block_crc {
        return Ok(None);
    }
    let Ok(metadata) = zstd::bulk::decompress(&compressed, MAX_METADATA_BYTES) else {
        return Ok(None);
    };
    let block = Block {
        data_start,
        synced_to,
        data_crc,
        metadata,
    };
    Ok(Some(Located { block, start, end }))
}

/// Computes the CRC-32 of the bytes of a file from offset `start` to offset `end`.
pub(super) fn crc(file: &mut (impl Read + Seek), start: u64, end: u64) -> io::Result<u32> {
    let mut hasher = Hasher::new();
    let mut at = start;
    while at < end {
        let bytes = read(file, at, (end - at).min(WINDOW_BYTES) as usize)?;
        hasher.update(&bytes);
        at += bytes.len() as u64;
    }
    Ok(hasher.finalize())
}

fn read(file: &mut (impl Read + Seek), offset: u64, len: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Cursor;

    use super::*;

    fn block(data_start: u64, metadata: &[u8]) -> Block {
        Block {
            data_start,
            synced_to: 0,
            data_crc: 7,
            metadata: metadata.to_vec(),
        }
    }

    /// Creates a file of two blocks with bytes after each, and returns the offsets at which the blocks end as well.
    fn file() -> (Vec<u8>, [u64; 2]) {
        let mut bytes = crate::PARQUET_MAGIC.to_vec();
        bytes.extend(block(FIRST_START, b"first").encode().unwrap());
        let first = bytes.len() as u64;
        bytes.extend(vec![1; 5000]);
        bytes.extend(block(first, &[9; 100_000]).encode().unwrap());
        let second = bytes.len() as u64;
        bytes.extend(vec![2; 3_000_000]);
        (bytes, [first, second])
    }

    #[test]
    fn the_last_complete_block_is_found_wherever_the_file_ends() {
        let (bytes, [first, second]) = file();
        let end = |len: u64| {
            let located = last(&mut Cursor::new(&bytes[..len as usize]), len).unwrap();
            located.map(|located| located.end)
        };
        for len in 0..first {
            assert_eq!(end(len), None, "{len}");
        }
        for len in [first, first + 1, first + 5000, second - 1] {
            assert_eq!(end(len), Some(first), "{len}");
        }
        for len in [
            second,
            second + 1,
            second + WINDOW_BYTES - 3,
            bytes.len() as u64,
        ] {
            assert_eq!(end(len), Some(second), "{len}");
        }
    }

    #[test]
    fn a_block_with_a_wrong_bit_is_rejected() {
        let (bytes, [first, _]) = file();
        let valid = &bytes[..first as usize];
        assert!(ending_at(&mut Cursor::new(valid), first).unwrap().is_some());
        for i in FIRST_START as usize..valid.len() {
            let mut damaged = valid.to_vec();
            damaged[i] ^= 1;
            let located = ending_at(&mut Cursor::new(damaged), first).unwrap();
            assert!(located.is_none(), "{i}");
        }
    }

    #[test]
    fn blocks_are_found_from_the_last_to_the_first() {
        let (bytes, [first, second]) = file();
        assert_eq!(
            metadata(&bytes[FIRST_START as usize..first as usize]).unwrap(),
            b"first"
        );
        let mut file = Cursor::new(bytes);
        let located = ending_at(&mut file, second).unwrap().unwrap();
        assert_eq!(located.block.data_start, first);
        assert_eq!(located.block.metadata, [9; 100_000]);
        assert_eq!(
            crc(&mut file, first, located.start).unwrap(),
            crc32fast::hash(&[1; 5000])
        );
        let located = ending_at(&mut file, first).unwrap().unwrap();
        let starts = (located.start, located.block.data_start);
        assert_eq!(starts, (FIRST_START, FIRST_START));
    }
}
