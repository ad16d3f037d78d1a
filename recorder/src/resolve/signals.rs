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
        // Only the exit of the first process of a pid namespace is that of a container.
        if is_oom && receiver.ns_pid == 1 {
            registry.add_oom_victim(receiver.cgroup, receiver.pid);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use super::*;
    use crate::calls::Calls;
    use crate::containers::facts::{CgroupFact, CgroupKind};
    use crate::limits::memory::Memory;
    use crate::records::decode::{Body, TaskRecord};
    use crate::resolve::registry::Registry;
    use crate::wire::types::exit_flag;

    fn head(flags: u32) -> Head {
        Head {
            time: 1,
            tid: 100,
            nr: 0,
            flags: flags as u8,
            call_count: 0,
        }
    }

    #[test]
    fn a_process_that_lacked_memory_is_found_without_the_record_of_its_signal() {
        let calls = Arc::new(Calls::new("x86_64").unwrap());
        let mut resolver = Resolver::new(calls, Registry::new(false), Memory::for_tests());
        let container = CgroupFact {
            boot_ns: 0,
            cgroup: 7,
            path: "/abc".to_string(),
            kind: CgroupKind::Container(Box::default()),
        };
        resolver.learn(&container, false);
        let task = TaskRecord {
            pid: 100,
            ppid: 1,
            ns_pid: 1,
            uid: 0,
            cgroup: 7,
            exe: 0,
            comm: b"sh",
            mount_ns: None,
        };
        resolver.record(head(0), Body::Task(task));
        // The kernel side knows only the number of the thread.
        let signal = SignalRecord {
            cgroup: 0,
            sender_cgroup: 0,
            memory_limit: 0,
            pid: 0,
            ppid: 0,
            ns_pid: 0,
            uid: 0,
            sender_pid: 0,
            number: 9,
            comm: b"",
            sender_comm: b"",
        };
        resolver.record(head(signal_flag::SIGNAL_OOM.0), Body::Signal(signal));
        let exit = head(exit_flag::EXIT_PROCESS.0);
        resolver.record(exit, Body::Exit { code: 9 });
        let index = resolver.registry.index(7);
        assert_eq!(resolver.registry.exit(index).reason(), "out of memory");
    }
}
