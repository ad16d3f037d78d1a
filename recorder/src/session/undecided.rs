//! Cgroups for which the watcher still looks for a container.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::containers::runtime::Runtime;
use crate::containers::state::users::rootless_uid;

const RETRY: Duration = Duration::from_millis(20);
/// The longest time between two searches for the container of a cgroup in a user's slice.
const MAX_RETRY: Duration = Duration::from_millis(500);
/// The number of foreign cgroups that may be undecided. Of more it stays unknown whose they are.
const MAX_FOREIGN: usize = 65_536;
/// The number of foreign cgroups that are looked at in a row.
pub(super) const FOREIGN_LOOKS: usize = 256;
/// The time that searches for their containers may take in a row.
const FOREIGN_TIME: Duration = Duration::from_millis(1);

pub(super) struct Undecided {
    pub(super) cgroup: u64,
    pub(super) path: String,
    pub(super) creator: Option<Runtime>,
    /// The boot time in ns at which the cgroup was created.
    pub(super) boot_ns: u64,
    /// True if the cgroup was made by another user than root, or by a container.
    pub(super) is_foreign: bool,
    /// The time since which the cgroup is known.
    pub(super) since: Instant,
    /// The time since which a process is known to have been in the cgroup.
    pub(super) entered: Option<Instant>,
    pub(super) last_try: Instant,
}

impl Undecided {
    /// Returns the time between two searches. A user can make thousands of cgroups, so that those in a user's slice are
    /// searched less and less often.
    fn retry_after(&self) -> Duration {
        match self.is_foreign || rootless_uid(&self.path).is_some() {
            true => ((self.last_try - self.since) / 2).clamp(RETRY, MAX_RETRY),
            false => RETRY,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        now - self.last_try >= self.retry_after()
    }
}

/// The undecided cgroups: those of the machine, and the foreign ones, which others than root can make in any number.
#[derive(Default)]
pub(super) struct UndecidedCgroups {
    machine: Vec<Undecided>,
    foreign: FxHashMap<u64, Undecided>,
    /// The keys of `foreign` in the order in which they are looked at next. Keys of removed cgroups may remain.
    turns: VecDeque<u64>,
}

impl UndecidedCgroups {
    /// Returns whether there is room for another foreign cgroup.
    pub(super) fn has_room(&self) -> bool {
        self.foreign.len() < MAX_FOREIGN && self.turns.len() < 2 * MAX_FOREIGN
    }

    pub(super) fn push(&mut self, undecided: Undecided) {
        if !undecided.is_foreign {
            self.machine.push(undecided);
            return;
        }
        self.turns.push_back(undecided.cgroup);
        self.foreign.insert(undecided.cgroup, undecided);
    }

    pub(super) fn remove(&mut self, cgroup: u64) -> Option<Undecided> {
        self.foreign.remove(&cgroup).or_else(|| {
            let index = self.machine.iter().position(|u| u.cgroup == cgroup)?;
            Some(self.machine.swap_remove(index))
        })
    }

    /// Removes and returns the cgroups of the machine whose container is to be searched now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Undecided> {
        let (due, waiting) = std::mem::take(&mut self.machine)
            .into_iter()
            .partition(|u| u.is_due(now));
        self.machine = waiting;
        due
    }

    /// Removes and returns a foreign cgroup that a process has entered (`is_entered`) and whose container is to be searched
    /// now. `looks` is the number of cgroups that may still be looked at.
    pub(super) fn next_foreign(
        &mut self,
        now: Instant,
        is_entered: impl Fn(u64) -> bool,
        looks: &mut usize,
    ) -> Option<Undecided> {
        *looks = (*looks).min(self.turns.len());
        while *looks > 0 && now.elapsed() < FOREIGN_TIME {
            *looks -= 1;
            let cgroup = self.turns.pop_front()?;
            let Some(undecided) = self.foreign.remove(&cgroup) else {
                continue;
            };
            if undecided.is_due(now) && is_entered(cgroup) {
                return Some(undecided);
            }
            self.push(undecided);
        }
        None
    }
}
