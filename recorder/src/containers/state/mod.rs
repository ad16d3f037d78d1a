//! Describes containers from the state that runtimes keep on disk.
//!
//! A runtime writes most of its state before it creates the cgroup, so even a container that lives for 10 ms has a
//! name. No file is trusted: sizes are limited, malformed files count as missing, and an id never leads to a path
//! outside its directory. State of a user is used only for cgroups below that user's slice.

pub(crate) mod addresses;
mod bounded;
pub(crate) mod config;
pub(crate) mod description;
pub(crate) mod docker;
pub(crate) mod files;
pub(crate) mod low_level;
pub(crate) mod machines;
pub(crate) mod oci;
pub(crate) mod powers;
pub(crate) mod storage;
pub(crate) mod users;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::containers::cgroups::Hierarchies;
use crate::containers::namespaces;
use crate::containers::processes::{pids_of, started_ns};
use crate::containers::runtime::Runtime;
use crate::containers::state::description::{ContainerInfo, Owner};
use crate::containers::state::users::{User, Users};

/// The state of all known runtimes, below one root directory.
///
/// A call of [`RuntimeState::describe`] opens a few small files, which takes about 500 µs, most of it for the seccomp
/// filter in `config.json`, and longer with thousands of podman containers.
#[derive(Debug)]
pub(crate) struct RuntimeState {
    root: PathBuf,
    /// The mount points of the hierarchies, as the runtimes see them.
    mounts: Vec<String>,
    docker_roots: Vec<PathBuf>,
    state: low_level::Cache,
    lists: storage::Lists,
    users: Users,
    /// The first processes of the containers without a cgroup, by path: see [`crate::containers::namespaces::path`].
    first_processes: HashMap<String, u32>,
}

impl RuntimeState {
    /// Creates a reader for the machine whose root directory is `root`: `/`, or the tree of a test.
    pub(crate) fn new(root: &Path, hierarchies: &Hierarchies) -> RuntimeState {
        let v1 = hierarchies.v1.as_ref().map(|v1| &v1.mount);
        let mounts = hierarchies.v2.iter().chain(v1);
        RuntimeState {
            root: root.to_path_buf(),
            mounts: mounts.filter_map(|m| below(root, m)).collect(),
            docker_roots: docker::data_roots(root),
            state: low_level::Cache::default(),
            lists: storage::Lists::default(),
            users: Users::default(),
            first_processes: HashMap::new(),
        }
    }

    /// Remembers the first process of a container without a cgroup, until [`RuntimeState::end`].
    pub(crate) fn begin(&mut self, path: &str, pid: u32) {
        self.first_processes.insert(path.to_string(), pid);
    }

    /// Forgets the container at `path`, which has ended.
    pub(crate) fn end(&mut self, path: &str) {
        self.first_processes.remove(path);
    }

    /// Describes the container `id` in the cgroup at `path`. Reads the state of the runtime `hint`, or of all runtimes
    /// without a hint. Returns `None` if no state exists (yet).
    pub(crate) fn describe(
        &mut self,
        id: &str,
        hint: Option<Runtime>,
        path: &str,
    ) -> Option<ContainerInfo> {
        if !files::is_component(id) {
            return None;
        }
        self.lists.expire();
        let user = self.users.find(&self.root, path);
        let user = user.as_deref();
        let docker = || docker::describe(&self.root, &self.docker_roots, user, id);
        let mut storage = || storage::describe(&self.root, &mut self.lists, user, id);
        let containerd = || oci::containerd(&self.root, id);
        let state = |runtime| low_level::describe(&self.root, user, id, runtime);
        let found = match hint {
            Some(Runtime::Docker) => self.describe_docker(user, id),
            Some(Runtime::Podman | Runtime::CriO) => storage(),
            Some(Runtime::Containerd) => containerd().or_else(docker),
            Some(runtime @ (Runtime::Runc | Runtime::Crun)) => state(runtime),
            Some(Runtime::Lxc) => Some(machines::lxc(&self.root, id)),
            Some(Runtime::Nspawn) => Some(machines::nspawn(&self.root, id)),
            Some(runtime @ (Runtime::Buildkit | Runtime::Garden)) => {
                Some(ContainerInfo::named(id, runtime))
            }
            None => docker()
                .or_else(storage)
                .or_else(containerd)
                .or_else(|| state(Runtime::Runc))
                .or_else(|| state(Runtime::Crun)),
        };
        found.map(ContainerInfo::tidy)
    }

    /// Describes a container of Docker. If its state is in none of the known data directories, Docker may have been started
    /// with another one since they were found.
    fn describe_docker(&mut self, user: Option<&User>, id: &str) -> Option<ContainerInfo> {
        docker::describe(&self.root, &self.docker_roots, user, id).or_else(|| {
            self.docker_roots = docker::data_roots(&self.root);
            docker::describe(&self.root, &self.docker_roots, user, id)
        })
    }

    /// Reads the files with names again that have changed: see [`RuntimeState::named`].
    pub(crate) fn expire_names(&mut self) {
        self.lists.expire();
    }

    /// Returns the time of the last change of the file of Docker that contains the name of the container `id`.
    pub(crate) fn name_modified(
        &mut self,
        id: &str,
        runtime: Runtime,
        path: &str,
    ) -> Option<SystemTime> {
        if runtime != Runtime::Docker || !files::is_component(id) {
            return None;
        }
        let user = self.users.find(&self.root, path);
        let candidates = docker::name_files(&self.docker_roots, user.as_deref(), id);
        let modified = |file: &PathBuf| file.symlink_metadata().ok()?.modified().ok();
        candidates.iter().filter_map(modified).max()
    }

    /// Describes a container of Docker or podman from the file with its name, without its powers, which do not change. A list
    /// of podman's is read once after [`RuntimeState::expire_names`], for all containers.
    pub(crate) fn named(
        &mut self,
        id: &str,
        runtime: Runtime,
        path: &str,
    ) -> Option<ContainerInfo> {
        if !files::is_component(id) {
            return None;
        }
        let user = self.users.find(&self.root, path);
        let user = user.as_deref();
        let info = match runtime {
            Runtime::Docker => docker::inspect(&self.docker_roots, user, id),
            Runtime::Podman => self.lists.describe(&self.root, user, id),
            _ => None,
        };
        info.map(ContainerInfo::tidy)
    }

    /// Returns the addresses of the container in the cgroup at `path`, separated by spaces; `None` if it has no process, no
    /// address, or the machine's own network.
    pub(crate) fn addresses(&self, path: &str) -> Option<String> {
        let pid = *self.pids(path).first()?;
        addresses::of_process(&self.root, pid)
    }

    /// Returns the ids of the processes in the cgroup at `path`, or the first process of the container without a cgroup.
    pub(crate) fn pids(&self, path: &str) -> Vec<u32> {
        match self.first_processes.get(path) {
            Some(pid) => vec![*pid],
            None => pids_of(&self.root, &self.mounts, path),
        }
    }

    /// Returns the ids of the processes in the cgroup at `path`, or of all processes of the container without a cgroup.
    pub(crate) fn processes(&self, path: &str) -> Vec<u32> {
        match self.first_processes.get(path) {
            Some(first) => namespaces::with_descendants(&self.root, *first),
            None => self.pids(path),
        }
    }

    /// Returns the time from boot to the start of the oldest process in the cgroup at `path`, ns; `None`: no process.
    pub(crate) fn started_ns(&self, path: &str) -> Option<u64> {
        let pids = self.pids(path).into_iter();
        pids.filter_map(|pid| started_ns(&self.root, pid)).min()
    }

    /// Finds the container that owns the cgroup at `path`, for a path that [`classify`] left undecided.
    ///
    /// containerd writes the state before it creates the cgroup. runc and crun write the state about 10 ms after they
    /// create the cgroup, and a millisecond before the container's own program runs; so callers repeat the search until
    /// then.
    ///
    /// [`classify`]: crate::containers::classify::classify
    pub(crate) fn find_undecided(&mut self, path: &str) -> Option<Owner> {
        let user = self.users.find(&self.root, path);
        let (root, mounts) = (&self.root, &self.mounts);
        let user = user.as_deref();
        if let Some(&pid) = self.first_processes.get(path) {
            let own = |state: &low_level::State| (state.pid == Some(pid)).then(|| path.to_string());
            return self.state.find(root, mounts, user, own);
        }
        let own = |state: &low_level::State| state.own(path);
        oci::find_containerd(root, path).or_else(|| self.state.find(root, mounts, user, own))
    }
}

/// Returns `path`, which is in the tree of `root`, as a process with the root directory `root` would spell it.
fn below(root: &Path, path: &Path) -> Option<String> {
    let path = path.strip_prefix(root).ok()?.to_str()?;
    Some(format!("/{path}"))
}

#[cfg(test)]
mod tests;
