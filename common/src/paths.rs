//! Names of files and directories.

use std::path::Path;

/// Returns the directory that contains `path`: `.` for a bare name.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        // The root directory has no parent.
        None => path,
        Some(_) => Path::new("."),
    }
}
