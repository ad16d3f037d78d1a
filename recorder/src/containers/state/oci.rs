//! OCI annotations, in which CRI runtimes describe a container, and the bundles of containerd that contain them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::config::Labels;
use crate::containers::state::description::{ContainerInfo, Owner, covers};
use crate::containers::state::users::User;
use crate::containers::state::{bounded, config, files, powers};

/// The names of a container in Kubernetes.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    /// The name in the pod; `None` for the sandbox, which holds the pod's namespaces.
    pub(crate) container: Option<String>,
    pub(crate) pod: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) pod_uid: Option<String>,
}

impl Kubernetes {
    /// Returns the name of the container: that in the pod, or the pod's for its sandbox.
    pub(crate) fn name(&self) -> Option<String> {
        self.container.clone().or_else(|| self.pod.clone())
    }
}

fn first(map: &Labels, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| map.get(*key)).cloned()
}

/// Reads the names in Kubernetes from the kubelet's labels (`io.kubernetes.*`, in `pkg/kubelet/types/labels.go`) or
/// from containerd's annotations (`io.kubernetes.cri.*`, in containerd's `pkg/cri/annotations`).
pub(crate) fn kubernetes(map: &Labels) -> Kubernetes {
    let container = &[
        "io.kubernetes.container.name",
        "io.kubernetes.cri.container-name",
    ];
    let pod = &["io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"];
    let namespace = &[
        "io.kubernetes.pod.namespace",
        "io.kubernetes.cri.sandbox-namespace",
    ];
    let uid = &["io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid"];
    // The kubelet, cri-dockerd and CRI-O call the sandbox `POD`.
    let container = first(map, container).filter(|name| name != "POD");
    Kubernetes {
        container,
        pod: first(map, pod),
        namespace: first(map, namespace),
        pod_uid: first(map, uid),
    }
}

/// Describes a container from its annotations alone.
pub(crate) fn describe(id: &str, runtime: Runtime, annotations: &Labels) -> ContainerInfo {
    let kubernetes = kubernetes(annotations);
    let name = kubernetes
        .name()
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
        image_digest: first(annotations, &["io.kubernetes.cri-o.ImageRef"]).map(digest),
        restarts: restarts(annotations),
        pod_container: kubernetes.container,
        pod: kubernetes.pod,
        namespace: kubernetes.namespace,
        pod_uid: kubernetes.pod_uid,
        addresses: addresses(annotations),
        labels: user_annotations(annotations),
        complete: true,
        ..ContainerInfo::new(id, runtime)
    }
}

/// Returns the digest in a reference of an image: what follows the `@` of `REPOSITORY@DIGEST`, or the id of an image in
/// containers/storage with its algorithm.
pub(crate) fn digest(reference: String) -> String {
    match reference.rsplit_once('@') {
        Some((_, digest)) => digest.to_string(),
        None if reference.len() == 64 && reference.bytes().all(|b| b.is_ascii_hexdigit()) => {
            format!("sha256:{reference}")
        }
        None => reference,
    }
}

/// Parses the JSON object in an annotation of CRI-O.
fn texts(json: &str) -> Option<Labels> {
    #[derive(Deserialize)]
    struct Texts(#[serde(deserialize_with = "bounded::map::<{ bounded::TEXTS }, _, _>")] Labels);
    serde_json::from_str(json).ok().map(|Texts(texts)| texts)
}

/// Returns the number of restarts that the kubelet annotates, which CRI-O has in a JSON object of its own.
fn restarts(annotations: &Labels) -> Option<i64> {
    const KEY: &str = "io.kubernetes.container.restartCount";
    let of_pod = || -> Option<String> {
        let json = annotations.get("io.kubernetes.cri-o.Annotations")?;
        texts(json)?.remove(KEY)
    };
    first(annotations, &[KEY]).or_else(of_pod)?.parse().ok()
}

/// Returns the pod's addresses, which CRI-O annotates.
fn addresses(annotations: &Labels) -> Vec<String> {
    let keys = ["io.kubernetes.cri-o.IP.0", "io.kubernetes.cri-o.IP.1"];
    let addresses = keys.iter().filter_map(|key| annotations.get(*key));
    addresses.filter(|text| is_address(text)).cloned().collect()
}

/// Returns whether a text is an address of IPv4 or IPv6.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
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
    let pod = annotations.get("io.kubernetes.cri-o.Labels");
    let pod = pod.and_then(|json| texts(json));
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
    let dirs = CONTAINERD.iter().map(|dir| root.join(dir));
    in_any(dirs, id)
}

fn in_any(dirs: impl Iterator<Item = PathBuf>, id: &str) -> Option<(String, PathBuf)> {
    dirs.map(|dir| dir.join("io.containerd.runtime.v2.task"))
        .flat_map(|tasks| files::subdirs(&tasks).collect::<Vec<_>>())
        .map(|(namespace, dir)| (namespace, dir.join(id).join("config.json")))
        .find(|(_, config)| config.exists())
}

/// Returns the `config.json` of a container of Docker, whose containerd keeps its bundle.
pub(crate) fn docker_config(root: &Path, user: Option<&User>, id: &str) -> Option<PathBuf> {
    let found = match user {
        None => bundle(root, id),
        Some(user) => {
            let daemon = user.runtime_dir.join("docker/containerd/daemon");
            in_any([daemon].into_iter(), id)
        }
    };
    found.map(|(_, config)| config)
}

/// Describes the container `id` from its bundle.
pub(crate) fn containerd(root: &Path, id: &str) -> Option<ContainerInfo> {
    let (namespace, file) = bundle(root, id)?;
    let config = config::read(&file, None)?;
    let described = describe(id, Runtime::Containerd, &config.annotations);
    Some(ContainerInfo {
        powers: powers::read(root, &config, None, id),
        // The labels, the digest and the restarts of a container of Kubernetes are in containerd's database, which only
        // its socket can read.
        complete: namespace != CRI_NAMESPACE,
        ..described
    })
}

/// The namespace of containerd that Kubernetes uses.
const CRI_NAMESPACE: &str = "k8s.io";

/// Finds the container of containerd that owns the cgroup at `path`, if a component of the path is the container's id.
/// containerd's default is `/<namespace>/<id>`.
pub(crate) fn find_containerd(root: &Path, path: &str) -> Option<Owner> {
    let parts = path.split('/').filter(|part| files::is_component(part));
    parts.into_iter().find_map(|id| {
        let (namespace, file) = bundle(root, id)?;
        let cgroup = config::read(&file, None)?.linux.cgroups_path?;
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
