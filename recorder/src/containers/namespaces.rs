//! Containers without a cgroup, which are known by their mount namespace.
//!
//! A user's runtime runs containers in the cgroup of the user's session if the user may not make cgroups. Such a container
//! has, in place of the path of a cgroup, a path that no cgroup has: see [`path`].

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::containers::processes;
use crate::containers::processes::{identity, machine_namespace};

/// A running container without a cgroup.
#[derive(Debug)]
pub(crate) struct Found {
    /// The container's path: see [`path`].
    pub(crate) path: String,
    /// The first process of the container's pid namespace.
    pub(crate) first: u32,
    /// The processes in the container's mount namespace.
    pub(crate) pids: Vec<u32>,
}

/// Returns the path of the container of the user `uid` in the mount namespace with the inode number `mount_ns`:
/// `/user-1000.slice/mnt:[4026532567]`, with the namespace as namespaces(7) writes it.
pub(crate) fn path(uid: u32, mount_ns: u32) -> String {
    format!("/user-{uid}.slice/mnt:[{mount_ns}]")
}

/// Returns whether a path is that of a container without a cgroup.
pub(crate) fn is_path(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with("mnt:[") && name.ends_with(']'))
}

/// Finds the containers without a cgroup by the rule of the kernel side (`begin_container()` of `bpf/namespaces.h`): the
/// first process of a pid namespace, in a user and a mount namespace that are not the machine's and with another root
/// directory than its parent. Containers with a cgroup can be among them.
pub(crate) fn scan(root: &Path) -> Vec<Found> {
    let machine = ["user", "mnt"].map(|name| machine_namespace(root, name));
    let mut by_mount_ns: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for pid in all_pids(root) {
        let own = ["user", "mnt"].map(|name| namespace_of(root, pid, name));
        if let [Some(user), Some(mount)] = own
            && Some(user) != machine[0]
            && Some(mount) != machine[1]
        {
            by_mount_ns.entry(mount.1).or_default().push(pid);
        }
    }
    let found = by_mount_ns.into_iter().filter_map(|(mount_ns, pids)| {
        let first = |pid: &u32| Some((*pid, owner_of_first(root, *pid)?));
        let (first, owner) = pids.iter().find_map(first)?;
        Some(Found {
            path: path(owner, mount_ns.try_into().ok()?),
            first,
            pids,
        })
    });
    found.collect()
}

/// Lists the process `first` and its descendants: those of a container whose first process it is. A recorder that is confined
/// cannot read the namespaces of other processes.
pub(crate) fn with_descendants(root: &Path, first: u32) -> Vec<u32> {
    let parents = all_pids(root).filter_map(|pid| Some((pid, processes::parent(root, pid)?)));
    let parents: Vec<(u32, u32)> = parents.collect();
    let mut found = vec![first];
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        let children = parents.iter().filter(|(_, parent)| *parent == above);
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

fn all_pids(root: &Path) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(root.join("proc")).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn namespace_of(root: &Path, pid: u32, name: &str) -> Option<(u64, u64)> {
    identity(&root.join(format!("proc/{pid}/ns/{name}")))
}

/// Returns the user of the parent of a process that is the first one of a container; `None`: the process is another one.
fn owner_of_first(root: &Path, pid: u32) -> Option<u32> {
    let known = processes::read(root, pid)?;
    let parent = processes::read(root, known.ppid)?;
    let directory = |pid: u32| identity(&root.join(format!("proc/{pid}/root")));
    (known.ns_pid == 1 && directory(pid)? != directory(parent.pid)?).then_some(parent.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::classify::{Verdict, classify};
    use crate::containers::state::users::rootless_uid;

    #[test]
    fn the_path_of_a_container_names_its_user_and_nothing_else() {
        let path = path(1000, 4_026_532_567);
        assert_eq!(path, "/user-1000.slice/mnt:[4026532567]");
        assert!(is_path(&path) && !is_path("/user-1000.slice/session-1.scope"));
        assert_eq!(rootless_uid(&path), Some(1000));
        assert_eq!(classify(&path), Verdict::Undecided);
    }
}
