//! The directory of segments: `node=NAME/date=YYYY-MM-DD/TIME-BOOT.parquet`. The name of an unfinished segment is
//! hidden and ends in `.open`, so that other readers see finished segments only.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use chrono::Utc;
use ctrace_format::names;
use ctrace_format::unclosed::journal;

use crate::limits::files::SizeAndAge;
use crate::records::machine::Machine;

/// The segments of one host in a directory.
pub(crate) struct Directory {
    /// The paths of the host's directory: `node=NAME` for new segments, and the `host=NAME` of earlier recorders.
    paths: [PathBuf; 2],
    /// The first 8 hexadecimal digits of the boot id.
    boot: String,
    retention: SizeAndAge,
    /// Locks that keep other recorders from writing segments of this host to the directories.
    _locks: Vec<File>,
}

impl Directory {
    /// Uses the directories `paths` of `machine`, which `locks` protect. [`Directory::remove_oldest`] removes finished
    /// segments beyond the limits of `retention`.
    pub(crate) fn new(
        paths: [PathBuf; 2],
        machine: &Machine,
        retention: SizeAndAge,
        locks: Vec<File>,
    ) -> Directory {
        let boot = machine.boot_id.chars().filter(char::is_ascii_hexdigit);
        Directory {
            paths,
            boot: boot.take(8).collect(),
            retention,
            _locks: locks,
        }
    }

    /// Returns a path that no file has and that sorts after the paths of earlier segments.
    pub(crate) fn next_path(&self) -> Result<PathBuf> {
        let now = Utc::now();
        let day = now.format("date=%Y-%m-%d").to_string();
        let date = self.paths[0].join(day);
        fs::create_dir_all(&date).with_context(|| format!("cannot make {}", date.display()))?;
        let boot = &self.boot;
        let time = now.format("%Y%m%dT%H%M%S%.6fZ");
        // A clock that was set back can reach the same time again.
        let mut names = (0..).map(|n| match n {
            0 => date.join(format!("{time}-{boot}.parquet")),
            n => date.join(format!("{time}-{boot}-{n}.parquet")),
        });
        let free = |path: &PathBuf| !path.exists() && !names::open(path).exists();
        names.find(free).context("no name is left")
    }

    /// Removes the oldest segments beyond the limits of retention. Files that cannot be removed stay.
    pub(crate) fn remove_oldest(&self) {
        let mut segments: Vec<_> = self.paths.iter().flat_map(|path| segments(path)).collect();
        let mut bytes: u64 = segments.iter().map(|(_, bytes, _)| bytes).sum();
        segments.sort_by_key(|(path, ..)| age_key(path));
        let now = SystemTime::now();
        for (path, size, modified) in segments {
            let age = now.duration_since(modified).unwrap_or_default();
            let old = self.retention.age.is_some_and(|max| age > max);
            if !old && self.retention.bytes.is_none_or(|max| bytes <= max) {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                bytes -= size;
                let _ = fs::remove_file(journal::path(&path));
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
    let files = names::files_of_node(node).filter(|path| names::is_segment(path));
    let files = files.filter_map(|path| {
        let file = path.metadata().ok()?;
        Some((path, file.len(), file.modified().ok()?))
    });
    files.collect()
}
