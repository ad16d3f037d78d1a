//! Containers whose description changes while they run: `docker rename`, `podman rename`, restarts, and addresses, which
//! a container gets after its start.
//!
//! No event announces a change, so the files in which the runtimes store the names are checked once a second. A file is
//! read only after it has changed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashSet;

use crate::containers::facts::ContainerFacts;
use crate::containers::runtime::Runtime;
use crate::containers::state::RuntimeState;

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
    pub(super) children: BTreeMap<u64, String>,
    pub(super) facts: ContainerFacts,
    /// True if no answer of the runtime's socket is awaited.
    pub(super) decided: bool,
    /// True if the processes have not been read that ran before the recording.
    is_unread: bool,
    runtime: Option<Runtime>,
    /// The time of the last change of the file of Docker that contains the name.
    modified: Option<SystemTime>,
    /// The remaining number of times that addresses are looked for.
    address_tries: u8,
}

impl DescribedContainer {
    /// Creates a container with its own cgroup: key, boot time in ns at which it was created, and path.
    pub(super) fn new(
        (cgroup, boot_ns, path): (u64, u64, &str),
        runtime: Option<Runtime>,
        facts: ContainerFacts,
        decided: bool,
        state: &mut RuntimeState,
    ) -> DescribedContainer {
        DescribedContainer {
            cgroup,
            path: path.to_string(),
            boot_ns,
            children: BTreeMap::new(),
            modified: runtime.and_then(|runtime| state.name_modified(&facts.id, runtime, path)),
            facts,
            decided,
            is_unread: true,
            runtime,
            address_tries: ADDRESS_TRIES,
        }
    }

    /// Returns the description from the file with the name, unless the file of Docker has not changed. A file that cannot be
    /// read now is read at the next check.
    fn named(&mut self, runtime: Runtime, state: &mut RuntimeState) -> Option<ContainerFacts> {
        let (id, path) = (&self.facts.id, &self.path);
        let modified = state.name_modified(id, runtime, path);
        if runtime == Runtime::Docker && modified == self.modified {
            return None;
        }
        let info = state.named(id, runtime, path)?;
        self.modified = modified;
        info.name.is_some().then(|| info.into_facts())
    }

    /// Returns whether the description has changed, and stores the new one.
    fn update(&mut self, state: &mut RuntimeState) -> bool {
        let mut facts = self.facts.clone();
        if let Some(new) = self.runtime.and_then(|runtime| self.named(runtime, state)) {
            facts = new.completed_by(&self.facts);
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

/// A container with a new description.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) container: DescribedContainer,
    /// The facts of the description before.
    pub(super) before: ContainerFacts,
    /// True if the runtime's socket has answered with this description, which was awaited.
    pub(super) is_awaited: bool,
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
    pub(super) fn watch(&mut self, container: DescribedContainer) {
        self.containers.retain(|c| c.cgroup != container.cgroup);
        self.containers.push(container);
    }

    /// Stores the description of a container that is watched, with the answer of its runtime's socket, and returns the
    /// container.
    pub(super) fn answered(
        &mut self,
        cgroup: u64,
        runtime: Option<Runtime>,
        facts: &ContainerFacts,
    ) -> Option<Change> {
        let known = self.containers.iter_mut().find(|c| c.cgroup == cgroup)?;
        let facts = facts.clone().completed_by(&known.facts);
        let before = std::mem::replace(&mut known.facts, facts);
        known.runtime = known.runtime.or(runtime);
        let was_decided = std::mem::replace(&mut known.decided, true);
        Some(Change {
            container: known.clone(),
            before,
            is_awaited: !was_decided,
        })
    }

    /// Returns all containers, recorded or not.
    pub(super) fn containers(&self) -> impl Iterator<Item = &DescribedContainer> + Clone {
        self.containers.iter()
    }

    /// Returns key and path of each cgroup of the `wanted` containers that this function has not returned before.
    pub(super) fn take_unread(
        &mut self,
        wanted: impl Fn(&ContainerFacts) -> bool,
    ) -> Vec<(u64, String)> {
        let mut cgroups = vec![];
        let mut taken = FxHashSet::default();
        for c in &self.containers {
            // A container may have a cgroup in each of two hierarchies, with the same processes.
            if c.is_unread && wanted(&c.facts) && taken.insert(c.facts.id.clone()) {
                cgroups.push((c.cgroup, c.path.clone()));
                let children = c.children.iter();
                cgroups.extend(children.map(|(cgroup, path)| (*cgroup, path.clone())));
            }
        }
        for c in &mut self.containers {
            c.is_unread &= !taken.contains(&c.facts.id);
        }
        cgroups
    }

    /// Adds a cgroup below that of the container `id`, and returns the container.
    pub(super) fn add_child(
        &mut self,
        id: &str,
        cgroup: u64,
        path: &str,
    ) -> Option<&DescribedContainer> {
        let known = self.containers.iter_mut().find(|c| c.facts.id == id)?;
        known
            .children
            .entry(cgroup)
            .or_insert_with(|| path.to_string());
        Some(known)
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
                known.children.remove(&cgroup);
            }
            return None;
        };
        state.expire_names();
        let mut removed = self.containers.swap_remove(index);
        removed.update(state).then_some(removed)
    }

    /// Returns the containers whose description has changed.
    pub(super) fn check(&mut self, state: &mut RuntimeState) -> Vec<Change> {
        if self.last_check.elapsed() < INTERVAL {
            return vec![];
        }
        self.last_check = Instant::now();
        state.expire_names();
        let containers = self.containers.iter_mut();
        let changed = containers.filter_map(|c| {
            let before = c.facts.clone();
            c.update(state).then(|| Change {
                container: c.clone(),
                before,
                is_awaited: false,
            })
        });
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
        let place = (7, 0, path.as_str());
        let runtime = Some(Runtime::Docker);
        let container = DescribedContainer::new(place, runtime, facts, true, &mut state);
        updates.watch(container);
        let mut check = || {
            updates.last_check = Instant::now() - INTERVAL;
            let found = updates.check(&mut state);
            found
                .into_iter()
                .map(|change| change.container.facts.name)
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
