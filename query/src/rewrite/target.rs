//! The file that a recording is written to.

use std::path::Path;

use anyhow::{Result, bail};

/// Checks that a file may be written.
///
/// # Errors
/// The file exists and `overwrite` is not given.
pub(crate) fn check_absent(path: &Path, overwrite: bool) -> Result<()> {
    if path.exists() && !overwrite {
        bail!(
            "{} exists: add --force to overwrite it, or choose another name",
            path.display()
        );
    }
    Ok(())
}
