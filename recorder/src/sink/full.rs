//! The error of a full disk.

use std::io;

use ctrace_format::sqlite::WriteError;

/// There is no room on the disk.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DiskFull(pub String);

impl DiskFull {
    /// `e` as it is, or as this where it says that there is no room.
    pub(crate) fn detect(e: anyhow::Error) -> anyhow::Error {
        match no_room(&e) {
            true => DiskFull(format!("{e:#}")).into(),
            false => e,
        }
    }
}

/// Whether an error is for want of room.
fn no_room(e: &anyhow::Error) -> bool {
    e.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let sqlite = cause.downcast_ref::<WriteError>();
        matches!(
            io,
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        ) || sqlite.is_some_and(WriteError::is_full)
    })
}
