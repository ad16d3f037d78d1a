//! Raw captures: the bytes of the rings, and a note for everything else that the recorder learnt. A replay runs the
//! whole pipeline above the kernel, without privileges, so a capture in a bug report makes the bug reproducible.
//!
//! The file begins with a line that names the format. One zstd stream of frames follows; a frame is a tag (one byte), a
//! length (four bytes, little-endian) and the payload:
//!
//! | tag | payload |
//! |---|---|
//! | `M` | the [`Machine`], JSON; always first |
//! | `R` | the CPU (two bytes, little-endian), then framed records of its ring |
//! | `N` | a [`Note`], JSON |
//!
//! Frames with other tags are skipped. A truncated capture is valid up to its last complete frame.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::containers::mounts::HostMount;
use crate::records::machine::Machine;
use crate::records::note::Note;

/// Version 2 has records of the kind `REC_STAT`, which readers of version 1 do not know.
const MAGIC: &[u8] = b"ctrace-raw-2\n";
const OLDER_MAGIC: &[u8] = b"ctrace-raw-1\n";
/// A longer frame ends the capture: its length is damaged.
const LARGEST_FRAME_BYTES: u32 = 256 << 20;
/// The most that is allocated for a frame before its payload is read.
const LARGEST_PREALLOCATION_BYTES: u32 = 16 << 20;

/// A frame of a capture after its header.
#[derive(Debug)]
pub(crate) enum CaptureFrame {
    /// The CPU, and framed records of its ring.
    Ring(u16, Vec<u8>),
    Note(Note),
}

const MACHINE_TAG: u8 = b'M';
const RING_TAG: u8 = b'R';
const NOTE_TAG: u8 = b'N';

pub(crate) struct CaptureWriter {
    out: zstd::Encoder<'static, File>,
}

impl CaptureWriter {
    /// Starts a capture in `file` with the format's line and the header.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn new(mut file: File, machine: &Machine) -> io::Result<CaptureWriter> {
        file.write_all(MAGIC)?;
        let mut writer = CaptureWriter {
            out: zstd::Encoder::new(file, 3)?,
        };
        writer.write_frame(MACHINE_TAG, &[&serde_json::to_vec(machine)?])?;
        Ok(writer)
    }

    fn write_frame(&mut self, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.out.write_all(&[tag])?;
        self.out.write_all(&(len as u32).to_le_bytes())?;
        parts.iter().try_for_each(|part| self.out.write_all(part))
    }

    /// Adds framed records of the ring of one CPU.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn ring(&mut self, cpu: u16, records: &[u8]) -> io::Result<()> {
        self.write_frame(RING_TAG, &[&cpu.to_le_bytes(), records])
    }

    pub(crate) fn note(&mut self, note: &Note) -> io::Result<()> {
        self.write_frame(NOTE_TAG, &[&serde_json::to_vec(note)?])
    }

    /// Completes the zstd stream and syncs the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.out.finish()?.sync_all()
    }
}

/// Reads a capture, frame by frame.
pub(crate) struct CaptureReader {
    input: zstd::Decoder<'static, BufReader<BufReader<File>>>,
    /// The machine on which the capture was made.
    pub(crate) machine: Machine,
    /// True if the capture is truncated or damaged. Valid at the end of the iteration.
    pub(crate) torn: bool,
    /// The error of the system that ended the iteration.
    pub(crate) fault: Option<io::Error>,
}

impl CaptureReader {
    /// Opens a capture and reads its header.
    ///
    /// # Errors
    /// The file cannot be read, or is not a raw capture.
    pub(crate) fn open(path: &Path) -> Result<CaptureReader> {
        let name = path.display();
        let mut file =
            BufReader::new(File::open(path).with_context(|| format!("cannot open {name}"))?);
        let mut magic = [0; MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || ![MAGIC, OLDER_MAGIC].contains(&&magic[..]) {
            bail!("{name} is not a raw capture: `ctrace-rec --raw FILE` writes one");
        }
        let input = zstd::Decoder::new(file).with_context(|| format!("cannot read {name}"))?;
        let machine = Machine {
            host: String::new(),
            boot_id: String::new(),
            kernel: String::new(),
            arch: String::new(),
            filters: serde_json::Value::Null,
            record_host: false,
            run: None,
            redaction: None,
        };
        let mut reader = CaptureReader {
            input,
            machine,
            torn: false,
            fault: None,
        };
        let Some((MACHINE_TAG, payload)) = reader.read_frame() else {
            bail!("{name} is truncated before its header ends")
        };
        reader.machine = serde_json::from_slice(&payload)
            .with_context(|| format!("{name} has a broken header"))?;
        reader.machine.escape_controls();
        Ok(reader)
    }

    fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        self.next_frame().unwrap_or_else(|error| {
            self.torn = true;
            // Other errors are those of the decompression of a capture that is cut or damaged.
            self.fault = Some(error).filter(|error| error.raw_os_error().is_some());
            None
        })
    }

    fn next_frame(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let mut header = [0; 5];
        if self.input.read(&mut header[..1])? == 0 {
            return Ok(None);
        }
        self.torn = true; // until the frame is complete
        self.input.read_exact(&mut header[1..])?;
        let len = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
        if len > LARGEST_FRAME_BYTES {
            return Ok(None);
        }
        let mut payload = Vec::with_capacity(len.min(LARGEST_PREALLOCATION_BYTES) as usize);
        let read = self
            .input
            .by_ref()
            .take(u64::from(len))
            .read_to_end(&mut payload)?;
        if read < len as usize {
            return Ok(None);
        }
        self.torn = false;
        Ok(Some((header[0], payload)))
    }
}

impl Iterator for CaptureReader {
    type Item = CaptureFrame;

    fn next(&mut self) -> Option<CaptureFrame> {
        loop {
            let (tag, mut payload) = self.read_frame()?;
            match (tag, payload.split_first_chunk::<2>()) {
                (RING_TAG, Some((cpu, _))) => {
                    let cpu = u16::from_le_bytes(*cpu);
                    payload.drain(..2);
                    return Some(CaptureFrame::Ring(cpu, payload));
                }
                (NOTE_TAG, _) => match serde_json::from_slice(&payload) {
                    Ok(mut note) => {
                        match &mut note {
                            Note::Fact { fact, .. } => fact.escape_controls(),
                            Note::Mounts { mounts } => {
                                mounts.iter_mut().for_each(HostMount::escape_controls);
                            }
                            _ => {}
                        }
                        return Some(CaptureFrame::Note(note));
                    }
                    Err(_) => self.torn = true,
                },
                // A later version may add tags.
                _ => {}
            }
        }
    }
}
