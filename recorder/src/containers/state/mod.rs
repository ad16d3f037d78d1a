//! What the runtimes' state on disk says about a container.
//!
//! A runtime writes most of it before it makes the cgroup, so that a container that lives 10 ms has its name.
//! Nothing here is trusted: files are bounded, broken ones are as if absent, and an id never becomes a path outside
//! its directory. A user's own state is believed only about cgroups below that user's slice.

pub mod description;
pub mod docker;
pub mod files;
pub mod low_level;
pub mod machines;
pub mod oci;
pub mod storage;
pub mod users;

use std::path::{Path, PathBuf};

use crate::containers::cgroups::Hierarchies;
use crate::containers::runtime::Runtime;
use crate::containers::state::description::{ContainerInfo, Owner};

/// Reads the state of every runtime that is known, below one root directory.
///
/// One [`RuntimeState::describe`] opens a handful of small files: some 50 µs, and more with thousands of podman containers.
#[derive(Debug)]
pub struct RuntimeState {
    root: PathBuf,
    /// Where the hierarchies are mounted, as the runtimes see it.
    mounts: Vec<String>,
    docker_roots: Vec<PathBuf>,
    state: low_level::Cache,
}

impl RuntimeState {
    /// A resolver for the machine whose root directory is `root`: `/`, or a test's tree.
    pub fn new(root: &Path, hierarchies: &Hierarchies) -> RuntimeState {
        let v1 = hierarchies.v1.as_ref().map(|v1| &v1.mount);
        let mounts = hierarchies.v2.iter().chain(v1);
        RuntimeState {
            root: root.to_path_buf(),
            mounts: mounts.filter_map(|m| below(root, m)).collect(),
            docker_roots: docker::data_roots(root),
            state: low_level::Cache::default(),
        }
    }

    /// What the state on disk says about the container `id` in the cgroup at `path`; `hint` says where to look, and
    /// without it every place is tried. None: nothing is there, yet.
    pub fn describe(&self, id: &str, hint: Option<Runtime>, path: &str) -> Option<ContainerInfo> {
        if !files::is_component(id) {
            return None;
        }
        let user = users::find(&self.root, path);
        let docker = || docker::describe(&self.docker_roots, user.as_ref(), id);
        let storage = || storage::describe(&self.root, user.as_ref(), id);
        let containerd = || oci::containerd(&self.root, id);
        let state = |runtime| low_level::describe(&self.root, user.as_ref(), id, runtime);
        let found = match hint {
            Some(Runtime::Docker) => docker(),
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

    /// Whether the cgroup at `path`, of which [`super::classify()`] could not say what it is, is a container's or below
    /// one, and which. containerd writes this before it makes the cgroup; runc and crun do some 10 ms after, and a
    /// millisecond before the container's own program runs, so look again until that has happened.
    pub fn find_undecided(&mut self, path: &str) -> Option<Owner> {
        let user = users::find(&self.root, path);
        let mounts = &self.mounts;
        oci::find_containerd(&self.root, path)
            .or_else(|| self.state.find(&self.root, mounts, user.as_ref(), path))
    }
}

/// `path`, which is in the tree of `root`, as a process whose root directory that is would write it.
fn below(root: &Path, path: &Path) -> Option<String> {
    let path = path.strip_prefix(root).ok()?.to_str()?;
    Some(format!("/{path}"))
}

#[cfg(test)]
mod tests;
