//! Signals that end or stop a process, and processes that the kernel kills for lack of memory.

use ctrace_schema::text::escape;

use crate::records::decode::{Head, SignalRecord};
use crate::resolve::Resolver;
use crate::resolve::definitions::BatchIndex;
use crate::resolve::threads::Identity;
use crate::rows::batch::{EventDetail, EventKind, Row, SignalDetail};
use crate::wire::types::signal_flag;

impl Resolver {
    /// Handles a signal.
    pub(super) fn signal(&mut self, head: Head, signal: &SignalRecord<'_>) {
        let has = |flag: signal_flag| u32::from(head.flags) & flag.0 != 0;
        let is_oom = has(signal_flag::SIGNAL_OOM);
        let mut row = Row::new(self.clock.wall(head.time), EventKind::Signal);
        let known = self.threads.get(head.tid.into());
        let known = known.filter(|known| signal.pid == 0 || known.identity.pid == signal.pid);
        // The record is newer than the definition of a thread that has made no call since, and of a process that has made
        // no call at all there is no definition.
        let known = known.map(|thread| &thread.identity);
        let receiver = match signal.pid {
            0 => known.cloned(),
            _ => Some(identity(signal, known)),
        };
        // A process that lacked memory, without a record of its signal, may be one that is not recorded.
        let Some(mut receiver) = receiver else { return };
        let (batch, registry) = (&mut self.batch, &mut self.registry);
        if is_oom {
            registry.set_oom_victim(signal.cgroup, signal.pid);
        }
        row.task = receiver.index(head.tid, self.generation, batch, registry);
        let sent = signal.sender_pid != 0;
        let sender_comm = sent.then(|| escape(signal.sender_comm));
        let detail = SignalDetail {
            number: signal.number as i32,
            sender_pid: sent.then_some(signal.sender_pid as i32),
            sender_comm: batch.strings.intern_opt(sender_comm.as_deref()),
            sender: sent.then(|| registry.index(signal.sender_cgroup)),
            memory_limit: (is_oom && signal.memory_limit > 0).then_some(signal.memory_limit as i64),
        };
        let detail = EventDetail {
            container: registry.index(receiver.cgroup),
            action: if is_oom {
                "out of memory"
            } else if has(signal_flag::SIGNAL_IGNORED) {
                "ignored"
            } else {
                "sent"
            },
            class: "signal",
            signal: Some(Box::new(detail)),
            ..EventDetail::default()
        };
        batch.push_event(row, detail);
    }
}

/// Returns the receiver of a signal. `known` is the definition of its thread.
fn identity(signal: &SignalRecord<'_>, known: Option<&Identity>) -> Identity {
    Identity {
        cgroup: signal.cgroup,
        pid: signal.pid,
        ppid: signal.ppid,
        ns_pid: signal.ns_pid,
        uid: signal.uid,
        comm: escape(signal.comm).into(),
        exe: known.and_then(|known| known.exe.clone()),
        arrival: known.and_then(|known| known.arrival),
        batch_index: BatchIndex::default(),
    }
}
