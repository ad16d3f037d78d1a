//! Findings: what is proved of a recording, and what is not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ctrace_format::digest::Digest;

/// The state of a recording, or of something between recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The file is what its writer finished.
    Ok,
    /// The file is not finished. Its checksums are right as far as it goes.
    Unfinished,
    /// The file was made without a digest, or not finished. Its checksums are right as far as they go.
    NoDigest,
    /// The file is not what its writer wrote.
    Damaged,
    /// The file is not signed, or not with this key.
    NotSigned,
    /// The manifest lists a file that is not there.
    Missing,
    /// The file is in a directory with a manifest that does not list it.
    NotListed,
    /// Segments that `--keep` has removed.
    Removed,
    /// Time without a recording, or lost events.
    Gap,
    /// Two recordings of the same time.
    Overlap,
}

impl Status {
    /// Returns the name in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Unfinished => "unfinished",
            Status::NoDigest => "no digest",
            Status::Damaged => "damaged",
            Status::NotSigned => "not signed",
            Status::Missing => "missing",
            Status::NotListed => "not listed",
            Status::Removed => "removed",
            Status::Gap => "gap",
            Status::Overlap => "overlap",
        }
    }

    /// Returns whether a finding with this status leaves the recordings unproved.
    pub(crate) fn is_unproved(self) -> bool {
        !matches!(
            self,
            Status::Ok | Status::Unfinished | Status::Removed | Status::Gap | Status::Overlap
        )
    }

    /// Returns whether a finding with this status means that the recordings are not what was recorded.
    pub(crate) fn is_wrong(self) -> bool {
        self.is_unproved() && self != Status::NoDigest
    }
}

/// The result about one file, or about something between files.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) path: PathBuf,
    pub(crate) status: Status,
    /// A sentence; empty if the status says it all.
    pub(crate) detail: String,
    /// The digest that was computed, if the file is what it says.
    pub(crate) digest: Option<Digest>,
    /// The trusted comment of a valid signature.
    pub(crate) signed: Option<String>,
}

impl Finding {
    pub(super) fn new(path: &Path, status: Status, detail: impl Into<String>) -> Finding {
        Finding {
            path: path.to_path_buf(),
            status,
            detail: detail.into(),
            digest: None,
            signed: None,
        }
    }
}

/// A file that was checked.
pub(super) struct Checked {
    pub(super) finding: Finding,
    /// Length in bytes.
    pub(super) len: u64,
    /// The metadata; empty if the file cannot be opened.
    pub(super) meta: BTreeMap<String, String>,
    /// First and last instant, ns since 1970 UTC.
    pub(super) span: Option<(i64, i64)>,
    /// True if the manifest of its directory has the file.
    pub(super) is_listed: bool,
}
