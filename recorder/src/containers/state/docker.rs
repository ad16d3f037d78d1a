//! Docker: `<data root>/containers/<id>/config.v2.json`, and the same structure from the API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::users::User;
use crate::containers::state::{files, oci};

/// A container in the structure that Docker's `config.v2.json` and the answer to `GET /containers/<id>/json` share.
/// Podman's API answers with the same structure.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspect {
    name: Option<String>,
    config: Option<Config>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

impl Inspect {
    /// Converts the inspection into the description of the container `id`.
    pub(crate) fn describe(self, id: &str, runtime: Runtime) -> ContainerInfo {
        let (image, labels) = match self.config {
            Some(config) => (config.image, config.labels.unwrap_or_default()),
            None => (None, BTreeMap::new()),
        };
        // cri-dockerd names a container k8s_NAME_POD_..., and has the parts of the name in labels.
        let kubernetes = oci::kubernetes(&labels);
        let name = self.name.map(|n| n.trim_start_matches('/').to_string());
        ContainerInfo {
            name: kubernetes.container.or(name),
            image,
            pod: kubernetes.pod,
            namespace: kubernetes.namespace,
            labels,
            complete: true,
            ..ContainerInfo::new(id, runtime)
        }
        .tidy()
    }
}

#[derive(Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
    /// The name of data-root before Docker 17.05.
    graph: Option<String>,
}

/// Returns Docker's data directories: the configured directory, the default, and that of the snap.
pub(crate) fn data_roots(root: &Path) -> Vec<PathBuf> {
    let daemon: Option<Daemon> = files::json(&root.join("etc/docker/daemon.json"));
    let configured = daemon.and_then(|d| d.data_root.or(d.graph));
    let known = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
    configured
        .iter()
        .map(|path| path.trim_start_matches('/'))
        .chain(known)
        .map(|path| root.join(path))
        .collect()
}

/// Returns the files that may describe the container `id`.
pub(crate) fn name_files(roots: &[PathBuf], user: Option<&User>, id: &str) -> Vec<PathBuf> {
    let rootless = user
        .and_then(|u| u.home.as_ref())
        .map(|home| home.join(".local/share/docker"));
    let places = match user {
        Some(_) => rootless.as_slice(),
        None => roots,
    };
    let file = |place: &PathBuf| place.join("containers").join(id).join("config.v2.json");
    places.iter().map(file).collect()
}

/// Describes the container `id` from Docker's state.
pub(crate) fn describe(roots: &[PathBuf], user: Option<&User>, id: &str) -> Option<ContainerInfo> {
    let candidates = name_files(roots, user, id);
    let inspect: Inspect = candidates.iter().find_map(|file| files::json(file))?;
    Some(inspect.describe(id, Runtime::Docker))
}
