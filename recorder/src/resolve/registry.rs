//! The containers of a recording: what is known of each, from facts that arrive when they can.
//!
//! Rows refer to a container by its index here and take its name when their batch is encoded, so a name that is
//! learnt late still reaches them.

use std::collections::VecDeque;

use ctrace_schema::text::escape;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::containers::facts::{CgroupFact, CgroupKind, ContainerFacts};
use crate::rows::batch::{ContainerName, NONE};

#[derive(Clone, Debug)]
enum ContainerStatus {
    Host,
    /// Whether a process has been in it.
    Undecided(bool),
    Excluded,
    /// What is known of it, and its own cgroup.
    Container(Box<ContainerFacts>, u64),
}

/// What changed for the recording by a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerChange {
    /// Nothing that a row tells.
    None,
    /// A container is there that was not: its index.
    Appeared(u32),
    /// A container is gone: its index.
    Gone(u32),
}

/// For how long what is known of a cgroup that is gone is kept for events and losses that come late, ns.
const LATE: u64 = 60_000_000_000;
/// And for how many batches after that: one that is held, and those in the encoder, refer to it still.
const BATCHES: u8 = 4;

/// A cgroup that is gone.
#[derive(Debug)]
struct Gone {
    cgroup: u64,
    /// When, boot time.
    boot: u64,
    /// Batches that ended after it was late.
    batches: u8,
}

/// Containers by index.
#[derive(Debug)]
pub struct Registry {
    states: Vec<ContainerStatus>,
    /// By index, whether rows refer to it.
    used: Vec<bool>,
    by_cgroup: FxHashMap<u64, u32>,
    by_id: FxHashMap<String, u32>,
    /// Those that went first come first.
    gone: VecDeque<Gone>,
    /// Indices that nobody refers to.
    free: Vec<u32>,
    /// Events of cgroups in doubt, by index, that were left out: nobody could wait any longer for what these are.
    left_out: FxHashMap<u32, u64>,
    record_host: bool,
    alive: usize,
}

impl Registry {
    /// Only the host, which has index 0 and is kept if `record_host`.
    pub fn new(record_host: bool) -> Registry {
        Registry {
            states: vec![ContainerStatus::Host],
            used: vec![true],
            by_cgroup: FxHashMap::default(),
            by_id: FxHashMap::default(),
            gone: VecDeque::new(),
            free: vec![],
            left_out: FxHashMap::default(),
            record_host,
            alive: 0,
        }
    }

    /// The index that rows of `cgroup` (0: the host) refer to.
    pub fn index(&mut self, cgroup: u64) -> u32 {
        if cgroup == 0 {
            return 0;
        }
        let index = self.place(cgroup);
        self.used[index as usize] = true;
        index
    }

    /// The index of `cgroup`, to which no row refers yet.
    fn place(&mut self, cgroup: u64) -> u32 {
        *self.by_cgroup.entry(cgroup).or_insert_with(|| {
            let index = self.free.pop().unwrap_or(self.states.len() as u32);
            if index as usize == self.states.len() {
                self.states.push(ContainerStatus::Undecided(false));
                self.used.push(false);
            }
            index
        })
    }

    /// Forgets cgroups that went long before `now` (boot time, ns), and returns the indices that are given to others from
    /// now on. `batch_ended`: since the last time.
    pub fn forget(&mut self, now: u64, batch_ended: bool) -> Vec<u32> {
        let late = self
            .gone
            .iter_mut()
            .take_while(|gone| gone.boot.saturating_add(LATE) < now);
        let mut forgotten = vec![];
        for gone in late {
            gone.batches += u8::from(batch_ended);
            let index = self.by_cgroup.get(&gone.cgroup).copied();
            let used = index.is_some_and(|index| self.used[index as usize]);
            if used && gone.batches <= BATCHES {
                continue;
            }
            forgotten.extend(index);
            self.by_cgroup.remove(&gone.cgroup);
        }
        let by_cgroup = &self.by_cgroup;
        self.gone
            .retain(|gone| by_cgroup.contains_key(&gone.cgroup));
        if !forgotten.is_empty() {
            // A container may have had another cgroup, which is there yet.
            let kept: FxHashSet<u32> = self.by_cgroup.values().copied().collect();
            forgotten.retain(|index| !kept.contains(index));
            forgotten.sort_unstable();
            forgotten.dedup();
        }
        for &index in &forgotten {
            self.states[index as usize] = ContainerStatus::Undecided(false);
            self.used[index as usize] = false;
            self.left_out.remove(&index);
        }
        self.free.extend(&forgotten);
        forgotten
    }

    /// The index that gap rows of `cgroup` refer to. 0 is the host's only where the host is recorded: else these are
    /// events of containers that could not be told apart, and their row has no container.
    pub fn index_of_lost(&mut self, cgroup: u64) -> u32 {
        // A process has lost them. Of what nobody has told of, nobody will.
        if self.by_cgroup.contains_key(&cgroup) {
            self.enter(cgroup);
        }
        if cgroup == 0 && !self.record_host {
            NONE
        } else {
            self.index(cgroup)
        }
    }

    /// Events of the container `index` are handed on now. If it is not known what it is, they are taken for the host's.
    pub fn hand_on(&mut self, index: u32, events: u64) {
        let doubtful = matches!(
            self.states.get(index as usize),
            Some(ContainerStatus::Undecided(_))
        );
        if doubtful && !self.record_host {
            let left_out = self.left_out.entry(index).or_default();
            *left_out = left_out.saturating_add(events);
        }
    }

    /// How many events of `cgroup` were left out, of which it is told now that it is a container's.
    pub fn take_left_out(&mut self, cgroup: u64) -> u64 {
        let index = self.by_cgroup.get(&cgroup);
        let events = index.and_then(|index| self.left_out.remove(index));
        events.unwrap_or(0)
    }

    /// Containers that are there now.
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// The description for a row about the container `index`.
    pub fn describe(&self, index: u32) -> ContainerFacts {
        match self.states.get(index as usize) {
            Some(ContainerStatus::Container(known, _)) => (**known).clone(),
            _ => ContainerFacts::default(),
        }
    }

    /// Takes a fact in.
    pub fn learn(&mut self, fact: &CgroupFact) -> ContainerChange {
        let index = match (&fact.kind, self.by_cgroup.get(&fact.cgroup)) {
            (CgroupKind::Removed, None) => return ContainerChange::None,
            (CgroupKind::Removed, Some(&index)) => return self.remove(fact, index),
            (_, Some(&index)) => index,
            // The same container may have a cgroup in each of two hierarchies.
            (CgroupKind::Container(known), None) if self.by_id.contains_key(&known.id) => {
                let index = self.by_id[&known.id];
                self.by_cgroup.insert(fact.cgroup, index);
                index
            }
            (_, None) => self.place(fact.cgroup),
        };
        if let CgroupKind::Container(known) = &fact.kind
            && let Some(&same) = self.by_id.get(&known.id)
            && same != index
        {
            // It was undecided in both: rows that refer to the second take the first's name.
            self.states[index as usize] = ContainerStatus::Container(known.clone(), 0);
            self.by_cgroup.insert(fact.cgroup, same);
            return ContainerChange::None;
        }
        let state = &mut self.states[index as usize];
        let own = match state {
            ContainerStatus::Container(_, own) => Some(*own),
            _ => None,
        };
        *state = match &fact.kind {
            CgroupKind::Host => ContainerStatus::Host,
            CgroupKind::Excluded => ContainerStatus::Excluded,
            CgroupKind::Container(known) => {
                ContainerStatus::Container(known.clone(), own.unwrap_or(fact.cgroup))
            }
            CgroupKind::Undecided | CgroupKind::Removed => return ContainerChange::None,
        };
        let CgroupKind::Container(known) = &fact.kind else {
            return ContainerChange::None;
        };
        if own.is_some() {
            return ContainerChange::None;
        }
        self.by_id.insert(known.id.clone(), index);
        self.used[index as usize] = true;
        self.alive += 1;
        ContainerChange::Appeared(index)
    }

    /// The key stays for a while: events and losses of the cgroup may come after it, and the kernel uses no key twice.
    fn remove(&mut self, fact: &CgroupFact, index: u32) -> ContainerChange {
        let (cgroup, boot) = (fact.cgroup, fact.boot);
        let gone = Gone {
            cgroup,
            boot,
            batches: 0,
        };
        self.gone.push_back(gone);
        let ContainerStatus::Container(known, own) = &self.states[index as usize] else {
            return ContainerChange::None;
        };
        // A cgroup below the container's own may go while it runs on.
        if *own != cgroup {
            return ContainerChange::None;
        }
        // The id may come again, with another container: its rows must not get this one's index.
        self.by_id.remove(&known.id);
        self.alive = self.alive.saturating_sub(1);
        ContainerChange::Gone(index)
    }

    /// What the encoder needs, by index. What is undecided to the end counts as the host's.
    pub fn names(&self) -> Vec<ContainerName> {
        let name = |state: &ContainerStatus| match state {
            ContainerStatus::Host | ContainerStatus::Undecided(_) => ContainerName {
                name: Some("host".to_string()),
                id: None,
                recorded: self.record_host,
            },
            ContainerStatus::Excluded => ContainerName::default(),
            ContainerStatus::Container(known, _) => ContainerName {
                name: Some(known.display_name()),
                id: Some(escape(known.id.as_bytes()).into_owned()),
                recorded: true,
            },
        };
        self.states.iter().map(name).collect()
    }

    /// A process is in `cgroup`: see [`Registry::is_entered`].
    pub fn enter(&mut self, cgroup: u64) {
        let index = if cgroup == 0 { 0 } else { self.place(cgroup) };
        if let Some(ContainerStatus::Undecided(entered)) = self.states.get_mut(index as usize) {
            *entered = true;
        }
    }

    /// Whether there is a cgroup that is undecided, and a process has been in it.
    pub fn in_doubt(&self) -> bool {
        self.by_cgroup.values().any(|&index| {
            matches!(
                self.states[index as usize],
                ContainerStatus::Undecided(true)
            )
        })
    }

    /// Whether `cgroup` is undecided, and a process has been in it.
    pub fn is_entered(&self, cgroup: u64) -> bool {
        let state = self
            .by_cgroup
            .get(&cgroup)
            .map(|&index| &self.states[index as usize]);
        matches!(state, Some(ContainerStatus::Undecided(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(cgroup: u64, id: &str, name: Option<&str>) -> CgroupFact {
        let known = ContainerFacts {
            id: id.into(),
            name: name.map(Into::into),
            ..ContainerFacts::default()
        };
        CgroupFact {
            boot: 0,
            cgroup,
            path: format!("/{id}"),
            kind: CgroupKind::Container(Box::new(known)),
        }
    }

    #[test]
    fn a_late_name_reaches_earlier_rows() {
        let mut r = Registry::new(false);
        let row = r.index(5);
        assert!(!r.is_entered(5));
        r.enter(5);
        assert!(r.is_entered(5));
        assert_eq!(
            r.learn(&container(5, "abc", None)),
            ContainerChange::Appeared(row)
        );
        assert_eq!(r.names()[row as usize].name.as_deref(), Some("abc"));
        assert_eq!(
            r.learn(&container(5, "abc", Some("web"))),
            ContainerChange::None
        );
        assert_eq!(r.names()[row as usize].name.as_deref(), Some("web"));
    }

    #[test]
    fn what_was_handed_on_too_early_is_counted_when_it_is_known() {
        let mut r = Registry::new(false);
        let row = r.index(5);
        r.hand_on(row, 7);
        r.hand_on(0, 9);
        assert_eq!(
            r.learn(&container(5, "abc", None)),
            ContainerChange::Appeared(row)
        );
        r.hand_on(row, 100);
        assert_eq!([5, 5, 6].map(|cgroup| r.take_left_out(cgroup)), [7, 0, 0]);
    }

    #[test]
    fn undecided_in_two_hierarchies_is_one_container() {
        let mut r = Registry::new(false);
        let (first, second) = (r.index(5), r.index(6));
        assert_eq!(
            r.learn(&container(5, "abc", None)),
            ContainerChange::Appeared(first)
        );
        assert_eq!(r.learn(&container(6, "abc", None)), ContainerChange::None);
        assert_eq!(r.names()[first as usize], r.names()[second as usize]);
        assert_eq!(r.index(6), first);
    }

    #[test]
    fn what_is_gone_is_forgotten_and_its_place_is_another_s() {
        let mut r = Registry::new(false);
        let gone = |cgroup: u64| CgroupFact {
            boot: cgroup,
            cgroup,
            path: String::new(),
            kind: CgroupKind::Removed,
        };
        let batch_ends = |r: &mut Registry, cgroup| r.forget(cgroup + LATE, true);
        for cgroup in 1..10_000 {
            r.learn(&container(cgroup, &format!("c{cgroup}"), Some("name")));
            let index = r.index(cgroup);
            r.learn(&gone(cgroup));
            // Rows that came before, and their batch, find their name.
            assert_eq!(r.index(cgroup), index);
            let id = format!("c{cgroup}");
            assert_eq!(r.names()[index as usize].id.as_deref(), Some(&*id));
            batch_ends(&mut r, cgroup);
        }
        assert!(r.states.len() < 20, "{}", r.states.len());
        assert!(r.by_cgroup.len() < 20 && r.gone.len() < 20 && r.by_id.is_empty());
        // Cgroups of which no row tells are not kept for batches.
        let host = |cgroup| CgroupFact {
            kind: CgroupKind::Host,
            ..gone(cgroup)
        };
        for cgroup in 10_000..20_000 {
            r.learn(&host(cgroup));
            r.learn(&gone(cgroup));
        }
        batch_ends(&mut r, 20_000);
        assert!(r.by_cgroup.len() < 20 && r.gone.len() < 20);
    }

    #[test]
    fn two_hierarchies_are_one_container_and_an_id_that_comes_again_is_another() {
        let mut r = Registry::new(false);
        let ContainerChange::Appeared(first) = r.learn(&container(5, "abc", None)) else {
            panic!("is new")
        };
        assert_eq!(r.learn(&container(6, "abc", None)), ContainerChange::None);
        assert_eq!(r.index(6), first);
        let gone = |cgroup| CgroupFact {
            boot: 0,
            cgroup,
            path: String::new(),
            kind: CgroupKind::Removed,
        };
        assert_eq!(r.learn(&gone(5)), ContainerChange::Gone(first));
        assert_eq!(r.learn(&gone(6)), ContainerChange::None);
        let ContainerChange::Appeared(second) = r.learn(&container(7, "abc", None)) else {
            panic!("is new")
        };
        assert_ne!(first, second);
        assert_eq!(r.alive(), 1);
    }
}
