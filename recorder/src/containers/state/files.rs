//! Reading other programs' files, which may be anything.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Most bytes that are read of one file. A container's state is some 10 KiB, podman's index some 700 bytes for each
/// container.
const LIMIT: u64 = 4 << 20;

/// Most entries that are looked at in one directory.
const ENTRIES: usize = 4096;

/// The content of a regular file, if it is there and not larger than [`LIMIT`]. A user may own the directory, so a
/// symlink, a FIFO or a device in the file's place is not opened for long, nor followed.
pub fn bytes(path: &Path) -> Option<Vec<u8>> {
    let file = open(path)?;
    let mut content = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= LIMIT).then_some(content)
}

fn open(path: &Path) -> Option<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    file.metadata().is_ok_and(|m| m.is_file()).then_some(file)
}

/// The same as text; bytes that are not UTF-8 are replaced.
pub fn text(path: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(path)?).into_owned())
}

/// The same, parsed. Broken JSON is None: what is half written now is whole at the next look.
pub fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&bytes(path)?).ok()
}

/// Whether `id` can be one component of a path, and so never leads out of its directory.
pub fn is_component(id: &str) -> bool {
    !id.is_empty() && id.len() <= 255 && id != "." && id != ".." && !id.contains(['/', '\0'])
}

/// The names of the directories in `dir`.
pub fn subdirs(dir: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .take(ENTRIES)
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}
