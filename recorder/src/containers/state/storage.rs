//! Podman and CRI-O, which both use containers/storage: `<graphroot>/<driver>-containers`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::users::User;
use crate::containers::state::{bounded, config, files, oci, powers};

/// Storage drivers (containers-storage.conf(5)).
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// Lists of containers. Podman 4.4 and newer list those of `podman run --rm` in the second.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// The most bytes of a user's lists that are kept: those of about a thousand containers.
const MAX_USER_LIST_BYTES: u64 = 1 << 20;

/// A list of containers.
#[derive(Deserialize)]
struct Entries(
    #[serde(deserialize_with = "bounded::list::<{ bounded::CONTAINERS }, _, _>")] Vec<Entry>,
);

/// An entry of a list of containers.
#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    #[serde(
        default,
        deserialize_with = "bounded::list::<{ bounded::WORDS }, _, _>"
    )]
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

impl Entry {
    fn describe(&self) -> ContainerInfo {
        let metadata: Metadata = serde_json::from_str(&self.metadata).unwrap_or_default();
        ContainerInfo {
            name: self.names.first().cloned(),
            image: metadata.image_name,
            image_digest: Some(oci::digest(self.image.clone())),
            // Podman stores labels and pods in its database, which only its API can read.
            complete: false,
            ..ContainerInfo::new(&self.id, Runtime::Podman)
        }
    }
}

/// The lists of podman's containers, which are parsed once for all containers and again only after a change.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// The lists of root (`None`), and those of each user id.
    by_user: HashMap<Option<u32>, UserLists>,
}

#[derive(Debug, Default)]
struct UserLists {
    /// True if the lists have been compared with the files since the last call of [`Lists::expire`].
    is_current: bool,
    files: HashMap<PathBuf, List>,
}

#[derive(Debug)]
struct List {
    version: Version,
    entries: HashMap<String, Entry>,
}

/// The version of a file. Podman replaces its lists by rename(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    modified: SystemTime,
    size: u64,
    inode: u64,
}

impl Version {
    fn of(file: &Path) -> Option<Version> {
        let metadata = fs::symlink_metadata(file).ok()?;
        Some(Version {
            modified: metadata.modified().ok()?,
            size: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

impl Lists {
    /// Compares the lists with the files again when they are used next.
    pub(crate) fn expire(&mut self) {
        self.by_user.retain(|_, lists| !lists.files.is_empty());
        let lists = self.by_user.values_mut();
        lists.for_each(|lists| lists.is_current = false);
    }

    /// Describes the container `id` from the lists, without its powers.
    pub(crate) fn describe(
        &mut self,
        root: &Path,
        user: Option<&User>,
        id: &str,
    ) -> Option<ContainerInfo> {
        let lists = self.by_user.entry(user.map(|user| user.uid)).or_default();
        if !lists.is_current {
            lists.update(root, user);
        }
        let entry = |list: &List| list.entries.get(id).map(Entry::describe);
        lists.files.values().find_map(entry)
    }
}

impl UserLists {
    /// Reads the files that have changed.
    fn update(&mut self, root: &Path, user: Option<&User>) {
        self.is_current = true;
        let mut known = std::mem::take(&mut self.files);
        let mut left_bytes = user.map_or(u64::MAX, |_| MAX_USER_LIST_BYTES);
        let files = directories(root, user).flat_map(|dir| LISTS.map(|list| dir.join(list)));
        for file in files {
            let Some(version) = Version::of(&file) else {
                continue;
            };
            let Some(left) = left_bytes.checked_sub(version.size) else {
                continue;
            };
            left_bytes = left;
            let same = known.remove(&file).filter(|list| list.version == version);
            let list = same.or_else(|| List::read(&file, version, user));
            self.files.extend(list.map(|list| (file, list)));
        }
    }
}

impl List {
    fn read(file: &Path, version: Version, user: Option<&User>) -> Option<List> {
        let Entries(entries) = files::json(file, user.map(|user| &user.budget))?;
        let entries = entries.into_iter().map(|entry| (entry.id.clone(), entry));
        Some(List {
            version,
            entries: entries.collect(),
        })
    }
}

/// Describes the container `id` from containers/storage.
pub(crate) fn describe(
    root: &Path,
    lists: &mut Lists,
    user: Option<&User>,
    id: &str,
) -> Option<ContainerInfo> {
    let mut directories = directories(root, user);
    let config = directories.find_map(|dir| {
        let file = dir.join(id).join("userdata/config.json");
        config::read(&file, user)
    })?;
    // Podman also writes some of CRI-O's annotations, but never this one.
    let is_crio = config
        .annotations
        .contains_key("io.kubernetes.cri-o.ContainerType");
    let info = match is_crio {
        true => oci::describe(id, Runtime::CriO, &config.annotations),
        false => lists
            .describe(root, user, id)
            .unwrap_or_else(|| ContainerInfo::new(id, Runtime::Podman)),
    };
    Some(ContainerInfo {
        powers: powers::read(root, &config, user, id),
        ..info
    })
}

/// Returns the directories of containers, one for each storage directory and driver.
fn directories(root: &Path, user: Option<&User>) -> impl Iterator<Item = PathBuf> + use<> {
    let of_drivers =
        |storage: PathBuf| DRIVERS.map(|driver| storage.join(format!("{driver}-containers")));
    roots(root, user).into_iter().flat_map(of_drivers)
}

/// Returns the storage directories: those of the user, or else those of root, including CRI-O's on tmpfs.
fn roots(root: &Path, user: Option<&User>) -> Vec<PathBuf> {
    let Some(user) = user else {
        return ["etc", "usr/share"]
            .iter()
            .filter_map(|dir| {
                graphroot(root, &root.join(dir).join("containers/storage.conf"), None)
            })
            .chain(["var/lib/containers/storage", "run/containers/storage"].map(|p| root.join(p)))
            .collect();
    };
    let Some(home) = &user.home else {
        return Vec::new();
    };
    let config = home.join(".config/containers/storage.conf");
    graphroot(root, &config, Some(user))
        .into_iter()
        .chain([home.join(".local/share/containers/storage")])
        .collect()
}

/// Reads `graphroot = "/path"` from a containers-storage.conf(5). A single key does not need a TOML parser.
fn graphroot(root: &Path, config: &Path, user: Option<&User>) -> Option<PathBuf> {
    let text = files::text(config, user.map(|user| &user.budget))?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "graphroot").then(|| value.trim().trim_matches('"').to_string())
    })?;
    Some(root.join(value.strip_prefix('/')?))
}
