//! Follows queries to name servers: each becomes a row when it is answered, or when no answer can be expected any more. See
//! `docs/schema.md`.

use crate::resolve::Resolver;
use crate::resolve::dns::message::{self, DnsAnswer, NOERROR};
use crate::resolve::dns::waiting::{DnsQuery, Socket};
use crate::rows::batch::{DnsDetail, EventDetail, EventKind, NONE, Row};
use crate::wire::types::sys_flag;

/// Time in ns after which a query counts as unanswered: twice as long as glibc, musl and Go wait for a server by
/// default.
const MAX_WAIT_NS: u64 = 10_000_000_000;
/// Interval in ns at which the time of all queries is checked.
const CHECK_NS: u64 = 500_000_000;

/// The end of the wait for an answer.
enum Outcome<'a> {
    Answered(&'a DnsAnswer),
    /// No answer has come. With the errno of the call that has failed instead, if it is known.
    Unanswered(Option<i32>),
}

/// Returns whether an errno says that the network has failed, and not only this call. Linux returns the error of a
/// datagram by the next call on its socket: see udp(7).
fn is_network_error(errno: i64) -> bool {
    let errnos = [
        libc::ECONNREFUSED,
        libc::ECONNRESET,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::EPIPE,
        libc::ETIMEDOUT,
    ];
    errnos.iter().any(|known| i64::from(*known) == errno)
}

impl Resolver {
    /// Follows queries and answers in the call of thread `tid` that lasted from `began_ns` to `ended_ns` (boot time)
    /// and whose row was added last: its messages, its error, or the close of its socket.
    pub(in crate::resolve) fn follow_queries(&mut self, tid: u32, began_ns: u64, ended_ns: u64) {
        let messages = std::mem::take(&mut self.messages);
        if messages.is_empty() && self.queries.len == 0 {
            return;
        }
        let Some(row) = self.batch.rows.last().copied() else {
            return;
        };
        let compat = u32::from(row.flags) & sys_flag::SYS_COMPAT.0 != 0;
        let Some(call) = self.calls.get(compat, row.call) else {
            return;
        };
        let (sends, receives) = (call.sends, call.receives);
        // Of several messages, only the source of the first is known.
        let is_source_known = !call.name.starts_with("recvmmsg") || row.ret == 1;
        let closes = matches!(&*call.name, "close" | "io_uring:close");
        let errno = row.ret.saturating_neg();
        let fails = (sends || receives) && is_network_error(errno);
        if messages.is_empty() && !closes && !fails {
            return;
        }
        let (Some(thread), Some(object)) = (
            self.threads.get(tid.into()),
            self.batch.objects.get(row.object as usize),
        ) else {
            return;
        };
        let key = (thread.identity.pid, object.inode.unwrap_or(0));
        if closes || fails {
            let ended = self.queries.remove_from(key, |_| true);
            self.push_unanswered(ended, ended_ns, fails.then_some(errno as i32));
            return;
        }
        let Some(socket) = Socket::of(&self.batch, &row) else {
            return;
        };
        let identity = thread.identity.clone();
        for message in messages {
            match (&message.question, &message.answer) {
                (Some(question), None) if sends => {
                    let asked = DnsQuery {
                        tid,
                        identity: identity.clone(),
                        wall_ns: row.time,
                        asked_ns: began_ns,
                        socket: socket.clone(),
                        id: message.id,
                        question: question.clone(),
                        is_superseded: false,
                    };
                    let ended = self.queries.ask(asked);
                    self.push_unanswered(ended, ended_ns, None);
                }
                (_, Some(answer)) if receives => {
                    let from = is_source_known.then_some(&socket.peer);
                    if let Some(query) = self.queries.answered(key, &message, answer, from) {
                        let container = self.batch.container(&row);
                        self.dns_names.learn(container, &message, row.time);
                        self.end_by_answer(query, answer, &socket, ended_ns);
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds the row of a query that was answered over `socket` at a boot time.
    fn end_by_answer(
        &mut self,
        mut query: DnsQuery,
        answer: &DnsAnswer,
        socket: &Socket,
        ended_ns: u64,
    ) {
        // The first message of a socket binds it to a port.
        if query.socket.local.1.is_none() {
            query.socket.local = socket.local.clone();
        }
        self.push_query(query, ended_ns, &Outcome::Answered(answer));
    }

    /// Adds the rows of the queries of a process that has ended at a boot time.
    pub(in crate::resolve) fn end_queries_of(&mut self, pid: u32, ended_ns: u64) {
        if self.queries.len > 0 {
            let ended = self.queries.remove(|q| q.identity.pid == pid);
            self.push_unanswered(ended, ended_ns, None);
        }
    }

    /// Adds the rows of the queries that have waited too long.
    pub(crate) fn end_old_queries(&mut self) {
        let now_ns = self.clock.boot();
        if self.queries.len > 0 && now_ns.saturating_sub(self.queries.checked_ns) >= CHECK_NS {
            self.queries.checked_ns = now_ns;
            let ended = self
                .queries
                .remove(|q| now_ns.saturating_sub(q.asked_ns) >= MAX_WAIT_NS);
            for query in ended {
                let until_ns = query.asked_ns + MAX_WAIT_NS;
                self.push_query(query, until_ns, &Outcome::Unanswered(None));
            }
        }
    }

    /// Adds the rows of all queries, at the end of the recording.
    pub(crate) fn end_queries(&mut self) {
        let ended = self.queries.remove(|_| true);
        self.push_unanswered(ended, self.clock.boot(), None);
    }

    fn push_unanswered(&mut self, queries: Vec<DnsQuery>, until_ns: u64, error: Option<i32>) {
        for query in queries {
            self.push_query(query, until_ns, &Outcome::Unanswered(error));
        }
    }

    /// Adds the row of a query whose wait ended at a boot time.
    fn push_query(&mut self, query: DnsQuery, until_ns: u64, outcome: &Outcome<'_>) {
        let mut row = Row::new(query.wall_ns, EventKind::Dns);
        row.duration = until_ns.saturating_sub(query.asked_ns);
        let (batch, registry) = (&mut self.batch, &mut self.registry);
        let (tid, mut identity) = (query.tid, query.identity);
        row.task = identity.index(tid, self.generation, batch, registry);
        row.object = query.socket.push_to(&query.question.name, batch);
        let strings = &mut batch.strings;
        let ty = strings.intern(&message::type_name(query.question.ty));
        let (action, code, answers, error) = match outcome {
            Outcome::Answered(answer) => (
                match answer.code {
                    NOERROR => "answered",
                    _ => "failed",
                },
                strings.intern(&message::code_name(answer.code)),
                match answer.is_truncated && answer.records.is_empty() {
                    true => NONE,
                    false => strings.intern(&serde_json::json!(answer.records).to_string()),
                },
                NONE,
            ),
            Outcome::Unanswered(errno) => (
                match query.is_superseded {
                    true => "abandoned",
                    false => "unanswered",
                },
                NONE,
                NONE,
                strings.intern_opt(errno.and_then(ctrace_schema::errno::name)),
            ),
        };
        let detail = EventDetail {
            action,
            class: "network",
            dns: Some(Box::new(DnsDetail {
                ty,
                code,
                answers,
                error,
            })),
            ..EventDetail::default()
        };
        batch.push_event(row, detail);
    }
}
