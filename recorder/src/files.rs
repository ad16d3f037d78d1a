//! The one place that creates, opens, renames and removes the files of a recording.
//!
//! A recorder runs as root, and others may write to the directory of its output. So a file is created under a name that
//! nothing has, and never opened through a link; a file or directory that was there is used only if it is a real one of
//! the recorder's own user. Whatever the umask, files have the mode 0600 and directories 0700: they hold the command lines
//! and paths of all containers.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail};
use ctrace_format::names;
use ctrace_format::unclosed::journal;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, linkat};

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// Flags for names that others may have made: no link is followed, and no pipe is waited for.
const CAREFUL: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// Returns whether a file or directory belongs to the recorder's own user.
fn is_own(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Creates and locks a file, which has one writer.
///
/// # Errors
/// The name exists, or the file cannot be created.
pub(crate) fn create(path: &Path) -> Result<File> {
    let name = path.display();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options.mode(FILE_MODE).custom_flags(CAREFUL);
    let file = options.open(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            anyhow!("cannot write {name}: its directory does not exist; make it first")
        }
        _ => Error::new(e).context(format!("cannot write {name}")),
    })?;
    // The umask may have taken rights away.
    let mode = file.set_permissions(Permissions::from_mode(FILE_MODE));
    let ready = mode.with_context(|| format!("cannot write {name}"));
    if let Err(e) = ready.and_then(|()| lock(&file, path)) {
        let _ = fs::remove_file(path);
        return Err(e);
    }
    Ok(file)
}

/// Creates a file as [`create`] does, after removing the file that a killed recorder, or anybody else, has left under this
/// name.
///
/// # Errors
/// As [`create`]; or another recorder writes to the file.
pub(crate) fn create_anew(path: &Path) -> Result<File> {
    if is_being_written(path) {
        return Err(written_by_another(path));
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot replace {}", path.display()))
        }
        _ => create(path),
    }
}

fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(written_by_another(path)),
        // Not every file system has locks.
        _ => Ok(()),
    }
}

/// Returns the error of a file that has another writer.
pub(crate) fn written_by_another(path: &Path) -> Error {
    let name = path.display();
    anyhow!("{name} is being written by another ctrace-rec: choose another name")
}

/// Returns whether another recorder writes to the file: a writer holds a lock. Without locks the answer is always no.
pub(crate) fn is_being_written(path: &Path) -> bool {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(CAREFUL).open(path);
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Returns whether the name exists, be it a link to nothing.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Returns whether only root can make a link at `path`: `/dev` itself is root's, but others can write to `/dev/shm`.
fn is_in_dev(path: &Path) -> bool {
    let directory = path.parent();
    ["/dev", "/dev/fd"]
        .iter()
        .any(|dev| directory == Some(Path::new(dev)))
}

/// Returns whether `path` is a device or a pipe of root or of the recorder's own user, which is written as it is. A link counts
/// only in `/dev`: elsewhere others could let it lead to a disk.
pub(crate) fn is_special(path: &Path) -> bool {
    let metadata = match is_in_dev(path) {
        true => path.metadata(),
        false => path.symlink_metadata(),
    };
    metadata.is_ok_and(|metadata| {
        let kind = metadata.file_type();
        (kind.is_fifo() || kind.is_char_device()) && (metadata.uid() == 0 || is_own(&metadata))
    })
}

/// Opens a device or a pipe.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn open_special(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    if !is_in_dev(path) {
        options.custom_flags(libc::O_NOFOLLOW);
    }
    let file = options.read(true).write(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

/// Opens a file that an earlier recorder has left, for reading and writing.
///
/// # Errors
/// The file cannot be opened, or is not a regular file of the recorder's own user with one name.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .custom_flags(CAREFUL)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && is_own(&metadata) && metadata.nlink() == 1 {
        return Ok(file);
    }
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        "it is not a file of this user alone",
    ))
}

/// Opens and locks the file that keeps other recorders away from a directory. Its content is left alone.
///
/// # Errors
/// Another recorder holds the lock, or the file is not a regular file of the recorder's own user.
pub(crate) fn lock_directory(directory: &Path) -> Result<File> {
    let path = directory.join(".lock");
    match create(&path) {
        Err(_) if exists(&path) => {}
        created => return created,
    }
    let file = open_own(&path).with_context(|| format!("cannot lock {}", path.display()))?;
    lock(&file, &path)?;
    Ok(file)
}

/// Returns whether a file system is mounted at the directory `path`, so that the directory cannot be removed.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let own = device(path);
    own.is_some() && own != device(&path.join(".."))
}

/// Makes the directory `path` unless there is one. Its parent must exist.
///
/// # Errors
/// The directory cannot be made; or what has this name is no directory, or belongs to another user.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    let name = path.display();
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => {
            let mode = Permissions::from_mode(DIRECTORY_MODE);
            return fs::set_permissions(path, mode).with_context(|| format!("cannot make {name}"));
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e).with_context(|| format!("cannot make {name}")),
    }
    if !is_own_directory(path) {
        bail!(
            "{name} is not a directory of this user: another user may have made it; remove it, or choose another directory"
        );
    }
    Ok(())
}

/// Returns whether `path` is a directory of the recorder's own user, and no link to one.
fn is_own_directory(path: &Path) -> bool {
    let metadata = path.symlink_metadata();
    metadata.is_ok_and(|metadata| metadata.is_dir() && is_own(&metadata))
}

/// Makes the directory `out` of a recording, with its parents, unless there is one that no other user can write to.
///
/// # Errors
/// The directory cannot be made, or another user could replace what is in it.
pub(crate) fn make_output_directory(out: &Path) -> Result<()> {
    let name = out.display();
    if !exists(out) {
        let mut builder = DirBuilder::new();
        let made = builder.mode(DIRECTORY_MODE).recursive(true).create(out);
        let mode = Permissions::from_mode(DIRECTORY_MODE);
        made.and_then(|()| fs::set_permissions(out, mode))
            .with_context(|| format!("cannot make {name}"))?;
    }
    if let Some(danger) = danger_of(out) {
        bail!(
            "{name} {danger}, who could replace or remove what is recorded: choose a directory of your own, or let ctrace-rec \
             make one, such as {}",
            out.join("recordings/").display()
        );
    }
    Ok(())
}

/// Returns how another user can replace the files of a directory, or `None` if no other user can.
pub(crate) fn danger_of(directory: &Path) -> Option<String> {
    let metadata = directory.metadata().ok()?;
    let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    if !is_trusted(uid) {
        return Some(format!("belongs to the user {uid}"));
    }
    // In a sticky directory nobody can remove or rename the files of others: inode(7).
    if mode & libc::S_ISVTX != 0 {
        return None;
    }
    // With an access control list, these bits of the mode are the list's mask: acl(5).
    let of_group = mode & 0o020 != 0;
    let writers = match access_list(directory) {
        Some(list) if of_group => list.writers(gid),
        None if of_group => vec![Writer::Group(gid)],
        _ => vec![],
    };
    // The group of a user alone has the user's number, as useradd(8) and adduser(8) choose it.
    let is_other = |writer: &Writer| match writer {
        Writer::User(id) | Writer::Group(id) => !is_trusted(*id),
    };
    match writers.into_iter().find(is_other) {
        _ if mode & 0o002 != 0 => Some("can be written to by all users".to_string()),
        Some(Writer::User(id)) => Some(format!("can be written to by the user {id}")),
        Some(Writer::Group(id)) => Some(format!("can be written to by the group {id}")),
        None => None,
    }
}

/// Returns whether a user is root, the recorder's own user, or the caller of sudo(8), who can do everything that root can.
fn is_trusted(uid: u32) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let of_sudo = || std::env::var("SUDO_UID").ok()?.parse::<u32>().ok();
    uid == 0 || uid == own || own == 0 && of_sudo() == Some(uid)
}

/// Who can write to a directory, besides its owner.
#[derive(Debug, PartialEq, Eq)]
enum Writer {
    User(u32),
    Group(u32),
}

/// An access control list: `system.posix_acl_access` of acl(5), as the kernel stores it (linux/posix_acl_xattr.h).
#[derive(Debug)]
struct AccessList(Vec<u8>);

impl AccessList {
    /// Returns the users and groups that may write, as far as the mask allows. `gid` is the group of the directory.
    fn writers(&self, gid: u32) -> Vec<Writer> {
        const HEADER_BYTES: usize = 4;
        const MAY_WRITE: u16 = 2;
        // Each entry has a tag, permissions and an id, in little-endian order.
        let entries = self.0.get(HEADER_BYTES..).unwrap_or_default().as_chunks();
        let entries = entries.0.iter().map(|entry: &[u8; 8]| {
            let [tag, permissions] =
                [0, 2].map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]));
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            (tag, permissions & MAY_WRITE != 0, id)
        });
        // ACL_USER, ACL_GROUP_OBJ and ACL_GROUP of linux/posix_acl.h.
        let writer = |(tag, writes, id)| match tag {
            0x02 if writes => Some(Writer::User(id)),
            0x04 if writes => Some(Writer::Group(gid)),
            0x08 if writes => Some(Writer::Group(id)),
            _ => None,
        };
        entries.filter_map(writer).collect()
    }
}

/// Returns the access control list of a directory, if it has one. Most have none, and the mode says it all.
fn access_list(directory: &Path) -> Option<AccessList> {
    // XATTR_SIZE_MAX of linux/limits.h.
    let mut list = vec![0; 1 << 16];
    let bytes = rustix::fs::getxattr(directory, "system.posix_acl_access", &mut list).ok()?;
    list.truncate(bytes);
    Some(AccessList(list))
}

/// Returns all files below the `date=YYYY-MM-DD` directories of a host that belong to the recorder's own user. Links and
/// directories of others are passed over.
pub(crate) fn files_of_node(directory: &Path) -> Vec<PathBuf> {
    if !is_own_directory(directory) {
        return vec![];
    }
    let days = entries(directory)
        .into_iter()
        .filter(|day| is_own_directory(day));
    let files = days.flat_map(|day| entries(&day));
    let is_own_file = |path: &PathBuf| {
        let metadata = path.symlink_metadata();
        metadata.is_ok_and(|metadata| metadata.is_file() && is_own(&metadata))
    };
    files.filter(is_own_file).collect()
}

/// Returns the paths of what a directory holds, as far as it can be read. std's `read_dir` panics if closedir(3) fails.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty());
    let entries = opened.and_then(Dir::new).into_iter().flatten().flatten();
    let names = entries.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_os_string());
    let names = names.filter(|name| name != "." && name != "..");
    names.map(|name| directory.join(name)).collect()
}

/// Returns `path`, or if a file with this name exists, a name in the same directory with the time `time_ns` (since 1970
/// UTC) added.
pub(crate) fn unused_name(path: &Path, time_ns: i64) -> Result<PathBuf> {
    let time = chrono::DateTime::from_timestamp_nanos(time_ns).format("%Y%m%dT%H%M%S%.6fZ");
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, ending) = (text(path.file_stem()), text(path.extension()));
    let ending = if ending.is_empty() {
        ending
    } else {
        format!(".{ending}")
    };
    let mut names = (0..).map(|n| match n {
        0 => path.to_path_buf(),
        1 => path.with_file_name(format!("{stem}-{time}{ending}")),
        n => path.with_file_name(format!("{stem}-{time}-{n}{ending}")),
    });
    let is_unused = |path: &PathBuf| !exists(path) && !exists(&journal::path(path));
    names.find(is_unused).context("no name is left")
}

/// The files that a recording replaces and creates. Those that `--force` replaces have hidden names until the recording has
/// begun. If it does not begin, they get their names back, and the created files are removed.
#[derive(Debug, Default)]
pub(crate) struct Replaced(Vec<(PathBuf, Option<PathBuf>)>);

impl Replaced {
    /// Gives the file at `path`, and the files beside it that belong to it, hidden names.
    ///
    /// # Errors
    /// A file cannot be renamed.
    pub(crate) fn set_aside(&mut self, path: &Path) -> Result<()> {
        for name in with_companions(path) {
            let aside = hidden(&name);
            match fs::rename(&name, &aside) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                renamed => {
                    renamed.with_context(|| format!("cannot replace {}", name.display()))?;
                }
            }
            // Names without a file are noted too: what has such a name later belongs to the new recording.
            self.0.push((name, Some(aside)));
        }
        Ok(())
    }

    /// Notes that the recording has created the file at `path`, and perhaps files beside it that belong to it.
    pub(crate) fn add_created(&mut self, path: &Path) {
        if self.0.iter().all(|(name, _)| name != path) {
            self.0
                .extend(with_companions(path).map(|name| (name, None)));
        }
    }

    /// Removes the replaced files: the new recording has begun.
    pub(crate) fn remove(mut self) {
        for aside in self.0.drain(..).filter_map(|(_, aside)| aside) {
            let _ = fs::remove_file(aside);
        }
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        for (name, aside) in self.0.drain(..) {
            let _ = fs::remove_file(&name);
            let Some(aside) = aside else {
                continue;
            };
            match fs::rename(&aside, &name) {
                Err(e) if e.kind() != ErrorKind::NotFound => say!(
                    "warning: {} keeps the name {}: {e}; rename it",
                    name.display(),
                    aside.display()
                ),
                _ => {}
            }
        }
    }
}

/// Returns the names of a recording and of the files beside it that belong to it.
fn with_companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    let others = [&names::JOURNAL, &names::SIGNATURE];
    let companions = names::SQLITE_COMPANIONS.iter().chain(others);
    let companions = companions.map(|suffix| names::with_suffix(path, suffix));
    [path.to_path_buf()].into_iter().chain(companions)
}

/// Returns the name of a file that is about to be replaced: `.NAME.replaced`.
fn hidden(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".replaced");
    path.with_file_name(name)
}

/// A file that is being written, and the name that it has been given.
pub(crate) struct NamedFile {
    file: File,
    path: PathBuf,
    /// The last state that was reported.
    reported: NameState,
}

/// The state of a file and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameState {
    /// The name leads to the file, as it was written.
    Kept,
    /// The name is gone.
    Removed,
    /// The name leads to another file.
    Taken,
    /// The file is shorter than what was written.
    Truncated,
}

impl NamedFile {
    /// Watches the name `path` of `file`, another descriptor of the file that is written.
    pub(crate) fn new(file: File, path: &Path) -> NamedFile {
        NamedFile {
            file,
            path: path.to_path_buf(),
            reported: NameState::Kept,
        }
    }

    /// Returns the descriptor of the file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the size of the file in bytes, whatever its name is now.
    pub(crate) fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |own| own.len())
    }

    /// Compares the file, of which `len` bytes have been written, with its name.
    pub(crate) fn state(&self, len: u64) -> NameState {
        let Ok(own) = self.file.metadata() else {
            return NameState::Kept;
        };
        if !own.is_file() {
            return NameState::Kept;
        }
        if own.len() < len {
            return NameState::Truncated;
        }
        match self.path.symlink_metadata() {
            Ok(found) if (found.dev(), found.ino()) == (own.dev(), own.ino()) => NameState::Kept,
            Ok(_) => NameState::Taken,
            Err(e) if e.kind() == ErrorKind::NotFound => NameState::Removed,
            // The directory cannot be read now.
            Err(_) => NameState::Kept,
        }
    }

    /// Returns a warning for the user if the file or its name has been changed since the last call. A file that was only
    /// renamed gets its name back.
    pub(crate) fn check(&mut self, len: u64) -> Option<String> {
        let state = self.state(len);
        if state == self.reported {
            return None;
        }
        self.reported = state;
        let name = self.path.display();
        let links = self.file.metadata().map_or(0, |own| own.nlink());
        Some(match state {
            NameState::Kept => return None,
            NameState::Truncated => {
                format!("{name} has been truncated by another program: events are lost")
            }
            NameState::Removed if links > 0 && self.link(&self.path).is_ok() => {
                self.reported = NameState::Kept;
                format!("{name} has been renamed by another program: the file has both names now")
            }
            NameState::Removed | NameState::Taken => format!(
                "{name} has been removed by another program: recording continues, and the file is written again at the end"
            ),
        })
    }

    /// Gives the complete file of `len` bytes its name again, or another one if the name is taken. If that was necessary,
    /// returns the name and a warning for the user.
    ///
    /// # Errors
    /// The file was truncated, or cannot be written again.
    pub(crate) fn put_back(&self, len: u64) -> Result<Option<(PathBuf, String)>> {
        let name = self.path.display();
        match self.state(len) {
            NameState::Kept => Ok(None),
            NameState::Truncated => {
                bail!(
                    "{name} was truncated by another program while it was written: events are lost"
                )
            }
            NameState::Removed | NameState::Taken => {
                let to = self.restore().with_context(|| {
                    format!("{name} was removed by another program, and cannot be written again")
                })?;
                let warning = match to == self.path {
                    true => format!("{name} was removed by another program, and is written again"),
                    false => format!(
                        "another program has put a file at {name}: the recording is {}",
                        to.display()
                    ),
                };
                Ok(Some((to, warning)))
            }
        }
    }

    /// Links or copies the file to its name or, if that is taken, to another one, and returns it.
    fn restore(&self) -> Result<PathBuf> {
        if let Some(parent) = self.path.parent()
            && !parent.as_os_str().is_empty()
            && !parent.is_dir()
        {
            make_output_directory(parent)?;
        }
        let now = chrono::Utc::now().timestamp_nanos_opt().unwrap_or(0);
        let to = match exists(&self.path) {
            true => unused_name(&self.path, now)?,
            false => self.path.clone(),
        };
        // linkat(2) refuses a file whose last name was removed.
        if self.link(&to).is_ok() {
            return Ok(to);
        }
        let partial = names::partial(&to);
        let mut copy = create_anew(&partial)?;
        // The file cannot be opened again if another program has moved it out of the directories of the output. Nothing is
        // written to it any more, so its offset, which its descriptors share, may change.
        let mut content = &self.file;
        content.rewind()?;
        let copied = io::copy(&mut content, &mut copy).and_then(|_| copy.sync_all());
        let named = copied.and_then(|()| names::rename_new(&partial, &to));
        if named.is_err() {
            let _ = fs::remove_file(&partial);
        }
        named?;
        Ok(to)
    }

    fn link(&self, to: &Path) -> io::Result<()> {
        let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
    }
}
