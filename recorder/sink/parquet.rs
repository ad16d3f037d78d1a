//! Parquet: a row group per batch, and a file that opens whatever happened to the disk.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use arrow::datatypes::Schema;
use ctrace_schema::columns::COLUMNS;
use ctrace_schema::rollups::KEY_ROLLUPS;
use parquet::arrow::ArrowSchemaConverter;
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescPtr;
use serde_json::json;

use super::chunk::Encoder;
use super::{Sink, Summary};
use crate::batch;
use crate::columns::Columns;
use crate::rollups::Rollups;

/// The file as the encoder sees it, until it is shut: what the encoder still holds when a write has failed must not
/// land behind the footer that is written then.
struct Gate {
    file: File,
    shut: Arc<AtomicBool>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shut.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A Parquet file that is being written.
pub struct Parquet {
    path: PathBuf,
    writer: SerializedFileWriter<Gate>,
    encoder: Encoder,
    rollups: Rollups,
    file: File,
    shut: Arc<AtomicBool>,
    origin: Vec<(&'static str, String)>,
    schema: SchemaDescPtr,
    /// Where the last whole row group ends.
    end: u64,
}

impl Parquet {
    /// Begins a recording in `file`, which stands at `path`. `origin` is the metadata of one that breaks off.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(
        file: File,
        path: &Path,
        schema: Arc<Schema>,
        origin: Vec<(&'static str, String)>,
    ) -> Result<Parquet> {
        let second = file
            .try_clone()
            .with_context(|| format!("cannot write {}", path.display()))?;
        let descriptor = Arc::new(ArrowSchemaConverter::new().convert(&schema)?);
        let shut = Arc::new(AtomicBool::new(false));
        let gate = Gate {
            file,
            shut: shut.clone(),
        };
        let root = descriptor.root_schema_ptr();
        // How columns are encoded is the encoder's concern; this is what else is in the file.
        let properties = WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_1_0);
        let writer = SerializedFileWriter::new(gate, root, Arc::new(properties.build()))?;
        Ok(Parquet {
            path: path.to_path_buf(),
            writer,
            encoder: Encoder::new()?,
            rollups: Rollups::new(),
            file: second,
            shut,
            origin,
            schema: descriptor,
            end: 4,
        })
    }

    /// Writes a row group, column by column.
    fn row_group(&mut self, columns: &Columns) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for (i, column) in COLUMNS.iter().enumerate() {
            let series = columns.series(column.name);
            let descr = self.schema.column(i);
            let (bytes, close) = self.encoder.chunk(&series, columns.texts(), &descr)?;
            group.append_column(&bytes, close)?;
        }
        group.close()?;
        Ok(())
    }

    /// Cuts the file back to its last whole row group and writes a footer there, so that what was written opens. The
    /// room for the footer is that of the row group that did not fit.
    fn salvage(&mut self) -> Result<()> {
        let whole = |group: &&RowGroupMetaData| {
            group
                .columns()
                .iter()
                .all(|c| c.byte_range().0 + c.byte_range().1 <= self.end)
        };
        let groups: Vec<_> = self
            .writer
            .flushed_row_groups()
            .iter()
            .filter(whole)
            .cloned()
            .collect();
        let rows = groups.iter().map(|g| g.num_rows()).sum();
        let origin = self
            .origin
            .iter()
            .map(|(key, value)| KeyValue::new(key.to_string(), value.clone()));
        let metadata = FileMetaData::new(
            2,
            rows,
            None,
            Some(origin.collect()),
            self.schema.clone(),
            None,
        );
        self.shut.store(true, Ordering::Relaxed);
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        let metadata = ParquetMetaData::new(metadata, groups);
        ParquetMetaDataWriter::new(&mut self.file, &metadata).finish()?;
        self.file.sync_all()?;
        Ok(())
    }
}

/// Writes the rollups, and where they stand.
fn embed(rollups: &Rollups, writer: &mut SerializedFileWriter<Gate>) -> Result<()> {
    let mut places = vec![];
    for blob in rollups.blobs()? {
        places.push(json!({
            "name": blob.name,
            "offset": writer.bytes_written(),
            "length": blob.bytes.len(),
            "size": blob.size,
            "slice": blob.slice,
        }));
        writer.write_all(&blob.bytes)?;
    }
    let places = serde_json::to_string(&places)?;
    writer.append_key_value_metadata(KeyValue::new(KEY_ROLLUPS.to_string(), places));
    Ok(())
}

impl Sink for Parquet {
    fn rows(&self) -> usize {
        batch::ROWS
    }

    fn write(&mut self, columns: &Columns) -> Result<()> {
        let written = self
            .row_group(columns)
            .and_then(|()| Ok(self.writer.flush()?));
        match written {
            Ok(()) => {
                self.end = self.writer.bytes_written() as u64;
                self.rollups.add(columns);
                Ok(())
            }
            Err(e) => {
                let path = self.path.display().to_string();
                let kept = match self.salvage() {
                    Ok(()) => "what was recorded before is kept, and the file opens".to_string(),
                    Err(e) => {
                        format!("and its end could not be written either ({e}): it has no footer")
                    }
                };
                Err(anyhow::anyhow!("cannot write {path}: {e}; {kept}"))
            }
        }
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        for (key, value) in summary.metadata() {
            self.writer
                .append_key_value_metadata(KeyValue::new(key.to_string(), value));
        }
        let embedded = embed(&self.rollups, &mut self.writer);
        let closed = embedded.and_then(|()| Ok(self.writer.finish()?));
        let closed = closed
            .map(|_| ())
            .map_err(|e| io::Error::other(e.to_string()));
        let closed = closed.and_then(|()| self.file.sync_all());
        if let Err(e) = closed {
            let path = self.path.display().to_string();
            self.salvage()
                .with_context(|| format!("cannot write {path}: {e}"))?;
            anyhow::bail!(
                "cannot write {path}: {e}; what was recorded before is kept, and the file opens"
            );
        }
        Ok(self.file.metadata()?.len())
    }
}
