//! What the runtimes' state on disk says about a container.
//!
//! A runtime writes most of it before it makes the cgroup, so that a container that lives 10 ms has its name.
//! Nothing here is trusted: files are bounded, broken ones are as if absent, and an id never becomes a path outside
//! its directory. A user's own state is believed only about cgroups below that user's slice.

mod docker;
mod files;
mod low_level;
mod machines;
mod oci;
mod storage;
mod users;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::containers::{Hierarchies, Runtime};
pub(super) use docker::Inspect;
pub(super) use users::rootless_uid;

/// Longest name or image that is kept, in bytes: they stand on every row.
const NAME_LIMIT: usize = 255;

/// What is known about a container. Text is as the runtime has it: escape it before it is stored or shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The id that the runtime gave it.
    pub id: String,
    /// Its name. Kubernetes: the container's name in the pod, `POD` for the sandbox.
    pub name: Option<String>,
    /// The image it runs, as the user named it.
    pub image: Option<String>,
    /// What made it.
    pub runtime: Runtime,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Labels; where the runtime keeps none on disk, the OCI annotations that a user set.
    pub labels: BTreeMap<String, String>,
    /// Whether this is all there is. If not, [`super::Api`] may know more, and so may a later look.
    pub complete: bool,
}

impl Description {
    fn new(id: &str, runtime: Runtime) -> Description {
        Description {
            id: id.to_string(),
            name: None,
            image: None,
            runtime,
            pod: None,
            namespace: None,
            labels: BTreeMap::new(),
            complete: false,
        }
    }

    /// A container whose id is the name that its user gave it.
    fn named(id: &str, runtime: Runtime) -> Description {
        Description {
            name: Some(id.to_string()),
            complete: true,
            ..Description::new(id, runtime)
        }
    }

    /// Empty text says nothing, and a name is no place for a megabyte.
    fn tidy(mut self) -> Description {
        for text in [
            &mut self.name,
            &mut self.image,
            &mut self.pod,
            &mut self.namespace,
        ] {
            *text = text.take().filter(|t| !t.is_empty());
            if let Some(text) = text {
                text.truncate(text.floor_char_boundary(NAME_LIMIT));
            }
        }
        self
    }
}

/// Whose a cgroup is, where its path does not say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The container's id.
    pub id: String,
    /// What made it.
    pub runtime: Runtime,
    /// The container's own cgroup, of which the one asked about may be a descendant.
    pub cgroup: String,
}

/// Reads the state of every runtime that is known, below one root directory.
///
/// One [`Resolver::describe`] opens a handful of small files: some 50 µs, and more with thousands of podman containers.
#[derive(Debug)]
pub struct Resolver {
    root: PathBuf,
    /// Where the hierarchies are mounted, as the runtimes see it.
    mounts: Vec<String>,
    docker_roots: Vec<PathBuf>,
    state: low_level::Cache,
}

impl Resolver {
    /// A resolver for the machine whose root directory is `root`: `/`, or a test's tree.
    pub fn new(root: &Path, hierarchies: &Hierarchies) -> Resolver {
        let v1 = hierarchies.v1.as_ref().map(|v1| &v1.mount);
        let mounts = hierarchies.v2.iter().chain(v1);
        Resolver {
            root: root.to_path_buf(),
            mounts: mounts.filter_map(|m| below(root, m)).collect(),
            docker_roots: docker::data_roots(root),
            state: low_level::Cache::default(),
        }
    }

    /// What the state on disk says about the container `id` in the cgroup at `path`; `hint` says where to look, and
    /// without it every place is tried. None: nothing is there, yet.
    pub fn describe(&self, id: &str, hint: Option<Runtime>, path: &str) -> Option<Description> {
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
                Some(Description::named(id, runtime))
            }
            None => docker()
                .or_else(storage)
                .or_else(containerd)
                .or_else(|| state(Runtime::Runc))
                .or_else(|| state(Runtime::Crun)),
        };
        found.map(Description::tidy)
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

/// Whether the cgroup at `path` is the one at `container`, or below it. The root cgroup is nobody's container.
fn covers(container: &str, path: &str) -> bool {
    let container = container.trim_end_matches('/');
    !container.is_empty()
        && path
            .strip_prefix(container)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `path`, which is in the tree of `root`, as a process whose root directory that is would write it.
fn below(root: &Path, path: &Path) -> Option<String> {
    let path = path.strip_prefix(root).ok()?.to_str()?;
    Some(format!("/{path}"))
}

#[cfg(test)]
mod tests;
