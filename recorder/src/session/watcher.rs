//! Watches the machine's cgroups during a recording, and decides which container, if any, owns each of them.
//!
//! The path decides most cgroups at once. For the others, the state that runtimes write after they create a cgroup is
//! read again every 20 ms. A thread asks the runtimes' sockets for names that the state does not contain.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ctrace_schema::text::{escape, unescape};
use rustc_hash::FxHashSet;

use crate::containers::cgroups;
use crate::containers::cgroups::Hierarchies;
use crate::containers::classify::{Verdict, classify, creator, first_thread};
use crate::containers::facts::{CgroupFact, CgroupKind, ContainerFacts};
use crate::containers::namespaces;
use crate::containers::processes;
use crate::containers::processes::RunningProcess;
use crate::containers::runtime::Runtime;
use crate::containers::state::RuntimeState;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::users::rootless_uid;
use crate::filters::Filters;
use crate::kernel::slots::{CgroupVerdict, Decision};
use crate::pipeline::CgroupRecord;
use crate::records::note::FactSource;
use crate::session::claims::Claims;
use crate::session::queries::{RuntimeQueries, RuntimeQuery};
use crate::session::undecided::{FOREIGN_LOOKS, Undecided, UndecidedCgroups};
use crate::session::updates::{Change, DescribedContainer, Updates};
use crate::wire::types::{cgroup_flag, cgroup_key};

/// The bit that marks a key as that of a cgroup in the v1 hierarchy: `CGROUP_KEY_V1` of `bpf/wire.h`.
const KEY_V1: u64 = 1 << cgroup_key::CGROUP_KEY_V1_BIT.0;
/// The bit of the key of a container without a cgroup: `CGROUP_KEY_NS` of `bpf/wire.h`.
const KEY_NS: u64 = 1 << cgroup_key::CGROUP_KEY_NS_BIT.0;
/// The time after which an undecided cgroup that a process has entered counts as the host's. runc writes its state 7 to 12
/// ms after it creates the cgroup. A cgroup that no process has entered may become a container's at any time.
const UNDECIDED_FOR: Duration = Duration::from_secs(10);
/// The time after which a cgroup counts as a container's because a runtime created it, although no state exists. The
/// pipeline holds rows of undecided cgroups for longer.
const CREATOR_AFTER: Duration = Duration::from_millis(200);
/// The number of foreign containers that are described. Of more only the id is recorded: to read descriptions takes time.
const MAX_FOREIGN_DESCRIBED: usize = 1024;
/// The number of excluded containers that a warning about the filters can name.
const MAX_EXCLUDED: usize = 32;

/// A cgroup: key in the wire format, boot time in ns at which it was created or found, and path.
#[derive(Clone, Copy)]
struct Place<'a> {
    cgroup: u64,
    boot_ns: u64,
    path: &'a str,
}

/// The cgroups that are undecided, and the sources that can decide them.
pub(crate) struct Watcher {
    runtimes: RuntimeState,
    updates: Updates,
    claims: Claims,
    filters: Filters,
    undecided: UndecidedCgroups,
    /// The cgroups of containers, or that may be, that were made by other users than root or by containers.
    foreign: FxHashSet<u64>,
    /// True while the cgroups that exist are scanned.
    is_scanning: bool,
    /// The path of the latest cgroup for which the kernel side had no slot.
    path_without_slot: Option<String>,
    /// The boot time of the scan of existing cgroups, ns, which is that of their facts.
    scan_ns: u64,
    queries: RuntimeQueries,
    /// True if the filters have selected a container.
    has_selected: bool,
    /// The first containers that the filters excluded.
    excluded: Vec<ContainerFacts>,
    /// The verdicts since the last call of [`Watcher::verdicts`].
    verdicts: VecDeque<CgroupVerdict>,
}

impl Watcher {
    /// Creates a watcher for this machine, and starts the thread that asks the runtimes' sockets.
    pub(crate) fn new(hierarchies: &Hierarchies, filters: Filters) -> Watcher {
        Watcher {
            runtimes: RuntimeState::new(Path::new("/"), hierarchies),
            updates: Updates::new(),
            claims: Claims::default(),
            filters,
            undecided: UndecidedCgroups::default(),
            foreign: FxHashSet::default(),
            is_scanning: false,
            path_without_slot: None,
            scan_ns: 0,
            queries: RuntimeQueries::new(),
            has_selected: false,
            excluded: vec![],
            verdicts: VecDeque::new(),
        }
    }

    /// Returns a fact for each existing cgroup, with the boot time `boot_ns`.
    pub(crate) fn scan(&mut self, boot_ns: u64, hierarchies: &Hierarchies) -> Vec<CgroupFact> {
        self.scan_ns = boot_ns;
        // Cgroups of users come last, so that the ids of the machine's containers are theirs.
        let cgroups = cgroups::scan(hierarchies);
        let (users, machine): (Vec<_>, Vec<_>) =
            cgroups.partition(|c| rootless_uid(&c.path).is_some());
        let all = machine.into_iter().chain(users);
        self.is_scanning = true;
        let decide = |c: cgroups::Cgroup| {
            let place = Place {
                cgroup: c.id | if c.v1 { KEY_V1 } else { 0 },
                boot_ns,
                path: &c.path,
            };
            let is_foreign = fs::symlink_metadata(&c.dir).is_ok_and(|meta| meta.uid() != 0);
            self.decide(place, b"", is_foreign)
        };
        let facts = all.map(decide).collect();
        self.is_scanning = false;
        facts
    }

    /// Returns the facts that follow from a cgroup record. The last fact is about the record itself.
    pub(crate) fn on_cgroup(&mut self, record: &CgroupRecord<'_>) -> Vec<CgroupFact> {
        let cgroup = record.cgroup;
        let path = match cgroup & KEY_NS {
            0 => String::from_utf8_lossy(record.path).into_owned(),
            _ => namespaces::path(record.owner, record.mount_ns),
        };
        let place = Place {
            cgroup,
            boot_ns: match record.is_found {
                true => self.scan_ns,
                false => record.head.time,
            },
            path: &path,
        };
        let has = |flag: cgroup_flag| u32::from(record.head.flags) & flag.0 != 0;
        if !has(cgroup_flag::CGROUP_REMOVED) {
            if cgroup & KEY_NS != 0 {
                self.runtimes.begin(&path, record.head.tid);
            }
            let fact = self.decide(place, record.comm, has(cgroup_flag::CGROUP_FOREIGN));
            if has(cgroup_flag::CGROUP_NO_SLOT) {
                self.verdicts
                    .iter_mut()
                    .rev()
                    .take(1)
                    .for_each(|v| v.lacks_slot = true);
                self.path_without_slot = Some(path);
            }
            return vec![fact];
        }
        let last_change = self.updates.forget(&mut self.runtimes, cgroup);
        let last_change = last_change.map(|known| CgroupFact {
            boot_ns: known.boot_ns,
            cgroup,
            path: path.clone(),
            kind: self.kind(known.facts, known.decided),
        });
        self.claims.forget(cgroup);
        self.queries.forget(cgroup);
        let undecided = self.undecided.remove(cgroup);
        let by_creator = undecided
            .zip(record.entered_by)
            .and_then(|(u, comm)| self.by_creator(&u, comm));
        let removed = self.fact(place, place.path, CgroupKind::Removed);
        self.foreign.remove(&cgroup);
        self.runtimes.end(&path);
        let before = by_creator.into_iter().chain(last_change);
        before.chain([removed]).collect()
    }

    /// Decides a cgroup by its creator: a cgroup that a runtime created, or that a runtime entered first, and that a process
    /// entered is a container's. So containers are found even if their state was removed too early or is in an unknown
    /// place (`runc --root`). A container without a cgroup is one whatever made it. `entered_by` is the comm of the first
    /// thread in the cgroup.
    fn by_creator(&mut self, u: &Undecided, entered_by: &[u8]) -> Option<CgroupFact> {
        let runtime = u.creator.or_else(|| first_thread(entered_by));
        if runtime.is_none() && !namespaces::is_path(&u.path) {
            return None;
        }
        let id = u.path.rsplit('/').next()?.to_string();
        let known = ContainerFacts {
            name: Some(escape(id.as_bytes()).into_owned()),
            id,
            ..ContainerFacts::default()
        };
        let known = ContainerFacts {
            runtime: runtime.map(|runtime| runtime.to_string()),
            ..known
        };
        Some(self.filtered(place_of(u), &u.path, known))
    }

    /// Returns new facts about cgroups that already exist, from answers of the runtimes and from repeated searches.
    /// `entered_by` returns the comm of the first thread in an undecided cgroup; `None` if no process has been in it.
    pub(crate) fn late_facts<'a>(
        &mut self,
        entered_by: impl Fn(u64) -> Option<&'a [u8]>,
    ) -> Vec<CgroupFact> {
        let mut facts = vec![];
        self.queries.send_due();
        while let Some((query, description)) = self.queries.next_answer() {
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
            if let Some(change) = self.updates.answered(cgroup, runtime, &known) {
                facts.extend(self.changed(change));
            } else {
                let place = Place {
                    cgroup,
                    boot_ns,
                    path: &path,
                };
                facts.push(self.filtered(place, &path, known));
            }
        }
        for changed in self.updates.check(&mut self.runtimes) {
            facts.extend(self.changed(changed));
        }
        let now = Instant::now();
        for u in self.undecided.take_due(now) {
            let comm = entered_by(u.cgroup);
            facts.extend(self.retry(u, now, comm));
        }
        let mut looks = FOREIGN_LOOKS;
        let is_entered = |cgroup| entered_by(cgroup).is_some();
        while let Some(u) = self.undecided.next_foreign(now, is_entered, &mut looks) {
            let comm = entered_by(u.cgroup);
            facts.extend(self.retry(u, now, comm));
        }
        facts
    }

    /// Returns the path of the latest cgroup for which the kernel side had no slot when it was made.
    pub(crate) fn path_without_slot(&self) -> Option<&str> {
        self.path_without_slot.as_deref()
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
        if let Some(fact) = self.found(place_of(&u)) {
            return Some(fact);
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
        Some(self.fact(place_of(&u), &u.path, CgroupKind::Host))
    }

    fn decide(&mut self, place: Place<'_>, comm: &[u8], is_foreign: bool) -> CgroupFact {
        let Place {
            cgroup,
            boot_ns,
            path,
        } = place;
        let verdict = classify(path);
        if is_foreign && verdict != Verdict::Host {
            self.foreign.insert(cgroup);
        }
        match verdict {
            Verdict::Host => self.fact(place, path, CgroupKind::Host),
            Verdict::Container {
                id,
                runtime_hint,
                cgroup: own,
            } => self.owned(place, &id, runtime_hint, &own),
            Verdict::Undecided if is_foreign && !self.undecided.has_room() => {
                self.fact(place, path, CgroupKind::Unknown)
            }
            Verdict::Undecided => {
                // A foreign cgroup is searched for when a process has entered it.
                let found = match is_foreign && !namespaces::is_path(path) {
                    true => None,
                    false => self.found(place),
                };
                if let Some(fact) = found {
                    return fact;
                }
                let now = Instant::now();
                self.undecided.push(Undecided {
                    cgroup,
                    path: path.to_string(),
                    creator: creator(comm),
                    boot_ns,
                    is_foreign,
                    since: now,
                    entered: None,
                    last_try: now,
                });
                self.fact(place, path, CgroupKind::Undecided)
            }
        }
    }

    /// Decides a cgroup by the state that runtimes keep on disk, if it is in there.
    fn found(&mut self, place: Place<'_>) -> Option<CgroupFact> {
        let owner = self.runtimes.find_undecided(place.path)?;
        // The state of a low-level runtime does not tell who called it; the path of a cgroup may.
        let hint = (!namespaces::is_path(place.path)).then_some(owner.runtime);
        Some(self.owned(place, &owner.id, hint, &owner.cgroup))
    }

    /// Decides a cgroup that belongs to the container `id`, whose own cgroup is at `own`.
    fn owned(
        &mut self,
        place: Place<'_>,
        id: &str,
        hint: Option<Runtime>,
        own: &str,
    ) -> CgroupFact {
        let Place {
            cgroup,
            boot_ns,
            path,
        } = place;
        if !self.claims.is_owner(id, hint, own, (cgroup, path)) {
            // Recorded by its path: neither under the name of another container, nor as nothing.
            let name = escape(own.as_bytes()).into_owned();
            let known = ContainerFacts {
                id: name.clone(),
                name: Some(name),
                ..ContainerFacts::default()
            };
            return self.filtered(place, own, known);
        }
        // The description of a container that is watched is up to date.
        if path != own
            && let Some(container) = self.updates.add_child(id, cgroup, path)
        {
            let known = (container.facts.clone(), container.decided);
            return self.described(place, own, known);
        }
        let unknown = ContainerFacts {
            id: id.to_string(),
            runtime: hint.map(|h| h.to_string()),
            ..ContainerFacts::default()
        };
        if self.foreign.contains(&cgroup) && self.foreign_described() >= MAX_FOREIGN_DESCRIBED {
            return self.described(place, own, (unknown, true));
        }
        let description = self.runtimes.describe(id, hint, own);
        let complete = description.as_ref().is_some_and(|d| d.complete);
        let runtime = description.as_ref().map(|d| d.runtime).or(hint);
        let mut known = description.map_or(unknown, ContainerInfo::into_facts);
        if path != own {
            return self.described(place, own, (known, complete));
        }
        // Of a container that has just been created, these find no process.
        known.started_ns = self.runtimes.started_ns(own);
        known.addresses = known.addresses.or_else(|| self.runtimes.addresses(own));
        if !complete {
            self.queries.send(RuntimeQuery {
                boot_ns,
                cgroup,
                path: path.to_string(),
                known: known.clone(),
                hint,
            });
        }
        let container = DescribedContainer::new(
            (cgroup, boot_ns, path),
            runtime,
            known.clone(),
            complete,
            &mut self.runtimes,
        );
        self.updates.watch(container);
        self.described(place, own, (known, complete))
    }

    /// Returns the number of foreign containers that are described.
    fn foreign_described(&self) -> usize {
        let containers = self.updates.containers();
        containers
            .filter(|c| self.foreign.contains(&c.cgroup))
            .count()
    }

    /// Applies the filters to the new description of a container, with all of its cgroups. The kernel side is told only if
    /// its threads are recorded from now on, or no longer, or have another name.
    fn changed(&mut self, change: Change) -> Vec<CgroupFact> {
        let Change {
            container,
            before,
            is_awaited,
        } = change;
        let facts = &container.facts;
        let is_same = !is_awaited
            && before.name == facts.name
            && self.filters.wants_container(&before) == self.filters.wants_container(facts);
        let verdicts = self.verdicts.len();
        let own = (container.cgroup, &container.path);
        let children = container
            .children
            .iter()
            .map(|(cgroup, path)| (*cgroup, path));
        let all = [own].into_iter().chain(children);
        let changed = all.map(|(cgroup, path)| {
            let place = Place {
                cgroup,
                boot_ns: container.boot_ns,
                path,
            };
            self.filtered(place, &container.path, facts.clone())
        });
        let changed = changed.collect();
        if is_same {
            self.verdicts.truncate(verdicts);
        }
        changed
    }

    /// Applies the filters to a container, with its name or without. Its own cgroup is at `own`.
    fn filtered(&mut self, place: Place<'_>, own: &str, known: ContainerFacts) -> CgroupFact {
        self.described(place, own, (known, true))
    }

    /// Applies the filters to a container. If they need facts that are not known, the cgroup stays undecided until the
    /// runtime's socket has answered; `decided`: no answer will come.
    fn described(
        &mut self,
        place: Place<'_>,
        own: &str,
        (known, decided): (ContainerFacts, bool),
    ) -> CgroupFact {
        let kind = self.kind(known, decided);
        self.fact(place, own, kind)
    }

    /// Returns the kind of a container's cgroup by the filters: see [`Watcher::described`].
    fn kind(&mut self, known: ContainerFacts, decided: bool) -> CgroupKind {
        if !decided && self.filters.needs_answer(&known) {
            return CgroupKind::Undecided;
        }
        if self.filters.wants_container(&known) {
            self.has_selected = true;
            return CgroupKind::Container(Box::new(known));
        }
        if self.excluded.len() < MAX_EXCLUDED {
            self.excluded.push(known);
        }
        CgroupKind::Excluded
    }

    /// Reads the processes of containers that ran before the recording and are recorded, those of each container once. Returns
    /// each with the key of its cgroup. Processes that started after `begin_ns` are left out.
    pub(crate) fn processes(&mut self, begin_ns: u64) -> Vec<(u64, RunningProcess)> {
        let Watcher {
            updates,
            filters,
            runtimes,
            ..
        } = self;
        let mut found = BTreeMap::new();
        for (cgroup, path) in updates.take_unread(|facts| filters.wants_container(facts)) {
            for pid in runtimes.processes(&path) {
                // A process is in a cgroup of each hierarchy.
                if !found.contains_key(&pid)
                    && let Some(process) = processes::read(Path::new("/"), pid)
                {
                    found.insert(pid, (cgroup, process));
                }
            }
        }
        let is_wanted = |(_, process): &(u64, RunningProcess)| {
            process.started_ns <= begin_ns && filters.wants_comm(&unescape(&process.comm))
        };
        found.into_values().filter(is_wanted).collect()
    }

    /// Returns how the recorder learnt a fact that is not of a cgroup record.
    pub(crate) fn source(&self, fact: &CgroupFact) -> FactSource {
        match fact.boot_ns == self.scan_ns {
            true => FactSource::Found,
            false => FactSource::Late,
        }
    }

    /// Returns whether the runtimes' sockets are being asked for containers.
    pub(crate) fn is_asking(&self) -> bool {
        self.queries.are_open()
    }

    /// Returns a warning for each filter that matches no container that runs now or, if it is not known yet which
    /// containers match because a runtime does not answer, a warning of that.
    pub(crate) fn unmatched_filters(&self) -> Vec<String> {
        let containers = self.updates.containers();
        let is_open = |c: &&DescribedContainer| !c.decided && self.filters.needs_answer(&c.facts);
        match containers.clone().filter(is_open).count() {
            0 => self.filters.unmatched(containers.map(|c| &c.facts), false),
            open => vec![format!(
                "the runtime does not tell the names and labels of {open} containers: they are recorded only once it does, if \
                 the filters select them; check that the runtime answers"
            )],
        }
    }

    /// Returns a warning for each filter that no container of the recording matched, if the filters selected none.
    pub(crate) fn unmatched_to_the_end(&self) -> Vec<String> {
        match self.has_selected {
            true => vec![],
            false => self.filters.unmatched(self.excluded.iter(), true),
        }
    }

    /// Returns a fact about a cgroup, and tells the kernel side. `own` is the path of the container's own cgroup.
    fn fact(&mut self, place: Place<'_>, own: &str, kind: CgroupKind) -> CgroupFact {
        let Place {
            cgroup,
            boot_ns,
            path,
        } = place;
        let is_foreign = self.foreign.contains(&cgroup);
        let is_own = path == own;
        let decision = match &kind {
            CgroupKind::Host => match self.container_above(place).filter(|_| !is_foreign) {
                Some(below) => Decision::HostBelow { below },
                None => Decision::Inherited,
            },
            CgroupKind::Excluded if is_own => Decision::Container { is_excluded: true },
            CgroupKind::Container(_) if is_own => Decision::Container { is_excluded: false },
            CgroupKind::Excluded | CgroupKind::Container(_) => Decision::Inherited,
            CgroupKind::Undecided | CgroupKind::Unknown => Decision::Undecided {
                is_found: self.is_scanning,
            },
            CgroupKind::Removed => Decision::Removed,
        };
        self.verdicts.push_back(CgroupVerdict {
            cgroup,
            decision,
            is_foreign,
            lacks_slot: false,
        });
        if matches!(kind, CgroupKind::Host | CgroupKind::Unknown) {
            self.foreign.remove(&cgroup);
        }
        CgroupFact {
            boot_ns,
            cgroup,
            path: path.to_string(),
            kind,
        }
    }

    /// Returns the key of the container's cgroup that is above a cgroup of the host: systemd-nspawn's own process can be in
    /// such a cgroup.
    fn container_above(&self, place: Place<'_>) -> Option<u64> {
        let is_above = |c: &&DescribedContainer| {
            (c.cgroup ^ place.cgroup) & KEY_V1 == 0
                && place
                    .path
                    .strip_prefix(c.path.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        self.updates.containers().find(is_above).map(|c| c.cgroup)
    }
}

fn place_of(u: &Undecided) -> Place<'_> {
    Place {
        cgroup: u.cgroup,
        boot_ns: u.boot_ns,
        path: &u.path,
    }
}
