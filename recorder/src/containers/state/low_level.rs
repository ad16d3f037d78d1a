//! The state of the low-level runtimes: `<root>/<id>/state.json` of runc, `<root>/<id>/status` of crun.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::{ContainerInfo, Owner, covers};
use crate::containers::state::users::User;
use crate::containers::state::{files, oci, powers};

/// The state directories of runc and crun, by calling program: path, whether the path has a subdirectory for each
/// containerd namespace, and the runtime that calls.
const SYSTEM: [(&str, bool, Runtime); 5] = [
    ("run/runc", false, Runtime::Runc),
    ("run/crun", false, Runtime::Crun),
    ("run/containerd/runc", true, Runtime::Containerd),
    ("run/docker/runtime-runc", true, Runtime::Docker),
    ("run/docker/runtime-crun", true, Runtime::Docker),
];

/// The fields of runc's `state.json` (libcontainer.State) that are needed here.
#[derive(Deserialize)]
struct RuncState {
    /// The cgroup directory of each controller. The empty name is cgroup v2.
    #[serde(default)]
    cgroup_paths: BTreeMap<String, String>,
    config: Option<RuncConfig>,
}

#[derive(Deserialize)]
struct RuncConfig {
    /// The annotations as `key=value`, and `bundle=<dir>`.
    labels: Option<Vec<String>>,
}

/// The fields of crun's `status` (libcrun_container_status_t) that are needed here.
#[derive(Deserialize)]
struct CrunStatus {
    /// The path below the mount, the same in every hierarchy.
    #[serde(rename = "cgroup-path")]
    cgroup_path: String,
}

/// Returns the directories that contain one directory per container, with the runtime that calls.
fn roots(root: &Path, user: Option<&User>) -> Vec<(PathBuf, Runtime)> {
    if let Some(user) = user {
        return vec![
            (user.runtime_dir.join("runc"), Runtime::Runc),
            (user.runtime_dir.join("crun"), Runtime::Crun),
        ];
    }
    let mut out = Vec::new();
    for (dir, namespaces, runtime) in SYSTEM {
        let dir = root.join(dir);
        if namespaces {
            out.extend(files::subdirs(&dir).map(|(_, path)| (path, runtime)));
        } else {
            out.push((dir, runtime));
        }
    }
    out
}

/// Describes the container `id` from the state of runc or crun.
pub(crate) fn describe(
    root: &Path,
    user: Option<&User>,
    id: &str,
    runtime: Runtime,
) -> Option<ContainerInfo> {
    let dirs = roots(root, user);
    dirs.iter().find_map(|(dir, _)| {
        let (annotations, config) = match runtime {
            Runtime::Crun => {
                files::json::<CrunStatus>(&dir.join(id).join("status"))?;
                // crun copies the bundle's file.
                let config = dir.join(id).join("config.json");
                let spec: oci::OciSpec = files::json(&config)?;
                (spec.annotations, Some(config))
            }
            _ => {
                let state: RuncState = files::json(&dir.join(id).join("state.json"))?;
                let mut annotations = annotations(state);
                let bundle = annotations.remove("bundle");
                let config = bundle.and_then(|bundle| bundle_config(root, user, &bundle));
                (annotations, config)
            }
        };
        let powers = config.map(|config| powers::read(root, &config, id));
        Some(ContainerInfo {
            powers: powers.unwrap_or_default(),
            ..oci::describe(id, runtime, &annotations)
        })
    })
}

/// Returns the `config.json` in the directory `bundle` of runc's state. A user chooses the directory in the user's own
/// state, so that the file must belong to the user.
fn bundle_config(root: &Path, user: Option<&User>, bundle: &str) -> Option<PathBuf> {
    let config = root.join(bundle.strip_prefix('/')?).join("config.json");
    let owner = fs::symlink_metadata(&config).ok()?.uid();
    user.is_none_or(|user| user.uid == owner).then_some(config)
}

/// Returns the annotations in a state, and the directory of the bundle as `bundle`.
fn annotations(state: RuncState) -> oci::Labels {
    let labels = state.config.and_then(|c| c.labels).unwrap_or_default();
    labels
        .iter()
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// The most bytes of a user's state that one search reads, and the most containers of a user that it looks at: what a user
/// writes must not occupy the recorder.
const MAX_USER_BYTES: u64 = 1 << 20;
const MAX_USER_CONTAINERS: usize = 256;

/// A cache of the containers' cgroups by state file, so that each undecided cgroup does not read all files again.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// The files of root's runtimes (`None`), and those of each user id.
    files: HashMap<Option<u32>, Files>,
}

type Files = HashMap<PathBuf, CachedFile>;

/// The content of a state file at the time `modified`.
#[derive(Clone, Debug)]
struct CachedFile {
    modified: SystemTime,
    size: u64,
    /// The container's cgroups, below the mounts.
    cgroups: Vec<String>,
}

impl Cache {
    /// Finds the container that owns the cgroup at `path`; of nested containers, the outermost.
    pub(crate) fn find(
        &mut self,
        root: &Path,
        mounts: &[String],
        user: Option<&User>,
        path: &str,
    ) -> Option<Owner> {
        let uid = user.map(|user| user.uid);
        let old = self.files.remove(&uid).unwrap_or_default();
        let mut current = Files::new();
        let mut best: Option<Owner> = None;
        let (mut left_bytes, most) = match user {
            Some(_) => (MAX_USER_BYTES, MAX_USER_CONTAINERS),
            None => (u64::MAX, usize::MAX),
        };
        for (dir, runtime) in roots(root, user) {
            for (id, container) in files::subdirs(&dir).take(most) {
                let read = read(&old, &container, mounts, uid, &mut left_bytes);
                let Some((file, state)) = read else {
                    continue;
                };
                let own = state.cgroups.iter().filter(|c| covers(c, path));
                if let Some(cgroup) = own.min_by_key(|c| c.len())
                    && best.as_ref().is_none_or(|b| cgroup.len() < b.cgroup.len())
                {
                    best = Some(Owner {
                        id,
                        runtime,
                        cgroup: cgroup.clone(),
                    });
                }
                current.insert(file, state);
            }
        }
        // Removed files leave the cache. A user without state takes no place in it.
        if !current.is_empty() {
            self.files.insert(uid, current);
        }
        best
    }
}

/// Returns the state file of a container, from the files `old` if size and modification time are the same. The file of a
/// user must belong to that user or to the recorder's, and is read while `left_bytes` suffice.
fn read(
    old: &Files,
    container: &Path,
    mounts: &[String],
    uid: Option<u32>,
    left_bytes: &mut u64,
) -> Option<(PathBuf, CachedFile)> {
    let names = ["state.json", "status"].map(|name| container.join(name));
    let (file, meta) = names
        .into_iter()
        .find_map(|file| Some((fs::symlink_metadata(&file).ok()?, file)))
        .map(|(meta, file)| (file, meta))?;
    // The recorder's own user, which is root as a rule, may write into the directories of others.
    let own = rustix::process::geteuid().as_raw();
    if uid.is_some_and(|uid| ![uid, own].contains(&meta.uid())) {
        return None;
    }
    let modified = meta.modified().ok()?;
    let size = meta.len();
    if let Some(old) = old.get(&file)
        && (old.modified, old.size) == (modified, size)
    {
        return Some((file, old.clone()));
    }
    *left_bytes = left_bytes.checked_sub(size)?;
    // A file that is no state is kept too, so that it is read once.
    let state = CachedFile {
        modified,
        size,
        cgroups: cgroups(&file, mounts).unwrap_or_default(),
    };
    Some((file, state))
}

/// Reads the container's cgroups from a state file, as paths below the hierarchies' mounts.
fn cgroups(file: &Path, mounts: &[String]) -> Option<Vec<String>> {
    if file.ends_with("status") {
        let status: CrunStatus = files::json(file)?;
        return Some(vec![format!(
            "/{}",
            status.cgroup_path.trim_start_matches('/')
        )]);
    }
    let state: RuncState = files::json(file)?;
    let below = |path: &String| {
        mounts
            .iter()
            .filter_map(|mount| path.strip_prefix(mount.as_str()))
            .find(|rest| rest.starts_with('/'))
            .map(str::to_string)
    };
    Some(state.cgroup_paths.values().filter_map(below).collect())
}
