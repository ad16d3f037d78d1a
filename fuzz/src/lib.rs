//! Helpers of the fuzz targets.

use ctrace_format::unclosed;
use ctrace_query::fuzzing::Asker;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

mod faults;

pub use faults::{guard, plant};

/// Statements that read every column, the sums, the gaps and the metadata.
pub const STATEMENTS: [&str; 4] = [
    "select * from events limit 100",
    "select container, class, count(*), sum(lost) from events group by all",
    "select * from gaps",
    "select * from meta",
];

/// The name of the segment that is proved, in the directory of its manifest.
pub const SEGMENT: &str = "date=2026-01-01/a.parquet";

/// Returns the path of a file in this process's own directory for temporary files.
///
/// # Panics
/// There is no room for a directory.
pub fn file(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| tempfile::tempdir().expect("a directory"));
    directory.path().join(name)
}

/// Writes a file of [`file`], and returns its path.
///
/// # Panics
/// The file cannot be written.
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = file(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).expect("a directory");
    }
    fs::write(&path, bytes).expect("a file");
    path
}

/// Splits bytes into parts. They begin with the lengths of all parts but the last, in four bytes each, which count as far as there
/// are bytes.
pub fn parts<const N: usize>(bytes: &[u8]) -> Option<[&[u8]; N]> {
    let (lengths, mut rest) = bytes.split_at_checked(4 * (N - 1))?;
    let mut parts = [&[][..]; N];
    for (part, length) in parts.iter_mut().zip(lengths.chunks_exact(4)) {
        let length = length
            .iter()
            .rfold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (*part, rest) = rest.split_at(length.min(rest.len()));
    }
    parts[N - 1] = rest;
    Some(parts)
}

/// Joins parts, as [`parts`] splits them.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    let lengths = parts[..parts.len() - 1].iter();
    let mut bytes: Vec<u8> = lengths
        .flat_map(|part| (part.len() as u32).to_le_bytes())
        .collect();
    bytes.extend(parts.concat());
    bytes
}

/// Returns a Parquet file with these bytes as metadata and as data.
pub fn parquet_file(metadata: &[u8], data: &[u8]) -> Vec<u8> {
    let length = (metadata.len() as u32).to_le_bytes();
    [MAGIC, data, metadata, &length, MAGIC].concat()
}

/// Returns a journal whose only frame has this content, with the right length and checksum.
pub fn journal_file(stream: &[u8]) -> Vec<u8> {
    let content = zstd::encode_all(stream, 1).unwrap_or_default();
    let length = (content.len() as u32).to_le_bytes();
    let crc = crc32fast::hash(&content).to_le_bytes();
    [&length[..], &crc, &content].concat()
}

/// Writes a Parquet file without a footer, and its journal, from the four parts of `bytes`: the metadata of the recording, a row
/// group, its metadata, and the rows in the journal. The checksums are right: no change of a byte would come further than a wrong
/// one. Returns the path of the file, or `None` if there are too few bytes.
///
/// # Panics
/// A file cannot be written.
pub fn write_unclosed(name: &str, bytes: &[u8]) -> Option<PathBuf> {
    let [recording, data, row_group, stream] = parts(bytes)?;
    write(&format!("{name}.journal"), &journal_file(stream));
    let file = unclosed::file_of(recording, data, row_group);
    Some(write(name, &file.unwrap_or_default()))
}

/// Returns a raw capture of these frames.
pub fn capture_file(frames: &[u8]) -> Vec<u8> {
    let compressed = zstd::encode_all(frames, 1).unwrap_or_default();
    [&b"ctrace-raw-1\n"[..], &compressed].concat()
}

const MAGIC: &[u8] = b"PAR1";

/// Splits a text at its first line.
pub fn first_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// Returns the tiny recording that the program `seeds` has written to the directory in the environment variable `SEEDS`.
///
/// # Panics
/// The variable is not set.
pub fn recording() -> PathBuf {
    let seeds = std::env::var_os("SEEDS").expect("fuzz/run.sh sets SEEDS");
    Path::new(&seeds).join("recording.parquet")
}

/// Answers a statement over a recording, as the query program does.
pub fn ask(recording: &Path, statement: &str) {
    guard(|| drop(asker().ask(recording, statement)));
}

/// Proves a directory of segments, as the query program does.
pub fn verify(directory: &Path, key: &Path) {
    guard(|| drop(asker().verify(directory, key)));
}

fn asker() -> &'static Asker {
    static ASKER: OnceLock<Asker> = OnceLock::new();
    ASKER.get_or_init(|| Asker::new().expect("threads"))
}
