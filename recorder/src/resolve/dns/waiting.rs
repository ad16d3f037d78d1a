//! Questions to name servers that wait for an answer.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::resolve::dns::message::{DnsAnswer, DnsMessage, DnsQuestion, NOERROR, NXDOMAIN};
use crate::resolve::threads::Identity;
use crate::rows::batch::{Batch, Endpoints, NONE, Object, Row, StringIndex};

/// Memory of a question: the struct, its texts, and its share of the hash table.
const QUESTION_BYTES: usize = size_of::<Question>() + 512;

/// A text of a batch, so that it outlives the batch.
pub(in crate::resolve) type Text = Option<Arc<str>>;

/// The socket over which a question was sent.
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

/// A question that waits for its answer.
#[derive(Clone, Debug)]
pub(in crate::resolve) struct Question {
    /// The thread that asked. When the wait ends, the thread may have ended and its id may be reused.
    pub(in crate::resolve) tid: u32,
    pub(in crate::resolve) identity: Identity,
    /// Wall clock time of the call that sent the question, ns since 1970 UTC, and the same as boot time.
    pub(in crate::resolve) wall_ns: i64,
    pub(in crate::resolve) asked_ns: u64,
    pub(in crate::resolve) socket: Socket,
    pub(in crate::resolve) id: u16,
    pub(in crate::resolve) question: DnsQuestion,
    /// True if another server has answered the same question.
    pub(in crate::resolve) is_superseded: bool,
}

impl Question {
    /// Returns whether both ask for the same over the same socket, perhaps from different servers.
    fn asks_the_same(&self, other: &Question) -> bool {
        self.id == other.id && self.question == other.question
    }

    fn key(&self) -> SocketKey {
        (self.identity.pid, self.socket.inode)
    }
}

/// A process, and the inode of its socket.
pub(in crate::resolve) type SocketKey = (u32, u64);

/// All questions that wait for an answer.
#[derive(Debug)]
pub(in crate::resolve) struct Questions {
    by_socket: FxHashMap<SocketKey, Vec<Question>>,
    pub(in crate::resolve) len: usize,
    max_len: usize,
    /// Boot time of the last check for questions that have waited too long, ns.
    pub(in crate::resolve) checked_ns: u64,
}

impl Questions {
    /// Returns an empty collection for up to `max_bytes`.
    pub(in crate::resolve) fn new(max_bytes: usize) -> Questions {
        Questions {
            by_socket: FxHashMap::default(),
            len: 0,
            max_len: (max_bytes / QUESTION_BYTES).max(8),
            checked_ns: 0,
        }
    }

    /// Adds a question. Returns the questions that no longer wait: the same question to the same server, which was sent
    /// again, and above the limit the oldest eighth.
    pub(in crate::resolve) fn ask(&mut self, asked: Question) -> Vec<Question> {
        let mut ended = self.remove_from(asked.key(), |q| {
            q.asks_the_same(&asked) && q.socket.peer == asked.socket.peer
        });
        if self.len >= self.max_len {
            let questions = self.by_socket.values().flatten();
            let mut times: Vec<u64> = questions.map(|q| q.asked_ns).collect();
            let nth = times.len() / 8;
            let (_, limit_ns, _) = times.select_nth_unstable(nth);
            let limit_ns = *limit_ns;
            ended.extend(self.remove(|q| q.asked_ns <= limit_ns));
        }
        self.len += 1;
        self.by_socket.entry(asked.key()).or_default().push(asked);
        ended
    }

    /// Removes the question that a message from `server` answers. A message without a question answers any with its id.
    pub(in crate::resolve) fn answered(
        &mut self,
        key: SocketKey,
        message: &DnsMessage,
        answer: &DnsAnswer,
        server: &(Text, Option<u16>),
    ) -> Option<Question> {
        let questions = self.by_socket.get_mut(&key)?;
        let matches = |q: &Question| {
            let asked = message.question.as_ref();
            q.id == message.id && asked.is_none_or(|asked| *asked == q.question)
        };
        let from_server = |q: &Question| matches(q) && q.socket.peer == *server;
        // The source of a message that recvmmsg(2) received after its first is not known.
        let at = questions.iter().position(from_server);
        let at = at.or_else(|| questions.iter().position(matches))?;
        let question = questions.remove(at);
        self.len -= 1;
        if [NOERROR, NXDOMAIN].contains(&answer.code) {
            let same = questions.iter_mut().filter(|q| q.asks_the_same(&question));
            same.for_each(|q| q.is_superseded = true);
        }
        if questions.is_empty() {
            self.by_socket.remove(&key);
        }
        Some(question)
    }

    /// Removes the questions of a socket for which `ends` holds.
    pub(in crate::resolve) fn remove_from(
        &mut self,
        key: SocketKey,
        ends: impl Fn(&Question) -> bool,
    ) -> Vec<Question> {
        let Some(questions) = self.by_socket.get_mut(&key) else {
            return vec![];
        };
        let ended: Vec<Question> = questions.extract_if(.., |q| ends(q)).collect();
        if questions.is_empty() {
            self.by_socket.remove(&key);
        }
        self.len -= ended.len();
        ended
    }

    /// Removes the questions for which `ends` holds. Returns them in the order in which they were asked.
    pub(in crate::resolve) fn remove(&mut self, ends: impl Fn(&Question) -> bool) -> Vec<Question> {
        let mut ended = vec![];
        self.by_socket.retain(|_, questions| {
            ended.extend(questions.extract_if(.., |q| ends(q)));
            !questions.is_empty()
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

    /// Creates a question of process `pid` over the socket 7.
    fn question(pid: u32, id: u16, ty: u16, server: &str, asked_ns: u64) -> Question {
        Question {
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

    /// Has `server` answer a question of process 1 about addresses of type `ty`. Returns the time of the question.
    fn answer(
        questions: &mut Questions,
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
        let server = (Some(server.into()), Some(53));
        let question = questions.answered((1, 7), &message, &answer, &server)?;
        Some(question.asked_ns)
    }

    #[test]
    fn an_answer_belongs_to_the_question_with_its_id_name_type_and_server() {
        let mut questions = Questions::new(1 << 20);
        assert!(questions.ask(question(1, 5, 1, "a", 1)).is_empty());
        assert!(questions.ask(question(1, 5, 28, "a", 2)).is_empty());
        assert!(questions.ask(question(1, 5, 1, "b", 3)).is_empty());
        assert_eq!(answer(&mut questions, 6, Some(1), "a", NOERROR), None);
        assert_eq!(answer(&mut questions, 5, Some(2), "a", NOERROR), None);
        assert_eq!(answer(&mut questions, 5, Some(28), "a", NOERROR), Some(2));
        assert_eq!(answer(&mut questions, 5, Some(1), "b", 5), Some(3));
        // A refusal does not make the answer of the other server superfluous.
        let rest = questions.remove_from((1, 7), |_| true);
        assert_eq!(rest.len(), 1);
        assert!(!rest[0].is_superseded);
        assert!(questions.by_socket.is_empty() && questions.len == 0);
    }

    #[test]
    fn the_answer_of_one_server_supersedes_the_same_question_to_others() {
        let mut questions = Questions::new(1 << 20);
        questions.ask(question(1, 5, 1, "a", 1));
        questions.ask(question(1, 5, 1, "b", 2));
        questions.ask(question(1, 5, 28, "b", 3));
        // Without its question, an answer belongs to the first with its id and server.
        assert_eq!(answer(&mut questions, 5, None, "b", NXDOMAIN), Some(2));
        let rest = questions.remove(|_| true);
        let superseded = rest.iter().map(|q| (q.asked_ns, q.is_superseded));
        assert!(superseded.eq([(1, true), (3, false)]));
    }

    #[test]
    fn a_question_that_is_sent_again_replaces_the_first() {
        let mut questions = Questions::new(1 << 20);
        questions.ask(question(1, 5, 1, "a", 1));
        // Another process may have the same socket.
        assert!(questions.ask(question(2, 5, 1, "a", 2)).is_empty());
        let ended = questions.ask(question(1, 5, 1, "a", 3));
        assert!(ended.iter().map(|q| q.asked_ns).eq([1]));
        assert_eq!(answer(&mut questions, 5, Some(1), "a", NOERROR), Some(3));
        assert_eq!(questions.len, 1);
    }

    #[test]
    fn questions_are_limited_and_the_oldest_end_first() {
        let mut questions = Questions::new(100 * QUESTION_BYTES);
        let mut ended = vec![];
        for i in 0..1000 {
            let id = i as u16;
            ended.extend(questions.ask(question(1 + i % 9, id, 1, "a", i.into())));
            assert!(questions.len <= 100);
            let len: usize = questions.by_socket.values().map(Vec::len).sum();
            assert_eq!(len, questions.len);
        }
        assert!(ended.iter().map(|q| q.asked_ns).eq(0..ended.len() as u64));
        assert_eq!(ended.len() + questions.len, 1000);
    }
}
