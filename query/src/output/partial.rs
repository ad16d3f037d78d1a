//! Files that appear under their name only when they are complete.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ctrace_format::digest::{self, Digest};
use ctrace_format::names;

use crate::memory;

/// A file that is being written under the name `NAME.partial`. Dropped before [`PartialFile::finish`], the file is removed.
pub(crate) struct PartialFile {
    temporary: PathBuf,
    target: PathBuf,
}

impl PartialFile {
    /// Creates an empty file for `path`, and removes what an earlier, failed attempt left behind. The file is new, and never
    /// one to which somebody else's symbolic link leads. `mode`: the greatest permissions of the file, less the umask.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<(PartialFile, File)> {
        let temporary = names::partial(path);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = File::options();
        // O_EXCL, which follows no link.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let file = options.open(&temporary)?;
        memory::set_unfinished(Some(&temporary));
        let partial = PartialFile {
            temporary,
            target: path.to_path_buf(),
        };
        Ok((partial, file))
    }

    /// Returns the path to write to.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Replaces the `placeholder` in the recording that was written by its digest. The file is opened once more, because that
    /// of other answers may only be written to.
    ///
    /// # Errors
    /// The file cannot be read or written, or does not contain the placeholder.
    pub(crate) fn seal(&self, placeholder: &Digest) -> io::Result<()> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(&self.temporary)?;
        digest::seal(&file, placeholder)?;
        Ok(())
    }

    /// Gives the file its name, and replaces a file of that name.
    ///
    /// # Errors
    /// The file cannot be renamed.
    pub(crate) fn finish(&self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.target)
    }

    /// Gives the file its name, unless there is a file of that name.
    ///
    /// # Errors
    /// There is such a file, or the file cannot be renamed.
    pub(crate) fn finish_new(&self) -> io::Result<()> {
        names::rename_new(&self.temporary, &self.target)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        memory::set_unfinished(None);
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// The permissions of files that contain nothing of a recording.
pub(crate) const PUBLIC_MODE: u32 = 0o666;

/// Returns the permissions of a file that contains parts of the files at `sources`: those that all of them have.
pub(crate) fn common_mode<'a>(sources: impl Iterator<Item = &'a Path>) -> u32 {
    #[cfg(unix)]
    let mode = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some(std::os::unix::fs::MetadataExt::mode(&metadata))
    };
    #[cfg(not(unix))]
    let mode = |_: &Path| None;
    // The owner can always read what they have made.
    const OWNER: u32 = 0o600;
    let common = sources
        .filter_map(mode)
        .fold(PUBLIC_MODE, |all, mode| all & mode);
    common | OWNER
}
