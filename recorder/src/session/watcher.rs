//! Watches the machine's cgroups while it is recorded: says of each whether it is a container, and which.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use ctrace_schema::text::escape;

use crate::containers::api::Api;
use crate::containers::cgroups;
use crate::containers::cgroups::Hierarchies;
use crate::containers::classify::{Verdict, classify, creator};
use crate::containers::facts::{CgroupFact, CgroupKind, ContainerFacts};
use crate::containers::runtime::Runtime;
use crate::containers::state::RuntimeState;
use crate::containers::state::description::ContainerInfo;
use crate::filters::Filters;
use crate::pipeline::CgroupRecord;
use crate::wire::types::{cgroup_flag, cgroup_state};

/// `CGROUP_KEY_V1` of `bpf/wire.h`.
const KEY_V1: u64 = 1 << 63;
/// For how long an undecided cgroup is looked at again: runc keeps its state 7 to 12 ms after it made the cgroup.
const UNDECIDED_FOR: Duration = Duration::from_secs(10);
/// When a cgroup that a runtime made is taken for a container's though its state is nowhere: before rows are let go.
const CREATOR_AFTER: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(20);
/// Containers that wait for a runtime's answer.
const ASKED: usize = 1024;

/// What is told to the kernel side about a cgroup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdicts {
    /// Key of the cgroup.
    pub(crate) cgroup: u64,
    /// What it is.
    pub(crate) state: cgroup_state,
}

/// Looks at the runtimes' state.
pub(crate) struct Watcher {
    resolver: RuntimeState,
    filters: Filters,
    undecided: Vec<Undecided>,
    ask: SyncSender<RuntimeQuery>,
    answers: Receiver<(RuntimeQuery, Option<ContainerInfo>)>,
    /// For the kernel side, since the last time.
    verdicts: VecDeque<Verdicts>,
}

/// What a runtime's socket is asked about a container.
struct RuntimeQuery {
    boot: u64,
    cgroup: u64,
    path: String,
    /// What is known without an answer.
    known: ContainerFacts,
    hint: Option<Runtime>,
}

struct Undecided {
    cgroup: u64,
    path: String,
    creator: Option<Runtime>,
    /// When it was made, boot time.
    boot: u64,
    since: Instant,
    last: Instant,
}

impl Watcher {
    /// A watcher of this machine, with a thread beside it that asks the runtimes' sockets.
    pub(crate) fn new(hierarchies: &Hierarchies, filters: Filters) -> Watcher {
        let (ask, questions) = sync_channel::<RuntimeQuery>(ASKED);
        let (answer, answers) = channel();
        // Ends when the watcher does, for then no question can come.
        std::thread::spawn(move || {
            let mut api = Api::new(Path::new("/"));
            for question in questions {
                let description = api.describe(&question.known.id, question.hint, &question.path);
                if answer.send((question, description)).is_err() {
                    return;
                }
            }
        });
        Watcher {
            resolver: RuntimeState::new(Path::new("/"), hierarchies),
            filters,
            undecided: vec![],
            ask,
            answers,
            verdicts: VecDeque::new(),
        }
    }

    /// Facts about every cgroup that exists now, at boot time `boot`.
    pub(crate) fn scan(&mut self, boot: u64, hierarchies: &Hierarchies) -> Vec<CgroupFact> {
        let cgroups = cgroups::scan(hierarchies);
        cgroups
            .map(|c| self.decide(boot, c.id | if c.v1 { KEY_V1 } else { 0 }, &c.path, b""))
            .collect()
    }

    /// The facts that a cgroup record stands for, the record's own last.
    pub(crate) fn on_cgroup(&mut self, record: &CgroupRecord<'_>) -> Vec<CgroupFact> {
        let cgroup = record.cgroup;
        let path = String::from_utf8_lossy(record.path).into_owned();
        if u32::from(record.head.flags) & cgroup_flag::CGROUP_REMOVED.0 == 0 {
            let fact = self.decide(record.head.time, cgroup, &path, record.comm);
            return vec![fact];
        }
        let gone = self.undecided.iter().position(|u| u.cgroup == cgroup);
        let was = gone.map(|i| self.undecided.swap_remove(i));
        let made_by_runtime = was
            .filter(|_| record.entered)
            .and_then(|u| self.by_creator(&u));
        let removed = CgroupFact {
            boot: record.head.time,
            cgroup,
            path,
            kind: CgroupKind::Removed,
        };
        made_by_runtime.into_iter().chain([removed]).collect()
    }

    /// What is left of a container whose state was gone before it could be looked at, or is where nobody looks
    /// (`runc --root`): a runtime made its cgroup, and a process was in it.
    fn by_creator(&mut self, u: &Undecided) -> Option<CgroupFact> {
        let runtime = u.creator?;
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
        Some(self.known(u.boot, u.cgroup, &u.path, known))
    }

    /// Facts that were learnt meanwhile about cgroups that are there already. `entered` says whether a process has
    /// been in one.
    pub(crate) fn late(&mut self, entered: impl Fn(u64) -> bool) -> Vec<CgroupFact> {
        let mut facts = vec![];
        while let Ok((question, description)) = self.answers.try_recv() {
            let RuntimeQuery {
                boot,
                cgroup,
                path,
                known,
                ..
            } = question;
            facts.push(match description {
                Some(description) => self.container(boot, cgroup, &path, description),
                None => self.named_or_not(boot, cgroup, &path, known),
            });
        }
        let now = Instant::now();
        let (due, waiting) = std::mem::take(&mut self.undecided)
            .into_iter()
            .partition(|u| now - u.last >= RETRY);
        self.undecided = waiting;
        for u in due {
            let entered = entered(u.cgroup);
            facts.extend(self.retry(u, now, entered));
        }
        facts
    }

    /// What the kernel side is to be told since the last time.
    pub(crate) fn verdicts(&mut self) -> impl Iterator<Item = Verdicts> + '_ {
        self.verdicts.drain(..)
    }

    fn retry(&mut self, u: Undecided, now: Instant, entered: bool) -> Option<CgroupFact> {
        if let Some(owner) = self.resolver.find_undecided(&u.path) {
            return Some(self.owned(
                u.boot,
                u.cgroup,
                &u.path,
                &owner.id,
                Some(owner.runtime),
                &owner.cgroup,
            ));
        }
        if entered
            && now - u.since >= CREATOR_AFTER
            && let Some(fact) = self.by_creator(&u)
        {
            return Some(fact);
        }
        if now - u.since < UNDECIDED_FOR {
            self.undecided.push(Undecided { last: now, ..u });
            return None;
        }
        Some(self.fact(u.boot, u.cgroup, &u.path, CgroupKind::Host))
    }

    fn decide(&mut self, boot: u64, cgroup: u64, path: &str, comm: &[u8]) -> CgroupFact {
        match classify(path) {
            Verdict::Host => self.fact(boot, cgroup, path, CgroupKind::Host),
            Verdict::Container {
                id,
                runtime_hint,
                cgroup: own,
            } => self.owned(boot, cgroup, path, &id, runtime_hint, &own),
            Verdict::Undecided => match self.resolver.find_undecided(path) {
                Some(owner) => self.owned(
                    boot,
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
                        creator: std::str::from_utf8(comm).ok().and_then(creator),
                        boot,
                        since: now,
                        last: now,
                    });
                    self.fact(boot, cgroup, path, CgroupKind::Undecided)
                }
            },
        }
    }

    /// A cgroup of the container `id`, whose own is at `own`.
    fn owned(
        &mut self,
        boot: u64,
        cgroup: u64,
        path: &str,
        id: &str,
        hint: Option<Runtime>,
        own: &str,
    ) -> CgroupFact {
        let description = self.resolver.describe(id, hint, own);
        let known = ContainerFacts {
            id: id.to_string(),
            runtime: hint.map(|h| h.to_string()),
            ..ContainerFacts::default()
        };
        if description.as_ref().is_none_or(|d| !d.complete) && path == own {
            let description = description.clone();
            let known = description.map_or_else(|| known.clone(), known_of);
            let path = path.to_string();
            let asked = self.ask.try_send(RuntimeQuery {
                boot,
                cgroup,
                path: path.clone(),
                known: known.clone(),
                hint,
            });
            // Where a runtime leaves a thousand questions without an answer, its containers go by what else is known.
            if asked.is_err() {
                return self.named_or_not(boot, cgroup, &path, known);
            }
        }
        match description {
            Some(description) => self.container(boot, cgroup, path, description),
            None => self.known(boot, cgroup, path, known),
        }
    }

    fn container(&mut self, boot: u64, cgroup: u64, path: &str, d: ContainerInfo) -> CgroupFact {
        self.known(boot, cgroup, path, known_of(d))
    }

    /// A container whose name nobody knows is decided by what else is known.
    fn named_or_not(
        &mut self,
        boot: u64,
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
        self.fact(boot, cgroup, path, kind)
    }

    fn known(&mut self, boot: u64, cgroup: u64, path: &str, known: ContainerFacts) -> CgroupFact {
        if self.filters.needs_name(&known) {
            // Until the runtime's socket has answered.
            return self.fact(boot, cgroup, path, CgroupKind::Undecided);
        }
        self.named_or_not(boot, cgroup, path, known)
    }

    fn fact(&mut self, boot: u64, cgroup: u64, path: &str, kind: CgroupKind) -> CgroupFact {
        let state = match &kind {
            CgroupKind::Host => cgroup_state::CGROUP_HOST,
            CgroupKind::Excluded => cgroup_state::CGROUP_EXCLUDED,
            CgroupKind::Container(_) => cgroup_state::CGROUP_CONTAINER,
            CgroupKind::Undecided | CgroupKind::Removed => cgroup_state::CGROUP_PENDING,
        };
        self.verdicts.push_back(Verdicts { cgroup, state });
        CgroupFact {
            boot,
            cgroup,
            path: path.to_string(),
            kind,
        }
    }
}

/// What a recording says of a container: text is escaped here.
fn known_of(d: ContainerInfo) -> ContainerFacts {
    let text = |text: Option<String>| text.map(|t| escape(t.as_bytes()).into_owned());
    let labels = (!d.labels.is_empty()).then(|| serde_json::json!(d.labels).to_string());
    let mut known = ContainerFacts {
        id: d.id,
        name: text(d.name),
        image: text(d.image),
        runtime: Some(d.runtime.to_string()),
        pod: text(d.pod),
        namespace: text(d.namespace),
        labels,
    };
    known.escape_controls(); // labels are JSON, which escapes less
    known
}
