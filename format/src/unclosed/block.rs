//! Blocks between the row groups of a Parquet file that say what is before them. Parquet allows foreign bytes there.
//!
//! A block is Parquet metadata, as a footer has it, of one row group, under zstd; and a trailer of [`TRAILER`] bytes,
//! little-endian: where the block before ends (8), up to where the file was on the disk when it was written (8), CRC-32
//! of the bytes between the two blocks (4), length of the metadata as it stands (4), CRC-32 of all of this (4), and
//! [`MAGIC`] (8). The first block of a file has no row group, but the key-value pairs that are known from the beginning.

use std::io::{self, Read, Seek, SeekFrom};

use crc32fast::Hasher;

/// What a block ends with.
pub const MAGIC: &[u8; 8] = b"ctraceRG";
/// Bytes of a trailer.
pub const TRAILER: usize = 36;
/// Where the first block begins: after Parquet's own magic.
pub const FIRST: u64 = 4;
/// The longest metadata of a block that is believed, bytes.
const LARGEST: usize = 64 << 20;
/// Bytes that are looked through at a time.
const WINDOW: u64 = 1 << 20;

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where the one before ends, which is where the bytes begin that it is about; [`FIRST`] for the first.
    pub before: u64,
    /// Up to where the file was on the disk when it was written.
    pub synced: u64,
    /// CRC-32 of the bytes that it is about.
    pub crc: u32,
    /// Parquet metadata, with places in it counted from its own beginning.
    pub metadata: Vec<u8>,
}

/// A block that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The block.
    pub block: Block,
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
}

impl Block {
    /// The block as it stands in the file.
    ///
    /// # Errors
    /// zstd has no memory.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let mut bytes = zstd::bulk::compress(&self.metadata, 1)?;
        let len = bytes.len() as u32;
        bytes.extend_from_slice(&self.before.to_le_bytes());
        bytes.extend_from_slice(&self.synced.to_le_bytes());
        bytes.extend_from_slice(&self.crc.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        Ok(bytes)
    }
}

/// The metadata in a block as [`Block::encode`] makes it.
///
/// # Errors
/// It is none.
pub fn metadata(block: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::decompress(&block[..block.len().saturating_sub(TRAILER)], LARGEST)
}

/// The last whole block of the first `len` bytes of a file.
///
/// # Errors
/// The file cannot be read.
pub fn last(file: &mut (impl Read + Seek), len: u64) -> io::Result<Option<Found>> {
    let mut end = len;
    while end > FIRST {
        let start = end.saturating_sub(WINDOW).max(FIRST);
        let window = read(file, start, (end - start) as usize)?;
        let ends = |i: &usize| window[..*i].ends_with(MAGIC);
        for i in (MAGIC.len()..=window.len()).rev().filter(ends) {
            if let Some(found) = ending(file, start + i as u64)? {
                return Ok(Some(found));
            }
        }
        if start == FIRST {
            break;
        }
        // A magic may lie across.
        end = start + MAGIC.len() as u64 - 1;
    }
    Ok(None)
}

/// The block that ends at `end`, if one does.
///
/// # Errors
/// The file cannot be read.
pub fn ending(file: &mut (impl Read + Seek), end: u64) -> io::Result<Option<Found>> {
    let Some(trailer) = end.checked_sub(TRAILER as u64).filter(|at| *at >= FIRST) else {
        return Ok(None);
    };
    let head = read(file, trailer, TRAILER)?;
    let u64_at = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| head[i + k]));
    let u32_at = |i: usize| u32::from_le_bytes(std::array::from_fn(|k| head[i + k]));
    let (before, synced, crc) = (u64_at(0), u64_at(8), u32_at(16));
    let (len, whole) = (u64::from(u32_at(20)), u32_at(24));
    let start = trailer.checked_sub(len).filter(|at| *at >= before);
    let (Some(start), true) = (start, before >= FIRST && head.ends_with(MAGIC)) else {
        return Ok(None);
    };
    let compressed = read(file, start, len as usize)?;
    let mut hasher = Hasher::new();
    hasher.update(&compressed);
    hasher.update(&head[..24]);
    if hasher.finalize() != whole {
        return Ok(None);
    }
    let Ok(metadata) = zstd::bulk::decompress(&compressed, LARGEST) else {
        return Ok(None);
    };
    let block = Block {
        before,
        synced,
        crc,
        metadata,
    };
    Ok(Some(Found { block, start, end }))
}

/// CRC-32 of the bytes of a file between two places.
///
/// # Errors
/// The file cannot be read.
pub fn crc(file: &mut (impl Read + Seek), start: u64, end: u64) -> io::Result<u32> {
    let mut hasher = Hasher::new();
    let mut at = start;
    while at < end {
        let part = read(file, at, (end - at).min(WINDOW) as usize)?;
        hasher.update(&part);
        at += part.len() as u64;
    }
    Ok(hasher.finalize())
}

fn read(file: &mut (impl Read + Seek), at: u64, len: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Cursor;

    use super::*;

    fn block(before: u64, metadata: &[u8]) -> Block {
        Block {
            before,
            synced: 0,
            crc: 7,
            metadata: metadata.to_vec(),
        }
    }

    /// A file of two blocks with bytes after each, and where the blocks end.
    fn file() -> (Vec<u8>, [u64; 2]) {
        let mut bytes = b"PAR1".to_vec();
        bytes.extend(block(FIRST, b"first").encode().unwrap());
        let first = bytes.len() as u64;
        bytes.extend(vec![1; 5000]);
        bytes.extend(block(first, &[9; 100_000]).encode().unwrap());
        let second = bytes.len() as u64;
        bytes.extend(vec![2; 3_000_000]);
        (bytes, [first, second])
    }

    #[test]
    fn the_last_whole_block_is_found_wherever_the_file_ends() {
        let (bytes, [first, second]) = file();
        let end = |len: u64| {
            let found = last(&mut Cursor::new(&bytes[..len as usize]), len).unwrap();
            found.map(|found| found.end)
        };
        for len in 0..first {
            assert_eq!(end(len), None, "{len}");
        }
        for len in [first, first + 1, first + 5000, second - 1] {
            assert_eq!(end(len), Some(first), "{len}");
        }
        for len in [second, second + 1, second + WINDOW - 3, bytes.len() as u64] {
            assert_eq!(end(len), Some(second), "{len}");
        }
    }

    #[test]
    fn a_block_of_which_any_bit_is_wrong_is_none() {
        let (bytes, [first, _]) = file();
        let good = &bytes[..first as usize];
        assert!(ending(&mut Cursor::new(good), first).unwrap().is_some());
        for i in FIRST as usize..good.len() {
            let mut bad = good.to_vec();
            bad[i] ^= 1;
            assert!(
                ending(&mut Cursor::new(bad), first).unwrap().is_none(),
                "{i}"
            );
        }
    }

    #[test]
    fn a_chain_leads_to_the_beginning() {
        let (bytes, [first, second]) = file();
        assert_eq!(
            metadata(&bytes[FIRST as usize..first as usize]).unwrap(),
            b"first"
        );
        let mut file = Cursor::new(bytes);
        let found = ending(&mut file, second).unwrap().unwrap();
        assert_eq!(found.block.before, first);
        assert_eq!(found.block.metadata, [9; 100_000]);
        assert_eq!(
            crc(&mut file, first, found.start).unwrap(),
            crc32fast::hash(&[1; 5000])
        );
        let found = ending(&mut file, first).unwrap().unwrap();
        assert_eq!((found.start, found.block.before), (FIRST, FIRST));
    }
}
