//! Unclosed recordings: Parquet files without a footer, because they are still being written or because their recorder was
//! killed.
//!
//! Each row group is followed by a block that contains its metadata, so it can be read without a footer. The file `block.rs`
//! describes blocks. Rows that are not in a complete row group yet are in the [`journal`], a separate file next to the
//! recording:
//!
//! ```text
//! NAME.parquet          PAR1 | block | row group | block | row group | block | ...
//!                            └ schema, metadata of the recording
//! NAME.parquet.journal  frame | frame | ...
//! ```
//!
//! To close such a file, a program appends the rows of the journal as row groups, and then a footer ([`write_footer`]).

mod block;
pub mod journal;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, KeyValue, PageIndexPolicy, ParquetColumnIndex, ParquetMetaData,
    ParquetMetaDataBuilder, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetMetaDataWriter,
    ParquetOffsetIndex, RowGroupMetaData,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::properties::DEFAULT_CREATED_BY;
use parquet::file::statistics::Statistics;
use parquet::file::writer::TrackedWrite;
use parquet::schema::types::SchemaDescPtr;

use crate::regular;
use block::{Block, FIRST_START, Located, MAX_METADATA_BYTES};

/// Uncompressed bytes of the metadata of a row group, of which a file may have any number. The recorder's are smaller.
const BLOCK_BYTES: u64 = 64 << 10;

/// The number of times that each byte of a file may be read in the search for blocks.
const SEARCH_PASSES: u64 = 4;

/// The reason why an unclosed recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its journal cannot be read from the disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The metadata in a block is invalid.
    #[error("{0}")]
    Parquet(#[from] ParquetError),
    /// A complete frame of the journal does not contain rows of a recording.
    #[error("its journal: {0}")]
    Journal(#[from] ArrowError),
}

/// The metadata of a row group, and the column index and offset index of each of its columns.
pub type Group = (
    RowGroupMetaData,
    Vec<ColumnIndexMetaData>,
    Vec<OffsetIndexMetaData>,
);

/// The contents of an unclosed recording.
#[derive(Debug)]
pub struct Unclosed {
    /// The metadata that a footer after the last complete row group would contain.
    pub metadata: ParquetMetaData,
    /// Offset at which the block of the last complete row group ends.
    pub end: u64,
    /// Rows of the journal that are not in a complete row group, in the order of `seq`.
    pub rows: Vec<RecordBatch>,
}

/// Builds the metadata of a file, as in a footer: the key-value `pairs`, and `groups` in this order.
pub fn metadata(
    schema: &SchemaDescPtr,
    pairs: Vec<KeyValue>,
    groups: impl IntoIterator<Item = Group>,
) -> ParquetMetaData {
    let (mut rows, mut columns, mut offsets) = (vec![], vec![], vec![]);
    for (group, column, offset) in groups {
        rows.push(group);
        columns.push(column);
        offsets.push(offset);
    }
    let count = rows.iter().map(RowGroupMetaData::num_rows).sum();
    let by = Some(DEFAULT_CREATED_BY.to_string());
    let file = FileMetaData::new(1, count, by, Some(pairs), schema.clone(), None);
    ParquetMetaDataBuilder::new(file)
        .set_row_groups(rows)
        .set_column_index(Some(columns))
        .set_offset_index(Some(offsets))
        .build()
}

/// Encodes a block with `metadata` for the bytes that begin at offset `data_start` and end where the block begins. The file had
/// been synced to the disk up to offset `synced_to`, and `data_crc` is the CRC-32 of the bytes.
///
/// # Errors
/// The metadata cannot be encoded, or zstd has no memory.
pub fn block(
    metadata: &ParquetMetaData,
    data_start: u64,
    synced_to: u64,
    data_crc: u32,
) -> Result<Vec<u8>, ParquetError> {
    let mut bytes = vec![];
    ParquetMetaDataWriter::new(&mut bytes, metadata).finish()?;
    Ok(block_of(&bytes, data_start, synced_to, data_crc)?)
}

fn block_of(
    metadata: &[u8],
    data_start: u64,
    synced_to: u64,
    data_crc: u32,
) -> io::Result<Vec<u8>> {
    let block = Block {
        data_start,
        synced_to,
        data_crc,
        compressed: block::compress(metadata)?,
    };
    Ok(block.encode())
}

/// Returns a file of two blocks, which have the encoded metadata of the recording and of the row group `data`, for the fuzz targets
/// in `fuzz/`.
///
/// # Errors
/// zstd has no memory.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub fn file_of(recording: &[u8], data: &[u8], row_group: &[u8]) -> io::Result<Vec<u8>> {
    let mut file = b"PAR1".to_vec();
    file.extend(block_of(recording, FIRST_START, 0, crc32fast::hash(&[]))?);
    let start = file.len() as u64;
    file.extend(data);
    file.extend(block_of(row_group, start, 0, crc32fast::hash(data))?);
    Ok(file)
}

/// Returns the parts of which [`file_of`] makes a file: those of the first row group of `file`.
///
/// # Errors
/// The file cannot be read.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub fn parts_of(file: &mut File) -> io::Result<Option<[Vec<u8>; 3]>> {
    let chain = chain(file)?.unwrap_or_default();
    let [recording, row_group, ..] = &chain[..] else {
        return Ok(None);
    };
    let metadata = |at: &Located| block::decompress(&at.block.compressed, MAX_METADATA_BYTES);
    let mut data = vec![0; (row_group.start - recording.end) as usize];
    io::Seek::seek(file, io::SeekFrom::Start(recording.end))?;
    file.read_exact(&mut data)?;
    Ok(Some([metadata(recording)?, data, metadata(row_group)?]))
}

/// Writes the end of a file whose data are `len` bytes long: column indexes, offset indexes and the footer with `metadata`.
/// `out` appends to the file.
///
/// # Errors
/// `out` cannot be written.
pub fn write_footer(
    metadata: &ParquetMetaData,
    len: u64,
    out: impl Write + Send,
) -> Result<(), ParquetError> {
    let mut result = Ok(());
    let skipping = SkipFirst {
        out,
        skip_bytes: len,
        result: &mut result,
    };
    let mut tracked = TrackedWrite::new(skipping);
    let zeros = vec![0; 1 << 16];
    let mut remaining = len;
    while remaining > 0 {
        let bytes = remaining.min(zeros.len() as u64);
        tracked.write_all(&zeros[..bytes as usize])?;
        remaining -= bytes;
    }
    ParquetMetaDataWriter::new_with_tracked(tracked, metadata).finish()?;
    Ok(result?)
}

/// A writer that discards the first `skip_bytes` bytes. `ParquetMetaDataWriter` computes offsets from the number of bytes
/// that were written through it, so it must also be given the length of the data before the footer.
struct SkipFirst<'a, W> {
    out: W,
    skip_bytes: u64,
    /// The first error, stored here because `ParquetMetaDataWriter` writes its last bytes when it is dropped, and errors
    /// are lost there.
    result: &'a mut io::Result<()>,
}

impl<W: Write> Write for SkipFirst<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skip = self.skip_bytes.min(bytes.len() as u64);
        self.skip_bytes -= skip;
        if self.result.is_ok() {
            *self.result = self.out.write_all(&bytes[skip as usize..]);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the unclosed recording at `path`, which may be being written at the same time. Returns `None` if the file has no
/// block: another program or an earlier version wrote it.
///
/// # Errors
/// The file or its journal cannot be read, or their contents are invalid.
pub fn read(path: &Path) -> Result<Option<Unclosed>, Error> {
    // The journal is read first: rows are removed from it only after they are in a row group.
    let journal = journal::bytes(path)?;
    let Some((metadata, end)) = complete_metadata(&mut regular::open(path)?)? else {
        return Ok(None);
    };
    let rows = rows(journal.as_slice(), &metadata).collect::<Result<_, _>>()?;
    Ok(Some(Unclosed {
        metadata,
        end,
        rows,
    }))
}

/// Returns the metadata that a footer after the last complete row group of a file would contain, and the offset at which
/// the block of this row group ends. Returns `None` if the file has no block.
///
/// # Errors
/// The file cannot be read, or the metadata in a block is invalid.
pub fn complete_metadata(file: &mut File) -> Result<Option<(ParquetMetaData, u64)>, Error> {
    let Some(chain) = chain(file)? else {
        return Ok(None);
    };
    let end = chain.last().map_or(FIRST_START, |located| located.end);
    // Compressed, the blocks are not longer than the file. All together they must not be much longer than one.
    let mut limit = MAX_METADATA_BYTES + BLOCK_BYTES * chain.len() as u64;
    let mut blocks = chain.into_iter().map(|located| {
        let metadata = block::decompress(&located.block.compressed, limit)?;
        limit -= metadata.len() as u64;
        io::Result::Ok(metadata)
    });
    let Some(first) = blocks.next() else {
        return Ok(None);
    };
    let first = parse(first?, None)?;
    let first = first.file_metadata();
    let pairs = first.key_value_metadata().cloned().unwrap_or_default();
    let schema = first.schema_descr_ptr();
    let mut complete = vec![];
    for block in blocks {
        complete.extend(groups(parse(block?, Some(&schema))?));
    }
    Ok(Some((metadata(&schema, pairs, complete), end)))
}

/// Returns the rows of a journal that are not in the row groups of `metadata`, in the order of `seq`.
///
/// # Errors
/// A complete frame does not contain rows of a recording.
pub fn rows<R: Read>(
    journal: R,
    metadata: &ParquetMetaData,
) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + use<R> {
    let last_seq = last_seq(metadata);
    journal::batches(journal).map(move |batch| rows_after(&batch?, last_seq))
}

/// Returns the blocks of a file in order, up to the last block whose data are complete on the disk: a power failure may
/// preserve a block and lose the row group before it.
fn chain(file: &mut File) -> io::Result<Option<Vec<Located>>> {
    let mut len = file.metadata()?.len();
    let mut budget = len.saturating_mul(SEARCH_PASSES);
    while let Some(last) = block::last(file, len, &mut budget)? {
        let synced_to = last.block.synced_to;
        let mut chain = vec![last];
        while let Some(located) = chain.last()
            && located.block.data_start > FIRST_START
            && let Some(previous) = block::ending_at(file, located.block.data_start)?
        {
            chain.push(previous);
        }
        chain.reverse();
        if chain[0].block.data_start > FIRST_START {
            len = chain[0].start;
            continue;
        }
        for i in 0..chain.len() {
            let Located { block, start, end } = &chain[i];
            if *end > synced_to && block::crc(file, block.data_start, *start)? != block.data_crc {
                chain.truncate(i);
                break;
            }
        }
        return Ok((!chain.is_empty()).then_some(chain));
    }
    Ok(None)
}

/// The checksums of the row groups of a file, and of the rows in its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// The file has none: another program wrote it.
    Absent,
    /// All of them are right.
    Right,
    /// One of them is wrong; the text says where.
    Wrong(String),
}

/// Compares the checksums of the file at `path`, closed or not, with its bytes. Bytes after the last complete row group,
/// such as those of a footer, have no checksum.
///
/// # Errors
/// The file or its journal cannot be read.
pub fn checksums(path: &Path) -> io::Result<Checksums> {
    let mut file = regular::open(path)?;
    let len = file.metadata()?.len();
    let Some(last) = block::last(&mut file, len, &mut len.saturating_mul(SEARCH_PASSES))? else {
        return Ok(Checksums::Absent);
    };
    let mut located = last;
    loop {
        let Located { block, start, .. } = &located;
        let data_start = block.data_start;
        if block::crc(&mut file, data_start, *start)? != block.data_crc {
            let wrong =
                format!("the bytes from {data_start} to {start} do not have their checksum");
            return Ok(Checksums::Wrong(wrong));
        }
        if data_start <= FIRST_START {
            break;
        }
        let Some(previous) = block::ending_at(&mut file, data_start)? else {
            let wrong =
                format!("the block that ends at byte {data_start} does not have its checksum");
            return Ok(Checksums::Wrong(wrong));
        };
        located = previous;
    }
    let wrong = journal::wrong_frame(journal::bytes(path)?.as_slice())?;
    Ok(wrong.map_or(Checksums::Right, |offset| {
        Checksums::Wrong(format!(
            "the frame at byte {offset} of its journal does not have its checksum"
        ))
    }))
}

/// Parses the metadata in a block. A `schema` that is known is shared instead of parsed again.
fn parse(
    metadata: Vec<u8>,
    schema: Option<&SchemaDescPtr>,
) -> Result<ParquetMetaData, ParquetError> {
    let mut options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
    if let Some(schema) = schema {
        options.set_schema(schema.clone());
    }
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Optional)
        .with_metadata_options(Some(options))
        .parse_and_finish(&bytes::Bytes::from(metadata))
}

/// Returns the row groups in a block of [`block()`], for a file with this schema.
///
/// # Errors
/// `block` is not a block.
pub fn row_groups_of_block(block: &[u8], schema: &SchemaDescPtr) -> Result<Vec<Group>, Error> {
    Ok(groups(parse(block::metadata(block)?, Some(schema))?))
}

/// Takes the row groups out of the metadata of a file.
pub fn groups(metadata: ParquetMetaData) -> Vec<Group> {
    let mut builder = metadata.into_builder();
    let columns: ParquetColumnIndex = builder.take_column_index().unwrap_or_default();
    let offsets: ParquetOffsetIndex = builder.take_offset_index().unwrap_or_default();
    let (mut columns, mut offsets) = (columns.into_iter(), offsets.into_iter());
    let groups = builder.take_row_groups().into_iter();
    groups
        .map(|group| {
            let no_index = || vec![ColumnIndexMetaData::NONE; group.num_columns()];
            let columns = columns.next().unwrap_or_else(no_index);
            (group, columns, offsets.next().unwrap_or_default())
        })
        .collect()
}

/// Returns the greatest `seq` in the row groups, or -1 if there are no row groups.
fn last_seq(metadata: &ParquetMetaData) -> i64 {
    let seq = ctrace_schema::columns::index("seq");
    let max_seq = |group: &RowGroupMetaData| match group.columns().get(seq?)?.statistics()? {
        Statistics::Int64(values) => values.max_opt().copied(),
        _ => None,
    };
    metadata
        .row_groups()
        .iter()
        .filter_map(max_seq)
        .max()
        .unwrap_or(-1)
}

/// Returns the rows of a batch whose `seq` is greater than `last_seq`.
fn rows_after(batch: &RecordBatch, last_seq: i64) -> Result<RecordBatch, ArrowError> {
    let seq = batch
        .column_by_name("seq")
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or_else(|| ArrowError::SchemaError("its rows have no `seq`".to_string()))?;
    let is_after: BooleanArray = seq.iter().map(|seq| Some(seq? > last_seq)).collect();
    arrow_select::filter::filter_record_batch(batch, &is_after)
}
