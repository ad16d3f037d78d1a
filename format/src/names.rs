//! The names of files and directories of recordings, and the lock of their writer.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The extension of a segment that is being written, or whose recorder was killed.
const OPEN: &str = "open";
/// The extension of a file that cannot be opened yet.
const PARTIAL: &str = "partial";

/// Returns the name of a segment while it is being written: `.NAME.parquet.open`. Other readers of a directory either
/// skip hidden names (pyarrow, pandas, Spark) or read the glob `*.parquet` (DuckDB, polars, ClickHouse), so they read
/// finished segments only.
pub fn open(path: &Path) -> PathBuf {
    in_progress(path, OPEN)
}

/// Returns the name of a file until enough of it is written to be opened: `.NAME.partial`.
pub fn partial(path: &Path) -> PathBuf {
    in_progress(path, PARTIAL)
}

/// Returns the hidden name of a file with an extension added.
fn in_progress(path: &Path, extension: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let mut hidden = OsString::new();
    if !is_hidden(path) {
        hidden.push(".");
    }
    hidden.push(name);
    hidden.push(".");
    hidden.push(extension);
    path.with_file_name(hidden)
}

/// Returns whether a name begins with a dot. In a directory, files with such names are not recordings, except
/// unfinished segments ([`is_open`]).
pub fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

/// Returns whether the name is that of a segment that is not finished: `.NAME.parquet.open`, or `NAME.parquet.open` of
/// recorders before format 1.3.
pub fn is_open(path: &Path) -> bool {
    path.extension() == Some(OsStr::new(OPEN))
}

/// Returns whether the name is that of a Parquet segment, finished or not.
pub fn is_segment(path: &Path) -> bool {
    finished(path).extension() == Some(OsStr::new("parquet"))
}

/// Returns the final name of a segment: without the leading dot and `.open`.
pub fn finished(path: &Path) -> PathBuf {
    if !is_open(path) {
        return path.to_path_buf();
    }
    let finished = path.with_extension("");
    match finished.file_name().and_then(OsStr::to_str) {
        Some(name) => finished.with_file_name(name.strip_prefix('.').unwrap_or(name)),
        None => finished,
    }
}

/// Renames a file, unless there is a file of the new name.
///
/// # Errors
/// There is such a file (`AlreadyExists`), or the file cannot be renamed.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems do not support the flag.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            done => return Ok(done?),
        }
    }
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
        // Not every file system has links either.
        Err(_) if to.symlink_metadata().is_err() => fs::rename(from, to),
        Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Removes the journal of a complete recording, which has all rows now. Gives a segment its final name, without the
/// leading dot and `.open`. Returns the name of the recording.
///
/// # Errors
/// The file cannot be renamed, or there is a file with its final name and `overwrite` is not given.
pub fn finish(from: &Path, overwrite: bool) -> io::Result<PathBuf> {
    let _ = fs::remove_file(with_suffix(from, JOURNAL));
    if !is_open(from) {
        return Ok(from.to_path_buf());
    }
    let to = finished(from);
    match overwrite {
        true => fs::rename(from, &to)?,
        false => rename_new(from, &to)?,
    }
    Ok(to)
}

/// Returns the directory of `host` in the directory `out`: `node=NAME`, with all bytes except `A-Z a-z 0-9 . - _`
/// percent-encoded. Readers of Hive-style directories add a column `node`, which the files do not have.
pub fn node_directory(out: &Path, host: &str) -> PathBuf {
    out.join(format!("node={}", safe_name(host)))
}

/// Returns the directories in `out` that have segments of `host`: [`node_directory`], and the `host=NAME` of recorders
/// before format 1.3.
pub fn node_directories(out: &Path, host: &str) -> [PathBuf; 2] {
    let old = out.join(format!("host={}", safe_name(host)));
    [node_directory(out, host), old]
}

fn safe_name(host: &str) -> String {
    let mut name = String::new();
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(byte.into()),
            other => name += &format!("%{other:02X}"),
        }
    }
    name
}

/// Returns whether another process writes the file: a writer holds an exclusive lock (flock(2)). On a file system
/// without locks the answer is always no.
pub fn is_being_written(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The format of a recording in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A Parquet file.
    Parquet,
    /// An SQLite database.
    Sqlite,
}

impl FileFormat {
    /// Returns the format that the extension of a file name selects.
    pub fn from_name(path: &Path) -> Option<FileFormat> {
        match path.extension()?.to_str()? {
            "parquet" => Some(FileFormat::Parquet),
            "sqlite" | "sqlite3" | "db" => Some(FileFormat::Sqlite),
            _ => None,
        }
    }
}

/// The extensions by which recordings are found in a directory.
const EXTENSIONS: [&str; 2] = ["parquet", "sqlite"];

/// Returns whether a file in a directory has the extension of a recording: `.parquet` or `.sqlite`.
pub fn is_recording(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

/// The suffix of a recording's journal: see [`crate::unclosed::journal`].
pub const JOURNAL: &str = ".journal";
/// Suffix of the signature of a file, in the format of minisign.
pub const SIGNATURE: &str = ".minisig";
/// The suffix of a database's write-ahead log, which holds its newest rows.
pub const SQLITE_WAL: &str = "-wal";
/// The suffix of the index of a write-ahead log.
pub const SQLITE_SHM: &str = "-shm";
/// The suffix of a database's rollback journal, with which a reader undoes a transaction that was not completed.
pub const SQLITE_JOURNAL: &str = "-journal";
/// The suffixes of all files that SQLite keeps beside a database (<https://sqlite.org/tempfiles.html>).
pub const SQLITE_COMPANIONS: [&str; 3] = [SQLITE_WAL, SQLITE_SHM, SQLITE_JOURNAL];

/// Returns the name of a file beside `path`: its name with a suffix.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns whether the name is that of a file that cannot be opened yet: see [`partial`].
pub fn is_partial(path: &Path) -> bool {
    path.extension() == Some(OsStr::new(PARTIAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unfinished_files_are_hidden_and_end_in_their_state() {
        let path = Path::new("date=2026-01-01/a.parquet");
        assert_eq!(open(path), Path::new("date=2026-01-01/.a.parquet.open"));
        assert_eq!(
            partial(path),
            Path::new("date=2026-01-01/.a.parquet.partial")
        );
        assert_eq!(
            partial(&open(path)),
            Path::new("date=2026-01-01/.a.parquet.open.partial")
        );
        assert!(is_open(&open(path)) && !is_open(path));
        assert!(is_hidden(&open(path)) && !is_hidden(path));
        assert!(is_segment(path) && is_segment(&open(path)));
        assert!(!is_segment(&partial(path)) && !is_segment(Path::new("a.sqlite")));
        assert_eq!(finished(&open(path)), path);
        assert_eq!(
            finished(Path::new("b.parquet.open")),
            Path::new("b.parquet")
        );
    }

    #[test]
    fn the_extension_selects_the_format() {
        let format = |name: &str| FileFormat::from_name(Path::new(name));
        assert_eq!(format("a.parquet"), Some(FileFormat::Parquet));
        for name in ["a.sqlite", "a.sqlite3", "a.db"] {
            assert_eq!(format(name), Some(FileFormat::Sqlite));
        }
        assert_eq!((format("a.json"), format("parquet")), (None, None));
    }

    #[test]
    fn the_directory_of_a_host_has_a_safe_name() {
        let out = Path::new("out");
        assert_eq!(node_directory(out, "web-1.a"), out.join("node=web-1.a"));
        assert_eq!(
            node_directories(out, "a/b c"),
            [out.join("node=a%2Fb%20c"), out.join("host=a%2Fb%20c")]
        );
    }
}
