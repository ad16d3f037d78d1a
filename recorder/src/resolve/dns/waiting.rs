//! Queries to name servers that wait for an answer.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::resolve::dns::message::{DnsAnswer, DnsMessage, DnsQuestion, NOERROR, NXDOMAIN};
use crate::resolve::threads::Identity;
use crate::rows::batch::{Batch, Endpoints, NONE, Object, Row, StringIndex};

/// Memory of a query: the struct, its texts, and its share of the hash table.
const QUERY_BYTES: usize = size_of::<DnsQuery>() + 512;

/// A text of a batch, so that it outlives the batch.
pub(in crate::resolve) type Text = Option<Arc<str>>;

/// The socket over which a query was sent.
#[derive(Clone, Debug, Default)]
pub(in crate::resolve) struct Socket {
    /// Inode; 0: not known.
    inode: u64,
    family: Text,
    protocol: Text,
    pub(in crate::resolve) local: (Text, Option<u16>),
    /// The name server.
    pub(in crate::resolve) peer: (Text, Option<u16>),
}

impl Socket {
    /// Returns the socket of a row; `None` if the row is not about a socket.
    pub(in crate::resolve) fn of(batch: &Batch, row: &Row) -> Option<Socket> {
        let object = batch.objects.get(row.object as usize)?;
        let ends = batch.endpoints.get(object.endpoints as usize)?;
        let text = |index: StringIndex| batch.strings.list.get(index as usize).cloned();
        Some(Socket {
            inode: object.inode.unwrap_or(0),
            family: text(ends.family),
            protocol: text(ends.protocol),
            local: (text(ends.local_addr), ends.local_port),
            peer: (text(ends.peer_addr), ends.peer_port),
        })
    }

    /// Adds the socket to the batch's objects, and returns the object's index.
    pub(in crate::resolve) fn push_to(&self, name: &Arc<str>, batch: &mut Batch) -> u32 {
        let strings = &mut batch.strings;
        let mut intern = |text: &Text| match text {
            Some(text) => strings.intern_shared(text),
            None => NONE,
        };
        let endpoints = Endpoints {
            family: intern(&self.family),
            protocol: intern(&self.protocol),
            local_addr: intern(&self.local.0),
            local_port: self.local.1,
            peer_addr: intern(&self.peer.0),
            peer_port: self.peer.1,
            peer_path: NONE,
            dns_name: strings.intern_shared(name),
        };
        batch.objects.push(Object {
            path: NONE,
            host_path: NONE,
            dev: NONE,
            inode: Some(self.inode).filter(|inode| *inode != 0),
            endpoints: batch.endpoints.len() as u32,
        });
        batch.endpoints.push(endpoints);
        batch.objects.len() as u32 - 1
    }
}

/// A query that waits for its answer.
#[derive(Clone, Debug)]
pub(in crate::resolve) struct DnsQuery {
    /// The thread that asked. When the wait ends, the thread may have ended and its id may be reused.
    pub(in crate::resolve) tid: u32,
    pub(in crate::resolve) identity: Identity,
    /// Wall clock time of the call that sent the query, ns since 1970 UTC, and the same as boot time.
    pub(in crate::resolve) wall_ns: i64,
    pub(in crate::resolve) asked_ns: u64,
    pub(in crate::resolve) socket: Socket,
    pub(in crate::resolve) id: u16,
    pub(in crate::resolve) question: DnsQuestion,
    /// True if another server has answered the same query.
    pub(in crate::resolve) is_superseded: bool,
}

impl DnsQuery {
    /// Returns whether both ask for the same over the same socket, perhaps from different servers.
    fn asks_the_same(&self, other: &DnsQuery) -> bool {
        self.id == other.id && self.question == other.question
    }

    fn key(&self) -> SocketKey {
        (self.identity.pid, self.socket.inode)
    }
}

/// A process, and the inode of its socket.
pub(in crate::resolve) type SocketKey = (u32, u64);

/// All queries that wait for an answer.
#[derive(Debug)]
pub(in crate::resolve) struct DnsQueries {
    by_socket: FxHashMap<SocketKey, Vec<DnsQuery>>,
    pub(in crate::resolve) len: usize,
    max_len: usize,
    /// Boot time of the last check for queries that have waited too long, ns.
    pub(in crate::resolve) checked_ns: u64,
}

impl DnsQueries {
    /// Returns an empty collection for up to `max_bytes`.
    pub(in crate::resolve) fn new(max_bytes: usize) -> DnsQueries {
        DnsQueries {
            by_socket: FxHashMap::default(),
            len: 0,
            max_len: (max_bytes / QUERY_BYTES).max(8),
            checked_ns: 0,
        }
    }

    /// Adds a query. Returns the queries that no longer wait: the same query to the same server, which was sent
    /// again, and above the limit the oldest eighth.
    pub(in crate::resolve) fn ask(&mut self, asked: DnsQuery) -> Vec<DnsQuery> {
        let mut ended = self.remove_from(asked.key(), |q| {
            q.asks_the_same(&asked) && q.socket.peer == asked.socket.peer
        });
        if self.len >= self.max_len {
            let queries = self.by_socket.values().flatten();
            let mut times: Vec<u64> = queries.map(|q| q.asked_ns).collect();
            let nth = times.len() / 8;
            let (_, limit_ns, _) = times.select_nth_unstable(nth);
            let limit_ns = *limit_ns;
            ended.extend(self.remove(|q| q.asked_ns <= limit_ns));
        }
        self.len += 1;
        self.by_socket.entry(asked.key()).or_default().push(asked);
        ended
    }

    /// Removes the query that a message from `server` answers; `None`: the source of the message is not known. A message
    /// without a question answers any with its id.
    pub(in crate::resolve) fn answered(
        &mut self,
        key: SocketKey,
        message: &DnsMessage,
        answer: &DnsAnswer,
        server: Option<&(Text, Option<u16>)>,
    ) -> Option<DnsQuery> {
        let queries = self.by_socket.get_mut(&key)?;
        let matches = |q: &DnsQuery| {
            let asked = message.question.as_ref();
            q.id == message.id && asked.is_none_or(|asked| *asked == q.question)
        };
        let is_asked = |q: &DnsQuery| server.is_none_or(|server| q.socket.peer == *server);
        let at = queries.iter().position(|q| matches(q) && is_asked(q))?;
        let query = queries.remove(at);
        self.len -= 1;
        if [NOERROR, NXDOMAIN].contains(&answer.code) {
            let same = queries.iter_mut().filter(|q| q.asks_the_same(&query));
            same.for_each(|q| q.is_superseded = true);
        }
        if queries.is_empty() {
            self.by_socket.remove(&key);
        }
        Some(query)
    }

    /// Removes the queries of a socket for which `ends` holds.
    pub(in crate::resolve) fn remove_from(
        &mut self,
        key: SocketKey,
        ends: impl Fn(&DnsQuery) -> bool,
    ) -> Vec<DnsQuery> {
        let Some(queries) = self.by_socket.get_mut(&key) else {
            return vec![];
        };
        let ended: Vec<DnsQuery> = queries.extract_if(.., |q| ends(q)).collect();
        if queries.is_empty() {
            self.by_socket.remove(&key);
        }
        self.len -= ended.len();
        ended
    }

    /// Removes the queries for which `ends` holds. Returns them in the order in which they were asked.
    pub(in crate::resolve) fn remove(&mut self, ends: impl Fn(&DnsQuery) -> bool) -> Vec<DnsQuery> {
        let mut ended = vec![];
        self.by_socket.retain(|_, queries| {
            ended.extend(queries.extract_if(.., |q| ends(q)));
            !queries.is_empty()
        });
        self.len -= ended.len();
        ended.sort_by_key(|q| q.asked_ns);
        ended
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::resolve::threads::Thread;

    /// Creates a query of process `pid` over the socket 7.
    fn query(pid: u32, id: u16, ty: u16, server: &str, asked_ns: u64) -> DnsQuery {
        DnsQuery {
            tid: pid,
            identity: Thread::undefined(pid).identity,
            wall_ns: 0,
            asked_ns,
            socket: Socket {
                inode: 7,
                peer: (Some(server.into()), Some(53)),
                ..Socket::default()
            },
            id,
            question: DnsQuestion {
                name: "n.test".into(),
                ty,
            },
            is_superseded: false,
        }
    }

    /// Has `server`, or an unknown one (`?`), answer a query of process 1 about addresses of type `ty`. Returns the time of the
    /// query.
    fn answer(
        queries: &mut DnsQueries,
        id: u16,
        ty: Option<u16>,
        server: &str,
        code: u16,
    ) -> Option<u64> {
        let name: Arc<str> = "n.test".into();
        let answer = DnsAnswer {
            code,
            is_truncated: false,
            records: vec![],
            addresses: vec![],
        };
        let message = DnsMessage {
            id,
            question: ty.map(|ty| DnsQuestion { name, ty }),
            answer: Some(answer.clone()),
        };
        let server = (server != "?").then(|| (Some(server.into()), Some(53)));
        let query = queries.answered((1, 7), &message, &answer, server.as_ref())?;
        Some(query.asked_ns)
    }

    #[test]
    fn an_answer_belongs_to_the_query_with_its_id_name_type_and_server() {
        let mut queries = DnsQueries::new(1 << 20);
        assert!(queries.ask(query(1, 5, 1, "a", 1)).is_empty());
        assert!(queries.ask(query(1, 5, 28, "a", 2)).is_empty());
        assert!(queries.ask(query(1, 5, 1, "b", 3)).is_empty());
        assert_eq!(answer(&mut queries, 6, Some(1), "a", NOERROR), None);
        assert_eq!(answer(&mut queries, 5, Some(2), "a", NOERROR), None);
        assert_eq!(answer(&mut queries, 5, Some(1), "c", NOERROR), None);
        assert_eq!(answer(&mut queries, 5, Some(28), "a", NOERROR), Some(2));
        assert_eq!(answer(&mut queries, 5, Some(1), "b", 5), Some(3));
        queries.ask(query(1, 5, 1, "b", 4));
        assert_eq!(answer(&mut queries, 5, Some(28), "?", NOERROR), None);
        assert_eq!(answer(&mut queries, 5, Some(1), "?", 5), Some(1));
        queries.ask(query(1, 5, 1, "a", 5));
        assert_eq!(answer(&mut queries, 5, Some(1), "b", 5), Some(4));
        // A refusal does not make the answer of the other server superfluous.
        let rest = queries.remove_from((1, 7), |_| true);
        assert_eq!(rest.len(), 1);
        assert!(!rest[0].is_superseded);
        assert!(queries.by_socket.is_empty() && queries.len == 0);
    }

    #[test]
    fn the_answer_of_one_server_supersedes_the_same_query_to_others() {
        let mut queries = DnsQueries::new(1 << 20);
        queries.ask(query(1, 5, 1, "a", 1));
        queries.ask(query(1, 5, 1, "b", 2));
        queries.ask(query(1, 5, 28, "b", 3));
        // Without its question, an answer belongs to the first with its id and server.
        assert_eq!(answer(&mut queries, 5, None, "b", NXDOMAIN), Some(2));
        let rest = queries.remove(|_| true);
        let superseded = rest.iter().map(|q| (q.asked_ns, q.is_superseded));
        assert!(superseded.eq([(1, true), (3, false)]));
    }

    #[test]
    fn a_query_that_is_sent_again_replaces_the_first() {
        let mut queries = DnsQueries::new(1 << 20);
        queries.ask(query(1, 5, 1, "a", 1));
        // Another process may have the same socket.
        assert!(queries.ask(query(2, 5, 1, "a", 2)).is_empty());
        let ended = queries.ask(query(1, 5, 1, "a", 3));
        assert!(ended.iter().map(|q| q.asked_ns).eq([1]));
        assert_eq!(answer(&mut queries, 5, Some(1), "a", NOERROR), Some(3));
        assert_eq!(queries.len, 1);
    }

    #[test]
    fn queries_are_limited_and_the_oldest_end_first() {
        let mut queries = DnsQueries::new(100 * QUERY_BYTES);
        let mut ended = vec![];
        for i in 0..1000 {
            let id = i as u16;
            ended.extend(queries.ask(query(1 + i % 9, id, 1, "a", i.into())));
            assert!(queries.len <= 100);
            let len: usize = queries.by_socket.values().map(Vec::len).sum();
            assert_eq!(len, queries.len);
        }
        assert!(ended.iter().map(|q| q.asked_ns).eq(0..ended.len() as u64));
        assert_eq!(ended.len() + queries.len, 1000);
    }
}
