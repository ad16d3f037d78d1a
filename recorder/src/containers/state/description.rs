//! The description of a container, as read from the state of its runtime.

use std::collections::BTreeMap;

use serde::Serialize;

use ctrace_schema::text::escape;

use crate::containers::facts::{ContainerFacts, Powers};
use crate::containers::runtime::Runtime;

/// The longest name, image, pod or namespace that is stored: every row contains them.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// The most addresses of a container that are stored.
pub(super) const MAX_ADDRESSES: usize = 16;

/// The longest JSON text of labels or mounts that is stored, bytes. Entries beyond it are left out.
pub(super) const MAX_JSON_BYTES: usize = 32 << 10;

/// A container as its runtime describes it. Texts are unescaped: escape them before they are stored or shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ContainerInfo {
    /// The id that the runtime assigned.
    pub(crate) id: String,
    /// The name. Under Kubernetes: the container's name in the pod; for the sandbox, the name of the pod.
    pub(crate) name: Option<String>,
    /// The image, as the user named it.
    pub(crate) image: Option<String>,
    pub(crate) runtime: Runtime,
    /// The Kubernetes pod.
    pub(crate) pod: Option<String>,
    /// The Kubernetes namespace.
    pub(crate) namespace: Option<String>,
    /// The uid of the Kubernetes pod.
    pub(crate) pod_uid: Option<String>,
    /// The name in the Kubernetes pod; `None` for the sandbox, which holds the pod's namespaces.
    pub(crate) pod_container: Option<String>,
    pub(crate) image_digest: Option<String>,
    /// The number of times that the runtime has restarted the container.
    pub(crate) restarts: Option<i64>,
    /// The network addresses.
    pub(crate) addresses: Vec<String>,
    pub(crate) powers: Powers,
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
            pod_uid: None,
            pod_container: None,
            image_digest: None,
            restarts: None,
            addresses: vec![],
            powers: Powers::default(),
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

    /// Removes empty texts, truncates the others to [`MAX_NAME_BYTES`], and leaves [`MAX_ADDRESSES`] addresses.
    pub(crate) fn tidy(mut self) -> ContainerInfo {
        self.addresses.truncate(MAX_ADDRESSES);
        for text in [
            &mut self.name,
            &mut self.image,
            &mut self.pod,
            &mut self.namespace,
            &mut self.pod_uid,
            &mut self.pod_container,
            &mut self.image_digest,
        ] {
            *text = text.take().filter(|t| !t.is_empty());
            if let Some(text) = text {
                text.truncate(text.floor_char_boundary(MAX_NAME_BYTES));
            }
        }
        self
    }

    /// Converts the description to the facts of a recording, with escaped texts.
    pub(crate) fn into_facts(self) -> ContainerFacts {
        let text = |text: Option<String>| text.map(|t| escape(t.as_bytes()).into_owned());
        let mut facts = ContainerFacts {
            id: self.id,
            name: text(self.name),
            image: text(self.image),
            runtime: Some(self.runtime.to_string()),
            pod: text(self.pod),
            namespace: text(self.namespace),
            pod_uid: text(self.pod_uid),
            pod_container: text(self.pod_container),
            labels: json_of_labels(&self.labels),
            image_digest: text(self.image_digest),
            restarts: self.restarts,
            started_ns: None,
            addresses: (!self.addresses.is_empty()).then(|| self.addresses.join(" ")),
            powers: self.powers,
        };
        // JSON leaves some control characters unescaped.
        facts.escape_controls();
        facts
    }
}

/// Returns the labels as a JSON object of at most [`MAX_JSON_BYTES`]; `None`: no labels.
fn json_of_labels(labels: &BTreeMap<String, String>) -> Option<String> {
    let mut left = MAX_JSON_BYTES;
    let mut fits = |(key, value): &(&String, &String)| {
        let size = key.len() + value.len() + 6;
        left = left.saturating_sub(size);
        left > 0
    };
    let stored: BTreeMap<_, _> = labels.iter().filter(|label| fits(label)).collect();
    (!stored.is_empty()).then(|| serde_json::json!(stored).to_string())
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
