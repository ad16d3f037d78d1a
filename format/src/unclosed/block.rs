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

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use crc32fast::Hasher;

/// The last bytes of a block.
const MAGIC: &[u8; 8] = b"ctraceRG";
const TRAILER_BYTES: usize = 36;
/// Offset of the first block, after the magic `PAR1`.
pub(super) const FIRST_START: u64 = 4;
/// Limit for the uncompressed metadata of a block; longer metadata are invalid.
pub(super) const MAX_METADATA_BYTES: u64 = 64 << 20;
/// Bytes that are read at a time.
const WINDOW_BYTES: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Offset at which the previous block ends, where the data of this block begin; [`FIRST_START`] in the first block.
    pub(super) data_start: u64,
    /// Offset up to which the file had been synced to the disk when the block was written.
    pub(super) synced_to: u64,
    pub(super) data_crc: u32,
    /// Encoded Parquet metadata, compressed: see [`decompress`]. The offsets of page indexes in it count from the beginning
    /// of the uncompressed bytes.
    pub(super) compressed: Vec<u8>,
}

/// A block, and the offsets at which it begins and ends.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) block: Block,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Block {
    /// Returns the bytes of the block in the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.compressed.clone();
        let len = bytes.len() as u32;
        bytes.extend_from_slice(&self.data_start.to_le_bytes());
        bytes.extend_from_slice(&self.synced_to.to_le_bytes());
        bytes.extend_from_slice(&self.data_crc.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        bytes
    }
}

/// Compresses the metadata of a block. Fails if zstd has no memory.
pub(super) fn compress(metadata: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(metadata, 1)
}

/// Decompresses the metadata of a block.
///
/// # Errors
/// The bytes are no zstd frame, or the metadata is longer than `limit` bytes.
pub(super) fn decompress(compressed: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    // `zstd::bulk` would allocate the limit.
    let mut metadata = vec![];
    zstd::Decoder::new(compressed)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut metadata)?;
    match metadata.len() as u64 > limit {
        true => Err(io::Error::new(
            ErrorKind::InvalidData,
            "the metadata of its row groups is too large",
        )),
        false => Ok(metadata),
    }
}

/// Returns the metadata in a block that [`Block::encode`] encoded.
pub(super) fn metadata(block: &[u8]) -> io::Result<Vec<u8>> {
    let compressed = &block[..block.len().saturating_sub(TRAILER_BYTES)];
    decompress(compressed, MAX_METADATA_BYTES)
}

/// Returns the last complete block in the first `len` bytes of a file. Any number of places may look like the end of a block:
/// the lengths of the blocks that they claim are subtracted from `budget`, and those beyond it are passed over.
pub(super) fn last(
    file: &mut (impl Read + Seek),
    len: u64,
    budget: &mut u64,
) -> io::Result<Option<Located>> {
    let mut end = len;
    while end > FIRST_START {
        let start = end.saturating_sub(WINDOW_BYTES).max(FIRST_START);
        let window = read(file, start, (end - start) as usize)?;
        let is_end = |i: &usize| window[..*i].ends_with(MAGIC);
        for i in (MAGIC.len()..=window.len()).rev().filter(is_end) {
            let end = start + i as u64;
            let trailer = match window[..i].last_chunk() {
                Some(trailer) => Trailer::parse(trailer, end),
                None => trailer_before(file, end)?,
            };
            let Some(trailer) = trailer.filter(|trailer| trailer.len() <= *budget) else {
                continue;
            };
            *budget -= trailer.len();
            if let Some(located) = trailer.located(file)? {
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
    match trailer_before(file, end)? {
        Some(trailer) => trailer.located(file),
        None => Ok(None),
    }
}

/// Reads the trailer that ends at the offset `end`, if there is one.
fn trailer_before(file: &mut (impl Read + Seek), end: u64) -> io::Result<Option<Trailer>> {
    let start = end.checked_sub(TRAILER_BYTES as u64);
    let Some(start) = start.filter(|start| *start >= FIRST_START) else {
        return Ok(None);
    };
    let bytes = read(file, start, TRAILER_BYTES)?;
    let trailer = bytes.first_chunk();
    Ok(trailer.and_then(|trailer| Trailer::parse(trailer, end)))
}

/// The trailer of what may be a block.
struct Trailer {
    /// The bytes that the CRC-32 of the block includes.
    bytes: [u8; TRAILER_BYTES],
    data_start: u64,
    /// Offsets of the compressed metadata.
    start: u64,
    metadata_end: u64,
}

impl Trailer {
    /// Parses a trailer that ends at the offset `end`. Returns `None` if it cannot be one.
    fn parse(bytes: &[u8; TRAILER_BYTES], end: u64) -> Option<Trailer> {
        let data_start = u64_at(bytes, 0);
        let metadata_end = end.checked_sub(TRAILER_BYTES as u64)?;
        let start = metadata_end.checked_sub(u32_at(bytes, 20).into())?;
        let is_valid = data_start >= FIRST_START && start >= data_start && bytes.ends_with(MAGIC);
        is_valid.then_some(Trailer {
            bytes: *bytes,
            data_start,
            start,
            metadata_end,
        })
    }

    /// Returns the length of the compressed metadata.
    fn len(&self) -> u64 {
        self.metadata_end - self.start
    }

    /// Reads the block of the trailer, if it is valid.
    fn located(&self, file: &mut (impl Read + Seek)) -> io::Result<Option<Located>> {
        let compressed = read(file, self.start, self.len() as usize)?;
        let mut hasher = Hasher::new();
        hasher.update(&compressed);
        hasher.update(&self.bytes[..24]);
        let is_valid = hasher.finalize() == u32_at(&self.bytes, 24)
            && decompress(&compressed, MAX_METADATA_BYTES).is_ok();
        let block = Block {
            data_start: self.data_start,
            synced_to: u64_at(&self.bytes, 8),
            data_crc: u32_at(&self.bytes, 16),
            compressed,
        };
        Ok(is_valid.then_some(Located {
            block,
            start: self.start,
            end: self.metadata_end + TRAILER_BYTES as u64,
        }))
    }
}

fn u64_at(bytes: &[u8; TRAILER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u32_at(bytes: &[u8; TRAILER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
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
            compressed: compress(metadata).unwrap(),
        }
    }

    /// Creates a file of two blocks with bytes after each, and returns the offsets at which the blocks end as well.
    fn file() -> (Vec<u8>, [u64; 2]) {
        let mut bytes = crate::PARQUET_MAGIC.to_vec();
        bytes.extend(block(FIRST_START, b"first").encode());
        let first = bytes.len() as u64;
        bytes.extend(vec![1; 5000]);
        bytes.extend(block(first, &[9; 100_000]).encode());
        let second = bytes.len() as u64;
        bytes.extend(vec![2; 3_000_000]);
        (bytes, [first, second])
    }

    #[test]
    fn the_last_complete_block_is_found_wherever_the_file_ends() {
        let (bytes, [first, second]) = file();
        let end = |len: u64| {
            let located = last(
                &mut Cursor::new(&bytes[..len as usize]),
                len,
                &mut 1_000_000,
            )
            .unwrap();
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

    /// Counts the bytes that are read of a file.
    struct Counted(Cursor<Vec<u8>>, u64);

    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.read(buffer)?;
            self.1 += bytes as u64;
            Ok(bytes)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn the_search_reads_few_bytes_of_a_file_that_looks_like_many_blocks() {
        const LEN: usize = 4 << 20;
        let magic = MAGIC.repeat(LEN / MAGIC.len());
        // Trailers, each of a block of 3 MB.
        let mut trailer = block(FIRST_START, b"").encode();
        trailer.drain(..trailer.len() - TRAILER_BYTES);
        trailer[20..24].copy_from_slice(&3_000_000u32.to_le_bytes());
        let trailers = trailer.repeat(LEN / TRAILER_BYTES);
        for bytes in [magic, trailers] {
            let len = bytes.len() as u64;
            let mut file = Counted(Cursor::new(bytes), 0);
            assert!(last(&mut file, len, &mut (4 * len)).unwrap().is_none());
            assert!(file.1 < 6 * len, "{}", file.1);
        }
    }

    #[test]
    fn metadata_that_decompresses_to_too_many_bytes_is_rejected() {
        let zeros = compress(&vec![0; MAX_METADATA_BYTES as usize + 1]).unwrap();
        assert!(decompress(&zeros, MAX_METADATA_BYTES).is_err());
        assert!(decompress(&zeros, MAX_METADATA_BYTES + 1).is_ok());
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
        let metadata = decompress(&located.block.compressed, MAX_METADATA_BYTES);
        assert_eq!(metadata.unwrap(), [9; 100_000]);
        assert_eq!(
            crc(&mut file, first, located.start).unwrap(),
            crc32fast::hash(&[1; 5000])
        );
        let located = ending_at(&mut file, first).unwrap().unwrap();
        let starts = (located.start, located.block.data_start);
        assert_eq!(starts, (FIRST_START, FIRST_START));
    }
}
