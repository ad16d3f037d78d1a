//! The raw capture beside a live recording.

use std::io;

use anyhow::{Context, Result};

use crate::kernel::KernelRing;
use crate::records::capture::CaptureWriter;
use crate::records::note::Note;

/// A raw capture that ends at its first error. The recording goes on without it.
pub(super) struct RawCapture {
    /// `None` if no capture is wanted, or after an error.
    writer: Option<CaptureWriter>,
    /// A copy of the records of one ring.
    buffer: Vec<u8>,
    error: Option<io::Error>,
    /// True if the error has not been told.
    is_new: bool,
}

impl RawCapture {
    pub(super) fn new(writer: Option<CaptureWriter>) -> RawCapture {
        RawCapture {
            writer,
            buffer: vec![],
            error: None,
            is_new: false,
        }
    }

    /// Writes a note.
    pub(super) fn note(&mut self, note: &Note) {
        self.write(|writer, _| writer.note(note));
    }

    /// Writes the records of all CPUs that are not read yet.
    pub(super) fn rings(&mut self, rings: &mut [KernelRing]) {
        self.write(|writer, buffer| {
            (0u16..).zip(rings).try_for_each(|(cpu, ring)| {
                buffer.clear();
                ring.append_unread(buffer);
                match buffer.is_empty() {
                    true => Ok(()),
                    false => writer.ring(cpu, buffer),
                }
            })
        });
    }

    /// Returns a warning about a new error.
    pub(super) fn take_warning(&mut self) -> Option<String> {
        let error = self.error.as_ref().filter(|_| self.is_new)?;
        self.is_new = false;
        Some(format!(
            "the raw capture ends here, and the recording goes on: {error}"
        ))
    }

    /// Completes the file.
    ///
    /// # Errors
    /// The file could not be written to its end.
    pub(super) fn finish(self) -> Result<()> {
        let finished = match (self.error, self.writer) {
            (Some(error), _) => Err(error),
            (None, Some(writer)) => writer.finish(),
            (None, None) => Ok(()),
        };
        finished.context("the raw capture is not complete")
    }

    fn write(&mut self, write: impl FnOnce(&mut CaptureWriter, &mut Vec<u8>) -> io::Result<()>) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        if let Err(error) = write(writer, &mut self.buffer) {
            self.writer = None;
            self.error = Some(error);
            self.is_new = true;
        }
    }
}
