//! Containers that are renamed while they run: `docker rename`, `podman rename`.
//!
//! No event announces a new name, so the files in which the runtimes store the names are checked once a second. A file
//! is read only after it has changed.

use std::time::{Duration, Instant, SystemTime};

use crate::containers::runtime::Runtime;
use crate::containers::state::RuntimeState;
use crate::containers::state::description::ContainerInfo;

const INTERVAL: Duration = Duration::from_secs(1);

/// A container whose name may change.
#[derive(Clone, Debug)]
pub(super) struct NamedContainer {
    pub(super) cgroup: u64,
    /// The path of the cgroup.
    pub(super) path: String,
    pub(super) id: String,
    pub(super) runtime: Runtime,
    pub(super) name: Option<String>,
    /// The boot time in ns at which the cgroup was created.
    pub(super) boot: u64,
    /// The time of the last change of the file that contains the name.
    modified: Option<SystemTime>,
}

/// The running containers whose names may change.
#[derive(Debug)]
pub(super) struct Renames {
    containers: Vec<NamedContainer>,
    last_check: Instant,
}

impl Renames {
    pub(super) fn new() -> Renames {
        Renames {
            containers: vec![],
            last_check: Instant::now(),
        }
    }

    /// Watches the name of a container whose description has been read.
    pub(super) fn watch(
        &mut self,
        state: &RuntimeState,
        (cgroup, boot): (u64, u64),
        path: &str,
        info: &ContainerInfo,
    ) {
        if !matches!(info.runtime, Runtime::Docker | Runtime::Podman) {
            return;
        }
        self.forget(cgroup);
        self.containers.push(NamedContainer {
            cgroup,
            path: path.to_string(),
            id: info.id.clone(),
            runtime: info.runtime,
            name: info.name.clone(),
            boot,
            modified: state.name_modified(&info.id, info.runtime, path),
        });
    }

    /// Forgets the container of a removed cgroup.
    pub(super) fn forget(&mut self, cgroup: u64) {
        self.containers.retain(|known| known.cgroup != cgroup);
    }

    /// Returns the containers that have a new name, with the new description.
    pub(super) fn check(
        &mut self,
        state: &mut RuntimeState,
    ) -> Vec<(NamedContainer, ContainerInfo)> {
        if self.last_check.elapsed() < INTERVAL {
            return vec![];
        }
        self.last_check = Instant::now();
        let renamed = |known: &mut NamedContainer| {
            let modified = state.name_modified(&known.id, known.runtime, &known.path);
            if modified == known.modified {
                return None;
            }
            known.modified = modified;
            let info = state.describe(&known.id, Some(known.runtime), &known.path)?;
            if info.name.is_none() || info.name == known.name {
                return None;
            }
            known.name.clone_from(&info.name);
            Some((known.clone(), info))
        };
        self.containers.iter_mut().filter_map(renamed).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::containers::cgroups::Hierarchies;

    #[test]
    fn a_changed_file_with_another_name_is_a_rename() {
        let root = tempfile::tempdir().unwrap();
        let id = "c0ffee".repeat(10) + "abcd";
        let dir = root.path().join("var/lib/docker/containers").join(&id);
        std::fs::create_dir_all(&dir).unwrap();
        let write = |name: &str, seconds: u64| {
            let file = dir.join("config.v2.json");
            let text = format!(r#"{{"Name":"/{name}","Config":{{"Image":"nginx"}}}}"#);
            std::fs::write(&file, text).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let file = std::fs::File::options().write(true).open(file).unwrap();
            file.set_modified(time).unwrap();
        };
        write("first", 1);
        let mut state = RuntimeState::new(root.path(), &Hierarchies::default());
        let path = format!("/docker/{id}");
        let info = state.describe(&id, Some(Runtime::Docker), &path).unwrap();
        let mut renames = Renames::new();
        renames.watch(&state, (7, 0), &path, &info);
        let mut check = || {
            renames.last_check = Instant::now() - INTERVAL;
            let found = renames.check(&mut state);
            found
                .into_iter()
                .map(|(known, _)| known.name)
                .collect::<Vec<_>>()
        };
        let none: Vec<Option<String>> = vec![];
        assert_eq!(check(), none);
        write("first", 2);
        assert_eq!(check(), none, "the file has changed, but not the name");
        write("second", 3);
        assert_eq!(check(), [Some("second".to_string())]);
        assert_eq!(check(), none);
    }
}
