//! The error of a full disk, after which a write can be retried.

use std::io;

use ctrace_format::sqlite::WriteError;

/// The disk is full (ENOSPC), or the quota is used up (EDQUOT). The text is the original error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DiskFull(pub(crate) String);

impl DiskFull {
    /// Converts `e` to [`DiskFull`] if a full disk caused it, and returns other errors unchanged.
    pub(crate) fn detect(e: anyhow::Error) -> anyhow::Error {
        match is_disk_full(&e) {
            true => DiskFull(format!("{e:#}")).into(),
            false => e,
        }
    }
}

fn is_disk_full(e: &anyhow::Error) -> bool {
    e.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let sqlite = cause.downcast_ref::<WriteError>();
        matches!(
            io,
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        ) || sqlite.is_some_and(WriteError::is_full)
    })
}
