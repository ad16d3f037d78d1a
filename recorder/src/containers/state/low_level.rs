//! The state of the low-level runtimes: `<root>/<id>/state.json` of runc, `<root>/<id>/status` of crun.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::{ContainerInfo, Owner, covers};
use crate::containers::state::files::Budget;
use crate::containers::state::users::User;
use crate::containers::state::{bounded, config, files, oci, powers};

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
    init_process_pid: Option<u32>,
    /// The cgroup directory of each controller. The empty name is cgroup v2.
    #[serde(
        default,
        deserialize_with = "bounded::map::<{ bounded::OBJECTS }, _, _>"
    )]
    cgroup_paths: BTreeMap<String, String>,
    config: Option<RuncConfig>,
}

#[derive(Deserialize)]
struct RuncConfig {
    /// The annotations as `key=value`, and `bundle=<dir>`.
    labels: Option<Texts>,
}

#[derive(Deserialize)]
struct Texts(#[serde(deserialize_with = "bounded::list::<{ bounded::TEXTS }, _, _>")] Vec<String>);

/// The fields of crun's `status` (libcrun_container_status_t) that are needed here.
#[derive(Deserialize)]
struct CrunStatus {
    pid: Option<u32>,
    /// The path below the mount, the same in every hierarchy.
    #[serde(rename = "cgroup-path")]
    cgroup_path: String,
}

/// Returns the directories that contain one directory per container, with the runtime that calls.
fn roots(root: &Path, user: Option<&User>) -> Vec<(PathBuf, Runtime)> {
    if let Some(user) = user {
        let docker = user.runtime_dir.join("docker/runtime-runc");
        let own = [
            (user.runtime_dir.join("runc"), Runtime::Runc),
            (user.runtime_dir.join("crun"), Runtime::Crun),
        ];
        return own
            .into_iter()
            .chain(files::subdirs(&docker).map(|(_, path)| (path, Runtime::Docker)))
            .collect();
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
    let budget = user.map(|user| &user.budget);
    let dirs = roots(root, user);
    dirs.iter().find_map(|(dir, _)| {
        let (annotations, config) = match runtime {
            Runtime::Crun => {
                files::json::<CrunStatus>(&dir.join(id).join("status"), budget)?;
                // crun copies the bundle's file.
                let mut config = config::read(&dir.join(id).join("config.json"), user)?;
                (std::mem::take(&mut config.annotations), Some(config))
            }
            _ => {
                let file = dir.join(id).join("state.json");
                let mut annotations = annotations(files::json(&file, budget)?);
                let bundle = annotations.remove("bundle");
                let file = bundle.and_then(|bundle| bundle_config(root, user, &bundle));
                (annotations, file.and_then(|file| config::read(&file, user)))
            }
        };
        let powers = config.map(|config| powers::read(root, &config, user, id));
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
fn annotations(state: RuncState) -> config::Labels {
    let labels = state.config.and_then(|c| c.labels);
    let labels = labels.iter().flat_map(|Texts(labels)| labels);
    labels
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// The most containers of a user that one search looks at: what a user writes must not occupy the recorder.
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
    state: State,
}

/// The content of a state file about a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The container's cgroups, below the mounts.
    cgroups: Vec<String>,
    /// The container's first process, in the runtime's pid namespace.
    pub(crate) pid: Option<u32>,
}

impl State {
    /// Returns the container's cgroup that is the one at `path` or above it.
    pub(crate) fn own(&self, path: &str) -> Option<String> {
        let own = self.cgroups.iter().filter(|c| covers(c, path));
        own.min_by_key(|c| c.len()).cloned()
    }
}

impl Cache {
    /// Finds the container for whose state `own` returns the path of its cgroup; of nested containers, the outermost.
    pub(crate) fn find(
        &mut self,
        root: &Path,
        mounts: &[String],
        user: Option<&User>,
        own: impl Fn(&State) -> Option<String>,
    ) -> Option<Owner> {
        let uid = user.map(|user| user.uid);
        let old = self.files.remove(&uid).unwrap_or_default();
        let mut current = Files::new();
        let mut best: Option<Owner> = None;
        let most = user.map_or(usize::MAX, |_| MAX_USER_CONTAINERS);
        for (dir, runtime) in roots(root, user) {
            for (id, container) in files::subdirs(&dir).take(most) {
                let read = read(&old, &container, mounts, user);
                let Some((file, cached)) = read else {
                    continue;
                };
                if let Some(cgroup) = own(&cached.state)
                    && best.as_ref().is_none_or(|b| cgroup.len() < b.cgroup.len())
                {
                    best = Some(Owner {
                        id,
                        runtime,
                        cgroup,
                    });
                }
                current.insert(file, cached);
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
/// user must belong to that user or to the recorder's, and is read if the user's budget allows.
fn read(
    old: &Files,
    container: &Path,
    mounts: &[String],
    user: Option<&User>,
) -> Option<(PathBuf, CachedFile)> {
    let names = ["state.json", "status"].map(|name| container.join(name));
    let (file, meta) = names
        .into_iter()
        .find_map(|file| Some((fs::symlink_metadata(&file).ok()?, file)))
        .map(|(meta, file)| (file, meta))?;
    let modified = meta.modified().ok()?;
    let size = meta.len();
    if let Some(old) = old.get(&file)
        && (old.modified, old.size) == (modified, size)
    {
        return Some((file, old.clone()));
    }
    let budget = user.map(|user| &user.budget);
    if budget.is_some_and(|budget| !budget.allows(&meta)) {
        return None;
    }
    // A file that is no state is kept too, so that it is read once.
    let cached = CachedFile {
        modified,
        size,
        state: state(&file, mounts, budget).unwrap_or_default(),
    };
    Some((file, cached))
}

/// Reads a state file, with cgroups as paths below the hierarchies' mounts.
fn state(file: &Path, mounts: &[String], budget: Option<&Budget>) -> Option<State> {
    if file.ends_with("status") {
        let status: CrunStatus = files::json(file, budget)?;
        let path = status.cgroup_path.trim_start_matches('/');
        return Some(State {
            cgroups: vec![format!("/{path}")],
            pid: status.pid,
        });
    }
    let state: RuncState = files::json(file, budget)?;
    let below = |path: &String| {
        mounts
            .iter()
            .filter_map(|mount| path.strip_prefix(mount.as_str()))
            .find(|rest| rest.starts_with('/'))
            .map(str::to_string)
    };
    Some(State {
        cgroups: state.cgroup_paths.values().filter_map(below).collect(),
        pid: state.init_process_pid,
    })
}
