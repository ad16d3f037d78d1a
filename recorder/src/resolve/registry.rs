//! The containers of a recording, built from facts about cgroups that may arrive late.
//!
//! Rows refer to a container by its index in the registry and get its name when their batch is encoded, so a name that
//! is learnt late still appears in earlier rows of the batch. Indices that no row refers to any more are reused.

use std::collections::VecDeque;
use std::sync::Arc;

use ctrace_schema::text::escape;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::containers::facts::{CgroupFact, CgroupKind, ContainerFacts};
use crate::rows::batch::{ContainerName, NONE};

#[derive(Clone, Debug)]
enum ContainerStatus {
    Host,
    /// No fact about the cgroup has arrived: there are too many cgroups, or the record of its creation was lost.
    Unknown,
    Undecided {
        /// Comm of the first thread that is known to have been in the cgroup; empty if no thread is known. `None`: no
        /// process has been in the cgroup.
        entered_by: Option<Box<[u8]>>,
    },
    Excluded,
    Container {
        facts: Arc<ContainerFacts>,
        /// Key of the container's own cgroup; 0 if this entry is a duplicate of another.
        own_cgroup: u64,
        /// Path of the own cgroup.
        path: Arc<str>,
    },
}

/// The effect of a fact on the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContainerChange {
    /// Nothing that needs a row.
    None,
    /// A new container, by index.
    Appeared(u32),
    /// A container that the filters excluded before, by index.
    Included(u32),
    /// A container with other facts than before, by index.
    Changed(u32),
    /// A container was removed, by index.
    Removed(u32),
}

/// The way in which a process ended: see wait(2). Both are null if it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// True if the kernel killed the process for lack of memory.
    pub(crate) out_of_memory: bool,
}

impl Exit {
    /// Returns the value of the column `reason`; empty: not known.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Exit {
                out_of_memory: true,
                ..
            } => "out of memory",
            Exit {
                signal: Some(_), ..
            } => "killed by a signal",
            Exit { code: Some(_), .. } => "exited",
            _ => "",
        }
    }
}

/// A removed cgroup is retained this long for late events and losses.
const RETENTION_NS: u64 = 60_000_000_000;
/// After that, a removed cgroup is retained for this many batches after the last one with rows of it: a pending part and those
/// in the encoder may refer to it. A process that has left a container's cgroup may live longer than the cgroup.
const RETENTION_BATCHES: u8 = 4;

#[derive(Debug)]
struct RemovedCgroup {
    cgroup: u64,
    /// Boot time of the removal.
    removed_ns: u64,
    /// The number of batches for which it is still retained.
    batches_left: u8,
}

/// The most processes of a container that the kernel has killed for lack of memory and that have not ended yet.
const MAX_OOM_VICTIMS: usize = 16;

/// The most retired indices with which a rename or an exclusion retires another one. Their facts take up to 64 KiB each, and a
/// user can rename a rootless container every second.
const MAX_RETIRED: usize = 256;

/// An index that no cgroup has any more, with rows from before a rename or an exclusion, or from before a second cgroup of the
/// same container was decided.
#[derive(Debug)]
struct RetiredIndex {
    index: u32,
    /// Batches that ended since.
    batches: u8,
}

/// The state of every known cgroup, by index. Index 0 is the host.
#[derive(Debug)]
pub(crate) struct Registry {
    states: Vec<ContainerStatus>,
    /// True if rows refer to the index; of a removed cgroup, rows of the batch that is being filled.
    used: Vec<bool>,
    by_cgroup: FxHashMap<u64, u32>,
    by_container_id: FxHashMap<String, u32>,
    /// Removed cgroups in order of removal.
    removed: VecDeque<RemovedCgroup>,
    /// Indices that no cgroup has any more, in the order in which they lost their cgroups.
    retired: VecDeque<RetiredIndex>,
    /// Indices for reuse.
    free: Vec<u32>,
    /// Events by index that were left out of the recording, because their batch was sent before the cgroup was decided.
    left_out: FxHashMap<u32, u64>,
    /// Exit of the first process of each container, by index, until the container is removed.
    exits: FxHashMap<u32, Exit>,
    /// Process ids, by index of the container, of the first processes of pid namespaces that the kernel killed for lack of
    /// memory and that have not ended yet. With `memory.oom.group` the kernel kills all processes of a container.
    oom_victims: FxHashMap<u32, VecDeque<u32>>,
    record_host: bool,
    running_containers: usize,
}

impl Registry {
    /// Returns a registry that contains only the host. `record_host`: rows of the host are recorded.
    pub(crate) fn new(record_host: bool) -> Registry {
        Registry {
            states: vec![ContainerStatus::Host],
            used: vec![true],
            by_cgroup: FxHashMap::default(),
            by_container_id: FxHashMap::default(),
            removed: VecDeque::new(),
            retired: VecDeque::new(),
            free: vec![],
            left_out: FxHashMap::default(),
            exits: FxHashMap::default(),
            oom_victims: FxHashMap::default(),
            record_host,
            running_containers: 0,
        }
    }

    /// Returns the index of `cgroup` (0: the host) for a row, and marks the index as used.
    pub(crate) fn index(&mut self, cgroup: u64) -> u32 {
        if cgroup == 0 {
            return 0;
        }
        let index = self.index_unmarked(cgroup);
        self.used[index as usize] = true;
        index
    }

    /// Returns the index of `cgroup` without marking it as used. A new cgroup is unknown.
    fn index_unmarked(&mut self, cgroup: u64) -> u32 {
        if let Some(&index) = self.by_cgroup.get(&cgroup) {
            return index;
        }
        let index = self.new_index();
        self.by_cgroup.insert(cgroup, index);
        index
    }

    /// Returns an index that no cgroup has; its state is unknown.
    fn new_index(&mut self) -> u32 {
        let index = self.free.pop().unwrap_or(self.states.len() as u32);
        if index as usize == self.states.len() {
            self.states.push(ContainerStatus::Unknown);
            self.used.push(false);
        }
        index
    }

    /// Gives a renamed container another index, so that earlier rows keep the earlier name, and returns it. If too many
    /// indices are retired, the rows of the current batch get the new name.
    fn rename(
        &mut self,
        index: u32,
        facts: &ContainerFacts,
        own_cgroup: u64,
        path: Arc<str>,
    ) -> u32 {
        let renamed = match self.retired.len() < MAX_RETIRED {
            true => self.new_index(),
            false => index,
        };
        self.states[renamed as usize] = ContainerStatus::Container {
            facts: Arc::new(facts.clone()),
            own_cgroup,
            path,
        };
        self.used[renamed as usize] = true;
        self.replace_index(index, renamed);
        if let Some(exit) = self.exits.remove(&index) {
            self.exits.insert(renamed, exit);
        }
        if let Some(victims) = self.oom_victims.remove(&index) {
            self.oom_victims.insert(renamed, victims);
        }
        self.by_container_id.insert(facts.id.clone(), renamed);
        renamed
    }

    /// Gives the cgroups of a container that the filters exclude from now on another index, so that earlier rows stay. If
    /// too many indices are retired, the container remains: the kernel side sends no more of its events.
    fn exclude(&mut self, index: u32, id: &str) {
        if self.retired.len() >= MAX_RETIRED {
            return;
        }
        let excluded = self.new_index();
        self.states[excluded as usize] = ContainerStatus::Excluded;
        self.replace_index(index, excluded);
        self.by_container_id.remove(id);
        self.running_containers = self.running_containers.saturating_sub(1);
    }

    /// Gives the cgroups of a container that the filters select from now on another index, so that earlier rows stay out, and
    /// returns it. An excluded index takes no memory, so that the number of those that are retired needs no limit.
    fn include(&mut self, index: u32) -> u32 {
        let included = self.new_index();
        self.replace_index(index, included);
        included
    }

    /// Gives all cgroups of an index another one, and retires the index.
    fn replace_index(&mut self, index: u32, new: u32) {
        if index == new {
            return;
        }
        let indices = self.by_cgroup.values_mut();
        indices
            .filter(|known| **known == index)
            .for_each(|known| *known = new);
        self.retired.push_back(RetiredIndex { index, batches: 0 });
    }

    /// Drops cgroups that were removed more than `RETENTION_NS` before `boot_ns`, and retired indices, and returns the
    /// indices that are reused from now on. `batch_ended`: a batch has ended since the previous call.
    pub(crate) fn forget(&mut self, boot_ns: u64, batch_ended: bool) -> Vec<u32> {
        let mut dropped = self.expired(boot_ns, batch_ended);
        for retired in &mut self.retired {
            retired.batches += u8::from(batch_ended);
        }
        let is_over = |retired: &RetiredIndex| retired.batches > RETENTION_BATCHES;
        while self.retired.front().is_some_and(is_over) {
            dropped.extend(self.retired.pop_front().map(|retired| retired.index));
        }
        if !dropped.is_empty() {
            // Another cgroup of the same container may still exist.
            let referenced: FxHashSet<u32> = self.by_cgroup.values().copied().collect();
            dropped.retain(|index| !referenced.contains(index));
            dropped.sort_unstable();
            dropped.dedup();
        }
        for &index in &dropped {
            self.states[index as usize] = ContainerStatus::Unknown;
            self.used[index as usize] = false;
            self.left_out.remove(&index);
            self.exits.remove(&index);
            self.oom_victims.remove(&index);
        }
        self.free.extend(&dropped);
        dropped
    }

    /// Drops cgroups that were removed more than `RETENTION_NS` before `boot_ns`, and returns their indices, which other
    /// cgroups may have too.
    fn expired(&mut self, boot_ns: u64, batch_ended: bool) -> Vec<u32> {
        let expired = self
            .removed
            .iter_mut()
            .take_while(|removed| removed.removed_ns.saturating_add(RETENTION_NS) < boot_ns);
        let (mut dropped, mut seen) = (vec![], vec![]);
        for removed in expired {
            let index = self.by_cgroup.get(&removed.cgroup).copied();
            if index.is_some_and(|index| self.used[index as usize]) {
                removed.batches_left = RETENTION_BATCHES + 1;
                seen.extend(index);
            }
            removed.batches_left = removed.batches_left.saturating_sub(batch_ended.into());
            if removed.batches_left > 0 {
                continue;
            }
            dropped.extend(index);
            self.by_cgroup.remove(&removed.cgroup);
        }
        if batch_ended {
            seen.iter()
                .for_each(|index| self.used[*index as usize] = false);
        }
        let by_cgroup = &self.by_cgroup;
        self.removed
            .retain(|removed| by_cgroup.contains_key(&removed.cgroup));
        dropped
    }

    /// Returns the index for a gap row of `cgroup`. Cgroup 0 is the host only if the host is recorded; otherwise the
    /// events belong to containers that could not be distinguished, and the row has no container.
    pub(crate) fn index_of_lost(&mut self, cgroup: u64) -> u32 {
        // A process of the cgroup has lost the events. An unknown cgroup is not entered: no fact about it will arrive.
        if self.by_cgroup.contains_key(&cgroup) {
            self.enter(cgroup, b"");
        }
        if cgroup == 0 && !self.record_host {
            NONE
        } else {
            self.index(cgroup)
        }
    }

    /// Counts the `events` of a batch that is sent to the encoder while `index` is undecided. Such events count as the
    /// host's and, unless the host is recorded, are left out.
    pub(crate) fn count_left_out(&mut self, index: u32, events: u64) {
        let is_undecided = matches!(
            self.states.get(index as usize),
            Some(ContainerStatus::Undecided { .. })
        );
        if is_undecided && !self.record_host {
            let left_out = self.left_out.entry(index).or_default();
            *left_out = left_out.saturating_add(events);
        }
    }

    /// Returns and resets the number of events of `cgroup` that were left out; to be called when the cgroup turns out
    /// to be a container.
    pub(crate) fn take_left_out(&mut self, cgroup: u64) -> u64 {
        let index = self.by_cgroup.get(&cgroup);
        let events = index.and_then(|index| self.left_out.remove(index));
        events.unwrap_or(0)
    }

    /// Stores how the first process of a container's pid namespace, `pid`, has ended. Of several namespaces, as of a
    /// container in a container, that of the outermost ends last.
    pub(crate) fn set_exit(&mut self, cgroup: u64, pid: u32, exit: Exit) {
        if let Some(&index) = self.by_cgroup.get(&cgroup) {
            let victims = self.oom_victims.get_mut(&index);
            let out_of_memory = victims.is_some_and(|victims| {
                let position = victims.iter().position(|victim| *victim == pid);
                position.is_some_and(|position| victims.remove(position).is_some())
            });
            let exit = Exit {
                out_of_memory,
                ..exit
            };
            self.exits.insert(index, exit);
        }
    }

    /// Stores that the kernel has killed the first process of a pid namespace, `pid`, for lack of memory.
    pub(crate) fn add_oom_victim(&mut self, cgroup: u64, pid: u32) {
        if let Some(&index) = self.by_cgroup.get(&cgroup) {
            let victims = self.oom_victims.entry(index).or_default();
            if victims.len() >= MAX_OOM_VICTIMS {
                victims.pop_front();
            }
            victims.push_back(pid);
        }
    }

    /// Returns the boot time of the start of a container that ran before the recording, ns.
    pub(crate) fn started_ns(&self, index: u32) -> Option<u64> {
        match self.states.get(index as usize) {
            Some(ContainerStatus::Container { facts, .. }) => facts.started_ns,
            _ => None,
        }
    }

    /// Returns whether two cgroups belong to the same container.
    pub(crate) fn is_same(&self, a: u64, b: u64) -> bool {
        let [a, b] = [a, b].map(|cgroup| self.by_cgroup.get(&cgroup));
        a.is_some() && a == b
    }

    /// Returns the path of the own cgroup of the container to which a cgroup belongs.
    pub(crate) fn path(&self, cgroup: u64) -> Option<&str> {
        match &self.states[*self.by_cgroup.get(&cgroup)? as usize] {
            ContainerStatus::Container { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Returns how the first process of a container has ended.
    pub(crate) fn exit(&self, index: u32) -> Exit {
        self.exits.get(&index).copied().unwrap_or_default()
    }

    /// Returns the number of containers that exist now.
    pub(crate) fn alive(&self) -> usize {
        self.running_containers
    }

    /// Applies a fact.
    pub(crate) fn learn(&mut self, fact: &CgroupFact) -> ContainerChange {
        let index = match (&fact.kind, self.by_cgroup.get(&fact.cgroup)) {
            (CgroupKind::Unknown, _) => return ContainerChange::None,
            (CgroupKind::Removed, None) => return ContainerChange::None,
            (CgroupKind::Removed, Some(&index)) => return self.remove(fact, index),
            (_, Some(&index)) => index,
            // One container may have a cgroup in each of two hierarchies.
            (CgroupKind::Container(facts), None)
                if self.by_container_id.contains_key(&facts.id) =>
            {
                let index = self.by_container_id[&facts.id];
                self.by_cgroup.insert(fact.cgroup, index);
                index
            }
            (_, None) => self.index_unmarked(fact.cgroup),
        };
        if let CgroupKind::Container(facts) = &fact.kind
            && let Some(change) = self.change_of_known(fact.cgroup, facts, index)
        {
            return change;
        }
        if fact.kind == CgroupKind::Excluded
            && let ContainerStatus::Container { facts, .. } = &self.states[index as usize]
        {
            let id = facts.id.clone();
            self.exclude(index, &id);
            return ContainerChange::None;
        }
        let was_excluded = matches!(self.states[index as usize], ContainerStatus::Excluded);
        let index = match &fact.kind {
            CgroupKind::Container(_) if was_excluded => self.include(index),
            _ => index,
        };
        let state = &mut self.states[index as usize];
        *state = match &fact.kind {
            CgroupKind::Host => ContainerStatus::Host,
            CgroupKind::Excluded => ContainerStatus::Excluded,
            CgroupKind::Container(facts) => ContainerStatus::Container {
                facts: Arc::new((**facts).clone()),
                own_cgroup: fact.cgroup,
                path: fact.path.as_str().into(),
            },
            CgroupKind::Undecided if matches!(state, ContainerStatus::Unknown) => {
                ContainerStatus::Undecided { entered_by: None }
            }
            CgroupKind::Undecided | CgroupKind::Unknown | CgroupKind::Removed => {
                return ContainerChange::None;
            }
        };
        let CgroupKind::Container(facts) = &fact.kind else {
            // Nothing is missing of what the filters leave out.
            self.left_out.remove(&index);
            return ContainerChange::None;
        };
        self.by_container_id.insert(facts.id.clone(), index);
        self.used[index as usize] = true;
        self.running_containers += 1;
        match was_excluded {
            true => ContainerChange::Included(index),
            false => ContainerChange::Appeared(index),
        }
    }

    /// Applies facts about a container that is known under this or another index. Returns `None` if it is new.
    fn change_of_known(
        &mut self,
        cgroup: u64,
        facts: &ContainerFacts,
        index: u32,
    ) -> Option<ContainerChange> {
        if let Some(&first_index) = self.by_container_id.get(&facts.id)
            && first_index != index
        {
            // The container was undecided in both hierarchies. Rows with the second index get the same name, unless the filters
            // excluded the container.
            if !matches!(self.states[index as usize], ContainerStatus::Excluded) {
                self.states[index as usize] = ContainerStatus::Container {
                    facts: Arc::new(facts.clone()),
                    own_cgroup: 0,
                    path: "".into(),
                };
            }
            self.by_cgroup.insert(cgroup, first_index);
            if !self.by_cgroup.values().any(|known| *known == index) {
                self.retired.push_back(RetiredIndex { index, batches: 0 });
            }
            return Some(ContainerChange::None);
        }
        let ContainerStatus::Container {
            facts: known,
            own_cgroup,
            path,
        } = &mut self.states[index as usize]
        else {
            return None;
        };
        let renamed = is_renamed(known, facts);
        let facts = facts.clone().completed_by(known);
        // The time of the start is in the row of a container that was found, and in no other.
        let is_same = facts
            == ContainerFacts {
                started_ns: facts.started_ns,
                ..(**known).clone()
            };
        // The runtime may describe a container that has been removed: earlier rows of the batch get the description.
        let is_removed = !self.by_container_id.contains_key(&facts.id);
        if is_same || is_removed {
            *known = Arc::new(facts);
            return Some(ContainerChange::None);
        }
        if renamed {
            let (own_cgroup, path) = (*own_cgroup, path.clone());
            let index = self.rename(index, &facts, own_cgroup, path);
            return Some(ContainerChange::Changed(index));
        }
        *known = Arc::new(facts);
        Some(ContainerChange::Changed(index))
    }

    /// Marks a cgroup as removed. The key is retained for late events and losses; the kernel does not reuse keys.
    fn remove(&mut self, fact: &CgroupFact, index: u32) -> ContainerChange {
        self.removed.push_back(RemovedCgroup {
            cgroup: fact.cgroup,
            removed_ns: fact.boot_ns,
            batches_left: 0,
        });
        let ContainerStatus::Container {
            facts, own_cgroup, ..
        } = &self.states[index as usize]
        else {
            return ContainerChange::None;
        };
        // A cgroup below the own one can be removed while the container continues to run.
        if *own_cgroup != fact.cgroup {
            return ContainerChange::None;
        }
        // A later container may have the same id: its rows must not get this index.
        self.by_container_id.remove(&facts.id);
        self.running_containers = self.running_containers.saturating_sub(1);
        ContainerChange::Removed(index)
    }

    /// Returns the name of each index for the encoder. Cgroups that are still undecided count as the host's.
    pub(crate) fn names(&self) -> Vec<ContainerName> {
        let name = |state: &ContainerStatus| match state {
            ContainerStatus::Host | ContainerStatus::Undecided { .. } => ContainerName {
                name: Some("host".to_string()),
                recorded: self.record_host,
                ..ContainerName::default()
            },
            ContainerStatus::Unknown => ContainerName {
                name: Some("unknown".to_string()),
                recorded: true,
                ..ContainerName::default()
            },
            ContainerStatus::Excluded => ContainerName::default(),
            ContainerStatus::Container { facts, .. } => ContainerName {
                name: Some(facts.display_name()),
                id: Some(escape(facts.id.as_bytes()).into_owned()),
                facts: Some(facts.clone()),
                recorded: true,
            },
        };
        self.states.iter().map(name).collect()
    }

    /// Records that a thread with this comm has been in `cgroup`: see [`Registry::entered_by`].
    pub(crate) fn enter(&mut self, cgroup: u64, comm: &[u8]) {
        let index = if cgroup == 0 {
            0
        } else {
            self.index_unmarked(cgroup)
        };
        if let Some(ContainerStatus::Undecided { entered_by }) = self.states.get_mut(index as usize)
            && entered_by.as_ref().is_none_or(|first| first.is_empty())
        {
            *entered_by = Some(comm.into());
        }
    }

    /// Returns whether any cgroup is undecided and a process has been in it: a decision worth waiting for.
    pub(crate) fn has_undecided(&self) -> bool {
        self.by_cgroup.values().any(|&index| {
            matches!(
                self.states[index as usize],
                ContainerStatus::Undecided {
                    entered_by: Some(_)
                }
            )
        })
    }

    /// Returns the comm of the first thread that has been in the undecided cgroup `cgroup`, which is empty if no thread is
    /// known; `None` if the cgroup is decided, or no process has been in it.
    pub(crate) fn entered_by(&self, cgroup: u64) -> Option<&[u8]> {
        let index = *self.by_cgroup.get(&cgroup)?;
        match &self.states[index as usize] {
            ContainerStatus::Undecided { entered_by } => entered_by.as_deref(),
            _ => None,
        }
    }
}

/// Returns whether the name of a container has changed. An id that stands for an unknown name does not count as a name.
fn is_renamed(known: &ContainerFacts, facts: &ContainerFacts) -> bool {
    known.name.is_some()
        && known.name.as_ref() != Some(&known.id)
        && facts.name.is_some()
        && known.name != facts.name
}

#[cfg(test)]
mod tests;
