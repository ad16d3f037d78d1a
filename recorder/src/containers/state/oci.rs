//! OCI annotations, in which CRI runtimes describe a container, and the bundles of containerd that contain them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::{ContainerInfo, Owner, covers};
use crate::containers::state::files;

/// Annotations or labels by key.
pub(crate) type Labels = BTreeMap<String, String>;

/// The fields of an OCI runtime configuration (`config.json`, OCI runtime-spec) that are needed here.
#[derive(Debug, Deserialize)]
pub(crate) struct OciSpec {
    #[serde(default)]
    pub(crate) annotations: Labels,
    linux: Option<Linux>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    cgroups_path: Option<String>,
}

/// The names of a container in Kubernetes.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    /// The name in the pod; `POD`, the kubelet's name, for the sandbox that holds the pod's namespaces.
    pub(crate) container: Option<String>,
    pub(crate) pod: Option<String>,
    pub(crate) namespace: Option<String>,
}

fn first(map: &Labels, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| map.get(*key)).cloned()
}

/// Reads the names in Kubernetes from the kubelet's labels (`io.kubernetes.*`, in `pkg/kubelet/types/labels.go`) or
/// from containerd's annotations (`io.kubernetes.cri.*`, in containerd's `pkg/cri/annotations`).
pub(crate) fn kubernetes(map: &Labels) -> Kubernetes {
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

/// Describes a container from its annotations alone.
pub(crate) fn describe(id: &str, runtime: Runtime, annotations: &Labels) -> ContainerInfo {
    let kubernetes = kubernetes(annotations);
    let name = kubernetes
        .container
        .or_else(|| first(annotations, &["nerdctl/name"]));
    ContainerInfo {
        // Users of ctr and runc choose the id themselves.
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
        labels: user_annotations(annotations),
        complete: true,
        ..ContainerInfo::new(id, runtime)
    }
}

/// Returns the annotations that a user set. CRI-O has the pod's labels in a single annotation of its own; the other
/// runtimes pass the user's annotations through.
fn user_annotations(annotations: &Labels) -> Labels {
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

/// The state directories of containerd: the default, and those of Kubernetes distributions and of dockerd.
const CONTAINERD: [&str; 5] = [
    "run/containerd",
    "run/k3s/containerd",
    "run/k0s/containerd",
    "run/docker/containerd/daemon",
    "var/snap/microk8s/common/run/containerd",
];

/// Finds the bundle of the container `id` in any containerd and namespace. Returns the namespace and the path of the
/// bundle's `config.json`.
fn bundle(root: &Path, id: &str) -> Option<(String, PathBuf)> {
    CONTAINERD
        .iter()
        .map(|dir| root.join(dir).join("io.containerd.runtime.v2.task"))
        .flat_map(|tasks| files::subdirs(&tasks).collect::<Vec<_>>())
        .map(|(namespace, dir)| (namespace, dir.join(id).join("config.json")))
        .find(|(_, config)| config.exists())
}

/// Describes the container `id` from its bundle.
pub(crate) fn containerd(root: &Path, id: &str) -> Option<ContainerInfo> {
    let (_, config) = bundle(root, id)?;
    let spec: OciSpec = files::json(&config)?;
    Some(describe(id, Runtime::Containerd, &spec.annotations))
}

/// Finds the container of containerd that owns the cgroup at `path`, if a component of the path is the container's id.
/// containerd's default is `/<namespace>/<id>`.
pub(crate) fn find_containerd(root: &Path, path: &str) -> Option<Owner> {
    let parts = path.split('/').filter(|part| files::is_component(part));
    parts.into_iter().find_map(|id| {
        let (namespace, config) = bundle(root, id)?;
        let cgroup = files::json::<OciSpec>(&config)?.linux?.cgroups_path?;
        // The namespace of Docker's containers.
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
