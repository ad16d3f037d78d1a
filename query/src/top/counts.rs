//! Counts of containers, processes and calls: in total, and in the last seconds. Nothing here reads or draws.

use std::collections::{BTreeMap, VecDeque};

/// The length of the recent past that rates are of, s.
pub(crate) const RECENT_SECONDS: i64 = 10;
/// The length of the past that decides about the order of rows, s: a row that falls quiet stays in sight as long.
const KEPT_SECONDS: i64 = 60;
/// The most calls of processes that are told apart. Beyond that, those of the processes that were seen first are forgotten; the
/// totals of their containers stay.
const MAX_CALLS: usize = 100_000;

pub(crate) const SECOND_NS: i64 = 1_000_000_000;

/// Sums over some calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) bytes: u64,
    /// The number of calls that do not wait by their nature, such as poll(2), and returned.
    pub(crate) timed: u64,
    /// The duration of these, and of the slowest, ns.
    pub(crate) took_ns: u64,
    pub(crate) slowest_ns: u64,
}

impl Sums {
    fn add(&mut self, more: &Sums) {
        self.calls = self.calls.saturating_add(more.calls);
        self.errors = self.errors.saturating_add(more.errors);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.timed = self.timed.saturating_add(more.timed);
        self.took_ns = self.took_ns.saturating_add(more.took_ns);
        self.slowest_ns = self.slowest_ns.max(more.slowest_ns);
    }

    /// Returns the mean duration of the calls that do not wait, ns.
    pub(crate) fn mean_ns(&self) -> Option<u64> {
        self.took_ns.checked_div(self.timed)
    }
}

/// Sums in total, and of each of the last seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity {
    pub(crate) total: Sums,
    /// The second since 1970, and the sums of the calls that began in it; the latest one last.
    seconds: VecDeque<(i64, Sums)>,
    /// The start of the last call, ns since 1970 UTC.
    pub(crate) last_ns: i64,
}

impl Activity {
    fn add(&mut self, counted: &Counted, now_ns: i64) {
        self.total.add(&counted.sums);
        self.last_ns = self.last_ns.max(counted.last_ns);
        if let Some(second) = counted.second {
            let at = self.seconds.partition_point(|(other, _)| *other < second);
            match self.seconds.get_mut(at) {
                Some((other, sums)) if *other == second => sums.add(&counted.sums),
                _ => self.seconds.insert(at, (second, counted.sums)),
            }
        }
        let first = now_ns.div_euclid(SECOND_NS) - KEPT_SECONDS;
        while self
            .seconds
            .front()
            .is_some_and(|(second, _)| *second < first)
        {
            self.seconds.pop_front();
        }
    }

    fn of_last(&self, seconds: i64, now_ns: i64) -> Sums {
        let now = now_ns.div_euclid(SECOND_NS);
        let mut sums = Sums::default();
        let recent = |(second, _): &&(i64, Sums)| *second > now - seconds && *second <= now;
        self.seconds
            .iter()
            .filter(recent)
            .for_each(|(_, more)| sums.add(more));
        sums
    }

    /// Returns the sums of the last [`RECENT_SECONDS`].
    pub(crate) fn recent(&self, now_ns: i64) -> Sums {
        self.of_last(RECENT_SECONDS, now_ns)
    }

    /// Returns the sums of the time that decides about the order.
    pub(crate) fn kept(&self, now_ns: i64) -> Sums {
        self.of_last(KEPT_SECONDS, now_ns)
    }
}

/// A container: its host, and its id or, without one, its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContainerKey {
    pub(crate) host: String,
    pub(crate) id: String,
}

/// Calls that were counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) container: ContainerKey,
    pub(crate) name: String,
    pub(crate) pid: Option<i64>,
    pub(crate) comm: String,
    pub(crate) call: String,
    /// The second since 1970 in which they began; `None`: before the recent past.
    pub(crate) second: Option<i64>,
    pub(crate) sums: Sums,
    /// The start of the last one, ns since 1970 UTC.
    pub(crate) last_ns: i64,
}

/// Something that happened and is worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) container: ContainerKey,
    pub(crate) name: String,
    /// ns since 1970 UTC.
    pub(crate) time_ns: i64,
    pub(crate) text: String,
    pub(crate) is_failure: bool,
}

/// A row about the life of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) container: ContainerKey,
    pub(crate) name: String,
    pub(crate) image: Option<String>,
    pub(crate) time_ns: i64,
    pub(crate) is_end: bool,
}

/// The counts of a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: Option<String>,
    pub(crate) activity: Activity,
    pub(crate) happening: Option<Happening>,
    /// When the container stopped, if it has not started again.
    pub(crate) stopped_ns: Option<i64>,
    pub(crate) processes: BTreeMap<i64, Process>,
}

/// The counts of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) comm: String,
    pub(crate) activity: Activity,
    pub(crate) calls: BTreeMap<String, Activity>,
}

/// The counts between two steps of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) counted: Vec<Counted>,
    pub(crate) happenings: Vec<Happening>,
    pub(crate) lives: Vec<Life>,
    /// The number of lost events.
    pub(crate) lost: u64,
    /// The time that is reached, ns since 1970 UTC.
    pub(crate) now_ns: i64,
    /// True if nothing follows.
    pub(crate) is_last: bool,
}

/// All containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) containers: BTreeMap<ContainerKey, Container>,
    pub(crate) now_ns: i64,
    pub(crate) lost: u64,
    /// The number of calls of processes that are told apart.
    calls: usize,
}

impl Counts {
    /// Adds what happened since the last step.
    pub(crate) fn add(&mut self, step: &Step) {
        self.now_ns = self.now_ns.max(step.now_ns);
        self.lost = self.lost.saturating_add(step.lost);
        for counted in &step.counted {
            self.count(counted);
        }
        for happening in &step.happenings {
            let container = self.container(&happening.container, &happening.name);
            let is_newer = |last: &Happening| last.time_ns <= happening.time_ns;
            if container.happening.as_ref().is_none_or(is_newer) {
                container.happening = Some(happening.clone());
            }
        }
        for life in &step.lives {
            let container = self.container(&life.container, &life.name);
            container.stopped_ns = life.is_end.then_some(life.time_ns);
            if life.image.is_some() {
                container.image.clone_from(&life.image);
            }
        }
        self.forget();
    }

    fn container(&mut self, key: &ContainerKey, name: &str) -> &mut Container {
        let container = self.containers.entry(key.clone()).or_default();
        if container.name != name {
            name.clone_into(&mut container.name);
        }
        container
    }

    fn count(&mut self, counted: &Counted) {
        let now = self.now_ns;
        let container = self.container(&counted.container, &counted.name);
        container.activity.add(counted, now);
        let Some(pid) = counted.pid else {
            return;
        };
        let process = container.processes.entry(pid).or_default();
        if counted.last_ns >= process.activity.last_ns {
            process.comm.clone_from(&counted.comm);
        }
        process.activity.add(counted, now);
        let before = process.calls.len();
        let call = process.calls.entry(counted.call.clone()).or_default();
        call.add(counted, now);
        self.calls += process.calls.len() - before;
    }

    /// Forgets the processes that have been quiet for longest, if there are too many.
    fn forget(&mut self) {
        if self.calls <= MAX_CALLS {
            return;
        }
        let mut ages: Vec<_> = self
            .containers
            .iter()
            .flat_map(|(key, container)| {
                let processes = container.processes.iter();
                processes.map(move |(pid, process)| (process.activity.last_ns, key.clone(), *pid))
            })
            .collect();
        ages.sort_unstable();
        for (_, key, pid) in ages {
            if self.calls <= MAX_CALLS / 2 {
                break;
            }
            let container = self.containers.get_mut(&key);
            if let Some(process) = container.and_then(|c| c.processes.remove(&pid)) {
                self.calls -= process.calls.len();
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    pub(in crate::top) fn counted(
        id: &str,
        pid: i64,
        call: &str,
        second: i64,
        calls: u64,
    ) -> Counted {
        Counted {
            container: ContainerKey {
                host: "node1".into(),
                id: id.into(),
            },
            name: id.into(),
            pid: Some(pid),
            comm: format!("p{pid}"),
            call: call.into(),
            second: Some(second),
            sums: Sums {
                calls,
                errors: calls / 10,
                bytes: calls * 100,
                timed: calls,
                took_ns: calls * 1000,
                slowest_ns: 5000,
            },
            last_ns: second * SECOND_NS,
        }
    }

    pub(in crate::top) fn step(now: i64, counted: Vec<Counted>) -> Step {
        Step {
            counted,
            now_ns: now * SECOND_NS,
            ..Step::default()
        }
    }

    #[test]
    fn totals_grow_and_the_recent_past_passes() {
        let mut counts = Counts::default();
        counts.add(&step(
            100,
            vec![
                counted("web", 1, "read", 100, 20),
                counted("web", 2, "write", 95, 10),
            ],
        ));
        let web = counts.containers.values().next().unwrap();
        assert_eq!(web.activity.total.calls, 30);
        assert_eq!(web.activity.recent(counts.now_ns).calls, 30);
        assert_eq!(web.activity.total.mean_ns(), Some(1000));
        assert_eq!(web.processes[&2].calls["write"].total.bytes, 1000);
        counts.add(&step(106, vec![]));
        let web = counts.containers.values().next().unwrap();
        assert_eq!(web.activity.recent(counts.now_ns).calls, 20);
        counts.add(&step(140, vec![]));
        let web = counts.containers.values().next().unwrap();
        assert_eq!(web.activity.recent(counts.now_ns), Sums::default());
        // The row is still in sight.
        assert_eq!(web.activity.kept(counts.now_ns).calls, 30);
        assert_eq!(web.activity.total.calls, 30);
    }

    #[test]
    fn the_last_happening_and_the_end_are_known() {
        let mut counts = Counts::default();
        let key = counted("web", 1, "read", 0, 1).container;
        let happening = |time_ns: i64, text: &str| Happening {
            container: key.clone(),
            name: "web".into(),
            time_ns,
            text: text.into(),
            is_failure: true,
        };
        let life = |time_ns: i64, is_end: bool| Life {
            container: key.clone(),
            name: "web".into(),
            image: Some("nginx".into()),
            time_ns,
            is_end,
        };
        counts.add(&Step {
            happenings: vec![happening(5, "new"), happening(3, "old")],
            lives: vec![life(1, false), life(9, true)],
            ..Step::default()
        });
        let web = &counts.containers[&key];
        assert_eq!(web.happening.as_ref().unwrap().text, "new");
        assert_eq!(web.stopped_ns, Some(9));
        counts.add(&Step {
            lives: vec![life(10, false)],
            ..Step::default()
        });
        assert_eq!(counts.containers[&key].stopped_ns, None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut counts = Counts::default();
        let processes = (0..MAX_CALLS as i64 + 10).map(|pid| counted("web", pid, "read", pid, 1));
        counts.add(&step(0, processes.collect()));
        let web = counts.containers.values().next().unwrap();
        assert_eq!(web.processes.len(), MAX_CALLS / 2);
        assert_eq!(web.activity.total.calls, MAX_CALLS as u64 + 10);
        // Those that were active last stay.
        assert!(web.processes.contains_key(&(MAX_CALLS as i64 + 9)));
    }
}
