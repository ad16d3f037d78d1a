//! The rollups that stand in a file, read when a question needs them. Whatever is not as it should be counts as missing,
//! and the question is answered from the events.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use ctrace_schema::rollups::{Facet, KEY_ROLLUPS, N, Only, ROLLUPS, Rollup};
use parquet::file::metadata::ParquetMetaData;
use serde::Deserialize;

/// The largest frame that is read, and the most that those of a rollup may hold together, bytes. The recorder's are far smaller.
const MOST_LENGTH: u64 = 64 << 20;
const MOST_SIZE: u64 = 512 << 20;
/// The most batches of a rollup: few bytes may tell of many, which are of no rows.
const MOST_BATCHES: usize = 4096;

/// Where a rollup stands: see [`KEY_ROLLUPS`].
#[derive(Clone, Debug, Deserialize)]
struct Place {
    name: String,
    offset: u64,
    length: u64,
    size: u64,
    slice: Option<i64>,
}

/// The rows of a rollup.
#[derive(Debug)]
pub struct Rows {
    /// Those of all parts, as [`Rollup::schema`] has them, with text as views.
    pub batches: Vec<RecordBatch>,
    /// Nanoseconds of a slice, which those of all parts divide; 0 where it has none.
    pub slice: i64,
}

/// The rollups of one file.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    footer: Arc<ParquetMetaData>,
    places: Vec<Place>,
    /// By their place in [`ROLLUPS`]; None: it is not there, or not to be trusted.
    rows: Vec<OnceLock<Option<Arc<Rows>>>>,
}

impl Embedded {
    /// Those that the footer of the file at `path` tells of. Reads nothing yet.
    pub fn new(path: PathBuf, footer: Arc<ParquetMetaData>) -> Embedded {
        let pairs = footer.file_metadata().key_value_metadata();
        let pair = pairs.into_iter().flatten().find(|p| p.key == KEY_ROLLUPS);
        let places = pair.and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok());
        Embedded {
            path,
            footer,
            places: places.unwrap_or_default(),
            rows: ROLLUPS.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// The rows of a rollup of [`ROLLUPS`].
    pub fn rows(&self, rollup: &Rollup) -> Option<Arc<Rows>> {
        let at = ROLLUPS.iter().position(|r| r.name == rollup.name)?;
        let read = || {
            // What is made to mislead a decoder may make it panic.
            let read = catch_unwind(AssertUnwindSafe(|| self.read(rollup)));
            read.ok().flatten().map(Arc::new)
        };
        self.rows[at].get_or_init(read).clone()
    }

    fn read(&self, rollup: &Rollup) -> Option<Rows> {
        let parts = self.places.iter().filter(|p| p.name == rollup.name);
        let parts: Vec<&Place> = parts.collect();
        let (mut batches, mut left) = (vec![], MOST_SIZE);
        for place in &parts {
            let size = usize::try_from(place.size.min(left)).ok()?;
            let stream = zstd::bulk::decompress(&self.frame(place)?, size).ok()?;
            left -= stream.len() as u64;
            decode(stream, rollup, &mut batches)?;
        }
        let rows = Rows {
            batches,
            slice: match rollup.facets.contains(&Facet::Slice) {
                true => common(parts.iter().map(|place| place.slice))?,
                false => 0,
            },
        };
        let counted = self.counted(rollup)?;
        (total(&rows.batches)? == counted).then_some(rows)
    }

    /// The frame as it stands in the file.
    fn frame(&self, place: &Place) -> Option<Vec<u8>> {
        if place.length > MOST_LENGTH {
            return None;
        }
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(place.offset)).ok()?;
        let mut frame = vec![];
        file.take(place.length).read_to_end(&mut frame).ok()?;
        Some(frame)
    }

    /// How many events the rollup must be of, by what the file says elsewhere.
    fn counted(&self, rollup: &Rollup) -> Option<i64> {
        let all = self.footer.file_metadata().num_rows();
        match rollup.only {
            Only::All => Some(all),
            Only::Present(column) => {
                let columns = self.footer.file_metadata().schema_descr().columns();
                let at = columns.iter().position(|c| c.name() == column)?;
                let groups = self.footer.row_groups().iter();
                let nulls = groups.map(|g| g.column(at).statistics()?.null_count_opt());
                let nulls: Option<u64> = nulls.sum();
                all.checked_sub_unsigned(nulls?)
            }
            Only::OneOf(column, names) => {
                let whole = ROLLUPS.iter().find(|r| r.name == "calls")?;
                let whole = self.rows(whole)?;
                let of = whole.batches.iter().map(|batch| {
                    let values = batch.column_by_name(column)?.as_string_view_opt()?;
                    let is = values.iter().map(|v| Some(names.contains(&v?)));
                    filter_record_batch(batch, &is.collect()).ok()
                });
                total(&of.collect::<Option<Vec<_>>>()?)
            }
        }
    }
}

/// Adds the rows of a stream to `batches`, if they are those of `rollup`.
fn decode(stream: Vec<u8>, rollup: &Rollup, batches: &mut Vec<RecordBatch>) -> Option<()> {
    let reader = StreamReader::try_new(Cursor::new(stream), None).ok()?;
    let schema = Arc::new(rollup.schema(&DataType::Utf8View));
    for batch in reader {
        if batches.len() == MOST_BATCHES {
            return None;
        }
        batches.push(typed(&batch.ok()?, &schema)?);
    }
    Some(())
}

/// The rows of a batch, if they have the columns of `schema`.
fn typed(batch: &RecordBatch, schema: &SchemaRef) -> Option<RecordBatch> {
    let found = batch.schema();
    let names = |schema: &Schema| {
        schema
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect::<Vec<_>>()
    };
    if names(schema) != names(&found) {
        return None;
    }
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| match column.data_type() {
        found if found == field.data_type() => Some(column.clone()),
        DataType::Dictionary(_, _) => cast(column, field.data_type()).ok(),
        _ => None,
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Option<Vec<_>>>()?).ok()
}

/// The longest slice, if the others divide it.
fn common(mut slices: impl Iterator<Item = Option<i64>> + Clone) -> Option<i64> {
    let longest = slices.clone().max()??;
    let divides = |slice: Option<i64>| slice.is_some_and(|s| s > 0 && longest % s == 0);
    slices.all(divides).then_some(longest)
}

/// How many events the rows stand for; None: there are no rows, or one stands for none.
fn total(batches: &[RecordBatch]) -> Option<i64> {
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
