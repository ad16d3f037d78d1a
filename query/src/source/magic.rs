//! What kind of file stands behind a name.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::source::SourceError;
use crate::source::sqlite;

/// What a file's first and last bytes say that it is.
pub enum Magic {
    Parquet,
    /// Parquet, without its end.
    Unclosed,
    Sqlite,
}

/// A Parquet file begins and ends with `PAR1`; the end is written last.
///
/// # Errors
/// That it cannot be read, is empty, or is neither.
pub fn check_magic(path: &Path) -> Result<Magic, SourceError> {
    const MAGIC: &[u8; 4] = b"PAR1";
    let name = path.display().to_string();
    let io = |source| SourceError::Io {
        path: name.clone(),
        source,
    };
    let mut file = std::fs::File::open(path).map_err(io)?;
    let kind = file.metadata().map_err(io)?;
    if kind.is_dir() {
        return Err(SourceError::Directory(name));
    }
    if !kind.is_file() {
        return Err(SourceError::NotParquet(name));
    }
    let mut bytes = [0; 4];
    if kind.len() == 0 {
        return Err(SourceError::NotClosed(name));
    }
    let mut first = [0; sqlite::MAGIC.len()];
    if file.read_exact(&mut first).is_ok() && first == sqlite::MAGIC {
        return Ok(Magic::Sqlite);
    }
    file.rewind().map_err(io)?;
    if kind.len() < 4 || file.read_exact(&mut bytes).is_err() || &bytes != MAGIC {
        return Err(SourceError::NotParquet(name));
    }
    // Magic, footer length and magic again are the least.
    if kind.len() < 12 {
        return Err(SourceError::NotClosed(name));
    }
    file.seek(SeekFrom::End(-4)).map_err(io)?;
    file.read_exact(&mut bytes).map_err(io)?;
    match &bytes == MAGIC {
        true => Ok(Magic::Parquet),
        false => Ok(Magic::Unclosed),
    }
}
