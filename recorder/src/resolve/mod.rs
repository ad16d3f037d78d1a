//! From records to rows: who did it, in which container, to which file or peer.
//!
//! Holds what the kernel side has defined so far: threads by id, files and sockets by key. Never touches libbpf.

pub mod addresses;
mod announced;
pub mod clock;
pub mod constants;
pub mod definitions;
pub mod dns;
mod in_flight;
pub mod paths;
pub mod registry;
pub mod sockets;
mod threads;
mod uring;

use std::collections::VecDeque;
use std::sync::Arc;

use ctrace_schema::syscalls::Class;
use ctrace_schema::text::escape;
use rustc_hash::FxHashMap;

use crate::calls::Calls;
use crate::containers::facts::{CgroupFact, CgroupKind};
use crate::limits::memory::{Memory, with_huge_pages};
use crate::records::count::Count;
use crate::records::decode::{Args, Body, Head};
use crate::records::loss::{Cause, Faults, Loss};
use crate::resolve::clock::Clock;
use crate::resolve::definitions::{Definitions, Sent};
use crate::resolve::dns::Resolved;
use crate::resolve::in_flight::Requests;
use crate::resolve::registry::{ContainerChange, Registry};
use crate::resolve::sockets::{SocketDefinition, socket};
use crate::resolve::threads::{Identity, Pending, Thread};
use crate::rows::batch::{
    Batch, CallCounts, CallDetail, EventDetail, EventKind, NONE, Object, Row, StringIndex,
};
use crate::wire::types::{exit_flag, sock_flag, sys_flag};

/// The last processes that ended, so many.
const ENDED: usize = 64;

#[derive(Debug)]
struct File {
    path: Arc<str>,
    dev: u32,
    inode: u64,
    sent: Sent,
}

/// The state between records and rows.
#[derive(Debug)]
pub struct Resolver {
    threads: Definitions<Thread>,
    files: Definitions<File>,
    sockets: Definitions<SocketDefinition>,
    requests: Requests,
    resolved: Resolved,
    /// Processes that have just ended, by id and start: of two threads that end at once, each may take itself for the last.
    ended: VecDeque<(u32, u64)>,
    calls: Arc<Calls>,
    /// The containers.
    pub registry: Registry,
    /// The clock that gives rows their time.
    pub clock: Clock,
    /// Entries of calls may have been missed until then, boot time.
    pub entries_missed: u64,
    /// What did not come as it should.
    pub faults: Faults,
    /// The batch that is being filled.
    pub batch: Batch,
    /// What the call has announced whose row is being made.
    announced: Vec<(u16, Pending)>,
    /// Numbers batches, so that what was sent in an earlier one is sent again.
    generation: u32,
    /// Where a path leads in this batch, by the key of what it starts from and the path.
    joined: FxHashMap<(u64, StringIndex), StringIndex>,
    /// Text of a device in this batch.
    devices: FxHashMap<u32, StringIndex>,
}

impl Resolver {
    /// Nothing is known yet. `calls` are those of the machine that is recorded.
    pub fn new(calls: Arc<Calls>, registry: Registry, memory: Memory) -> Resolver {
        Resolver {
            threads: Definitions::new(memory.threads()),
            files: Definitions::new(memory.definitions()),
            sockets: Definitions::new(memory.definitions()),
            requests: Requests::new(memory.requests()),
            resolved: Resolved::default(),
            ended: VecDeque::new(),
            calls,
            registry,
            clock: Clock::default(),
            entries_missed: 0,
            faults: Faults::default(),
            batch: Batch::default(),
            announced: vec![],
            generation: 1,
            joined: FxHashMap::default(),
            devices: FxHashMap::default(),
        }
    }

    /// The rows since the last time, which end the batch.
    pub fn take(&mut self) -> Batch {
        self.generation += 1;
        self.joined.clear();
        self.devices.clear();
        self.forget_gone(true);
        // The next batch will be much like this one: lists that grow are copied, and touch fresh pages again and again.
        let next = Batch {
            rows: with_huge_pages(self.batch.rows.len()),
            args: with_huge_pages(self.batch.args.len()),
            first_seq: self.batch.first_seq + self.batch.len() as u64,
            ..Batch::default()
        };
        let mut batch = std::mem::replace(&mut self.batch, next);
        match batch.cut.rows {
            0 => batch,
            _ => batch.part(),
        }
    }

    fn forget_gone(&mut self, batch_ended: bool) {
        let forgotten = self.registry.forget(self.clock.boot(), batch_ended);
        if !forgotten.is_empty() {
            self.resolved.forget(&forgotten);
        }
    }

    /// Whether definitions fill so much memory that the kernel side should send them anew, and whether those of threads do.
    pub fn is_full(&self) -> (bool, bool) {
        let threads = self.threads.is_full();
        let any = threads || self.files.is_full() || self.sockets.is_full();
        (any, threads)
    }

    /// Forgets the older half of the definitions, of `threads` too if they are to go: one may do nothing for long, and those
    /// that are gone are forgotten when they go, unless that was lost. The kernel side sends those again that it uses.
    pub fn forget(&mut self, threads: bool) {
        self.files.age();
        self.sockets.age();
        if threads {
            self.threads.age();
        }
    }

    /// Takes one record in. What a cgroup record means is the watcher's business: see [`Resolver::learn`].
    pub fn record(&mut self, head: Head, body: Body<'_>) {
        match body {
            Body::Syscall {
                duration,
                ret,
                key,
                args,
            } => self.syscall(head, duration, ret, key, args),
            Body::Task {
                pid,
                ppid,
                ns_pid,
                uid,
                start_time,
                cgroup,
                exe,
                comm,
            } => {
                let before = self.threads.remove(head.tid.into());
                let (known, pending) =
                    before.map_or((None, vec![]), |t| (t.identity.exe, t.pending));
                // The kernel has let go of it when a thread that ends is defined once more.
                let exe = match exe {
                    0 => known,
                    key => self.files.get(key).map(|f| f.path.clone()),
                };
                self.registry.enter(cgroup);
                let identity = Identity {
                    cgroup,
                    pid,
                    ppid,
                    ns_pid,
                    uid,
                    start_time,
                    comm: escape(comm).into(),
                    exe,
                    sent: Sent::default(),
                };
                let thread = Thread { identity, pending };
                self.threads.put(head.tid.into(), thread, comm.len());
            }
            Body::File {
                key,
                inode,
                dev,
                magic,
                names,
            } => {
                let path: Arc<str> = paths::file_text(names, magic, inode).into();
                let bytes = path.len();
                self.files.insert(
                    key,
                    File {
                        path,
                        dev,
                        inode,
                        sent: Sent::default(),
                    },
                    bytes,
                );
            }
            Body::Sock(sock) => {
                let connected = u32::from(head.flags) & sock_flag::SOCK_CONNECTED.0 != 0;
                let bytes = sock.local_name.len() + sock.peer_name.len();
                self.sockets
                    .insert(sock.key, socket(&sock, connected), bytes);
            }
            Body::Data { base, bytes } => self.data(head, base, bytes),
            Body::Exec { caller, exe, argv } => {
                self.take_over(head.tid, caller);
                let argv = argv.into();
                self.announce(head.tid, head.count, Pending::Exec { exe, argv });
            }
            Body::Exit { code } => self.exit(head, code),
            Body::Cgroup { .. } => {}
            Body::Request { submitted, args } => self.request(head, submitted, args),
            Body::Complete {
                submitted,
                ret,
                key,
            } => self.complete(head, submitted, ret, key),
        }
    }

    /// A fact about a cgroup: becomes a row where a container came or went.
    pub fn learn(&mut self, fact: &CgroupFact, found: bool) {
        if fact.kind == CgroupKind::Removed {
            self.forget_gone(false);
        }
        let late = match fact.kind {
            CgroupKind::Container(_) => self.registry.take_left_out(fact.cgroup),
            _ => 0,
        };
        self.describe(fact, found);
        if late > 0 {
            let loss = Loss {
                cgroup: fact.cgroup,
                class: None,
                why: Cause::Ring,
                cpu: None,
                events: late,
            };
            self.gap(&loss, (fact.boot, self.clock.boot()));
        }
    }

    /// Adds the row of a container that comes or goes by a fact.
    fn describe(&mut self, fact: &CgroupFact, found: bool) {
        let (index, action) = match self.registry.learn(fact) {
            ContainerChange::None => return,
            ContainerChange::Appeared(index) if found => (index, "found"),
            ContainerChange::Appeared(index) => (index, "started"),
            ContainerChange::Gone(index) => (index, "stopped"),
        };
        let note = EventDetail {
            container: index,
            action,
            description: Some(Box::new(self.registry.describe(index))),
            ..EventDetail::default()
        };
        let row = Row::new(self.clock.wall(fact.boot), EventKind::Container);
        self.batch.push_event(row, note);
    }

    /// Events were lost between two instants (boot time, ns).
    pub fn gap(&mut self, loss: &Loss, (since, until): (u64, u64)) {
        let mut row = Row::new(self.clock.wall(since), EventKind::Gap);
        row.duration = until.saturating_sub(since);
        let note = EventDetail {
            container: self.registry.index_of_lost(loss.cgroup),
            action: loss.why.as_str(),
            class: loss.class.map_or("", Class::as_str),
            lost: Some(loss.events as i64),
            cpu: loss.cpu.map(Into::into),
            ..EventDetail::default()
        };
        self.batch.push_event(row, note);
    }

    /// Calls that were counted since an instant (boot time, ns).
    pub fn count(&mut self, since: u64, count: &Count) {
        let mut row = Row::new(self.clock.wall(since), EventKind::Counts);
        row.duration = count.duration;
        row.call = count.nr;
        row.flags = if count.compat {
            sys_flag::SYS_COMPAT.0 as u8
        } else {
            0
        };
        let strings = &mut self.batch.strings;
        let counted = CallCounts {
            comm: strings.intern(&escape(&count.comm)),
            calls: count.calls as i64,
            errors: count.errors as i64,
            bytes: count.bytes as i64,
            latency: strings.intern(&serde_json::json!(count.latency).to_string()),
        };
        // Who calls is in it.
        self.registry.enter(count.cgroup);
        let note = EventDetail {
            container: self.registry.index(count.cgroup),
            counted: Some(Box::new(counted)),
            ..EventDetail::default()
        };
        self.batch.push_event(row, note);
    }

    fn syscall(&mut self, mut head: Head, duration: u64, ret: i64, key: u64, args: Args<'_>) {
        let denied = sys_flag::SYS_DENIED.0 as u8;
        // Of such a call `duration` says when the thread was seen last: since then its entry may have been missed.
        if head.flags & denied != 0 && head.time.saturating_sub(duration) < self.entries_missed {
            head.flags = head.flags & !denied | sys_flag::SYS_NO_ENTRY.0 as u8;
        }
        let has = |flag: sys_flag| u32::from(head.flags) & flag.0 != 0;
        let Some(call) = self.calls.get(has(sys_flag::SYS_COMPAT), head.nr) else {
            self.faults.broken += 1;
            return;
        };
        let timed = !has(sys_flag::SYS_DENIED) && !has(sys_flag::SYS_NO_ENTRY);
        let before = if timed { duration.min(head.time) } else { 0 };
        let mut row = Row::new(self.clock.wall(head.time - before), EventKind::Syscall);
        row.duration = duration;
        row.ret = ret;
        row.flags = head.flags;
        row.call = head.nr;
        self.batch.set_args(&mut row, call.values(args.iter()));
        let mut names = CallDetail::NONE;
        self.set_task(&mut row, head.tid);
        let mut announced = std::mem::take(&mut self.announced);
        if has(sys_flag::SYS_CHILD) {
            names.child_pid = Some(key as i32);
        } else {
            row.object = self.object(key, &row);
        }
        if has(sys_flag::SYS_EMPTY_PATH) {
            names.path_arg = self.batch.strings.intern("");
        }
        // Those of another number are of a call whose record was lost.
        let ours = announced
            .drain(..)
            .filter(|(count, _)| *count == head.count);
        self.push_call(row, names, ours.map(|(_, pending)| pending));
        self.announced = announced;
    }

    /// Adds the row of a call, with what was announced of it.
    fn push_call(
        &mut self,
        mut row: Row,
        mut names: CallDetail,
        announced: impl Iterator<Item = Pending>,
    ) {
        let mut named = names != CallDetail::NONE;
        for pending in announced {
            named = true;
            self.set_pending(&mut row, &mut names, pending);
        }
        if named {
            self.batch.set_call_detail(&mut row, names);
        }
        self.batch.rows.push(row);
    }

    /// Index of the file or socket behind `key`, which `row` is about.
    fn object(&mut self, key: u64, row: &Row) -> u32 {
        let (batch, generation) = (&mut self.batch, self.generation);
        if key == 0 {
            NONE
        } else if let Some(file) = self.files.get_mut(key) {
            file.sent.index(generation, || {
                batch.objects.push(Object {
                    path: batch.strings.intern_shared(&file.path),
                    dev: batch.strings.intern(&paths::dev_text(file.dev)),
                    inode: Some(file.inode),
                    endpoints: NONE,
                });
                batch.objects.len() - 1
            })
        } else if let Some(socket) = self.sockets.get_mut(key) {
            let (container, resolved) = (batch.container(row), &self.resolved);
            socket.set_name(|peer| resolved.name(container, peer, row.time));
            let mut sent = socket.sent;
            let index = sent.index(generation, || socket.push(batch));
            socket.sent = sent;
            index
        } else {
            NONE
        }
    }

    /// Says who did it, and makes `announced` what the thread had announced.
    fn set_task(&mut self, row: &mut Row, tid: u32) {
        let Resolver {
            batch,
            registry,
            generation,
            announced,
            ..
        } = self;
        announced.clear();
        let Some(thread) = self.threads.get_mut(tid.into()) else {
            self.faults.orphans += 1;
            return;
        };
        row.task = thread.identity.index(tid, *generation, batch, registry);
        std::mem::swap(&mut thread.pending, announced);
    }

    /// Whether the process of a thread ends with it, which is told once.
    fn ends(&mut self, head: Head) -> bool {
        if u32::from(head.flags) & exit_flag::EXIT_PROCESS.0 == 0 {
            return false;
        }
        let thread = self.threads.get(head.tid.into());
        let Some(process) = thread
            .map(|thread| (thread.identity.pid, thread.identity.start_time))
            .filter(|(_, start)| *start > 0)
        else {
            return true;
        };
        if self.ended.contains(&process) {
            return false;
        }
        self.ended.truncate(ENDED - 1);
        self.ended.push_front(process);
        true
    }

    fn exit(&mut self, head: Head, code: u32) {
        if self.ends(head) {
            let mut row = Row::new(self.clock.wall(head.time), EventKind::Process);
            // wait(2): the signal in the low seven bits, the code above them.
            let (code, signal) = ((code >> 8 & 0xff) as i32, (code & 0x7f) as i32);
            self.set_task(&mut row, head.tid);
            let note = EventDetail {
                container: 0,
                action: "exit",
                class: "process",
                exit_code: (signal == 0).then_some(code),
                exit_signal: (signal != 0).then_some(signal),
                ..EventDetail::default()
            };
            self.batch.push_event(row, note);
        }
        self.threads.remove(head.tid.into());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_end_of_a_process_is_told_once_and_that_of_the_next_with_its_id_too() {
        let calls = Calls::new("x86_64").unwrap();
        let memory = Memory::for_tests();
        let mut resolver = Resolver::new(Arc::new(calls), Registry::new(true), memory);
        let head = |tid| Head {
            time: 1,
            tid,
            nr: 0,
            count: 0,
            flags: exit_flag::EXIT_PROCESS.0 as u8,
        };
        let begins = |start_time| Body::Task {
            pid: 7,
            ppid: 1,
            ns_pid: 7,
            uid: 0,
            start_time,
            cgroup: 0,
            exe: 0,
            comm: b"sh",
        };
        for (start_time, threads) in [(100, [7, 8]), (200, [7, 9])] {
            for tid in threads {
                resolver.record(head(tid), begins(start_time));
            }
            for tid in threads {
                resolver.record(head(tid), Body::Exit { code: 0 });
            }
        }
        assert_eq!(resolver.take().len(), 2);
    }
}
