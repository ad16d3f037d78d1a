//! Queries to the runtimes' sockets, which threads of their own ask, because an answer may take seconds: one thread the
//! runtimes of the machine, one those of users, who could keep it waiting.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use crate::confine::{self, Needs};
use crate::containers::api::{Api, RETRY_AFTER, Unanswered};
use crate::containers::facts::ContainerFacts;
use crate::containers::name_service::NameService;
use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::users::rootless_uid;

/// The number of queries that a thread may have before it.
const MAX_QUEUED: usize = 1024;
/// The time after which a query is sent again that did not fit into the queue.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// A query to a runtime's socket about a container.
pub(super) struct RuntimeQuery {
    pub(super) boot_ns: u64,
    /// The key of the container's own cgroup.
    pub(super) cgroup: u64,
    pub(super) path: String,
    /// The facts that are known without an answer.
    pub(super) known: ContainerFacts,
    pub(super) hint: Option<Runtime>,
}

type Answer = Result<Option<ContainerInfo>, Unanswered>;

/// The queries without an answer, and the threads that ask the sockets.
pub(super) struct RuntimeQueries {
    /// The queries to the runtimes of the machine.
    to_machine: SyncSender<RuntimeQuery>,
    /// The queries to the runtimes of users.
    to_users: SyncSender<RuntimeQuery>,
    answers: Receiver<(RuntimeQuery, Answer)>,
    /// The number of queries in the queues and of answers that have not been received.
    queued: usize,
    /// Queries by cgroup that are sent later, with the time.
    later: BTreeMap<u64, (Instant, RuntimeQuery)>,
}

impl RuntimeQueries {
    /// Starts the threads.
    pub(super) fn new() -> RuntimeQueries {
        let ask = |query: &RuntimeQuery, api: &mut Api| {
            api.describe(&query.known.id, query.hint, &query.path)
        };
        RuntimeQueries::with(ask, ask)
    }

    fn with(
        ask_machine: impl FnMut(&RuntimeQuery, &mut Api) -> Answer + Send + 'static,
        ask_users: impl FnMut(&RuntimeQuery, &mut Api) -> Answer + Send + 'static,
    ) -> RuntimeQueries {
        let (answer, answers) = channel();
        let name_service = confine::without_capabilities(NameService::start).flatten();
        RuntimeQueries {
            to_machine: spawn("runtimes", None, ask_machine, answer.clone()),
            to_users: spawn("user-runtimes", name_service, ask_users, answer),
            answers,
            queued: 0,
            later: BTreeMap::new(),
        }
    }

    /// Sends a query, later if the queue is full.
    pub(super) fn send(&mut self, query: RuntimeQuery) {
        let queue = match rootless_uid(&query.path) {
            None => &self.to_machine,
            Some(_) => &self.to_users,
        };
        match queue.try_send(query) {
            Ok(()) => self.queued += 1,
            Err(TrySendError::Full(query) | TrySendError::Disconnected(query)) => {
                self.send_after(FULL_RETRY, query);
            }
        }
    }

    fn send_after(&mut self, delay: Duration, query: RuntimeQuery) {
        let due = Instant::now() + delay;
        self.later.insert(query.cgroup, (due, query));
    }

    /// Returns the next answer: a description, or `None` if no runtime knows the container. A query that was not answered
    /// is sent again after [`RETRY_AFTER`], unless [`RuntimeQueries::forget`] is called for its cgroup.
    pub(super) fn next_answer(&mut self) -> Option<(RuntimeQuery, Option<ContainerInfo>)> {
        while let Ok((query, answer)) = self.answers.try_recv() {
            self.queued = self.queued.saturating_sub(1);
            match answer {
                Ok(description) => return Some((query, description)),
                Err(Unanswered) => self.send_after(RETRY_AFTER, query),
            }
        }
        None
    }

    /// Sends the queries that are due again.
    pub(super) fn send_due(&mut self) {
        let now = Instant::now();
        let due: Vec<u64> = self
            .later
            .iter()
            .filter(|(_, (due, _))| *due <= now)
            .map(|(cgroup, _)| *cgroup)
            .collect();
        for cgroup in due {
            if let Some((_, query)) = self.later.remove(&cgroup) {
                self.send(query);
            }
        }
    }

    /// Drops the query about a cgroup that has been removed, if it waits to be sent again.
    pub(super) fn forget(&mut self, cgroup: u64) {
        self.later.remove(&cgroup);
    }

    /// Returns whether an answer may come soon: a query has been asked, and was neither answered nor left unanswered.
    pub(super) fn are_open(&self) -> bool {
        self.queued > 0
    }
}

/// Starts a thread that answers the queries in the returned queue. The thread ends when the queue is dropped.
fn spawn(
    name: &str,
    name_service: Option<NameService>,
    mut ask: impl FnMut(&RuntimeQuery, &mut Api) -> Answer + Send + 'static,
    answer: Sender<(RuntimeQuery, Answer)>,
) -> SyncSender<RuntimeQuery> {
    let (queue, received) = sync_channel::<RuntimeQuery>(MAX_QUEUED);
    let ask = move || {
        let mut api = Api::new(Path::new("/"), name_service);
        for query in received {
            let description = ask(&query, &mut api);
            if answer.send((query, description)).is_err() {
                return;
            }
        }
    };
    // Without the thread, containers have the names that their state on disk has.
    let _ = confine::spawn(name, Needs::State, ask);
    queue
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn query(cgroup: u64) -> RuntimeQuery {
        RuntimeQuery {
            boot_ns: 0,
            cgroup,
            path: String::new(),
            known: ContainerFacts::default(),
            hint: None,
        }
    }

    /// Waits for an answer, or until no query is open.
    fn wait(queries: &mut RuntimeQueries) -> Option<u64> {
        while queries.are_open() {
            if let Some((query, _)) = queries.next_answer() {
                return Some(query.cgroup);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    #[test]
    fn a_query_without_an_answer_is_asked_again() {
        let mut asked = 0;
        let ask = move |query: &RuntimeQuery, _: &mut Api| {
            asked += 1;
            match query.cgroup == 7 && asked < 3 {
                true => Err(Unanswered),
                false => Ok(None),
            }
        };
        let mut queries = RuntimeQueries::with(ask, |_, _| Ok(None));
        queries.send(query(7));
        assert_eq!(wait(&mut queries), None);
        queries.send_due();
        assert!(!queries.are_open(), "the query is not due yet");
        queries.later.get_mut(&7).unwrap().0 = Instant::now();
        queries.send_due();
        assert_eq!(wait(&mut queries), None);
        assert!(queries.later.contains_key(&7));
        queries.later.get_mut(&7).unwrap().0 = Instant::now();
        queries.send_due();
        assert_eq!(wait(&mut queries), Some(7));
        assert!(queries.later.is_empty());
    }

    #[test]
    fn a_slow_runtime_of_a_user_does_not_delay_those_of_the_machine() {
        let (go, wait_for_go) = channel::<()>();
        let ask_users = move |_: &RuntimeQuery, _: &mut Api| {
            let _ = wait_for_go.recv();
            Ok(None)
        };
        let mut queries = RuntimeQueries::with(|_, _| Ok(None), ask_users);
        let path = "/user.slice/user-1000.slice/x".to_string();
        let of_user = |cgroup| RuntimeQuery {
            path: path.clone(),
            ..query(cgroup)
        };
        queries.send(of_user(7));
        queries.send(query(8));
        assert_eq!(wait(&mut queries), Some(8));
        drop(go);
        assert_eq!(wait(&mut queries), Some(7));
    }

    #[test]
    fn queries_that_do_not_fit_into_the_queue_are_kept() {
        let (go, wait_for_go) = channel::<()>();
        let ask = move |_: &RuntimeQuery, _: &mut Api| {
            let _ = wait_for_go.recv();
            Ok(None)
        };
        let mut queries = RuntimeQueries::with(ask, |_, _| Ok(None));
        let all = MAX_QUEUED as u64 + 10;
        (0..all).for_each(|cgroup| queries.send(query(cgroup)));
        assert!(!queries.later.is_empty());
        drop(go);
        let mut answered = 0;
        while answered < all {
            queries
                .later
                .values_mut()
                .for_each(|(due, _)| *due = Instant::now());
            queries.send_due();
            answered += u64::from(wait(&mut queries).is_some());
        }
    }
}
