//! One Parquet file of a recording.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use ctrace_schema::columns::Type;
use ctrace_schema::meta;
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use datafusion::object_store::ObjectMeta;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use crate::source::boot::FileBoot;
use crate::source::names::BOOT_ID;
use crate::source::parquet::reader::Footer;
use crate::source::parquet::rollups::FileRollups;

/// An open Parquet file with events. Rows are read later, during scans.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    /// The value of the column `recording`.
    pub(crate) name: String,
    pub(crate) url: ListingTableUrl,
    pub(crate) object: ObjectMeta,
    pub(crate) footer: Arc<Footer>,
    pub(crate) rollups: FileRollups,
    pub(crate) boot: FileBoot,
    /// The number of row groups at the beginning with rows about the containers and processes that were alive when the
    /// file began. These rows are older than the file, and are also in the files before.
    pub(crate) alive_groups: usize,
    span: OnceLock<Option<(i64, i64)>>,
}

impl ParquetFile {
    /// Creates the file at `path`, which has this footer with the key-value pairs `pairs`.
    pub(crate) fn new(
        name: String,
        url: ListingTableUrl,
        object: ObjectMeta,
        path: PathBuf,
        metadata: Arc<ParquetMetaData>,
        pairs: &BTreeMap<String, String>,
    ) -> ParquetFile {
        let alive_groups = alive_groups(&metadata, pairs);
        ParquetFile {
            name,
            url,
            object,
            footer: Arc::new(Footer::new(path.clone(), metadata.clone())),
            boot: FileBoot::of_parquet(&metadata, pairs),
            rollups: FileRollups::new(path, metadata, alive_groups),
            alive_groups,
            span: OnceLock::new(),
        }
    }

    /// Reads some columns of a row group, those that the file has.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub(crate) fn read_group(
        &self,
        group: usize,
        columns: &[&str],
    ) -> std::result::Result<Vec<RecordBatch>, String> {
        let read = || -> std::result::Result<Vec<RecordBatch>, ParquetError> {
            let file = self.footer.open()?;
            let metadata = self.footer.metadata().clone();
            let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new())?;
            let schema = metadata.parquet_schema();
            let mask = ProjectionMask::columns(schema, columns.iter().copied());
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_row_groups(vec![group])
                .with_projection(mask)
                .build()?;
            reader.map(|batch| Ok(batch?)).collect()
        };
        // The decoder panics on pages with wrong lengths.
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(read) => read.map_err(|e| e.to_string()),
            Err(_) => Err("its pages are invalid".into()),
        }
    }

    /// Returns the value of a column that has one value in the file: `boot_id` or `recording`.
    pub(crate) fn constant(&self, column: &str) -> ScalarValue {
        match column {
            BOOT_ID => self.boot.constant().unwrap_or(ScalarValue::Utf8View(None)),
            _ => ScalarValue::Utf8View(Some(self.name.clone())),
        }
    }

    /// Returns the first and the last time of the events, ns since 1970 UTC; `None`: the footer has no statistics of
    /// `time`.
    ///
    /// # Errors
    /// The statistics of the footer are invalid.
    pub(crate) fn span(&self) -> Result<Option<(i64, i64)>> {
        if let Some(span) = self.span.get() {
            return Ok(*span);
        }
        let time = Schema::new(vec![Field::new("time", Type::Time.arrow(), false)]);
        let footer = self.footer.metadata();
        let statistics =
            DFParquetMetadata::statistics_from_parquet_metadata(footer, &Arc::new(time))?;
        let column = &statistics.column_statistics[0];
        let ends = (
            timestamp_ns(&column.min_value),
            timestamp_ns(&column.max_value),
        );
        Ok(*self.span.get_or_init(|| ends.0.zip(ends.1)))
    }

    /// Returns the span as [`ParquetFile::span`] does, without the rows that are older than the file.
    ///
    /// # Errors
    /// The statistics of the footer are invalid.
    pub(crate) fn own_span(&self) -> Result<Option<(i64, i64)>> {
        if self.alive_groups == 0 {
            return self.span();
        }
        let groups = self.footer.metadata().row_groups().iter();
        let spans = groups.skip(self.alive_groups).map(|group| {
            let mut columns = group.columns().iter();
            let time = columns.find(|c| c.column_descr().name() == "time")?;
            match time.statistics()? {
                Statistics::Int64(times) => Some((*times.min_opt()?, *times.max_opt()?)),
                _ => None,
            }
        });
        let spans: Option<Vec<_>> = spans.collect();
        Ok(spans.and_then(|spans| spans.into_iter().reduce(covering)))
    }
}

/// Returns the span that covers two spans.
pub(crate) fn covering(one: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    (one.0.min(other.0), one.1.max(other.1))
}

/// Returns the number of row groups that consist of the rows at the beginning, whose number is in the metadata; 0 if no
/// row group ends with these rows.
fn alive_groups(footer: &ParquetMetaData, pairs: &BTreeMap<String, String>) -> usize {
    let alive = pairs
        .get(meta::KEY_ALIVE)
        .and_then(|rows| rows.parse::<i64>().ok());
    let Some(mut alive) = alive.filter(|rows| *rows > 0) else {
        return 0;
    };
    for (number, group) in footer.row_groups().iter().enumerate() {
        alive -= group.num_rows();
        if alive <= 0 {
            return if alive == 0 { number + 1 } else { 0 };
        }
    }
    0
}

fn timestamp_ns(value: &Precision<ScalarValue>) -> Option<i64> {
    match value.get_value()? {
        ScalarValue::TimestampNanosecond(Some(time), _) => Some(*time),
        _ => None,
    }
}
