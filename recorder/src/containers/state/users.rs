//! Users who run containers without root.

use std::path::{Path, PathBuf};

use crate::containers::state::files;

/// A user in whose slice a cgroup is.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Home directory, from `/etc/passwd`.
    pub home: Option<PathBuf>,
    /// `/run/user/UID`, where rootless runtimes keep their state.
    pub runtime_dir: PathBuf,
}

/// The user whose container the cgroup at `path` would be: systemd puts a user's processes below `user-UID.slice`
/// (user@.service(5)). Root's session does not count, for root's containers are the machine's.
pub fn rootless_uid(path: &str) -> Option<u32> {
    path.split('/')
        .filter_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice"))
        .find_map(|uid| uid.parse().ok())
        .filter(|uid| *uid != 0)
}

/// The user of [`rootless_uid`], with the directories that matter.
pub fn find(root: &Path, path: &str) -> Option<User> {
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
