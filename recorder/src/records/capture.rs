//! Raw captures: what the kernel side sent, as it came, with what was learnt beside it. Replaying one goes through the
//! whole pipeline above the kernel, with no privileges; a bug report with one can be reproduced.
//!
//! The file is a line that names the format, then one zstd stream of frames: a tag, a length of four bytes
//! (little-endian), and the payload. A capture that breaks off is good up to its last whole frame.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::records::machine::Machine;
use crate::records::note::Note;

const MAGIC: &[u8] = b"ctrace-raw-1\n";
/// The largest frame that is believed.
const LARGEST: u32 = 256 << 20;
/// What a frame is believed to have before it is read, bytes.
const AT_ONCE: u32 = 16 << 20;

/// One step of a recording.
#[derive(Debug)]
pub enum CaptureFrame {
    /// Framed records of the ring of a CPU.
    Ring(u16, Vec<u8>),
    /// Anything else.
    Note(Note),
}

const RING: u8 = b'R';
const NOTE: u8 = b'N';

/// Writes a capture.
pub struct CaptureWriter {
    out: zstd::Encoder<'static, File>,
}

impl CaptureWriter {
    /// Begins a capture in `file`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(mut file: File, machine: &Machine) -> io::Result<CaptureWriter> {
        file.write_all(MAGIC)?;
        let mut writer = CaptureWriter {
            out: zstd::Encoder::new(file, 3)?,
        };
        writer.frame(b'M', &[&serde_json::to_vec(machine)?])?;
        Ok(writer)
    }

    fn frame(&mut self, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.out.write_all(&[tag])?;
        self.out.write_all(&(len as u32).to_le_bytes())?;
        parts.iter().try_for_each(|part| self.out.write_all(part))
    }

    /// Adds the framed records of the ring of one CPU.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn ring(&mut self, cpu: u16, records: &[u8]) -> io::Result<()> {
        self.frame(RING, &[&cpu.to_le_bytes(), records])
    }

    /// Adds a note.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&mut self, note: &Note) -> io::Result<()> {
        self.frame(NOTE, &[&serde_json::to_vec(note)?])
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> io::Result<()> {
        self.out.finish()?.sync_all()
    }
}

/// Reads a capture.
pub struct CaptureReader {
    input: zstd::Decoder<'static, BufReader<BufReader<File>>>,
    /// The machine it is from.
    pub machine: Machine,
    /// Whether it broke off.
    pub torn: bool,
}

impl CaptureReader {
    /// Opens a capture.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn open(path: &Path) -> Result<CaptureReader> {
        let name = path.display();
        let mut file =
            BufReader::new(File::open(path).with_context(|| format!("cannot open {name}"))?);
        let mut magic = [0; MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || magic != MAGIC {
            bail!("{name} is no raw capture: `ctrace-rec --raw FILE` writes one");
        }
        let input = zstd::Decoder::new(file).with_context(|| format!("cannot read {name}"))?;
        let machine = Machine {
            host: String::new(),
            boot_id: String::new(),
            kernel: String::new(),
            arch: String::new(),
            filters: serde_json::Value::Null,
            record_host: false,
        };
        let mut reader = CaptureReader {
            input,
            machine,
            torn: false,
        };
        let Some((b'M', payload)) = reader.raw_frame() else {
            bail!("{name} breaks off before it begins")
        };
        reader.machine = serde_json::from_slice(&payload)
            .with_context(|| format!("{name} has a broken header"))?;
        reader.machine.escape_controls();
        Ok(reader)
    }

    fn raw_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        match self.input.read(&mut head[..1]) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(_) => {
                self.torn = true;
                return None;
            }
        }
        self.torn = true; // until the frame is whole
        self.input.read_exact(&mut head[1..]).ok()?;
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        if len > LARGEST {
            return None;
        }
        let mut payload = Vec::with_capacity(len.min(AT_ONCE) as usize);
        let read = self
            .input
            .by_ref()
            .take(u64::from(len))
            .read_to_end(&mut payload)
            .ok()?;
        if read < len as usize {
            return None;
        }
        self.torn = false;
        Some((head[0], payload))
    }
}

impl Iterator for CaptureReader {
    type Item = CaptureFrame;

    fn next(&mut self) -> Option<CaptureFrame> {
        loop {
            let (tag, mut payload) = self.raw_frame()?;
            match (tag, payload.split_first_chunk::<2>()) {
                (RING, Some((cpu, _))) => {
                    let cpu = u16::from_le_bytes(*cpu);
                    payload.drain(..2);
                    return Some(CaptureFrame::Ring(cpu, payload));
                }
                (NOTE, _) => match serde_json::from_slice(&payload) {
                    Ok(mut note) => {
                        if let Note::Fact { fact, .. } = &mut note {
                            fact.escape_controls();
                        }
                        return Some(CaptureFrame::Note(note));
                    }
                    Err(_) => self.torn = true,
                },
                // A later version may add frames.
                _ => {}
            }
        }
    }
}
