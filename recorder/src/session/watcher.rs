//! Watches the machine's cgroups during a recording, and decides which container, if any, owns each of them.
//!
//! The path decides most cgroups at once. For the others, the state that runtimes write after they create a cgroup is
//! read again every 20 ms. A thread asks the runtimes' sockets for names that the state does not contain.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use ctrace_schema::text::escape;

use crate::containers::api::Api;
use crate::containers::cgroups;
use crate::containers::cgroups::Hierarchies;
use crate::containers::classify::{Verdict, classify, creator, first_thread};
use crate::containers::facts::{CgroupFact, CgroupKind, ContainerFacts};
use crate::containers::processes;
use crate::containers::processes::RunningProcess;
use crate::containers::runtime::Runtime;
use crate::containers::state::RuntimeState;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::users::rootless_uid;
use crate::filters::Filters;
use crate::pipeline::CgroupRecord;
use crate::session::claims::Claims;
use crate::session::updates::{DescribedContainer, Updates};
use crate::wire::types::{cgroup_flag, cgroup_key, cgroup_state};

/// The bit that marks a key as that of a cgroup in the v1 hierarchy: `CGROUP_KEY_V1` of `bpf/wire.h`.
const KEY_V1: u64 = 1 << cgroup_key::CGROUP_KEY_V1_BIT.0;
/// The time after which an undecided cgroup that a process has entered counts as the host's. runc writes its state 7 to 12
/// ms after it creates the cgroup. A cgroup that no process has entered may become a container's at any time.
const UNDECIDED_FOR: Duration = Duration::from_secs(10);
/// The time after which a cgroup counts as a container's because a runtime created it, although no state exists. The
/// pipeline holds rows of undecided cgroups for longer.
const CREATOR_AFTER: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(20);
/// The longest time between two searches for the container of a cgroup in a user's slice.
const MAX_RETRY: Duration = Duration::from_millis(500);
/// The number of containers that may wait for a runtime's answer.
const MAX_QUERIES: usize = 1024;

/// A decision about a cgroup, for the kernel side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CgroupVerdict {
    /// The key of the cgroup in the wire format.
    pub(crate) cgroup: u64,
    pub(crate) state: cgroup_state,
}

/// The cgroups that are undecided, and the sources that can decide them.
pub(crate) struct Watcher {
    runtimes: RuntimeState,
    updates: Updates,
    claims: Claims,
    filters: Filters,
    undecided: Vec<Undecided>,
    queries: SyncSender<RuntimeQuery>,
    answers: Receiver<(RuntimeQuery, Option<ContainerInfo>)>,
    /// The verdicts since the last call of [`Watcher::verdicts`].
    verdicts: VecDeque<CgroupVerdict>,
}

/// A query to a runtime's socket about a container.
struct RuntimeQuery {
    boot_ns: u64,
    cgroup: u64,
    path: String,
    /// The facts that are known without an answer.
    known: ContainerFacts,
    hint: Option<Runtime>,
}

struct Undecided {
    cgroup: u64,
    path: String,
    creator: Option<Runtime>,
    /// The boot time in ns at which the cgroup was created.
    boot_ns: u64,
    /// The time since which the cgroup is known.
    since: Instant,
    /// The time since which a process is known to have been in the cgroup.
    entered: Option<Instant>,
    last_try: Instant,
}

impl Undecided {
    /// Returns the time between two searches. A user can make thousands of cgroups, so that those in a user's slice are
    /// searched less and less often.
    fn retry_after(&self) -> Duration {
        match rootless_uid(&self.path) {
            Some(_) => ((self.last_try - self.since) / 2).clamp(RETRY, MAX_RETRY),
            None => RETRY,
        }
    }
}

impl Watcher {
    /// Creates a watcher for this machine, and starts the thread that asks the runtimes' sockets.
    pub(crate) fn new(hierarchies: &Hierarchies, filters: Filters) -> Watcher {
        let (queries, received) = sync_channel::<RuntimeQuery>(MAX_QUERIES);
        let (answer, answers) = channel();
        // The thread ends when the watcher is dropped, because that closes the channel of queries.
        std::thread::spawn(move || {
            let mut api = Api::new(Path::new("/"));
            for query in received {
                let description = api.describe(&query.known.id, query.hint, &query.path);
                if answer.send((query, description)).is_err() {
                    return;
                }
            }
        });
        Watcher {
            runtimes: RuntimeState::new(Path::new("/"), hierarchies),
            updates: Updates::new(),
            claims: Claims::default(),
            filters,
            undecided: vec![],
            queries,
            answers,
            verdicts: VecDeque::new(),
        }
    }

    /// Returns a fact for each existing cgroup, with the boot time `boot_ns`.
    pub(crate) fn scan(&mut self, boot_ns: u64, hierarchies: &Hierarchies) -> Vec<CgroupFact> {
        // Cgroups of users come last, so that the ids of the machine's containers are theirs.
        let cgroups = cgroups::scan(hierarchies);
        let (users, machine): (Vec<_>, Vec<_>) =
            cgroups.partition(|c| rootless_uid(&c.path).is_some());
        let all = machine.into_iter().chain(users);
        all.map(|c| self.decide(boot_ns, c.id | if c.v1 { KEY_V1 } else { 0 }, &c.path, b""))
            .collect()
    }

    /// Returns the facts that follow from a cgroup record. The last fact is about the record itself.
    pub(crate) fn on_cgroup(&mut self, record: &CgroupRecord<'_>) -> Vec<CgroupFact> {
        let cgroup = record.cgroup;
        let path = String::from_utf8_lossy(record.path).into_owned();
        if u32::from(record.head.flags) & cgroup_flag::CGROUP_REMOVED.0 == 0 {
            let fact = self.decide(record.head.time, cgroup, &path, record.comm);
            return vec![fact];
        }
        let last_change = self.updates.forget(&mut self.runtimes, cgroup);
        let last_change = last_change.map(|known| {
            let kind = CgroupKind::Container(Box::new(known.facts));
            self.fact(record.head.time, cgroup, &path, kind)
        });
        self.claims.forget(cgroup);
        let index = self.undecided.iter().position(|u| u.cgroup == cgroup);
        let undecided = index.map(|i| self.undecided.swap_remove(i));
        let by_creator = undecided
            .zip(record.entered_by)
            .and_then(|(u, comm)| self.by_creator(&u, comm));
        let removed = CgroupFact {
            boot_ns: record.head.time,
            cgroup,
            path,
            kind: CgroupKind::Removed,
        };
        let before = by_creator.into_iter().chain(last_change);
        before.chain([removed]).collect()
    }

    /// Decides a cgroup by its creator: a cgroup that a runtime created, or that a runtime entered first, and that a process
    /// entered is a container's. So containers are found even if their state was removed too early or is in an unknown
    /// place (`runc --root`). `entered_by` is the comm of the first thread in the cgroup.
    fn by_creator(&mut self, u: &Undecided, entered_by: &[u8]) -> Option<CgroupFact> {
        let runtime = u.creator.or_else(|| first_thread(entered_by))?;
        let id = u.path.rsplit('/').next()?.to_string();
        let known = ContainerFacts {
            name: Some(escape(id.as_bytes()).into_owned()),
            id,
            ..ContainerFacts::default()
        };
        let known = ContainerFacts {
            runtime: Some(runtime.to_string()),
            ..known
        };
        Some(self.filtered(u.boot_ns, u.cgroup, &u.path, known))
    }

    /// Returns new facts about cgroups that already exist, from answers of the runtimes and from repeated searches.
    /// `entered_by` returns the comm of the first thread in an undecided cgroup; `None` if no process has been in it.
    pub(crate) fn late_facts<'a>(
        &mut self,
        entered_by: impl Fn(u64) -> Option<&'a [u8]>,
    ) -> Vec<CgroupFact> {
        let mut facts = vec![];
        while let Ok((query, description)) = self.answers.try_recv() {
            let RuntimeQuery {
                boot_ns,
                cgroup,
                path,
                known,
                hint,
            } = query;
            let (runtime, known) = match description {
                Some(description) => (
                    Some(description.runtime),
                    description.into_facts().completed_by(&known),
                ),
                None => (hint, known),
            };
            // A container that has been removed meanwhile is not watched any more.
            facts.extend(match self.updates.answered(cgroup, runtime, &known) {
                Some(container) => self.changed(container),
                None => vec![self.filtered(boot_ns, cgroup, &path, known)],
            });
        }
        for changed in self.updates.check(&mut self.runtimes) {
            facts.extend(self.changed(changed));
        }
        let now = Instant::now();
        let (due, waiting) = std::mem::take(&mut self.undecided)
            .into_iter()
            .partition(|u| now - u.last_try >= u.retry_after());
        self.undecided = waiting;
        for u in due {
            let comm = entered_by(u.cgroup);
            facts.extend(self.retry(u, now, comm));
        }
        facts
    }

    /// Returns the verdicts since the last call.
    pub(crate) fn verdicts(&mut self) -> impl Iterator<Item = CgroupVerdict> + '_ {
        self.verdicts.drain(..)
    }

    fn retry(&mut self, u: Undecided, now: Instant, comm: Option<&[u8]>) -> Option<CgroupFact> {
        let u = Undecided {
            entered: u.entered.or(comm.map(|_| now)),
            last_try: now,
            ..u
        };
        if u.entered.is_none() && now - u.since >= UNDECIDED_FOR {
            self.undecided.push(u);
            return None;
        }
        if let Some(owner) = self.runtimes.find_undecided(&u.path) {
            return Some(self.owned(
                u.boot_ns,
                u.cgroup,
                &u.path,
                &owner.id,
                Some(owner.runtime),
                &owner.cgroup,
            ));
        }
        if let (Some(comm), Some(entered)) = (comm, u.entered)
            && now - entered >= CREATOR_AFTER
            && let Some(fact) = self.by_creator(&u, comm)
        {
            return Some(fact);
        }
        if u.entered
            .is_none_or(|entered| now - entered < UNDECIDED_FOR)
        {
            self.undecided.push(u);
            return None;
        }
        Some(self.fact(u.boot_ns, u.cgroup, &u.path, CgroupKind::Host))
    }

    fn decide(&mut self, boot_ns: u64, cgroup: u64, path: &str, comm: &[u8]) -> CgroupFact {
        match classify(path) {
            Verdict::Host => self.fact(boot_ns, cgroup, path, CgroupKind::Host),
            Verdict::Container {
                id,
                runtime_hint,
                cgroup: own,
            } => self.owned(boot_ns, cgroup, path, &id, runtime_hint, &own),
            Verdict::Undecided => match self.runtimes.find_undecided(path) {
                Some(owner) => self.owned(
                    boot_ns,
                    cgroup,
                    path,
                    &owner.id,
                    Some(owner.runtime),
                    &owner.cgroup,
                ),
                None => {
                    let now = Instant::now();
                    self.undecided.push(Undecided {
                        cgroup,
                        path: path.to_string(),
                        creator: creator(comm),
                        boot_ns,
                        since: now,
                        entered: None,
                        last_try: now,
                    });
                    self.fact(boot_ns, cgroup, path, CgroupKind::Undecided)
                }
            },
        }
    }

    /// Decides a cgroup that belongs to the container `id`, whose own cgroup is at `own`.
    fn owned(
        &mut self,
        boot_ns: u64,
        cgroup: u64,
        path: &str,
        id: &str,
        hint: Option<Runtime>,
        own: &str,
    ) -> CgroupFact {
        if !self.claims.is_owner(id, hint, own, (cgroup, path)) {
            // Recorded by its path: neither under the name of another container, nor as nothing.
            let own = escape(own.as_bytes()).into_owned();
            let known = ContainerFacts {
                id: own.clone(),
                name: Some(own),
                ..ContainerFacts::default()
            };
            return self.filtered(boot_ns, cgroup, path, known);
        }
        let description = self.runtimes.describe(id, hint, own);
        let complete = description.as_ref().is_some_and(|d| d.complete);
        let runtime = description.as_ref().map(|d| d.runtime).or(hint);
        let mut known = match description {
            Some(description) => description.into_facts(),
            None => ContainerFacts {
                id: id.to_string(),
                runtime: hint.map(|h| h.to_string()),
                ..ContainerFacts::default()
            },
        };
        if path != own {
            let decided = match self.updates.add_child(id, cgroup, path) {
                Some(container) => {
                    known = known.completed_by(&container.facts);
                    container.decided
                }
                None => complete,
            };
            return self.described(boot_ns, cgroup, path, (known, decided));
        }
        // Of a container that has just been created, these find no process.
        known.started_ns = self.runtimes.started_ns(own);
        known.addresses = known.addresses.or_else(|| self.runtimes.addresses(own));
        // If a runtime has not answered `MAX_QUERIES` queries, its containers are recorded with the known facts.
        let decided = complete || !self.ask(boot_ns, cgroup, path, &known, hint);
        let container = DescribedContainer::new(
            (cgroup, boot_ns, path),
            runtime,
            known.clone(),
            decided,
            &self.runtimes,
        );
        self.updates.watch(container);
        self.described(boot_ns, cgroup, path, (known, decided))
    }

    /// Asks the runtime's socket about a container. Returns false if too many queries wait for an answer.
    fn ask(
        &mut self,
        boot_ns: u64,
        cgroup: u64,
        path: &str,
        known: &ContainerFacts,
        hint: Option<Runtime>,
    ) -> bool {
        let query = RuntimeQuery {
            boot_ns,
            cgroup,
            path: path.to_string(),
            known: known.clone(),
            hint,
        };
        self.queries.try_send(query).is_ok()
    }

    /// Applies the filters to the new description of a container, with all of its cgroups.
    fn changed(&mut self, changed: DescribedContainer) -> Vec<CgroupFact> {
        let DescribedContainer {
            cgroup,
            path,
            boot_ns,
            children,
            facts,
            ..
        } = changed;
        let all = [(cgroup, path)].into_iter().chain(children);
        all.map(|(cgroup, path)| self.filtered(boot_ns, cgroup, &path, facts.clone()))
            .collect()
    }

    /// Applies the filters to a container, with its name or without.
    fn filtered(
        &mut self,
        boot_ns: u64,
        cgroup: u64,
        path: &str,
        known: ContainerFacts,
    ) -> CgroupFact {
        let wanted = self.filters.wants_container(&known);
        let kind = if wanted {
            CgroupKind::Container(Box::new(known))
        } else {
            CgroupKind::Excluded
        };
        self.fact(boot_ns, cgroup, path, kind)
    }

    /// Applies the filters to a container. If they need facts that are not known, the cgroup stays undecided until the
    /// runtime's socket has answered; `decided`: no answer will come.
    fn described(
        &mut self,
        boot_ns: u64,
        cgroup: u64,
        path: &str,
        (known, decided): (ContainerFacts, bool),
    ) -> CgroupFact {
        if !decided && self.filters.needs_answer(&known) {
            return self.fact(boot_ns, cgroup, path, CgroupKind::Undecided);
        }
        self.filtered(boot_ns, cgroup, path, known)
    }

    /// Reads the processes of the containers that are recorded. Returns each with the key of its cgroup.
    pub(crate) fn processes(&self) -> Vec<(u64, RunningProcess)> {
        let containers = self.updates.containers();
        let recorded = containers.filter(|c| self.filters.wants_container(&c.facts));
        let cgroups = recorded.flat_map(|c| {
            let own = (c.cgroup, c.path.as_str());
            let children = c.children.iter().map(|(cgroup, path)| (*cgroup, &**path));
            [own].into_iter().chain(children)
        });
        let root = Path::new("/");
        let mut found = BTreeMap::new();
        for (cgroup, path) in cgroups {
            for pid in self.runtimes.pids(path) {
                // A process is in a cgroup of each hierarchy.
                if !found.contains_key(&pid)
                    && let Some(process) = processes::read(root, pid)
                {
                    found.insert(pid, (cgroup, process));
                }
            }
        }
        found.into_values().collect()
    }

    /// Returns a warning for each filter that matches no container that runs now.
    pub(crate) fn unmatched_filters(&self) -> Vec<String> {
        let containers = self.updates.containers();
        self.filters.unmatched(containers.map(|c| &c.facts))
    }

    fn fact(&mut self, boot_ns: u64, cgroup: u64, path: &str, kind: CgroupKind) -> CgroupFact {
        let state = match &kind {
            CgroupKind::Host => cgroup_state::CGROUP_HOST,
            CgroupKind::Excluded => cgroup_state::CGROUP_EXCLUDED,
            CgroupKind::Container(_) => cgroup_state::CGROUP_CONTAINER,
            CgroupKind::Undecided | CgroupKind::Removed => cgroup_state::CGROUP_UNDECIDED,
        };
        self.verdicts.push_back(CgroupVerdict { cgroup, state });
        CgroupFact {
            boot_ns,
            cgroup,
            path: path.to_string(),
            kind,
        }
    }
}
