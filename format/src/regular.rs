//! Regular files, which are all that is read: to open a named pipe would wait for its writer, and others may have laid one.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Opens a regular file for reading.
///
/// # Errors
/// The file cannot be opened, or is a directory, a pipe, a socket or a device (`InvalidInput`).
pub fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Opening a pipe does not wait then: fifo(7).
    #[cfg(target_os = "linux")]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    #[cfg(not(target_os = "linux"))]
    check(&std::fs::metadata(path)?)?;
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file with text.
///
/// # Errors
/// As [`open`]; or the text is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String> {
    std::io::read_to_string(open(path)?)
}

fn check(metadata: &std::fs::Metadata) -> Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::InvalidInput,
            "it is not a regular file",
        )),
    }
}
