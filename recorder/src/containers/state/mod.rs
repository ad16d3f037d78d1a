//! Describes containers from the state that runtimes keep on disk.
//!
//! A runtime writes most of its state before it creates the cgroup, so even a container that lives for 10 ms has a
//! name. No file is trusted: sizes are limited, malformed files count as missing, and an id never leads to a path
//! outside its directory. State of a user is used only for cgroups below that user's slice.

pub(crate) mod addresses;
pub(crate) mod description;
pub(crate) mod docker;
pub(crate) mod files;
pub(crate) mod low_level;
pub(crate) mod machines;
pub(crate) mod oci;
pub(crate) mod powers;
pub(crate) mod storage;
pub(crate) mod users;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::containers::cgroups::Hierarchies;
use crate::containers::processes::{pids_of, started_ns};
use crate::containers::runtime::Runtime;
use crate::containers::state::description::{ContainerInfo, Owner};
use crate::containers::state::users::User;

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
        }
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
        let user = users::find(&self.root, path);
        let docker = || docker::describe(&self.root, &self.docker_roots, user.as_ref(), id);
        let storage = || storage::describe(&self.root, user.as_ref(), id);
        let containerd = || oci::containerd(&self.root, id);
        let state = |runtime| low_level::describe(&self.root, user.as_ref(), id, runtime);
        let found = match hint {
            Some(Runtime::Docker) => self.describe_docker(user.as_ref(), id),
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

    /// Returns the time of the last change of the file that contains the name of a container of Docker or podman.
    pub(crate) fn name_modified(
        &self,
        id: &str,
        runtime: Runtime,
        path: &str,
    ) -> Option<SystemTime> {
        if !files::is_component(id) {
            return None;
        }
        let user = users::find(&self.root, path);
        let candidates = match runtime {
            Runtime::Docker => docker::name_files(&self.docker_roots, user.as_ref(), id),
            Runtime::Podman => storage::name_files(&self.root, user.as_ref()),
            _ => vec![],
        };
        let modified = |file: &PathBuf| file.metadata().ok()?.modified().ok();
        candidates.iter().filter_map(modified).max()
    }

    /// Returns the addresses of the container in the cgroup at `path`, separated by spaces; `None` if it has no process, no
    /// address, or the machine's own network.
    pub(crate) fn addresses(&self, path: &str) -> Option<String> {
        addresses::of_cgroup(&self.root, &self.mounts, path)
    }

    /// Returns the ids of the processes in the cgroup at `path`.
    pub(crate) fn pids(&self, path: &str) -> Vec<u32> {
        pids_of(&self.root, &self.mounts, path)
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
        let user = users::find(&self.root, path);
        let mounts = &self.mounts;
        oci::find_containerd(&self.root, path)
            .or_else(|| self.state.find(&self.root, mounts, user.as_ref(), path))
    }
}

/// Returns `path`, which is in the tree of `root`, as a process with the root directory `root` would spell it.
fn below(root: &Path, path: &Path) -> Option<String> {
    let path = path.strip_prefix(root).ok()?.to_str()?;
    Some(format!("/{path}"))
}

#[cfg(test)]
mod tests;
