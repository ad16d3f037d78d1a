//! The file interface of the Parquet writer. All bytes of a recording and its journal reach the disk through these
//! traits, so that a test can make every single operation fail.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use ctrace_format::digest::RunningHash;

/// A file that can be truncated.
pub(crate) trait Medium: Write + Send {
    /// Truncates the file to `len` bytes; the next write continues there.
    ///
    /// # Errors
    /// The file cannot be truncated.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

impl Medium for File {
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len))?;
        Ok(())
    }
}

/// A file that can be synced.
pub(crate) trait Durable: Send {
    /// Syncs the written bytes to the disk: fdatasync(2).
    ///
    /// # Errors
    /// The disk has not accepted all bytes.
    fn sync(&self) -> io::Result<()>;
}

impl Durable for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A file that is cut back to its last complete write when a write fails.
pub(crate) struct AtomicFile {
    medium: Box<dyn Medium>,
    /// The end of all complete writes.
    end: FileEnd,
    /// True if truncation after a failed write has failed too, so that bytes may follow the last complete write.
    torn: bool,
}

/// An end to which a file can be truncated.
#[derive(Clone, Default)]
pub(crate) struct FileEnd {
    /// The bytes before the end.
    pub(crate) len: u64,
    /// The hash of these bytes; `None` in files without a digest.
    pub(crate) hash: Option<RunningHash>,
}

impl AtomicFile {
    /// Begins at the start of the empty file `medium`, which has no digest.
    pub(crate) fn new(medium: Box<dyn Medium>) -> AtomicFile {
        AtomicFile {
            medium,
            end: FileEnd::default(),
            torn: false,
        }
    }

    /// Begins at the start of the empty file `medium`, and hashes its bytes.
    pub(crate) fn hashed(medium: Box<dyn Medium>) -> AtomicFile {
        let end = FileEnd {
            len: 0,
            hash: Some(RunningHash::default()),
        };
        AtomicFile {
            end,
            ..AtomicFile::new(medium)
        }
    }

    /// Returns the bytes of all complete writes.
    pub(crate) fn len(&self) -> u64 {
        self.end.len
    }

    /// Returns the end of all complete writes.
    pub(crate) fn end(&self) -> &FileEnd {
        &self.end
    }

    /// Calls `write`, and keeps all of its bytes or none.
    ///
    /// # Errors
    /// The errors of `write`. The file is truncated to its former length, at once or before the next write.
    pub(crate) fn append<T, E: From<io::Error>>(
        &mut self,
        write: impl FnOnce(&mut Append<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.torn {
            self.truncate(self.end.clone())?;
        }
        let mut append = Append {
            medium: &mut *self.medium,
            end: self.end.clone(),
        };
        let written = write(&mut append);
        match written {
            Ok(_) => self.end = append.end,
            // Truncating at once frees the space on the disk. If that fails, the next write tries again.
            Err(_) => self.torn = self.medium.truncate(self.end.len).is_err(),
        }
        written
    }

    /// Truncates the file to an earlier `end`.
    ///
    /// # Errors
    /// The file cannot be truncated.
    pub(crate) fn truncate(&mut self, end: FileEnd) -> io::Result<()> {
        self.medium.truncate(end.len)?;
        (self.end, self.torn) = (end, false);
        Ok(())
    }
}

/// A write in progress: a writer that knows its offset in the file.
pub(crate) struct Append<'a> {
    medium: &'a mut dyn Medium,
    end: FileEnd,
}

impl Append<'_> {
    /// Returns the offset of the next byte in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.end.len
    }
}

impl Write for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.medium.write(bytes)?;
        self.end.len += written as u64;
        if let Some(hash) = &mut self.end.hash {
            hash.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.medium.flush()
    }
}
