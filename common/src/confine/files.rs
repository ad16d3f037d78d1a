//! Rules of Landlock: the files that a thread may open.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    make_bitflags,
};

/// The newest version of Landlock whose restrictions are used. An older kernel enforces those that it has.
const NEWEST: ABI = ABI::V6;

/// The paths that a thread may use, and in which way: each stands for itself and, if it is a directory, for everything
/// below. All other files can neither be opened nor changed, and no file can be executed. Landlock does not restrict
/// metadata: a file that cannot be opened can still be looked up. A path that does not exist is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileRules {
    /// Files that may be read, and directories that may be listed.
    pub read: Vec<PathBuf>,
    /// Directories that may be listed, without their files.
    pub list: Vec<PathBuf>,
    /// Files that may be written, and directories in which files and directories may be created, renamed and removed.
    pub write: Vec<PathBuf>,
    /// Files and directories that may be read and written.
    pub change: Vec<PathBuf>,
    /// Directories from which files may be removed.
    pub remove: Vec<PathBuf>,
    /// True if processes outside may be sent signals and reached through abstract sockets of unix(7).
    pub reaches_processes: bool,
}

/// The part of the rules that the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforced {
    /// All rules about files.
    Files,
    /// Nothing: the kernel has no Landlock, which is part of Linux since 5.13 but can be left out.
    Nothing,
}

impl FileRules {
    /// Confines this thread, and the threads and processes that it starts from now on. No TCP port can be bound or
    /// connected to from then on, and no other process can be traced.
    ///
    /// # Errors
    /// The kernel refuses the rules, or a path cannot be opened now. The thread is not confined then.
    pub fn confine(&self) -> io::Result<Enforced> {
        let mut ruleset = self.ruleset().map_err(io::Error::other)?;
        let list = make_bitflags!(AccessFs::{ReadDir});
        let read = list | AccessFs::ReadFile;
        let remove = make_bitflags!(AccessFs::{RemoveFile});
        let write = make_bitflags!(AccessFs::{
            WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
        });
        for (paths, access) in [
            (&self.read, read),
            (&self.list, list),
            (&self.write, write),
            (&self.change, read | write),
            (&self.remove, remove),
        ] {
            for path in paths {
                if let Some(rule) = rule(path, access)? {
                    ruleset = ruleset.add_rule(rule).map_err(io::Error::other)?;
                }
            }
        }
        let status = ruleset.restrict_self().map_err(io::Error::other)?;
        Ok(match status.ruleset {
            RulesetStatus::NotEnforced => Enforced::Nothing,
            _ => Enforced::Files,
        })
    }

    /// Returns rules that allow nothing.
    fn ruleset(&self) -> Result<RulesetCreated, RulesetError> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?;
        if !self.reaches_processes {
            ruleset = ruleset.scope(Scope::from_all(NEWEST))?;
        }
        ruleset.create()
    }
}

/// The files of proc(5) that have rules. They stay open: a rule is about an inode, and procfs makes another inode for a file that
/// is not open once the kernel, short of memory, has forgotten its name.
static PROC: Mutex<BTreeMap<PathBuf, Arc<File>>> = Mutex::new(BTreeMap::new());

/// Returns the rule for a path; `None`: the path leads nowhere, or `access` is about directories and the path is none. A pipe
/// without a name, such as that of `/dev/stdin`, exists only as a descriptor: it cannot have a rule, and needs none.
///
/// # Errors
/// The path cannot be opened now, for example because too many files are open.
fn rule(path: &Path, access: BitFlags<AccessFs>) -> io::Result<Option<PathBeneath<Arc<File>>>> {
    let (resolved, file) = match path
        .canonicalize()
        .and_then(|it| Ok((it, open_path(path)?)))
    {
        Err(e) if leads_nowhere(&e) => return Ok(None),
        other => other?,
    };
    let access = match resolved.is_dir() {
        true => access,
        false => access & AccessFs::from_file(NEWEST),
    };
    if access.is_empty() {
        return Ok(None);
    }
    let mut file = Arc::new(file);
    if resolved.starts_with("/proc") {
        let mut open = PROC.lock().unwrap_or_else(PoisonError::into_inner);
        file = open.entry(resolved).or_insert(file).clone();
    }
    Ok(Some(PathBeneath::new(file, access)))
}

/// Opens a file as a place, which can neither be read nor written.
fn open_path(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_PATH).open(path)
}

/// Returns whether nobody can use the path that could not be opened.
fn leads_nowhere(error: &io::Error) -> bool {
    use libc::{EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM};
    let nowhere = [EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM];
    error.raw_os_error().is_some_and(|e| nowhere.contains(&e))
}
