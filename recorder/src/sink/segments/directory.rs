//! The directory of segments: `node=NAME/date=YYYY-MM-DD/TIME-BOOT.parquet`. The name of an unfinished segment is
//! hidden and ends in `.open`, so that other readers see finished segments only.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use chrono::Utc;
use ctrace_format::names;
use ctrace_format::unclosed::journal;

use crate::files::{self, exists};
use crate::limits::files::SizeAndAge;
use crate::records::machine::Machine;
use crate::sink::proof::manifest::Manifest;
use crate::sink::proof::sign::signature_path;

/// The segments of one host in a directory.
pub(crate) struct Directory {
    /// The paths of the host's directory: `node=NAME` for new segments, and the `host=NAME` of earlier recorders.
    paths: [PathBuf; 2],
    /// The first 8 hexadecimal digits of the boot id.
    boot: String,
    retention: SizeAndAge,
    manifest: Arc<Manifest>,
    /// Locks that keep other recorders from writing segments of this host to the directories.
    _locks: Vec<File>,
}

impl Directory {
    /// Uses the directories `paths` of `machine`, which `locks` protect. [`Directory::remove_oldest`] removes finished
    /// segments beyond the limits of `retention`, and notes them in the `manifest`.
    pub(crate) fn new(
        paths: [PathBuf; 2],
        machine: &Machine,
        retention: SizeAndAge,
        manifest: Arc<Manifest>,
        locks: Vec<File>,
    ) -> Directory {
        let boot = machine.boot_id.chars().filter(char::is_ascii_hexdigit);
        Directory {
            paths,
            boot: boot.take(8).collect(),
            retention,
            manifest,
            _locks: locks,
        }
    }

    /// Returns a path that no file has and that sorts after the paths of earlier segments.
    pub(crate) fn next_path(&self) -> Result<PathBuf> {
        let now = Utc::now();
        let day = now.format("date=%Y-%m-%d").to_string();
        let date = self.paths[0].join(day);
        // The directories may have been removed while the recording runs.
        files::make_output_directory(&self.paths[0])?;
        for directory in [&self.paths[0], &date] {
            files::make_directory(directory)?;
        }
        let boot = &self.boot;
        let time = now.format("%Y%m%dT%H%M%S%.6fZ");
        // A clock that was set back can reach the same time again.
        let mut names = (0..).map(|n| match n {
            0 => date.join(format!("{time}-{boot}.parquet")),
            n => date.join(format!("{time}-{boot}-{n}.parquet")),
        });
        let free = |path: &PathBuf| !exists(path) && !exists(&names::open(path));
        names.find(free).context("no name is left")
    }

    /// Removes the oldest segments beyond the limits of retention, but not `newest`, which has just been reported to the
    /// user. Files that cannot be removed stay, and so do files of other users.
    pub(crate) fn remove_oldest(&self, newest: &Path) {
        let mut segments: Vec<_> = self.paths.iter().flat_map(|path| segments(path)).collect();
        let mut bytes: u64 = segments.iter().map(|(_, bytes, _)| bytes).sum();
        segments.sort_by_key(|(path, ..)| age_key(path));
        let now = SystemTime::now();
        let mut removed = vec![];
        for (path, size, modified) in segments {
            let age = now.duration_since(modified).unwrap_or_default();
            let old = self.retention.age.is_some_and(|max| age > max);
            if !old && self.retention.bytes.is_none_or(|max| bytes <= max) {
                break;
            }
            if path != newest {
                bytes -= size;
                removed.push(path);
            }
        }
        // The manifest is written first, so that no segment is missing without a reason at any time.
        self.manifest.set_removed(&removed);
        for path in removed {
            if fs::remove_file(&path).is_ok() {
                let _ = fs::remove_file(journal::path(&path));
                let _ = fs::remove_file(signature_path(&path));
                // Succeeds after the last segment of a day: the directory is empty.
                let _ = path.parent().map(fs::remove_dir);
            }
        }
    }
}

/// Returns the sort key of a segment, which is least for the oldest: the day, and the file name, which begins with the
/// time. Names without the mark of unfinished segments are compared, whichever directory has the segment.
fn age_key(segment: &Path) -> (Option<OsString>, Option<OsString>) {
    let finished = names::finished(segment);
    let name = |path: &Path| path.file_name().map(OsStr::to_os_string);
    (finished.parent().and_then(name), name(&finished))
}

/// Returns the segments of a host, unfinished ones of killed recorders included, with their size in bytes and the time
/// of their last write.
fn segments(node: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let files = files::files_of_node(node).into_iter();
    let files = files.filter(|path| names::is_segment(path) || is_damaged(path));
    let files = files.filter_map(|path| {
        let file = path.symlink_metadata().ok()?;
        Some((path, file.len(), file.modified().ok()?))
    });
    files.collect()
}

/// The extension of an unfinished segment that cannot be finished.
const DAMAGED: &str = "damaged";

/// Returns whether the name is that of an unfinished segment that cannot be finished.
fn is_damaged(path: &Path) -> bool {
    path.extension() == Some(OsStr::new(DAMAGED))
}

/// Returns the files of the directories of a host that recorders left unfinished, sorted by name and so by time.
pub(super) fn unfinished(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = directories
        .iter()
        .flat_map(|directory| files::files_of_node(directory))
        .filter(|path| names::is_open(path) || names::is_partial(path))
        .collect();
    files.sort();
    files
}

/// Gives an unfinished segment and its journal the names of damaged files, so that the next recorder passes over them.
/// Returns the new name.
///
/// # Errors
/// The segment cannot be renamed.
pub(super) fn set_damaged(open: &Path) -> io::Result<PathBuf> {
    let damaged = names::with_suffix(open, ".damaged");
    names::rename_new(open, &damaged)?;
    // There may be no journal.
    let _ = names::rename_new(&journal::path(open), &journal::path(&damaged));
    Ok(damaged)
}
