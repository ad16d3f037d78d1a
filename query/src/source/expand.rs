//! The files that a name stands for: a file, the recordings in a directory and below, or the files that match a
//! pattern.
//!
//! Each real file is found once, under the name that is reached without symbolic links if there is one. Hidden names
//! are left out, except segments that are being written. Symbolic links are followed; a link to a directory above ends
//! there, because each directory is read once.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use ctrace_format::names;
use ctrace_schema::text::path_text;
use glob::Pattern;

use crate::source::error::SourceError;

/// The part of a command line that led to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The name of the file itself.
    Name,
    Pattern,
    /// The name of a directory above.
    Directory,
}

/// A file that may be a recording.
#[derive(Debug)]
pub(crate) struct FoundFile {
    pub(crate) path: PathBuf,
    pub(crate) origin: Origin,
    /// True if the path contains a symbolic link below the directory that was named.
    pub(crate) is_linked: bool,
}

/// The identity of a file with several names: device and inode, or the canonical path where these do not exist.
#[derive(Debug, PartialEq, Eq, Hash)]
#[cfg(unix)]
struct FileId(u64, u64);
#[derive(Debug, PartialEq, Eq, Hash)]
#[cfg(not(unix))]
struct FileId(PathBuf);

impl FileId {
    #[cfg(unix)]
    fn new(path: &Path) -> io::Result<FileId> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path)?;
        Ok(FileId(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn new(path: &Path) -> io::Result<FileId> {
        Ok(FileId(fs::canonicalize(path)?))
    }
}

/// A part of a pattern, between two slashes.
enum Part {
    /// `**`: any number of directories.
    Directories,
    Name(Pattern),
    /// A name with the extension of a recording, or of a segment that is not finished.
    Recording,
}

impl Part {
    fn matches(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Part::Directories => !names::is_hidden(path),
            // As in a shell, only a dot matches the dot of a hidden name.
            Part::Name(pattern) => {
                let hidden = pattern.as_str().starts_with('.');
                (hidden || !names::is_hidden(path)) && pattern.matches(&name)
            }
            Part::Recording => is_recording_name(path),
        }
    }
}

/// Returns whether a file with this name is read as a recording when it is in a directory.
fn is_recording_name(path: &Path) -> bool {
    if names::is_open(path) {
        return names::is_segment(path);
    }
    !names::is_hidden(path) && names::is_recording(path)
}

/// A directory that is to be read.
struct PendingDirectory {
    path: PathBuf,
    /// The number of the part that the names in the directory must match.
    part: usize,
    is_linked: bool,
}

/// A search for the files of several names. A file that was found is not found again.
#[derive(Default)]
pub(crate) struct Search {
    known: HashSet<FileId>,
}

/// The files that one name stands for.
#[derive(Default)]
pub(crate) struct Found {
    /// Sorted by path.
    pub(crate) files: Vec<FoundFile>,
    /// True if files are left out because another name stands for them too.
    pub(crate) has_known: bool,
    /// Errors of files and directories that could not be examined.
    pub(crate) failures: Vec<SourceError>,
}

impl Search {
    /// Returns the files that `named` stands for and that were not found before.
    ///
    /// # Errors
    /// No file matches a pattern, or the pattern is wrong.
    pub(crate) fn find(&mut self, named: &Path) -> Result<Found, SourceError> {
        let name = path_text(named);
        let mut found = Found::default();
        if named.is_dir() {
            found.directory(named.to_path_buf(), false);
        } else if !named.exists() && name.contains(['*', '?', '[']) {
            let no_match = |why| SourceError::NoMatch {
                pattern: name.clone(),
                why,
            };
            let (base, parts) = parsed(named).map_err(|e| no_match(format!(" ({e})")))?;
            found.walk(base, &parts, Origin::Pattern, false);
            if found.files.is_empty() && found.failures.is_empty() {
                return Err(no_match(String::new()));
            }
        } else {
            found.files.push(FoundFile {
                path: named.to_path_buf(),
                origin: Origin::Name,
                is_linked: false,
            });
        }
        self.leave_out_known(&mut found);
        Ok(found)
    }

    fn leave_out_known(&mut self, found: &mut Found) {
        let files = &mut found.files;
        files.sort_by(|a, b| (a.is_linked, &a.path).cmp(&(b.is_linked, &b.path)));
        let all = files.len();
        // A file that is gone is reported when it is opened.
        files.retain(|file| FileId::new(&file.path).map_or(true, |id| self.known.insert(id)));
        found.has_known = files.len() < all;
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

impl Found {
    /// Adds the recordings in a directory and below.
    fn directory(&mut self, directory: PathBuf, is_linked: bool) {
        let parts = [Part::Directories, Part::Recording];
        self.walk(directory, &parts, Origin::Directory, is_linked);
    }

    /// Adds the files below `base` whose path matches `parts`.
    fn walk(&mut self, base: PathBuf, parts: &[Part], origin: Origin, is_linked: bool) {
        let mut seen = HashSet::new();
        // Directories behind a symbolic link are read last, and only if no other path leads to them.
        let (mut pending, mut linked) = (vec![], vec![]);
        let mut next = Some(PendingDirectory {
            path: base,
            part: 0,
            is_linked,
        });
        while let Some(directory) = next {
            let is_new = match FileId::new(&directory.path) {
                Ok(id) => seen.insert((id, directory.part)),
                Err(error) => {
                    self.failed(&directory.path, error);
                    false
                }
            };
            if is_new {
                let below = self.read(&directory, parts, origin).into_iter();
                let (links, others): (Vec<_>, Vec<_>) = below.partition(|below| below.is_linked);
                linked.extend(links);
                pending.extend(others);
            }
            next = pending.pop().or_else(|| linked.pop());
        }
    }

    /// Adds the files of one directory, and returns the directories in it that must be read too.
    fn read(
        &mut self,
        directory: &PendingDirectory,
        parts: &[Part],
        origin: Origin,
    ) -> Vec<PendingDirectory> {
        let PendingDirectory { path, part, .. } = directory;
        let mut below = vec![];
        let is_recursive = matches!(parts[*part], Part::Directories);
        if is_recursive {
            below.push(PendingDirectory {
                path: path.clone(),
                part: part + 1,
                is_linked: directory.is_linked,
            });
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                // The same directory is read for the next part.
                if !is_recursive {
                    self.failed(path, error);
                }
                return below;
            }
        };
        for entry in entries.flatten() {
            // The current directory is left out of the names.
            let entry_path = match path == Path::new(".") {
                true => PathBuf::from(entry.file_name()),
                false => entry.path(),
            };
            if !parts[*part].matches(&entry_path) {
                // A hidden name, or a name that the pattern does not match.
                continue;
            }
            let is_link = entry.file_type().is_ok_and(|ty| ty.is_symlink());
            let is_linked = directory.is_linked || is_link;
            let is_last = *part + 1 == parts.len();
            match fs::metadata(&entry_path) {
                Ok(metadata) if is_last => self.matched(entry_path, &metadata, origin, is_linked),
                Ok(metadata) if metadata.is_dir() => below.push(PendingDirectory {
                    path: entry_path,
                    part: if is_recursive { *part } else { part + 1 },
                    is_linked,
                }),
                Ok(_) => {}
                Err(error) if is_last && is_link => self.failed_link(&entry_path, error),
                // Files that are removed meanwhile, and links that lead nowhere.
                Err(_) => {}
            }
        }
        below
    }

    /// Adds a file, or the recordings in a directory, that matches all of a pattern.
    fn matched(&mut self, path: PathBuf, metadata: &Metadata, origin: Origin, is_linked: bool) {
        if metadata.is_dir() {
            // A directory in a directory that was named is read in any case.
            if origin == Origin::Pattern {
                self.directory(path, is_linked);
            }
        } else if metadata.is_file() || origin == Origin::Pattern {
            self.files.push(FoundFile {
                path,
                origin,
                is_linked,
            });
        }
    }

    fn failed(&mut self, path: &Path, source: io::Error) {
        // A directory may be removed meanwhile.
        if source.kind() != ErrorKind::NotFound {
            self.failures.push(SourceError::Io {
                path: path_text(path),
                source,
            });
        }
    }

    /// Notes a symbolic link with the name of a recording that leads to no file.
    fn failed_link(&mut self, path: &Path, source: io::Error) {
        self.failures.push(SourceError::Io {
            path: format!("{}, a symbolic link", path_text(path)),
            source,
        });
    }
}

/// Returns the directory in which the files that match a pattern are searched; `None`: it is no pattern.
pub(crate) fn pattern_base(pattern: &Path) -> Option<PathBuf> {
    let (base, parts) = parsed(pattern).ok()?;
    (!parts.is_empty()).then_some(base)
}

/// Splits a pattern into the directory before its first special character, and the parts after it.
fn parsed(pattern: &Path) -> Result<(PathBuf, Vec<Part>), glob::PatternError> {
    let mut base = PathBuf::new();
    let mut parts = vec![];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        let is_special = text.contains(['*', '?', '[']);
        match component {
            Component::Normal(name) if parts.is_empty() && !is_special => base.push(name),
            Component::Normal(_) if text == "**" => parts.push(Part::Directories),
            Component::Normal(_) => parts.push(Part::Name(Pattern::new(&text)?)),
            other => base.push(other),
        }
    }
    if let Some(Part::Directories) = parts.last() {
        parts.push(Part::Recording);
    }
    if base.as_os_str().is_empty() {
        base.push(".");
    }
    Ok((base, parts))
}
