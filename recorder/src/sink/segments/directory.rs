//! The directory of segments: `host=NAME/date=YYYY-MM-DD/TIME-BOOT.parquet`. The name of an unfinished segment ends in
//! `.open`, so that the pattern `*.parquet` matches finished segments only.

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
    /// The path of the host's directory, with `host=NAME`.
    path: PathBuf,
    /// The first 8 hexadecimal digits of the boot id.
    boot: String,
    retention: SizeAndAge,
    /// Keeps other recorders from writing segments of this host here.
    _lock: File,
}

impl Directory {
    /// Uses the directory `path` of `machine`, which `lock` protects. [`Directory::remove_oldest`] removes finished
    /// segments beyond the limits of `retention`.
    pub(crate) fn new(
        path: PathBuf,
        machine: &Machine,
        retention: SizeAndAge,
        lock: File,
    ) -> Directory {
        let boot = machine.boot_id.chars().filter(char::is_ascii_hexdigit);
        Directory {
            path,
            boot: boot.take(8).collect(),
            retention,
            _lock: lock,
        }
    }

    /// Returns a path that no file has and that sorts after the paths of earlier segments.
    pub(crate) fn next_path(&self) -> Result<PathBuf> {
        let now = Utc::now();
        let date = self.path.join(now.format("date=%Y-%m-%d").to_string());
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
        let mut segments = segments(&self.path);
        let mut bytes: u64 = segments.iter().map(|(_, bytes, _)| bytes).sum();
        segments.sort();
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

/// Returns the segments of a host, unfinished ones of killed recorders included, with their size in bytes and the time
/// of their last write.
fn segments(host: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let files = names::files_of_host(host).filter(|path| names::is_segment(path));
    let files = files.filter_map(|path| {
        let file = path.metadata().ok()?;
        Some((path, file.len(), file.modified().ok()?))
    });
    files.collect()
}
