//! The files that a process needs to read some recordings, before it reads them.

use std::path::{Path, PathBuf};

use ctrace_common::paths::directory_of;
use ctrace_format::unclosed::journal;
use ctrace_format::{manifest, names};

use crate::source::expand::{Search, pattern_base};
use crate::source::find::by_age;

/// The most files of a pattern that are named one by one. For more, the directory above them is read.
const MAX_FILES: usize = 500;

/// The files that a process reads to answer questions about recordings.
#[derive(Debug, Default)]
pub(crate) struct Footprint {
    /// Files, and directories with everything below.
    pub(crate) read: Vec<PathBuf>,
    /// Directories whose names are listed, for the error about a file that does not exist.
    pub(crate) list: Vec<PathBuf>,
    /// Files and directories that SQLite writes to for a database that is in use, or was not closed.
    pub(crate) change: Vec<PathBuf>,
}

impl Footprint {
    /// Finds the files of the recordings that `named` stands for or, if nothing is named, of those in the working directory.
    /// `is_followed`: files that appear later are read too.
    pub(crate) fn find(named: &[PathBuf], is_followed: bool) -> Footprint {
        let mut footprint = Footprint::default();
        match (named.is_empty(), is_followed) {
            (false, _) => footprint.add(named, is_followed),
            (true, true) => footprint.read.push(".".into()),
            (true, false) => {
                footprint.list.push(".".into());
                let files = by_age().unwrap_or_default();
                files.iter().for_each(|file| footprint.add_file(file));
            }
        }
        footprint
    }

    /// Adds the files of the recordings that each of `named` stands for.
    pub(crate) fn add(&mut self, named: &[PathBuf], is_followed: bool) {
        let mut search = Search::default();
        for named in named {
            // The error is reported when the recording is opened.
            let Ok(found) = search.find(named) else {
                self.list.push(listed_for(named));
                continue;
            };
            let is_pattern = !named.exists();
            let is_whole = is_followed || found.files.len() > MAX_FILES;
            match pattern_base(named).filter(|_| is_pattern) {
                Some(base) if is_whole => self.read.push(base),
                Some(base) => self.list.push(base),
                None => self.add_named(named, is_followed),
            }
            for file in found.files.iter().filter(|file| file.path != *named) {
                match file.is_linked || is_pattern && !is_whole {
                    true => self.add_file(&file.path),
                    false => self.add_companions(&file.path),
                }
            }
        }
    }

    fn add_named(&mut self, named: &Path, is_followed: bool) {
        if named.is_dir() {
            self.read.push(named.to_path_buf());
            return;
        }
        if is_followed {
            // The recording may be replaced by a new file.
            self.read.push(directory_of(named).to_path_buf());
        }
        self.add_file(named);
        self.list.push(directory_of(named).to_path_buf());
    }

    fn add_file(&mut self, path: &Path) {
        self.read.push(path.to_path_buf());
        self.read.push(journal::path(path));
        self.read.push(names::with_suffix(path, names::SIGNATURE));
        if let Some((manifest, _)) = manifest::of_segment(path) {
            self.read
                .push(names::with_suffix(&manifest, names::SIGNATURE));
            self.read.push(manifest);
        }
        if names::is_open(path) {
            self.read.push(names::finished(path));
        }
        self.add_companions(path);
    }

    /// Adds the files that SQLite keeps beside a database.
    fn add_companions(&mut self, path: &Path) {
        let [log, index, rollback] =
            names::SQLITE_COMPANIONS.map(|suffix| names::with_suffix(path, suffix));
        if !log.exists() {
            self.read.push(rollback);
            return;
        }
        // SQLite creates the index of the log if there is none.
        match index.exists() {
            true => self.change.push(index),
            false => self.change.push(directory_of(path).to_path_buf()),
        }
        self.read.push(log);
    }
}

/// Returns the directory whose names are listed if `named` does not exist.
fn listed_for(named: &Path) -> PathBuf {
    pattern_base(named).unwrap_or_else(|| directory_of(named).to_path_buf())
}
