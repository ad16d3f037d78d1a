//! Containers whose description changes while they run: `docker rename`, `podman rename`, restarts, and addresses, which
//! a container gets after its start.
//!
//! No event announces a change, so the files in which the runtimes store the names are checked once a second. A file is
//! read only after it has changed.

use std::time::{Duration, Instant, SystemTime};

use crate::containers::facts::ContainerFacts;
use crate::containers::runtime::Runtime;
use crate::containers::state::RuntimeState;
use crate::containers::state::description::ContainerInfo;

const INTERVAL: Duration = Duration::from_secs(1);
/// The number of times that the addresses of a container are looked for.
const ADDRESS_TRIES: u8 = 10;

/// A container whose description may change.
#[derive(Clone, Debug)]
pub(super) struct DescribedContainer {
    /// The key of the container's own cgroup.
    pub(super) cgroup: u64,
    /// The path of the cgroup.
    pub(super) path: String,
    /// The boot time in ns at which the cgroup was created.
    pub(super) boot_ns: u64,
    /// Keys and paths of the cgroups below.
    pub(super) children: Vec<(u64, String)>,
    pub(super) facts: ContainerFacts,
    runtime: Option<Runtime>,
    /// The time of the last change of the file that contains the name.
    modified: Option<SystemTime>,
    /// The remaining number of times that addresses are looked for.
    address_tries: u8,
}

impl DescribedContainer {
    /// Returns whether the description has changed, and stores the new one.
    fn update(&mut self, state: &mut RuntimeState) -> bool {
        let mut facts = self.facts.clone();
        if let Some(runtime) = self.runtime {
            let modified = state.name_modified(&facts.id, runtime, &self.path);
            if modified != self.modified {
                self.modified = modified;
                let info = state.describe(&facts.id, self.runtime, &self.path);
                let info = info.filter(|info| info.name.is_some());
                let described = info.map(ContainerInfo::into_facts);
                facts = described.map_or(facts, |new| new.completed_by(&self.facts));
            }
        }
        if facts.addresses.is_none() && self.address_tries > 0 {
            self.address_tries -= 1;
            facts.addresses = state.addresses(&self.path);
        }
        let changed = facts != self.facts;
        self.facts = facts;
        changed
    }
}

/// The running containers, with their latest descriptions.
#[derive(Debug)]
pub(super) struct Updates {
    containers: Vec<DescribedContainer>,
    last_check: Instant,
}

impl Updates {
    pub(super) fn new() -> Updates {
        Updates {
            containers: vec![],
            last_check: Instant::now(),
        }
    }

    /// Watches a container whose description has been read.
    pub(super) fn watch(
        &mut self,
        state: &RuntimeState,
        (cgroup, boot_ns): (u64, u64),
        path: &str,
        (runtime, facts): (Option<Runtime>, &ContainerFacts),
    ) {
        let known = self.containers.iter().position(|c| c.cgroup == cgroup);
        let known = known.map(|index| self.containers.swap_remove(index));
        self.containers.push(DescribedContainer {
            cgroup,
            path: path.to_string(),
            boot_ns,
            children: known.map(|known| known.children).unwrap_or_default(),
            facts: facts.clone(),
            runtime,
            modified: runtime.and_then(|runtime| state.name_modified(&facts.id, runtime, path)),
            address_tries: ADDRESS_TRIES,
        });
    }

    /// Adds a cgroup below that of the container `id`, and returns the facts about the container.
    pub(super) fn add_child(
        &mut self,
        id: &str,
        cgroup: u64,
        path: &str,
    ) -> Option<&ContainerFacts> {
        let known = self.containers.iter_mut().find(|c| c.facts.id == id)?;
        if !known.children.iter().any(|(child, _)| *child == cgroup) {
            known.children.push((cgroup, path.to_string()));
        }
        Some(&known.facts)
    }

    /// Forgets a removed cgroup. Returns the container, if the cgroup is its own and the description has changed.
    pub(super) fn forget(
        &mut self,
        state: &mut RuntimeState,
        cgroup: u64,
    ) -> Option<DescribedContainer> {
        let index = self.containers.iter().position(|c| c.cgroup == cgroup);
        let Some(index) = index else {
            for known in &mut self.containers {
                known.children.retain(|(child, _)| *child != cgroup);
            }
            return None;
        };
        let mut removed = self.containers.swap_remove(index);
        removed.update(state).then_some(removed)
    }

    /// Returns the containers whose description has changed.
    pub(super) fn check(&mut self, state: &mut RuntimeState) -> Vec<DescribedContainer> {
        if self.last_check.elapsed() < INTERVAL {
            return vec![];
        }
        self.last_check = Instant::now();
        let containers = self.containers.iter_mut();
        let changed = containers.filter_map(|c| c.update(state).then(|| c.clone()));
        changed.collect()
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
        let mut updates = Updates::new();
        let facts = info.into_facts();
        updates.watch(&state, (7, 0), &path, (Some(Runtime::Docker), &facts));
        let mut check = || {
            updates.last_check = Instant::now() - INTERVAL;
            let found = updates.check(&mut state);
            found
                .into_iter()
                .map(|known| known.facts.name)
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
