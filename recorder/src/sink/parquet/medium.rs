//! The file interface of the Parquet writer. All bytes of a recording and its journal reach the disk through these
//! traits, so that a test can make every single operation fail.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

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
    /// Bytes of all complete writes.
    len: u64,
    /// True if truncation after a failed write has failed too, so that bytes may follow the last complete write.
    torn: bool,
}

impl AtomicFile {
    /// Begins at the start of the empty file `medium`.
    pub(crate) fn new(medium: Box<dyn Medium>) -> AtomicFile {
        AtomicFile {
            medium,
            len: 0,
            torn: false,
        }
    }

    /// Returns the bytes of all complete writes.
    pub(crate) fn len(&self) -> u64 {
        self.len
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
            self.truncate(self.len)?;
        }
        let mut append = Append {
            medium: &mut *self.medium,
            offset: self.len,
        };
        let written = write(&mut append);
        match written {
            Ok(_) => self.len = append.offset,
            // Truncating at once frees the space on the disk. If that fails, the next write tries again.
            Err(_) => self.torn = self.medium.truncate(self.len).is_err(),
        }
        written
    }

    /// Truncates the file to `len` bytes.
    ///
    /// # Errors
    /// The file cannot be truncated.
    pub(crate) fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.medium.truncate(len)?;
        (self.len, self.torn) = (len, false);
        Ok(())
    }
}

/// A write in progress: a writer that knows its offset in the file.
pub(crate) struct Append<'a> {
    medium: &'a mut dyn Medium,
    offset: u64,
}

impl Append<'_> {
    /// Returns the offset of the next byte in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }
}

impl Write for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.medium.write(bytes)?;
        self.offset += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.medium.flush()
    }
}
