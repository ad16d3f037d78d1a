//! What the state of a runtime says about a container.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::containers::runtime::Runtime;

/// Longest name or image that is kept, in bytes: they stand on every row.
pub const NAME_LIMIT: usize = 255;

/// What is known about a container. Text is as the runtime has it: escape it before it is stored or shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerInfo {
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
    /// Whether this is all there is. If not, [`crate::containers::api::Api`] may know more, and so may a later look.
    pub complete: bool,
}

impl ContainerInfo {
    pub fn new(id: &str, runtime: Runtime) -> ContainerInfo {
        ContainerInfo {
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
    pub fn named(id: &str, runtime: Runtime) -> ContainerInfo {
        ContainerInfo {
            name: Some(id.to_string()),
            complete: true,
            ..ContainerInfo::new(id, runtime)
        }
    }

    /// Empty text says nothing, and a name is no place for a megabyte.
    pub fn tidy(mut self) -> ContainerInfo {
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

/// Whether the cgroup at `path` is the one at `container`, or below it. The root cgroup is nobody's container.
pub fn covers(container: &str, path: &str) -> bool {
    let container = container.trim_end_matches('/');
    !container.is_empty()
        && path
            .strip_prefix(container)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
