//! Users of rootless containers.

use std::path::{Path, PathBuf};

use crate::containers::state::files;

/// The user whose slice contains a cgroup.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    /// The home directory, from `/etc/passwd`.
    pub(crate) home: Option<PathBuf>,
    /// `/run/user/UID`, the directory for the state of rootless runtimes.
    pub(crate) runtime_dir: PathBuf,
}

/// Returns the user whose container the cgroup at `path` would be: systemd places a user's processes below
/// `user-UID.slice` (user@.service(5)). Root's session is excluded, because root's containers are the machine's.
pub(crate) fn rootless_uid(path: &str) -> Option<u32> {
    path.split('/')
        .filter_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice"))
        .find_map(|uid| uid.parse().ok())
        .filter(|uid| *uid != 0)
}

/// Returns the user of [`rootless_uid`], with the user's directories.
pub(crate) fn find(root: &Path, path: &str) -> Option<User> {
    let uid = rootless_uid(path)?;
    Some(User {
        uid,
        home: home(root, uid),
        runtime_dir: root.join(format!("run/user/{uid}")),
    })
}

fn home(root: &Path, uid: u32) -> Option<PathBuf> {
    let passwd = files::text(&root.join("etc/passwd"))?;
    let uid = uid.to_string();
    let entry = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))?;
    let home = entry.get(5)?.strip_prefix('/')?;
    Some(root.join(home))
}
