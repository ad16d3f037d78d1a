//! Reads Parquet files whose metadata is known already: that of a file that was not closed stands in no footer, and the index
//! of the pages is read when a question needs it, which few do.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
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
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use tokio::sync::OnceCell;

/// The metadata of a file.
#[derive(Debug)]
pub struct Footer {
    metadata: Arc<ParquetMetaData>,
    /// With the index of the pages.
    indexed: OnceCell<Arc<ParquetMetaData>>,
}

impl Footer {
    /// As it was read, maybe without the index of the pages.
    pub fn new(metadata: Arc<ParquetMetaData>) -> Footer {
        let known = metadata.offset_index().is_some();
        Footer {
            indexed: OnceCell::new_with(known.then(|| metadata.clone())),
            metadata,
        }
    }

    /// The metadata, without the index of the pages.
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        &self.metadata
    }

    /// The metadata with the index of the pages, which is read if it was not yet.
    async fn indexed(&self, file: &mut Reader) -> parquet::errors::Result<Arc<ParquetMetaData>> {
        let read = async || {
            let mut reader = ParquetMetaDataReader::new_with_metadata((*self.metadata).clone())
                .with_page_index_policy(PageIndexPolicy::Optional);
            // What lies about its own lengths makes the decoder panic.
            AssertUnwindSafe(reader.load_page_index(file))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    Err(ParquetError::General(
                        "the index of its pages makes no sense".into(),
                    ))
                })?;
            Ok(Arc::new(reader.finish()?))
        };
        self.indexed.get_or_try_init(read).await.cloned()
    }
}

/// Makes readers of files whose metadata it has.
#[derive(Debug)]
pub struct Footers {
    files: DefaultParquetFileReaderFactory,
    known: HashMap<Path, Arc<Footer>>,
    /// Whether pages may be left out.
    indexed: bool,
}

impl Footers {
    /// For files of `store`, with the metadata of each; `indexed`: some pages may be all that is asked for.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        known: impl IntoIterator<Item = (Path, Arc<Footer>)>,
        indexed: bool,
    ) -> Footers {
        Footers {
            files: DefaultParquetFileReaderFactory::new(store),
            known: known.into_iter().collect(),
            indexed,
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
            indexed: self.indexed,
        }))
    }
}

/// A reader of one file.
struct Reader {
    file: Box<dyn AsyncFileReader + Send>,
    /// The same file under the name that it gets when it is finished, which may be meanwhile.
    finished: Option<Box<dyn AsyncFileReader + Send>>,
    footer: Arc<Footer>,
    indexed: bool,
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
        let footer = self.footer.clone();
        match self.indexed {
            true => async move { footer.indexed(self).await }.boxed(),
            false => futures::future::ready(Ok(footer.metadata.clone())).boxed(),
        }
    }
}
