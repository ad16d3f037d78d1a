//! Reads Parquet files whose metadata is known already: that of a file that was not closed stands in no footer.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    DefaultParquetFileReaderFactory, ParquetFileReaderFactory,
};
use datafusion::error::Result;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::path::Path;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::metadata::ParquetMetaData;

/// Makes readers of files whose metadata it has.
#[derive(Debug)]
pub struct Footers {
    files: DefaultParquetFileReaderFactory,
    known: HashMap<Path, Arc<ParquetMetaData>>,
}

impl Footers {
    /// For files of `store`, with the metadata of each.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        known: impl IntoIterator<Item = (Path, Arc<ParquetMetaData>)>,
    ) -> Footers {
        Footers {
            files: DefaultParquetFileReaderFactory::new(store),
            known: known.into_iter().collect(),
        }
    }
}

impl ParquetFileReaderFactory for Footers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let footer = self.known.get(&file.object_meta.location).cloned();
        let reader = |file| self.files.create_reader(partition, file, hint, metrics);
        let Some(footer) = footer else {
            return reader(file);
        };
        let mut renamed = file.clone();
        let name = file.object_meta.location.as_ref().strip_suffix(".open");
        let finished = match name.and_then(|name| Path::parse(name).ok()) {
            Some(name) => {
                renamed.object_meta.location = name;
                Some(reader(renamed)?)
            }
            None => None,
        };
        Ok(Box::new(Reader {
            file: reader(file)?,
            finished,
            footer,
        }))
    }
}

/// A reader of one file.
struct Reader {
    file: Box<dyn AsyncFileReader + Send>,
    /// The same file under the name that it gets when it is finished, which may be meanwhile.
    finished: Option<Box<dyn AsyncFileReader + Send>>,
    footer: Arc<ParquetMetaData>,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let read = async move {
            match (self.file.get_bytes(range.clone()).await, &mut self.finished) {
                (Err(_), Some(finished)) => finished.get_bytes(range).await,
                (read, _) => read,
            }
        };
        read.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let read = async move {
            let file = self.file.get_byte_ranges(ranges.clone()).await;
            match (file, &mut self.finished) {
                (Err(_), Some(finished)) => finished.get_byte_ranges(ranges).await,
                (read, _) => read,
            }
        };
        read.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        futures::future::ready(Ok(self.footer.clone())).boxed()
    }
}
