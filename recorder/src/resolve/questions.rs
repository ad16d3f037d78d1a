//! Follows questions to name servers: each becomes a row when it is answered, or when no answer can be expected any more. See
//! `docs/schema.md`.

use crate::resolve::Resolver;
use crate::resolve::dns::message::{self, DnsAnswer, DnsMessage, NOERROR};
use crate::resolve::dns::waiting::{Question, Socket, SocketKey};
use crate::rows::batch::{DnsDetail, EventDetail, EventKind, NONE, Row};
use crate::wire::types::sys_flag;

/// Time in ns after which a question counts as unanswered: twice as long as glibc, musl and Go wait for a server by
/// default.
const MAX_WAIT_NS: u64 = 10_000_000_000;
/// Interval in ns at which the time of all questions is checked.
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
    /// Follows questions and answers in the call of thread `tid` that lasted from `began_ns` to `ended_ns` (boot time)
    /// and whose row was added last: its messages, its error, or the close of its socket.
    pub(in crate::resolve) fn follow_questions(&mut self, tid: u32, began_ns: u64, ended_ns: u64) {
        let messages = std::mem::take(&mut self.messages);
        if messages.is_empty() && self.questions.len == 0 {
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
            let ended = self.questions.remove_from(key, |_| true);
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
                    let asked = Question {
                        tid,
                        identity: identity.clone(),
                        wall_ns: row.time,
                        asked_ns: began_ns,
                        socket: socket.clone(),
                        id: message.id,
                        question: question.clone(),
                        is_superseded: false,
                    };
                    let ended = self.questions.ask(asked);
                    self.push_unanswered(ended, ended_ns, None);
                }
                (_, Some(answer)) if receives => {
                    self.end_by_answer(key, &message, answer, &socket, ended_ns);
                }
                _ => {}
            }
        }
    }

    /// Adds the row of the question that a message has answered over `socket` at a boot time.
    fn end_by_answer(
        &mut self,
        key: SocketKey,
        message: &DnsMessage,
        answer: &DnsAnswer,
        socket: &Socket,
        ended_ns: u64,
    ) {
        let question = self.questions.answered(key, message, answer, &socket.peer);
        let Some(mut question) = question else {
            return;
        };
        // The first message of a socket binds it to a port.
        if question.socket.local.1.is_none() {
            question.socket.local = socket.local.clone();
        }
        self.push_question(question, ended_ns, &Outcome::Answered(answer));
    }

    /// Adds the rows of the questions of a process that has ended at a boot time.
    pub(in crate::resolve) fn end_questions_of(&mut self, pid: u32, ended_ns: u64) {
        if self.questions.len > 0 {
            let ended = self.questions.remove(|q| q.identity.pid == pid);
            self.push_unanswered(ended, ended_ns, None);
        }
    }

    /// Adds the rows of the questions that have waited too long.
    pub(crate) fn end_old_questions(&mut self) {
        let now_ns = self.clock.boot();
        if self.questions.len > 0 && now_ns.saturating_sub(self.questions.checked_ns) >= CHECK_NS {
            self.questions.checked_ns = now_ns;
            let ended = self
                .questions
                .remove(|q| now_ns.saturating_sub(q.asked_ns) >= MAX_WAIT_NS);
            for question in ended {
                let until_ns = question.asked_ns + MAX_WAIT_NS;
                self.push_question(question, until_ns, &Outcome::Unanswered(None));
            }
        }
    }

    /// Adds the rows of all questions, at the end of the recording.
    pub(crate) fn end_questions(&mut self) {
        let ended = self.questions.remove(|_| true);
        self.push_unanswered(ended, self.clock.boot(), None);
    }

    fn push_unanswered(&mut self, questions: Vec<Question>, until_ns: u64, error: Option<i32>) {
        for question in questions {
            self.push_question(question, until_ns, &Outcome::Unanswered(error));
        }
    }

    /// Adds the row of a question whose wait ended at a boot time.
    fn push_question(&mut self, question: Question, until_ns: u64, outcome: &Outcome<'_>) {
        let mut row = Row::new(question.wall_ns, EventKind::Dns);
        row.duration = until_ns.saturating_sub(question.asked_ns);
        let (batch, registry) = (&mut self.batch, &mut self.registry);
        let (tid, mut identity) = (question.tid, question.identity);
        row.task = identity.index(tid, self.generation, batch, registry);
        row.object = question.socket.push_to(&question.question.name, batch);
        let strings = &mut batch.strings;
        let ty = strings.intern(&message::type_name(question.question.ty));
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
                match question.is_superseded {
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
