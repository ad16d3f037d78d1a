//! The rollups in a file, read when a query needs them. A rollup that is invalid in any way counts as missing, and the query
//! is answered from the events.

use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, RecordBatch, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use ctrace_format::rollups::{Place, places};
use ctrace_format::{ipc, regular};
use ctrace_schema::rollups::{EventCondition, Facet, N, ROLLUPS, Rollup};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::ColumnDescPtr;

/// Limits of the compressed bytes of a frame, and of the uncompressed bytes of all frames of a rollup. The recorder's are far
/// smaller.
const MAX_FRAME_BYTES: u64 = 64 << 20;
const MAX_ROLLUP_BYTES: u64 = 512 << 20;
/// Limit of the batches of a rollup: a few bytes can describe many batches without rows.
const MAX_BATCHES: usize = 4096;

/// The rows of a rollup of one file, decoded.
#[derive(Debug)]
pub(crate) struct RollupRows {
    /// The rows of all frames, with the columns of [`Rollup::schema`] and text as views.
    pub(crate) batches: Vec<RecordBatch>,
    /// Length of a time slice: the longest of all frames, a multiple of the others; 0 if the rollup has no slices.
    pub(crate) slice_ns: i64,
}

/// The rollups of one file, each read and checked on first use.
#[derive(Debug)]
pub(crate) struct FileRollups {
    path: PathBuf,
    footer: Arc<ParquetMetaData>,
    places: Vec<Place>,
    /// The number of row groups at the beginning that the rollups do not count.
    alive_groups: usize,
    /// The decoded rollups in the order of [`ROLLUPS`]; `None`: the rollup is missing or invalid.
    rows: Vec<OnceLock<Option<Arc<RollupRows>>>>,
}

impl FileRollups {
    /// Creates the rollups that the footer of the file at `path` lists. The rollups do not count the first
    /// `alive_groups` row groups. Reads nothing yet.
    pub(crate) fn new(
        path: PathBuf,
        footer: Arc<ParquetMetaData>,
        alive_groups: usize,
    ) -> FileRollups {
        let places = places(footer.file_metadata().key_value_metadata());
        FileRollups {
            path,
            footer,
            places,
            alive_groups,
            rows: ROLLUPS.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// Returns the length of the time slices of a rollup, ns; `None`: the file has no such rollup. Reads nothing.
    pub(crate) fn slice_ns(&self, rollup: &Rollup) -> Option<i64> {
        let places = self.places.iter().filter(|place| place.name == rollup.name);
        let slices: Vec<_> = places.map(|place| place.slice).collect();
        common_slice(slices.into_iter()).filter(|slice| *slice > 0)
    }

    /// Returns the rows of a rollup of [`ROLLUPS`], read on first use.
    pub(crate) fn rows(&self, rollup: &Rollup) -> Option<Arc<RollupRows>> {
        let at = ROLLUPS.iter().position(|r| r.name == rollup.name)?;
        let read = || {
            // A forged file may make the decoder panic.
            let read = catch_unwind(AssertUnwindSafe(|| self.read(rollup)));
            read.ok().flatten().map(Arc::new)
        };
        self.rows[at].get_or_init(read).clone()
    }

    fn read(&self, rollup: &Rollup) -> Option<RollupRows> {
        let places = self.places.iter().filter(|p| p.name == rollup.name);
        let places: Vec<&Place> = places.collect();
        let (mut batches, mut remaining) = (vec![], MAX_ROLLUP_BYTES);
        for place in &places {
            let stream = decompress(&self.frame(place)?, place.size.min(remaining))?;
            remaining -= stream.len() as u64;
            decode(stream, rollup, self.columns(), &mut batches)?;
        }
        let rows = RollupRows {
            batches,
            slice_ns: match rollup.facets.contains(&Facet::Slice) {
                true => common_slice(places.iter().map(|place| place.slice))?,
                false => 0,
            },
        };
        let expected = self.expected_events(rollup)?;
        (total_events(&rows.batches)? == expected).then_some(rows)
    }

    /// Returns the columns of the events.
    fn columns(&self) -> &[ColumnDescPtr] {
        self.footer.file_metadata().schema_descr().columns()
    }

    /// Reads the compressed frame at a place.
    fn frame(&self, place: &Place) -> Option<Vec<u8>> {
        if place.length > MAX_FRAME_BYTES {
            return None;
        }
        let mut file = regular::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(place.offset)).ok()?;
        let mut frame = vec![];
        file.take(place.length).read_to_end(&mut frame).ok()?;
        Some(frame)
    }

    /// Returns the number of events of the rollup, according to the other contents of the file.
    fn expected_events(&self, rollup: &Rollup) -> Option<i64> {
        let groups = || self.footer.row_groups().iter().skip(self.alive_groups);
        let all = groups().map(|group| group.num_rows()).sum::<i64>();
        match rollup.condition {
            EventCondition::All => Some(all),
            EventCondition::Present(column) => {
                let at = self.columns().iter().position(|c| c.name() == column)?;
                let nulls = groups().map(|g| g.column(at).statistics()?.null_count_opt());
                let nulls: Option<u64> = nulls.sum();
                all.checked_sub_unsigned(nulls?)
            }
            EventCondition::OneOf(column, names) => {
                let calls = ROLLUPS.iter().find(|r| r.name == "calls")?;
                let calls = self.rows(calls)?;
                let selected = calls.batches.iter().map(|batch| {
                    let values = batch.column_by_name(column)?.as_string_view_opt()?;
                    let is = values.iter().map(|v| Some(names.contains(&v?)));
                    filter_record_batch(batch, &is.collect()).ok()
                });
                total_events(&selected.collect::<Option<Vec<_>>>()?)
            }
        }
    }
}

/// Reads `stream` as the decompressed stream of each rollup.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_rollups(stream: &[u8]) {
    for rollup in ROLLUPS {
        let mut batches = vec![];
        let read = catch_unwind(AssertUnwindSafe(|| {
            decode(stream.to_vec(), rollup, &[], &mut batches)
        }));
        if read.ok().flatten().is_some() {
            total_events(&batches);
        }
    }
}

/// Decompresses a frame of at most `limit` bytes, and allocates no more memory than the bytes need.
fn decompress(frame: &[u8], limit: u64) -> Option<Vec<u8>> {
    let mut stream = vec![];
    let decoder = zstd::Decoder::new(frame).ok()?;
    let mut decoder = decoder.take(limit.saturating_add(1));
    decoder.read_to_end(&mut stream).ok()?;
    (stream.len() as u64 <= limit).then_some(stream)
}

/// Adds the batches of a stream to `batches`, if they have the columns of `rollup`, except those that the events lack: the file
/// is of an older version of the format, and the column is null.
fn decode(
    stream: Vec<u8>,
    rollup: &Rollup,
    events: &[ColumnDescPtr],
    batches: &mut Vec<RecordBatch>,
) -> Option<()> {
    let schema = Arc::new(rollup.schema(&DataType::Utf8View));
    let lacks = |key: &&str| events.iter().all(|column| column.name() != *key);
    let missing: Vec<&str> = rollup.keys().filter(lacks).collect();
    for batch in ipc::batches(stream) {
        if batches.len() == MAX_BATCHES {
            return None;
        }
        batches.push(typed(&batch.ok()?, &schema, &missing)?);
    }
    Some(())
}

/// Returns the batch with the types of `schema`, if it has the same columns in the same order. Columns in `missing` are null.
fn typed(batch: &RecordBatch, schema: &SchemaRef, missing: &[&str]) -> Option<RecordBatch> {
    let found = batch.schema();
    let mut found = found.fields().iter().zip(batch.columns()).peekable();
    let mut next = |field: &Arc<Field>| {
        let Some((_, column)) = found.next_if(|(f, _)| f.name() == field.name()) else {
            let is_missing = missing.contains(&field.name().as_str());
            return is_missing.then(|| new_null_array(field.data_type(), batch.num_rows()));
        };
        match column.data_type() {
            found if found == field.data_type() => Some(column.clone()),
            DataType::Dictionary(_, _) => cast(column, field.data_type()).ok(),
            _ => None,
        }
    };
    let columns = schema.fields().iter().map(&mut next);
    let columns = columns.collect::<Option<Vec<_>>>()?;
    if found.next().is_some() {
        return None;
    }
    RecordBatch::try_new(schema.clone(), columns).ok()
}

/// Returns the longest slice, if it is a multiple of all others.
fn common_slice(mut slices: impl Iterator<Item = Option<i64>> + Clone) -> Option<i64> {
    let longest = slices.clone().max()??;
    let divides = |slice: Option<i64>| slice.is_some_and(|s| s > 0 && longest % s == 0);
    slices.all(divides).then_some(longest)
}

/// Returns the sum of the events of all rows; `None`: there are no rows, or a row has no events.
fn total_events(batches: &[RecordBatch]) -> Option<i64> {
    if batches.is_empty() {
        return None;
    }
    let mut sum = 0i64;
    for batch in batches {
        let counts = batch.column_by_name(N)?.as_primitive_opt::<Int64Type>()?;
        if counts.null_count() > 0 || counts.values().iter().any(|n| *n < 1) {
            return None;
        }
        for n in counts.values() {
            sum = sum.checked_add(*n)?;
        }
    }
    Some(sum)
}
