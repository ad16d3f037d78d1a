//! Podman and CRI-O, which both use containers/storage: `<graphroot>/<driver>-containers`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::users::User;
use crate::containers::state::{files, oci, powers};

/// Storage drivers (containers-storage.conf(5)).
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// Lists of containers. Podman 4.4 and newer list those of `podman run --rm` in the second.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// An entry of a list of containers.
#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// The id of the image.
    #[serde(default)]
    image: String,
    /// A JSON text, see [`Metadata`].
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(rename = "image-name")]
    image_name: Option<String>,
}

/// Describes the container `id` from containers/storage.
pub(crate) fn describe(root: &Path, user: Option<&User>, id: &str) -> Option<ContainerInfo> {
    directories(root, user).find_map(|dir| in_storage(root, &dir, id))
}

/// Returns the files that may contain the name of a container.
pub(crate) fn name_files(root: &Path, user: Option<&User>) -> Vec<PathBuf> {
    let files = |dir: PathBuf| LISTS.map(|list| dir.join(list));
    directories(root, user).flat_map(files).collect()
}

/// Returns the directories of containers, one for each storage directory and driver.
fn directories(root: &Path, user: Option<&User>) -> impl Iterator<Item = PathBuf> {
    let of_drivers =
        |storage: PathBuf| DRIVERS.map(|driver| storage.join(format!("{driver}-containers")));
    roots(root, user).into_iter().flat_map(of_drivers)
}

fn in_storage(root: &Path, dir: &Path, id: &str) -> Option<ContainerInfo> {
    let config = dir.join(id).join("userdata/config.json");
    let spec: oci::OciSpec = files::json(&config)?;
    let powers = powers::read(root, &config, id);
    // Podman also writes some of CRI-O's annotations, but never this one.
    if spec
        .annotations
        .contains_key("io.kubernetes.cri-o.ContainerType")
    {
        return Some(ContainerInfo {
            powers,
            ..oci::describe(id, Runtime::CriO, &spec.annotations)
        });
    }
    let listed = |list| files::json::<Vec<Entry>>(&dir.join(list)).unwrap_or_default();
    let Some(entry) = LISTS.into_iter().flat_map(listed).find(|e| e.id == id) else {
        return Some(ContainerInfo {
            powers,
            ..ContainerInfo::new(id, Runtime::Podman)
        });
    };
    let metadata: Metadata = serde_json::from_str(&entry.metadata).unwrap_or_default();
    Some(ContainerInfo {
        name: entry.names.into_iter().next(),
        image: metadata.image_name,
        image_digest: Some(oci::digest(entry.image)),
        powers,
        // Podman stores labels and pods in its database, which only its API can read.
        complete: false,
        ..ContainerInfo::new(id, Runtime::Podman)
    })
}

/// Returns the storage directories: those of the user, or else those of root, including CRI-O's on tmpfs.
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

/// Reads `graphroot = "/path"` from a containers-storage.conf(5). A single key does not need a TOML parser.
fn graphroot(root: &Path, config: &Path) -> Option<PathBuf> {
    let text = files::text(config)?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "graphroot").then(|| value.trim().trim_matches('"').to_string())
    })?;
    Some(root.join(value.strip_prefix('/')?))
}
