//! OCI annotations, by which CRI runtimes tell what a container is, and containerd's bundles that hold them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::{ContainerInfo, Owner, covers};
use crate::containers::state::files;

/// Annotations, or labels.
pub type Labels = BTreeMap<String, String>;

/// An OCI runtime configuration (`config.json`, OCI runtime-spec), as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct OciSpec {
    /// What whoever made the container notes on it.
    #[serde(default)]
    pub annotations: Labels,
    linux: Option<Linux>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    cgroups_path: Option<String>,
}

/// What Kubernetes calls a container.
#[derive(Debug)]
pub struct Kubernetes {
    /// Name in the pod; `POD`, as the kubelet says, for the sandbox that holds the pod's namespaces.
    pub container: Option<String>,
    /// Pod.
    pub pod: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
}

fn first(map: &Labels, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| map.get(*key)).cloned()
}

/// What Kubernetes calls it, from the kubelet's labels (`io.kubernetes.*`, in `pkg/kubelet/types/labels.go`), or
/// from containerd's annotations (`io.kubernetes.cri.*`, in containerd's `pkg/cri/annotations`).
pub fn kubernetes(map: &Labels) -> Kubernetes {
    let kind = first(
        map,
        &[
            "io.kubernetes.cri.container-type",
            "io.kubernetes.cri-o.ContainerType",
        ],
    );
    let sandbox = kind.as_deref() == Some("sandbox");
    let name = first(
        map,
        &[
            "io.kubernetes.container.name",
            "io.kubernetes.cri.container-name",
        ],
    );
    Kubernetes {
        container: name.or_else(|| sandbox.then(|| "POD".to_string())),
        pod: first(
            map,
            &["io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"],
        ),
        namespace: first(
            map,
            &[
                "io.kubernetes.pod.namespace",
                "io.kubernetes.cri.sandbox-namespace",
            ],
        ),
    }
}

/// A container of which annotations are all that there is.
pub fn describe(id: &str, runtime: Runtime, annotations: &Labels) -> ContainerInfo {
    let kubernetes = kubernetes(annotations);
    let name = kubernetes
        .container
        .or_else(|| first(annotations, &["nerdctl/name"]));
    ContainerInfo {
        // ctr's and runc's users choose the id themselves.
        name: name.or_else(|| Some(id.to_string())),
        image: first(
            annotations,
            &[
                "io.kubernetes.cri.image-name",
                "io.kubernetes.cri-o.ImageName",
                "io.kubernetes.cri-o.Image",
                "org.opencontainers.image.ref.name",
            ],
        ),
        pod: kubernetes.pod,
        namespace: kubernetes.namespace,
        labels: users_own(annotations),
        complete: true,
        ..ContainerInfo::new(id, runtime)
    }
}

/// The annotations that a user set: CRI-O keeps the pod's labels in one of its own, the others hand them through.
fn users_own(annotations: &Labels) -> Labels {
    const RUNTIMES: [&str; 6] = [
        "io.kubernetes.",
        "io.container.manager",
        "io.podman.",
        "nerdctl/",
        "org.opencontainers.image.stopSignal",
        "org.systemd.property.",
    ];
    let pod: Option<Labels> = annotations
        .get("io.kubernetes.cri-o.Labels")
        .and_then(|json| serde_json::from_str(json).ok());
    pod.unwrap_or_else(|| {
        annotations
            .iter()
            .filter(|(key, _)| !RUNTIMES.iter().any(|r| key.starts_with(r)))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    })
}

/// containerd's state directories: its own, and where distributions of Kubernetes and dockerd put theirs.
const CONTAINERD: [&str; 5] = [
    "run/containerd",
    "run/k3s/containerd",
    "run/k0s/containerd",
    "run/docker/containerd/daemon",
    "var/snap/microk8s/common/run/containerd",
];

/// The bundle of the container `id`, in whichever containerd and namespace, and the namespace.
fn bundle(root: &Path, id: &str) -> Option<(String, PathBuf)> {
    CONTAINERD
        .iter()
        .map(|dir| root.join(dir).join("io.containerd.runtime.v2.task"))
        .flat_map(|tasks| files::subdirs(&tasks).collect::<Vec<_>>())
        .map(|(namespace, dir)| (namespace, dir.join(id).join("config.json")))
        .find(|(_, config)| config.exists())
}

/// What containerd's bundle says about the container `id`.
pub fn containerd(root: &Path, id: &str) -> Option<ContainerInfo> {
    let (_, config) = bundle(root, id)?;
    let spec: OciSpec = files::json(&config)?;
    Some(describe(id, Runtime::Containerd, &spec.annotations))
}

/// The container of containerd that has the cgroup at `path`, where a component of the path is its id:
/// `/<namespace>/<id>` is containerd's default.
pub fn find_containerd(root: &Path, path: &str) -> Option<Owner> {
    let parts = path.split('/').filter(|part| files::is_component(part));
    parts.into_iter().find_map(|id| {
        let (namespace, config) = bundle(root, id)?;
        let cgroup = files::json::<OciSpec>(&config)?.linux?.cgroups_path?;
        // Docker's containers are in this one.
        let runtime = match namespace.as_str() {
            "moby" => Runtime::Docker,
            _ => Runtime::Containerd,
        };
        covers(&cgroup, path).then(|| Owner {
            id: id.to_string(),
            runtime,
            cgroup,
        })
    })
}
