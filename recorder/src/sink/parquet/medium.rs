//! The files of a recording as their writers see them: the one place through which what is kept goes to the disk, so that
//! a test can have any step fail.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// A file that grows, and is cut back to what is whole where a write fails.
pub(crate) trait Medium: Write + Send {
    /// Cuts it to `len` bytes, and goes on there.
    ///
    /// # Errors
    /// It cannot be cut.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Medium for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len))?;
        Ok(())
    }
}

/// A file that can be put on the disk.
pub(crate) trait Durable: Send {
    /// Has what was written put there: fdatasync(2).
    ///
    /// # Errors
    /// The disk does not take it.
    fn sync(&self) -> io::Result<()>;
}

impl Durable for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// What is written, which ends with what is whole.
pub(crate) struct Whole {
    medium: Box<dyn Medium>,
    len: u64,
    /// A write has failed: something may be behind what is whole.
    torn: bool,
}

impl Whole {
    /// An empty file.
    pub(crate) fn new(medium: Box<dyn Medium>) -> Whole {
        Whole {
            medium,
            len: 0,
            torn: false,
        }
    }

    /// Bytes that are whole.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes what `write` writes, and keeps all of it or nothing.
    ///
    /// # Errors
    /// Those of `write`; the file ends where it ended, or will before the next write.
    pub(crate) fn append<T, E: From<io::Error>>(
        &mut self,
        write: impl FnOnce(&mut Piece<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.torn {
            self.cut(self.len)?;
        }
        let mut piece = Piece {
            medium: &mut *self.medium,
            at: self.len,
        };
        let written = write(&mut piece);
        match written {
            Ok(_) => self.len = piece.at,
            // Best at once, for the room on the disk; else before the next write.
            Err(_) => self.torn = self.medium.cut(self.len).is_err(),
        }
        written
    }

    /// Cuts it to `len` bytes.
    ///
    /// # Errors
    /// It cannot be cut.
    pub(crate) fn cut(&mut self, len: u64) -> io::Result<()> {
        self.medium.cut(len)?;
        (self.len, self.torn) = (len, false);
        Ok(())
    }
}

/// What is being appended.
pub(crate) struct Piece<'a> {
    medium: &'a mut dyn Medium,
    at: u64,
}

impl Piece<'_> {
    /// Where in the file the next byte goes.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }
}

impl Write for Piece<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.medium.write(bytes)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.medium.flush()
    }
}
