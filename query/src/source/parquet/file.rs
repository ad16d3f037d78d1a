//! One Parquet file of a recording.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Field, Schema};
use ctrace_schema::columns::Type;
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use datafusion::object_store::ObjectMeta;
use parquet::file::metadata::ParquetMetaData;

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
    span: OnceLock<Option<(i64, i64)>>,
}

impl ParquetFile {
    /// Creates the file at `path`, which has this metadata.
    pub(crate) fn new(
        name: String,
        url: ListingTableUrl,
        object: ObjectMeta,
        path: PathBuf,
        metadata: Arc<ParquetMetaData>,
    ) -> ParquetFile {
        ParquetFile {
            name,
            url,
            object,
            footer: Arc::new(Footer::new(path.clone(), metadata.clone())),
            rollups: FileRollups::new(path, metadata),
            span: OnceLock::new(),
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
}

fn timestamp_ns(value: &Precision<ScalarValue>) -> Option<i64> {
    match value.get_value()? {
        ScalarValue::TimestampNanosecond(Some(time), _) => Some(*time),
        _ => None,
    }
}
