//! Podman and CRI-O, which share containers/storage: `<graphroot>/<driver>-containers`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::users::User;
use crate::containers::state::{files, oci};

/// Storage drivers (containers-storage.conf(5)).
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// One entry of `containers.json`.
#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON of its own, see [`Metadata`].
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(rename = "image-name")]
    image_name: Option<String>,
}

/// What containers/storage holds about the container `id`.
pub fn describe(root: &Path, user: Option<&User>, id: &str) -> Option<ContainerInfo> {
    roots(root, user)
        .iter()
        .flat_map(|storage| DRIVERS.map(|driver| storage.join(format!("{driver}-containers"))))
        .find_map(|dir| in_storage(&dir, id))
}

fn in_storage(dir: &Path, id: &str) -> Option<ContainerInfo> {
    let spec: oci::OciSpec = files::json(&dir.join(id).join("userdata/config.json"))?;
    // Podman writes some of CRI-O's annotations too, but never this one.
    if spec
        .annotations
        .contains_key("io.kubernetes.cri-o.ContainerType")
    {
        return Some(oci::describe(id, Runtime::CriO, &spec.annotations));
    }
    let entries: Vec<Entry> = files::json(&dir.join("containers.json")).unwrap_or_default();
    let Some(entry) = entries.into_iter().find(|e| e.id == id) else {
        return Some(ContainerInfo::new(id, Runtime::Podman));
    };
    let metadata: Metadata = serde_json::from_str(&entry.metadata).unwrap_or_default();
    Some(ContainerInfo {
        name: entry.names.into_iter().next(),
        image: metadata.image_name,
        // Podman keeps labels and pods in its database, and only its API tells them.
        complete: false,
        ..ContainerInfo::new(id, Runtime::Podman)
    })
}

/// Where the storage is: the user's, or else root's and what is only in memory (CRI-O's).
fn roots(root: &Path, user: Option<&User>) -> Vec<PathBuf> {
    let Some(user) = user else {
        return ["etc", "usr/share"]
            .iter()
            .filter_map(|dir| graphroot(root, &root.join(dir).join("containers/storage.conf")))
            .chain(["var/lib/containers/storage", "run/containers/storage"].map(|p| root.join(p)))
            .collect();
    };
    let Some(home) = &user.home else {
        return Vec::new();
    };
    graphroot(root, &home.join(".config/containers/storage.conf"))
        .into_iter()
        .chain([home.join(".local/share/containers/storage")])
        .collect()
}

/// `graphroot = "/path"` of a containers-storage.conf(5). One key of TOML does not ask for a parser.
fn graphroot(root: &Path, config: &Path) -> Option<PathBuf> {
    let text = files::text(config)?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "graphroot").then(|| value.trim().trim_matches('"').to_string())
    })?;
    Some(root.join(value.strip_prefix('/')?))
}
