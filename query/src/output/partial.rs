//! Files that appear under their name only when they are complete.

use std::io;
use std::path::{Path, PathBuf};

use ctrace_format::names;

/// A file that is being written under the name `NAME.partial`. Dropped before [`PartialFile::finish`], the file is removed.
pub(crate) struct PartialFile {
    temporary: PathBuf,
    target: PathBuf,
}

impl PartialFile {
    /// Chooses the name for `path`, and removes what an earlier, failed attempt left behind. Creates nothing.
    pub(crate) fn new(path: &Path) -> PartialFile {
        let temporary = names::partial(path);
        let _ = std::fs::remove_file(&temporary);
        PartialFile {
            temporary,
            target: path.to_path_buf(),
        }
    }

    /// Returns the path to write to.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the file its name, and replaces a file of that name.
    ///
    /// # Errors
    /// The file cannot be renamed.
    pub(crate) fn finish(&self) -> io::Result<()> {
        std::fs::rename(&self.temporary, &self.target)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.temporary);
    }
}
