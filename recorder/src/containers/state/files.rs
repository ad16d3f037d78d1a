//! Reads other programs' files, which cannot be trusted.

use std::cell::Cell;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

/// The largest file that is read. A container's state is about 10 KiB, podman's index about 700 bytes per container.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The number of entries that are read from a directory.
const MAX_ENTRIES: usize = 4096;

/// The bytes that a file counts at least: to open a small file takes time too.
const LEAST_BYTES: u64 = 4096;

/// The files of a user that may be read, and the number of their bytes that is left, so that these do not occupy the recorder.
#[derive(Debug)]
pub(crate) struct Budget {
    uid: u32,
    left: Cell<u64>,
}

impl Budget {
    /// Creates the budget of the user `uid`.
    pub(crate) fn new(uid: u32, bytes: u64) -> Budget {
        let left = Cell::new(bytes);
        Budget { uid, left }
    }

    /// Returns whether a file of the user's with `bytes` bytes may be read.
    pub(crate) fn allows(&self, metadata: &Metadata) -> bool {
        self.owns(metadata) && metadata.len().max(LEAST_BYTES) <= self.left.get()
    }

    /// Returns whether a file belongs to the user or to the recorder's own user, which is root as a rule and may write into the
    /// directories of others.
    fn owns(&self, metadata: &Metadata) -> bool {
        let own = rustix::process::geteuid().as_raw();
        [self.uid, own].contains(&metadata.uid())
    }

    fn spend(&self, bytes: u64) -> Option<()> {
        let left = self.left.get().checked_sub(bytes.max(LEAST_BYTES))?;
        self.left.set(left);
        Some(())
    }
}

/// Reads a regular file of at most [`MAX_FILE_BYTES`]; the file of a user, as far as the user's `budget` allows.
///
/// A user may own the directory, so symlinks are not followed, and a FIFO, a device, a file with several names or a file of
/// another user in place of the file is closed without reading.
pub(crate) fn bytes(path: &Path, budget: Option<&Budget>) -> Option<Vec<u8>> {
    let (file, size) = open(path, budget)?;
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
///
/// The directories on the way to a user's file may be links, as `/home` is on some machines, to what belongs to the user.
/// openat2(2) finds the files of the recorder's own user, to which a user's links must not lead.
fn open(path: &Path, budget: Option<&Budget>) -> Option<(File, u64)> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let without = |links| openat2(CWD, path, flags, Mode::empty(), links);
    let (file, is_linked) = match budget {
        None => (rustix::fs::open(path, flags, Mode::empty()), false),
        Some(_) => match without(ResolveFlags::NO_SYMLINKS) {
            Err(Errno::LOOP) => (without(ResolveFlags::NO_MAGICLINKS), true),
            opened => (opened, false),
        },
    };
    let file = File::from(file.ok()?);
    let metadata = file.metadata().ok()?;
    let is_trusted = budget.is_none_or(|budget| match is_linked {
        true => budget.uid == metadata.uid(),
        false => budget.owns(&metadata),
    });
    // A user could link one large file thousands of times. No runtime links its state.
    let is_alone = metadata.is_file() && metadata.nlink() == 1;
    (is_trusted && is_alone).then_some((file, metadata.len()))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_link_of_a_user_leads_to_no_file_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let own = rustix::process::geteuid().as_raw();
        fs::create_dir(dir.path().join("state")).unwrap();
        fs::write(dir.path().join("state/status"), "{}").unwrap();
        std::os::unix::fs::symlink("state", dir.path().join("link")).unwrap();
        let read = |uid, name| bytes(&dir.path().join(name), Some(&Budget::new(uid, 1 << 20)));
        for (uid, name, is_read) in [
            (own, "state/status", true),
            (own, "link/status", true),
            // The recorder's user may write into the directories of others, but is not led there.
            (own + 1, "state/status", true),
            (own + 1, "link/status", false),
        ] {
            assert_eq!(read(uid, name).is_some(), is_read, "{uid} {name}");
        }
        assert!(bytes(&dir.path().join("link/status"), None).is_some());
    }
}
