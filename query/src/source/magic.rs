//! The kind of a file, by its first and last bytes.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use ctrace_format::{PARQUET_MAGIC, regular};
use ctrace_schema::text::path_text;

use crate::source::error::SourceError;
use crate::source::sqlite;

pub(crate) enum FileKind {
    Parquet,
    /// Parquet without a footer.
    Unclosed,
    Sqlite,
}

/// Reads the magic numbers of a file. A Parquet file begins and ends with `PAR1`; the end is written last.
///
/// # Errors
/// The file cannot be read, is empty, or has another format.
pub(crate) fn file_kind(path: &Path) -> Result<FileKind, SourceError> {
    let name = path_text(path);
    let io = |source| SourceError::Io {
        path: name.clone(),
        source,
    };
    if path.is_dir() {
        return Err(SourceError::Directory(name));
    }
    let mut file = match regular::open(path) {
        Err(e) if e.kind() == ErrorKind::InvalidInput => return Err(SourceError::NotParquet(name)),
        opened => opened.map_err(io)?,
    };
    let metadata = file.metadata().map_err(io)?;
    let mut bytes = [0; 4];
    if metadata.len() == 0 {
        return Err(SourceError::NotClosed(name));
    }
    let mut first = [0; sqlite::MAGIC.len()];
    if file.read_exact(&mut first).is_ok() && first == sqlite::MAGIC {
        return Ok(FileKind::Sqlite);
    }
    file.rewind().map_err(io)?;
    if metadata.len() < 4 || file.read_exact(&mut bytes).is_err() || &bytes != PARQUET_MAGIC {
        return Err(SourceError::NotParquet(name));
    }
    // The smallest Parquet file has the magic number, the length of the footer and the magic number again.
    if metadata.len() < 12 {
        return Err(SourceError::NotClosed(name));
    }
    file.seek(SeekFrom::End(-4)).map_err(io)?;
    file.read_exact(&mut bytes).map_err(io)?;
    match &bytes == PARQUET_MAGIC {
        true => Ok(FileKind::Parquet),
        false => Ok(FileKind::Unclosed),
    }
}
