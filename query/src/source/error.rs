//! Errors of finding and opening recordings.

use ctrace_schema::text::printable;

/// The reason why a file cannot be read as a recording. Each message ends with the next step. Paths are those of
/// [`ctrace_schema::text::path_text`]; a reason may quote the file, or its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("cannot read {path}")]
    Io {
        path: String,
        source: std::io::Error,
    },
    #[error("{0}")]
    Missing(String),
    #[error(
        "there is no recording in {0}: recordings in a directory have the extension .parquet or .sqlite"
    )]
    NoneIn(String),
    #[error("no file matches `{pattern}`{why}")]
    NoMatch { pattern: String, why: String },
    #[error(
        "{0} is neither Parquet nor SQLite: a recording is written by `ctrace-rec --out FILE.parquet` or FILE.sqlite"
    )]
    NotParquet(String),
    #[error("{0} is a directory: name one recording in it")]
    Directory(String),
    #[error(
        "{0} has no footer and no complete row group: it was copied only in part, or its recorder was killed at once. Copy it again, with {0}.journal if it exists"
    )]
    NotClosed(String),
    #[error("{path} is damaged or unreadable: {}", printable(reason))]
    Damaged { path: String, reason: String },
    #[error(
        "{path} is not a recording of ctrace-rec: {}. Any Parquet file can be read with `select * from '{path}'`",
        printable(reason)
    )]
    NotRecording { path: String, reason: String },
    #[error(
        "{path} is not a recording of ctrace-rec: {}. Any other SQLite database is read with `sqlite3 {path}`",
        printable(reason)
    )]
    NotRecordingSqlite { path: String, reason: String },
    #[error("cannot read {path}: {}", printable(reason))]
    Version { path: String, reason: String },
    #[error(
        "no recording here: name one with `-r FILE`, set $CTRACE_RECORDING, or make one with `ctrace-rec --out run.parquet`"
    )]
    NoneHere,
}

impl SourceError {
    /// Returns whether the file does not exist, or no longer: a file of a directory may have been removed meanwhile.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, SourceError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// Returns whether the file is a readable Parquet or SQLite file, but not a recording.
    pub(crate) fn is_other_content(&self) -> bool {
        matches!(
            self,
            SourceError::NotRecording { .. } | SourceError::NotRecordingSqlite { .. }
        )
    }

    /// Returns whether the file is readable, but not a recording.
    pub(crate) fn is_other_file(&self) -> bool {
        matches!(
            self,
            SourceError::NotRecording { .. }
                | SourceError::NotRecordingSqlite { .. }
                | SourceError::NotParquet(_)
                | SourceError::Directory(_)
        )
    }
}
