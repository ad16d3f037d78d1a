//! Reads other programs' files, which cannot be trusted.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The largest file that is read. A container's state is about 10 KiB, podman's index about 700 bytes per container.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The number of entries that are read from a directory.
const MAX_ENTRIES: usize = 4096;

/// The bytes that a file counts at least: to open a small file takes time too.
const LEAST_BYTES: u64 = 4096;

/// The number of bytes of a user's files that may still be read, so that these do not occupy the recorder.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    pub(crate) fn new(bytes: u64) -> Budget {
        Budget(Cell::new(bytes))
    }

    /// Returns whether a file of `bytes` bytes may be read.
    pub(crate) fn allows(&self, bytes: u64) -> bool {
        bytes.max(LEAST_BYTES) <= self.0.get()
    }

    fn spend(&self, bytes: u64) -> Option<()> {
        let left = self.0.get().checked_sub(bytes.max(LEAST_BYTES))?;
        self.0.set(left);
        Some(())
    }
}

/// Reads a regular file of at most [`MAX_FILE_BYTES`]; the file of a user, as far as the user's `budget` allows.
///
/// A user may own the directory, so symlinks are not followed, and a FIFO, a device or a file with several names in place of
/// the file is closed without reading.
pub(crate) fn bytes(path: &Path, budget: Option<&Budget>) -> Option<Vec<u8>> {
    let (file, size) = open(path)?;
    let limit = match budget {
        // Files of procfs have the size 0.
        None => MAX_FILE_BYTES,
        Some(_) if size > MAX_FILE_BYTES => return None,
        Some(budget) => {
            budget.spend(size)?;
            size
        }
    };
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= limit).then_some(content)
}

/// Opens a regular file. Returns the file with its size.
fn open(path: &Path) -> Option<(File, u64)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok()?;
    // A user could link one large file thousands of times. No runtime links its state.
    (metadata.is_file() && metadata.nlink() == 1).then_some((file, metadata.len()))
}

/// Reads a file as [`bytes()`] does, and replaces bytes that are not UTF-8.
pub(crate) fn text(path: &Path, budget: Option<&Budget>) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(path, budget)?).into_owned())
}

/// Reads and parses a file. Malformed JSON gives `None`: a file that is being written is complete at the next attempt.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, budget: Option<&Budget>) -> Option<T> {
    serde_json::from_slice(&bytes(path, budget)?).ok()
}

/// Returns whether `id` is a single path component, so that a path with it never leaves the directory.
pub(crate) fn is_component(id: &str) -> bool {
    !id.is_empty() && id.len() <= 255 && id != "." && id != ".." && !id.contains(['/', '\0'])
}

/// Lists the directories in `dir`: name and path, [`MAX_ENTRIES`] entries at most.
pub(crate) fn subdirs(dir: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .take(MAX_ENTRIES)
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}
