//! The state of the low-level runtimes: `<root>/<id>/state.json` of runc, `<root>/<id>/status` of crun.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::containers::runtime::Runtime;
use crate::containers::state::description::{ContainerInfo, Owner, covers};
use crate::containers::state::users::User;
use crate::containers::state::{files, oci};

/// Where runc's callers keep its state, and who they are; below the last three there is a directory for each
/// containerd namespace.
const SYSTEM: [(&str, bool, Runtime); 5] = [
    ("run/runc", false, Runtime::Runc),
    ("run/crun", false, Runtime::Crun),
    ("run/containerd/runc", true, Runtime::Containerd),
    ("run/docker/runtime-runc", true, Runtime::Docker),
    ("run/docker/runtime-crun", true, Runtime::Docker),
];

/// runc's `state.json` (libcontainer.State), as far as it matters here.
#[derive(Deserialize)]
struct RuncState {
    /// Controller to cgroup directory; the empty name is cgroup v2.
    #[serde(default)]
    cgroup_paths: BTreeMap<String, String>,
    config: Option<RuncConfig>,
}

#[derive(Deserialize)]
struct RuncConfig {
    /// The annotations, as `key=value`, and `bundle=<dir>`.
    labels: Option<Vec<String>>,
}

/// crun's `status` (libcrun_container_status_t), as far as it matters here.
#[derive(Deserialize)]
struct CrunStatus {
    /// Below the mount, in every hierarchy the same.
    #[serde(rename = "cgroup-path")]
    cgroup_path: String,
}

/// Directories with one directory for each container, and who made those.
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

/// What the state of runc or crun says about the container `id`.
pub fn describe(
    root: &Path,
    user: Option<&User>,
    id: &str,
    runtime: Runtime,
) -> Option<ContainerInfo> {
    roots(root, user)
        .iter()
        .find_map(|(dir, _)| match runtime {
            Runtime::Crun => files::json::<CrunStatus>(&dir.join(id).join("status"))
                .and_then(|_| files::json::<oci::OciSpec>(&dir.join(id).join("config.json")))
                .map(|spec| spec.annotations),
            _ => files::json::<RuncState>(&dir.join(id).join("state.json")).map(annotations),
        })
        .map(|annotations| oci::describe(id, runtime, &annotations))
}

fn annotations(state: RuncState) -> oci::Labels {
    let labels = state.config.and_then(|c| c.labels).unwrap_or_default();
    labels
        .iter()
        .filter_map(|label| label.split_once('='))
        .filter(|(key, _)| *key != "bundle")
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// The cgroups of the containers that have state, kept so that many undecided cgroups do not cost many readings.
#[derive(Debug, Default)]
pub struct Cache {
    files: HashMap<PathBuf, Seen>,
}

/// One state file, as it was at `modified`.
#[derive(Clone, Debug)]
struct Seen {
    modified: SystemTime,
    size: u64,
    /// The container's cgroups, below the mounts.
    cgroups: Vec<String>,
}

impl Cache {
    /// The container that has the cgroup at `path`; of several, the outermost.
    pub fn find(
        &mut self,
        root: &Path,
        mounts: &[String],
        user: Option<&User>,
        path: &str,
    ) -> Option<Owner> {
        let mut seen = HashMap::new();
        let mut best: Option<Owner> = None;
        for (dir, runtime) in roots(root, user) {
            for (id, container) in files::subdirs(&dir) {
                let Some((file, state)) = self.look(&container, mounts) else {
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
                seen.insert(file, state);
            }
        }
        // What is gone is forgotten. A user's own state is not kept at all, for it is never all of it.
        if user.is_none() {
            self.files = seen;
        }
        best
    }

    fn look(&self, container: &Path, mounts: &[String]) -> Option<(PathBuf, Seen)> {
        let names = ["state.json", "status"].map(|name| container.join(name));
        let (file, meta) = names
            .into_iter()
            .find_map(|file| Some((fs::symlink_metadata(&file).ok()?, file)))
            .map(|(meta, file)| (file, meta))?;
        let modified = meta.modified().ok()?;
        let size = meta.len();
        if let Some(old) = self.files.get(&file)
            && (old.modified, old.size) == (modified, size)
        {
            return Some((file, old.clone()));
        }
        let cgroups = cgroups(&file, mounts)?;
        let state = Seen {
            modified,
            size,
            cgroups,
        };
        Some((file, state))
    }
}

/// The cgroups that a state file names, below the hierarchies' mounts.
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
