//! A directory of recordings: `host=NAME/date=YYYY-MM-DD/TIME-BOOT.parquet`. One that is being written ends in `.open`, so
//! that a pattern of finished ones fits only these.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use chrono::Utc;
use ctrace_format::unclosed::journal;

use crate::limits::files::SizeAndAge;
use crate::records::machine::Machine;

/// What the name of a file that is being written ends with.
const OPEN: &str = ".open";
/// And of one of which there is not enough yet to be opened.
pub(crate) const PARTIAL: &str = ".partial";

/// The files of a machine in a directory.
pub(crate) struct Directory {
    /// That of this host.
    path: PathBuf,
    /// The beginning of the machine's boot id.
    boot: String,
    keep: SizeAndAge,
    /// No other recorder writes files of this host here.
    _lock: File,
}

/// The directory of `host` in `out`. What would make it another name is written as a URL has it.
pub(crate) fn host_directory(out: &Path, host: &str) -> PathBuf {
    let mut name = String::from("host=");
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(byte.into()),
            other => name += &format!("%{other:02X}"),
        }
    }
    out.join(name)
}

impl Directory {
    /// That of `machine` at `path`, to which `lock` belongs. Of those that are not being written the oldest are removed beyond
    /// the limits of `keep`.
    pub(crate) fn new(path: PathBuf, machine: &Machine, keep: SizeAndAge, lock: File) -> Directory {
        let boot = machine.boot_id.chars().filter(char::is_ascii_hexdigit);
        Directory {
            path,
            boot: boot.take(8).collect(),
            keep,
            _lock: lock,
        }
    }

    /// A name that no file has, which sorts after those of before.
    pub(crate) fn next_path(&self) -> Result<PathBuf> {
        let now = Utc::now();
        let date = self.path.join(now.format("date=%Y-%m-%d").to_string());
        fs::create_dir_all(&date).with_context(|| format!("cannot make {}", date.display()))?;
        let boot = &self.boot;
        let time = now.format("%Y%m%dT%H%M%S%.6fZ");
        // A clock that was set back may come to the same time again.
        let mut names = (0..).map(|n| match n {
            0 => date.join(format!("{time}-{boot}.parquet")),
            n => date.join(format!("{time}-{boot}-{n}.parquet")),
        });
        let free = |path: &PathBuf| !path.exists() && !open_path(path).exists();
        names.find(free).context("no name is left")
    }

    /// Removes what is beyond the limits, the oldest first. What cannot be removed stays.
    pub(crate) fn remove_oldest(&self) {
        let mut segments = files(&self.path);
        let mut bytes: u64 = segments.iter().map(|(_, bytes, _)| bytes).sum();
        segments.sort();
        let now = SystemTime::now();
        for (path, size, ended) in segments {
            let age = now.duration_since(ended).unwrap_or_default();
            let old = self.keep.age.is_some_and(|most| age > most);
            if !old && self.keep.bytes.is_none_or(|most| bytes <= most) {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                bytes -= size;
                let _ = fs::remove_file(journal::path(&path));
                // The last of its day.
                let _ = path.parent().map(fs::remove_dir);
            }
        }
    }
}

/// The files of a host, those that other recorders left unfinished too: bytes, and when they were ended.
fn files(of_host: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let files = paths(of_host).filter(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".parquet") || name.ends_with(".parquet.open")
    });
    let files = files.filter_map(|path| {
        let file = path.metadata().ok()?;
        Some((path, file.len(), file.modified().ok()?))
    });
    files.collect()
}

/// What recorders have left unfinished, the oldest first; also what they had just begun.
pub(crate) fn unfinished(of_host: &Path) -> Vec<PathBuf> {
    let unfinished = paths(of_host).filter(|path| {
        let name = path.to_string_lossy();
        name.ends_with(OPEN) || name.ends_with(PARTIAL)
    });
    let mut unfinished: Vec<PathBuf> = unfinished.collect();
    unfinished.sort();
    unfinished
}

/// Whatever is in the directories of a host's days.
fn paths(of_host: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let inside = |directory: &Path| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    };
    let days = inside(of_host).filter(|path| path.is_dir());
    days.flat_map(move |day| inside(&day))
}

/// The name of a file while it is being written.
pub(crate) fn open_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OPEN);
    name.into()
}
