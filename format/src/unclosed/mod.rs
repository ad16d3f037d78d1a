//! Recordings in Parquet that were not closed: read without a footer.
//!
//! Between its row groups the file holds blocks that say what is before them ([`mod@block`]); rows that are in no whole row
//! group yet are in the [`journal`] beside it.

pub mod block;
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

use block::{Block, FIRST, Found};

/// Why what was not closed cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Parquet(#[from] ParquetError),
    #[error("its journal: {0}")]
    Journal(#[from] ArrowError),
}

/// A row group: its metadata, and the indices of its pages by column.
pub type Group = (
    RowGroupMetaData,
    Vec<ColumnIndexMetaData>,
    Vec<OffsetIndexMetaData>,
);

/// What a recording that was not closed holds.
#[derive(Debug)]
pub struct Unclosed {
    /// Its row groups that are whole, as a footer would tell them.
    pub metadata: ParquetMetaData,
    /// Where the last of them ends, with its block.
    pub end: u64,
    /// Rows that are in none of them, in the order of `seq`.
    pub rows: Vec<RecordBatch>,
}

/// The metadata of a file, as a footer has it, of `groups` in this order.
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

/// The block of `metadata` that ends what began at `before`.
///
/// # Errors
/// None that a user can cause.
pub fn block(
    metadata: &ParquetMetaData,
    before: u64,
    synced: u64,
    crc: u32,
) -> Result<Vec<u8>, ParquetError> {
    let mut bytes = vec![];
    ParquetMetaDataWriter::new(&mut bytes, metadata).finish()?;
    let block = Block {
        before,
        synced,
        crc,
        metadata: bytes,
    };
    Ok(block.encode()?)
}

/// Writes the end of a file of `len` bytes: `metadata`, with the indices of the pages before it.
///
/// # Errors
/// Those of `out`.
pub fn write_footer(
    metadata: &ParquetMetaData,
    len: u64,
    out: impl Write + Send,
) -> Result<(), ParquetError> {
    let mut written = Ok(());
    let after = After {
        out,
        skip: len,
        written: &mut written,
    };
    let mut tracked = TrackedWrite::new(after);
    let nothing = vec![0; 1 << 16];
    let mut left = len;
    while left > 0 {
        let some = left.min(nothing.len() as u64);
        tracked.write_all(&nothing[..some as usize])?;
        left -= some;
    }
    ParquetMetaDataWriter::new_with_tracked(tracked, metadata).finish()?;
    Ok(written?)
}

/// Drops the first bytes: the metadata's writer counts places from what it was given.
struct After<'a, W> {
    out: W,
    skip: u64,
    /// The first error: the metadata's writer writes its last bytes when it is dropped, where nobody hears of one.
    written: &'a mut io::Result<()>,
}

impl<W: Write> Write for After<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skip = self.skip.min(bytes.len() as u64);
        self.skip -= skip;
        if self.written.is_ok() {
            *self.written = self.out.write_all(&bytes[skip as usize..]);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the recording at `path`, also while it is being written. None: it has no block, and is no recording of ours or
/// of an earlier version.
///
/// # Errors
/// It cannot be read, or what a block holds makes no sense.
pub fn read(path: &Path) -> Result<Option<Unclosed>, Error> {
    // The journal first: what leaves it meanwhile is in a row group by then.
    let journal = journal::bytes(path)?;
    let Some((metadata, end)) = whole(&mut File::open(path)?)? else {
        return Ok(None);
    };
    let rows = rows(journal.as_slice(), &metadata).collect::<Result<_, _>>()?;
    Ok(Some(Unclosed {
        metadata,
        end,
        rows,
    }))
}

/// The row groups of a file that are whole, as a footer would tell them, and where the last of them ends, with its block. None:
/// it has no block.
///
/// # Errors
/// It cannot be read, or what a block holds makes no sense.
pub fn whole(file: &mut File) -> Result<Option<(ParquetMetaData, u64)>, Error> {
    let Some(chain) = chain(file)? else {
        return Ok(None);
    };
    let end = chain.last().map_or(FIRST, |found| found.end);
    let mut blocks = chain.into_iter().map(|found| found.block.metadata);
    let Some(first) = blocks.next() else {
        return Ok(None);
    };
    let first = parsed(first, None)?;
    let first = first.file_metadata();
    let pairs = first.key_value_metadata().cloned().unwrap_or_default();
    let schema = first.schema_descr_ptr();
    let mut all = vec![];
    for block in blocks {
        all.extend(groups(parsed(block, Some(&schema))?));
    }
    Ok(Some((metadata(&schema, pairs, all), end)))
}

/// The rows of a journal that are in none of the row groups of `metadata`, in the order of `seq`.
///
/// # Errors
/// A frame is whole and holds no rows of a recording.
pub fn rows<R: Read>(
    journal: R,
    metadata: &ParquetMetaData,
) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + use<R> {
    let after = last_seq(metadata);
    journal::batches(journal).map(move |batch| later(&batch?, after))
}

/// The blocks of a file, the first of them first, up to the last whose bytes are all there: a machine that lost its power
/// may have kept a block and not what is before it.
fn chain(file: &mut File) -> io::Result<Option<Vec<Found>>> {
    let mut len = file.metadata()?.len();
    while let Some(last) = block::last(file, len)? {
        let synced = last.block.synced;
        let mut chain = vec![last];
        while let Some(found) = chain.last()
            && found.block.before > FIRST
            && let Some(before) = block::ending(file, found.block.before)?
        {
            chain.push(before);
        }
        chain.reverse();
        if chain[0].block.before > FIRST {
            len = chain[0].start;
            continue;
        }
        for i in 0..chain.len() {
            let Found { block, start, end } = &chain[i];
            if *end > synced && block::crc(file, block.before, *start)? != block.crc {
                chain.truncate(i);
                break;
            }
        }
        return Ok((!chain.is_empty()).then_some(chain));
    }
    Ok(None)
}

/// The metadata in a block; of a file that is known to have this schema, which all share then.
fn parsed(
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

/// The row groups that a block tells of, which [`block()`] has made, in a file with this schema.
///
/// # Errors
/// It is none.
pub fn of_block(block: &[u8], schema: &SchemaDescPtr) -> Result<Vec<Group>, Error> {
    Ok(groups(parsed(block::metadata(block)?, Some(schema))?))
}

/// The row groups of a file.
pub fn groups(metadata: ParquetMetaData) -> Vec<Group> {
    let mut builder = metadata.into_builder();
    let columns: ParquetColumnIndex = builder.take_column_index().unwrap_or_default();
    let offsets: ParquetOffsetIndex = builder.take_offset_index().unwrap_or_default();
    let (mut columns, mut offsets) = (columns.into_iter(), offsets.into_iter());
    let groups = builder.take_row_groups().into_iter();
    groups
        .map(|group| {
            let none = || vec![ColumnIndexMetaData::NONE; group.num_columns()];
            let columns = columns.next().unwrap_or_else(none);
            (group, columns, offsets.next().unwrap_or_default())
        })
        .collect()
}

/// The greatest `seq` in the row groups; -1: there are none.
fn last_seq(metadata: &ParquetMetaData) -> i64 {
    let seq = ctrace_schema::columns::index("seq");
    let of = |group: &RowGroupMetaData| match group.columns().get(seq?)?.statistics()? {
        Statistics::Int64(values) => values.max_opt().copied(),
        _ => None,
    };
    metadata
        .row_groups()
        .iter()
        .filter_map(of)
        .max()
        .unwrap_or(-1)
}

/// The rows of a batch whose `seq` is greater than `after`.
fn later(batch: &RecordBatch, after: i64) -> Result<RecordBatch, ArrowError> {
    let seq = batch
        .column_by_name("seq")
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or_else(|| ArrowError::SchemaError("its rows have no `seq`".to_string()))?;
    let later: BooleanArray = seq.iter().map(|seq| Some(seq? > after)).collect();
    arrow_select::filter::filter_record_batch(batch, &later)
}
