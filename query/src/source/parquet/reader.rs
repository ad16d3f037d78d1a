//! Reads Parquet files whose metadata is already known: a file that was not closed has no footer, and the page index is read
//! only by the few queries that need it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ctrace_format::{names, regular};
use ctrace_schema::text::path_text;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    ParquetFileMetrics, ParquetFileReaderFactory,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store::path::Path;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use tokio::sync::OnceCell;
use tokio::task::yield_now;

/// The metadata of a file, with or without its page index.
#[derive(Debug)]
pub(crate) struct Footer {
    path: PathBuf,
    metadata: Arc<ParquetMetaData>,
    /// The metadata with the page index.
    indexed: OnceCell<Arc<ParquetMetaData>>,
}

impl Footer {
    /// Creates a footer from the metadata of the file at `path`, with or without the page index.
    pub(crate) fn new(path: PathBuf, metadata: Arc<ParquetMetaData>) -> Footer {
        let known = metadata.offset_index().is_some();
        Footer {
            path,
            indexed: OnceCell::new_with(known.then(|| metadata.clone())),
            metadata,
        }
    }

    /// Opens the file, also if the recorder has finished and renamed it meanwhile.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(&self) -> io::Result<File> {
        Ok(open(&self.path)?.0)
    }

    /// Returns the metadata as it was opened, usually without the page index.
    pub(crate) fn metadata(&self) -> &Arc<ParquetMetaData> {
        &self.metadata
    }

    /// Returns the metadata with the page index, which is read on first use.
    async fn indexed(
        &self,
        file: &mut FileReader,
    ) -> parquet::errors::Result<Arc<ParquetMetaData>> {
        let read = async || {
            let mut reader = ParquetMetaDataReader::new_with_metadata((*self.metadata).clone())
                .with_page_index_policy(PageIndexPolicy::Optional);
            // The decoder panics on an index with wrong lengths.
            AssertUnwindSafe(reader.load_page_index(file))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    Err(ParquetError::General("its page index is invalid".into()))
                })?;
            Ok(Arc::new(reader.finish()?))
        };
        self.indexed.get_or_try_init(read).await.cloned()
    }
}

/// Creates readers of files whose metadata is known.
#[derive(Debug)]
pub(crate) struct FooterCache {
    footers: HashMap<Path, Arc<Footer>>,
    /// True if readers may use the page index to skip pages.
    indexed: bool,
}

impl FooterCache {
    /// Creates a cache of `footers`, each with the location of its file in the object store. `indexed`: the query may
    /// need only some of the pages.
    pub(crate) fn new(
        footers: impl IntoIterator<Item = (Path, Arc<Footer>)>,
        indexed: bool,
    ) -> FooterCache {
        FooterCache {
            footers: footers.into_iter().collect(),
            indexed,
        }
    }
}

impl ParquetFileReaderFactory for FooterCache {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let location = &file.object_meta.location;
        let footer = self.footers.get(location).cloned().ok_or_else(|| {
            DataFusionError::Internal(format!("{location} has not been opened before"))
        })?;
        Ok(Box::new(FileReader {
            file: None,
            metrics: ParquetFileMetrics::new(partition, location.as_ref(), metrics),
            footer,
            indexed: self.indexed,
        }))
    }
}

/// A reader of one file. Reads are synchronous, because the data is mostly in the page cache: handing them to other threads
/// took half of the time of some queries. Each read yields to the runtime first, because a scan that produces no rows does
/// not yield otherwise.
struct FileReader {
    /// The open file and its length, from the first read on.
    file: Option<(File, u64)>,
    metrics: ParquetFileMetrics,
    footer: Arc<Footer>,
    indexed: bool,
}

impl FileReader {
    fn read(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        self.read_unnamed(range).map_err(|e| {
            let path = path_text(&self.footer.path);
            io::Error::new(e.kind(), format!("{path}: {e}"))
        })
    }

    fn read_unnamed(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        let (file, len) = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(&self.footer.path)?),
        };
        let bytes = range.end.checked_sub(range.start);
        // Memory is allocated only for bytes that exist.
        let bytes = bytes.filter(|_| range.end <= *len);
        let bytes = bytes.ok_or(ErrorKind::UnexpectedEof)?;
        self.metrics.bytes_scanned.add(bytes as usize);
        file.seek(SeekFrom::Start(range.start))?;
        let mut read = Vec::with_capacity(bytes as usize);
        file.take(bytes).read_to_end(&mut read)?;
        match read.len() as u64 == bytes {
            true => Ok(read.into()),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Opens a file, also if the recorder has finished and renamed it meanwhile. Returns the file and its length.
fn open(path: &std::path::Path) -> io::Result<(File, u64)> {
    let is_open = names::is_open(path);
    let file = match regular::open(path) {
        Err(e) if is_open && e.kind() == ErrorKind::NotFound => {
            regular::open(&names::finished(path))?
        }
        other => other?,
    };
    let len = file.metadata()?.len();
    Ok((file, len))
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            yield_now().await;
            Ok(self.read(range)?)
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            yield_now().await;
            let read: io::Result<_> = ranges.into_iter().map(|range| self.read(range)).collect();
            Ok(read?)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let footer = self.footer.clone();
        match self.indexed {
            true => async move { footer.indexed(self).await }.boxed(),
            false => ready(Ok(footer.metadata.clone())).boxed(),
        }
    }
}
