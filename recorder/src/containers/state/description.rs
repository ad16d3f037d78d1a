//! The description of a container, as read from the state of its runtime.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::containers::runtime::Runtime;

/// The longest name, image, pod or namespace that is stored: every row contains them.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// A container as its runtime describes it. Texts are unescaped: escape them before they are stored or shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ContainerInfo {
    /// The id that the runtime assigned.
    pub(crate) id: String,
    /// The name. Under Kubernetes: the container's name in the pod, `POD` for the sandbox.
    pub(crate) name: Option<String>,
    /// The image, as the user named it.
    pub(crate) image: Option<String>,
    pub(crate) runtime: Runtime,
    /// The Kubernetes pod.
    pub(crate) pod: Option<String>,
    /// The Kubernetes namespace.
    pub(crate) namespace: Option<String>,
    /// The labels. If the runtime has no labels on disk: the OCI annotations that a user set.
    pub(crate) labels: BTreeMap<String, String>,
    /// True if no more data exists. If false, [`crate::containers::api::Api`] or a later attempt may find more.
    pub(crate) complete: bool,
}

impl ContainerInfo {
    pub(crate) fn new(id: &str, runtime: Runtime) -> ContainerInfo {
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

    /// Creates the complete description of a container whose id is the name that the user chose.
    pub(crate) fn named(id: &str, runtime: Runtime) -> ContainerInfo {
        ContainerInfo {
            name: Some(id.to_string()),
            complete: true,
            ..ContainerInfo::new(id, runtime)
        }
    }

    /// Removes empty texts, and truncates the others to [`MAX_NAME_BYTES`].
    pub(crate) fn tidy(mut self) -> ContainerInfo {
        for text in [
            &mut self.name,
            &mut self.image,
            &mut self.pod,
            &mut self.namespace,
        ] {
            *text = text.take().filter(|t| !t.is_empty());
            if let Some(text) = text {
                text.truncate(text.floor_char_boundary(MAX_NAME_BYTES));
            }
        }
        self
    }
}

/// The container that owns a cgroup with an ambiguous path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: String,
    pub(crate) runtime: Runtime,
    /// The container's own cgroup: the queried cgroup or an ancestor.
    pub(crate) cgroup: String,
}

/// Returns whether the cgroup at `path` is the cgroup at `container` or a descendant. The root cgroup never is a
/// container.
pub(crate) fn covers(container: &str, path: &str) -> bool {
    let container = container.trim_end_matches('/');
    !container.is_empty()
        && path
            .strip_prefix(container)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
