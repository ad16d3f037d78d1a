//! Turns records into rows: adds the thread, its container, and the file or peer of each call.
//!
//! [`Resolver`] stores the kernel side's definitions (threads by id, files and sockets by key) and the data announced
//! for calls in progress. This module does not use libbpf: a replay runs the same code.

mod addresses;
mod announced;
mod clock;
mod connections;
mod constants;
mod definitions;
mod dns;
mod in_flight;
mod moves;
mod objects;
mod paths;
mod peers;
pub(crate) mod registry;
mod signals;
mod sockets;
mod threads;
mod uring;

use std::sync::Arc;

use ctrace_schema::syscalls::Class;
use ctrace_schema::text::{escape, printable};
use rustc_hash::FxHashMap;

use crate::calls::Calls;
use crate::containers::facts::{CgroupFact, CgroupKind};
use crate::containers::mounts::HostMounts;
use crate::containers::processes::RunningProcess;
use crate::limits::memory::{Memory, with_huge_pages};
use crate::records::count::Count;
use crate::records::decode::{Args, Body, FileRecord, Head, SockRecord, TaskRecord};
use crate::records::loss::{Cause, Faults, Loss};
use crate::resolve::clock::Clock;
use crate::resolve::definitions::{BatchIndex, Definitions};
use crate::resolve::dns::ResolvedNames;
use crate::resolve::dns::message::DnsMessage;
use crate::resolve::dns::waiting::DnsQueries;
use crate::resolve::in_flight::Requests;
use crate::resolve::registry::{ContainerChange, Exit, Registry};
use crate::resolve::sockets::{SocketDefinition, socket_definition};
use crate::resolve::threads::{FailedConnection, Identity, Owner, Pending, Thread};
use crate::rows::batch::{
    Arrival, Batch, CallCounts, CallDetail, EventDetail, EventKind, Row, StringIndex,
};
use crate::wire::types::{exec_flag, exit_flag, sock_flag, sys_flag, task_flag};

#[derive(Debug)]
struct FileDefinition {
    /// None: no path is known.
    path: Option<Arc<str>>,
    /// Path on the machine, if the machine has the file mounted too.
    host_path: Option<Arc<str>>,
    dev: u32,
    inode: u64,
    /// Index in the batch's list of objects.
    batch_index: BatchIndex,
}

/// Reads the bytes of a call as DNS messages, and returns their number.
#[cfg(feature = "fuzzing")]
pub(crate) fn dns_messages(bytes: &[u8]) -> usize {
    DnsMessage::parse(bytes).len()
}

/// The definitions so far, and the batch that is being filled.
#[derive(Debug)]
pub(crate) struct Resolver {
    threads: Definitions<Thread>,
    files: Definitions<FileDefinition>,
    sockets: Definitions<SocketDefinition>,
    requests: Requests,
    /// Owners of TCP connections.
    connections: Definitions<Owner>,
    dns_names: ResolvedNames,
    queries: DnsQueries,
    pub(crate) host_mounts: HostMounts,
    calls: Arc<Calls>,
    pub(crate) registry: Registry,
    /// Boot time of the last call of [`Resolver::drop_removed`], ns.
    dropped_ns: u64,
    /// The cgroup to which each process has gone that has left its container's, by process id.
    moved_to: FxHashMap<u32, String>,
    /// Converts boot time to the wall clock of rows.
    pub(crate) clock: Clock,
    /// Boot time until which entries of calls may have been missed, ns.
    pub(crate) entries_missed_until_ns: u64,
    pub(crate) faults: Faults,
    /// The batch that is being filled.
    pub(crate) batch: Batch,
    /// Announcements of the call whose row is being built; a field to reuse its allocation.
    announced: Vec<(u16, Pending)>,
    /// DNS messages of the call whose row is being built.
    messages: Vec<DnsMessage>,
    /// Connection of the call whose row is being built, if it has failed.
    failed: Option<Box<FailedConnection>>,
    /// Number of the batch: distinguishes indices of this batch from those of earlier batches.
    generation: u32,
    /// Joined paths of this batch, by the key of the base and the argument.
    joined_paths: FxHashMap<(u64, StringIndex), StringIndex>,
    /// Text of each device in this batch.
    device_texts: FxHashMap<u32, StringIndex>,
}

/// Returns the value of the column `exe_origin` for the flags of an exec record. Empty: not known.
fn exe_origin(flags: u8) -> &'static str {
    match exec_flag(flags.into()) {
        exec_flag::EXEC_IMAGE => "image",
        exec_flag::EXEC_UPPER => "container",
        exec_flag::EXEC_MOUNT => "mount",
        exec_flag::EXEC_MEMORY => "memory",
        _ => "",
    }
}

impl Resolver {
    /// Returns a resolver without definitions. `calls` are the syscalls of the recorded machine.
    pub(crate) fn new(calls: Arc<Calls>, registry: Registry, memory: Memory) -> Resolver {
        Resolver {
            threads: Definitions::new(memory.threads_bytes()),
            files: Definitions::new(memory.definitions_bytes()),
            sockets: Definitions::new(memory.definitions_bytes()),
            requests: Requests::new(memory.requests_bytes()),
            connections: Definitions::new(memory.connections_bytes()),
            dns_names: ResolvedNames::default(),
            queries: DnsQueries::new(memory.dns_queries_bytes()),
            host_mounts: HostMounts::default(),
            calls,
            registry,
            dropped_ns: 0,
            moved_to: FxHashMap::default(),
            clock: Clock::default(),
            entries_missed_until_ns: 0,
            faults: Faults::default(),
            batch: Batch::default(),
            announced: vec![],
            messages: vec![],
            failed: None,
            generation: 1,
            joined_paths: FxHashMap::default(),
            device_texts: FxHashMap::default(),
        }
    }

    /// Returns the rows since the previous cut, and starts a new batch.
    pub(crate) fn take_batch(&mut self) -> Batch {
        self.generation += 1;
        self.joined_paths.clear();
        self.device_texts.clear();
        self.drop_removed(true);
        // The next batch is probably of the same size: growing lists would be copied and touch fresh pages repeatedly.
        let next = Batch {
            rows: with_huge_pages(self.batch.rows.len()),
            args: with_huge_pages(self.batch.args.len()),
            first_seq: self.batch.first_seq + self.batch.len() as u64,
            ..Batch::default()
        };
        let mut batch = std::mem::replace(&mut self.batch, next);
        match batch.cut.rows {
            0 => batch,
            _ => batch.cut_part(),
        }
    }

    /// Drops what is known about cgroups that were removed long ago, at the end of a batch or once a second: a user can remove
    /// thousands at once.
    fn drop_removed(&mut self, batch_ended: bool) {
        let now = self.clock.boot();
        if !batch_ended && now.saturating_sub(self.dropped_ns) < 1_000_000_000 {
            return;
        }
        self.dropped_ns = now;
        let dropped = self.registry.forget(self.clock.boot(), batch_ended);
        if !dropped.is_empty() {
            self.dns_names.forget(&dropped);
        }
    }

    /// Returns whether any definitions have reached their memory limit, so that [`Resolver::forget`] is due, and
    /// whether those of threads have.
    pub(crate) fn is_full(&self) -> (bool, bool) {
        let threads = self.threads.is_full();
        let any = threads || self.files.is_full() || self.sockets.is_full();
        (any, threads)
    }

    /// Drops the older generation of the definitions of files and sockets, and with `threads` of threads too. Threads
    /// are dropped only at their own limit: a thread may be idle for long, and one that ends is dropped at its exit
    /// unless the record of the exit was lost. The kernel side sends definitions again that it uses.
    pub(crate) fn forget(&mut self, threads: bool) {
        self.files.age();
        self.sockets.age();
        if threads {
            self.threads.age();
        }
    }

    /// Handles one record. Records about cgroups are ignored: the watcher interprets them and calls
    /// [`Resolver::learn`].
    pub(crate) fn record(&mut self, head: Head, body: Body<'_>) {
        match body {
            Body::Syscall {
                duration,
                ret,
                key,
                args,
                stat,
            } => {
                if let Some((inode, dev)) = stat {
                    self.announce(head.tid, head.call_count, Pending::Stat { inode, dev });
                }
                self.syscall(head, duration, ret, key, args);
            }
            Body::Task(task) => self.define_thread(head, &task),
            Body::File(file) => self.define_file(head, &file),
            Body::Sock(sock) => self.define_socket(head, &sock),
            Body::Data { base, bytes } => self.data(head, base, bytes),
            Body::Exec { caller, exe, argv } => {
                self.move_announced(head.tid, caller);
                let pending = Pending::Exec {
                    exe,
                    argv: argv.into(),
                    origin: exe_origin(head.flags),
                };
                self.announce(head.tid, head.call_count, pending);
            }
            Body::Exit { code } => self.exit(head, code),
            Body::Cgroup { .. } => {}
            Body::Request { submitted, args } => self.request(head, submitted, args),
            Body::Complete {
                submitted,
                ret,
                key,
            } => self.complete(head, submitted, ret, key),
            Body::Connection(connection) => self.connection(head, &connection),
            Body::Signal(signal) => self.signal(head, &signal),
            Body::Move(moved) => self.moved(head, &moved),
        }
    }

    fn define_thread(&mut self, head: Head, task: &TaskRecord<'_>) {
        let tid = head.tid;
        let has = |flag: task_flag| u32::from(head.flags) & flag.0 != 0;
        let previous = self.threads.remove(tid.into());
        let (previous_exe, pending) =
            previous.map_or((None, vec![]), |t| (t.identity.exe, t.pending));
        // An ending thread is defined once more, when the kernel has already released its executable.
        let exe = match task.exe {
            0 => previous_exe.or_else(|| {
                let leader = self.threads.get(task.pid.into())?;
                leader.identity.exe.clone()
            }),
            key => self.files.get(key).and_then(|f| f.path.clone()),
        };
        self.registry.enter(task.cgroup, task.comm);
        let identity = Identity {
            cgroup: task.cgroup,
            pid: task.pid,
            ppid: task.ppid,
            ns_pid: task.ns_pid,
            uid: task.uid,
            comm: escape(task.comm).into(),
            exe,
            arrival: task.mount_ns.map(|mount_ns| Arrival {
                mount_ns,
                setup: has(task_flag::TASK_SETUP),
                entered: has(task_flag::TASK_ENTERED),
            }),
            batch_index: BatchIndex::default(),
        };
        let thread = Thread {
            identity,
            pending,
            failed: None,
        };
        self.threads.put(tid.into(), thread, task.comm.len());
    }

    fn define_file(&mut self, head: Head, file: &FileRecord<'_>) {
        let path = paths::file_text(file.names, file.magic, file.inode, head.flags);
        let path: Option<Arc<str>> = path.map(Into::into);
        let in_filesystem = paths::path_in_filesystem(file);
        let host_path = in_filesystem.and_then(|path| self.host_mounts.host_path(file.dev, &path));
        let host_path: Option<Arc<str>> = host_path.map(Into::into);
        let texts = [&path, &host_path].into_iter().flatten();
        let text_bytes = texts.map(|path| path.len()).sum();
        let definition = FileDefinition {
            path,
            host_path,
            dev: file.dev,
            inode: file.inode,
            batch_index: BatchIndex::default(),
        };
        self.files.insert(file.key, definition, text_bytes);
    }

    fn define_socket(&mut self, head: Head, sock: &SockRecord<'_>) {
        let is_accepted = u32::from(head.flags) & sock_flag::SOCK_ACCEPTED.0 != 0;
        let text_bytes = sock.local_name.len() + sock.peer_name.len();
        let path_of = |key| self.files.get(key)?.path.as_ref().map(ToString::to_string);
        let definition = socket_definition(sock, is_accepted, path_of);
        self.sockets.insert(sock.key, definition, text_bytes);
    }

    /// Handles a fact about a cgroup, and adds a row if a container appeared or disappeared. `is_found`: the container
    /// existed before the recording.
    pub(crate) fn learn(&mut self, fact: &CgroupFact, is_found: bool) {
        if fact.kind == CgroupKind::Removed {
            self.drop_removed(false);
        }
        let left_out = match fact.kind {
            CgroupKind::Container(_) => self.registry.take_left_out(fact.cgroup),
            _ => 0,
        };
        self.push_container_change(fact, is_found);
        if left_out > 0 {
            let loss = Loss {
                cgroup: fact.cgroup,
                class: None,
                cause: Cause::Ring,
                cpu: None,
                events: left_out,
            };
            self.gap(&loss, (fact.boot_ns, self.clock.boot()));
        }
    }

    /// Adds a row if a fact means that a container appeared or disappeared.
    fn push_container_change(&mut self, fact: &CgroupFact, is_found: bool) {
        // Only a cgroup that was created or removed has the time of the fact.
        let change = self.registry.learn(fact);
        let (index, action, boot_ns) = match change {
            ContainerChange::None => return,
            ContainerChange::Appeared(index) if is_found => (index, "found", fact.boot_ns),
            ContainerChange::Appeared(index) => (index, "started", fact.boot_ns),
            ContainerChange::Included(index) => (index, "found", self.clock.boot()),
            ContainerChange::Changed(index) => (index, "changed", self.clock.boot()),
            ContainerChange::Removed(index) => (index, "stopped", fact.boot_ns),
        };
        // A container that comes into the recording by another name may have started during the recording.
        let created_ns = match change {
            ContainerChange::Included(_) if !is_found => Some(fact.boot_ns),
            _ => None,
        };
        let started_ns = self.registry.started_ns(index).or(created_ns);
        let started = started_ns.filter(|_| action == "found");
        let exit = match action {
            "stopped" => self.registry.exit(index),
            _ => Exit::default(),
        };
        let detail = EventDetail {
            container: index,
            action,
            exit_code: exit.code,
            exit_signal: exit.signal,
            reason: exit.reason(),
            started: started.map(|started_ns| self.clock.wall(started_ns)),
            ..EventDetail::default()
        };
        let row = Row::new(self.clock.wall(boot_ns), EventKind::Container);
        self.batch.push_event(row, detail);
    }

    /// Adds the row of a process that ran when the recording began.
    pub(crate) fn found_process(&mut self, boot_ns: u64, cgroup: u64, process: &RunningProcess) {
        self.registry.enter(cgroup, process.comm.as_bytes());
        let printed = |text: &String| printable(text).into_owned();
        let mut identity = Identity {
            cgroup,
            pid: process.pid,
            ppid: process.ppid,
            ns_pid: process.ns_pid,
            uid: process.uid,
            comm: printed(&process.comm).into(),
            exe: process.exe.as_ref().map(|exe| printed(exe).into()),
            arrival: process.mount_ns.map(|mount_ns| Arrival {
                mount_ns,
                setup: false,
                entered: false,
            }),
            batch_index: BatchIndex::default(),
        };
        let mut row = Row::new(self.clock.wall(boot_ns), EventKind::Process);
        let (batch, registry) = (&mut self.batch, &mut self.registry);
        row.task = identity.index(process.pid, self.generation, batch, registry);
        let argv = process.argv.as_ref();
        let detail = EventDetail {
            action: "found",
            class: "process",
            started: Some(self.clock.wall(process.started_ns)),
            argv: argv.map(|argv| batch.strings.intern(&printed(argv))),
            ..EventDetail::default()
        };
        self.batch.push_event(row, detail);
    }

    /// Adds the row of a loss between two boot times.
    pub(crate) fn gap(&mut self, loss: &Loss, (since_ns, until_ns): (u64, u64)) {
        let mut row = Row::new(self.clock.wall(since_ns), EventKind::Gap);
        row.duration = until_ns.saturating_sub(since_ns);
        let detail = EventDetail {
            container: self.registry.index_of_lost(loss.cgroup),
            action: loss.cause.as_str(),
            class: loss.class.map_or("", Class::as_str),
            lost: Some(loss.events as i64),
            cpu: loss.cpu.map(Into::into),
            ..EventDetail::default()
        };
        self.batch.push_event(row, detail);
    }

    /// Adds the row of calls that were counted since a boot time.
    pub(crate) fn count(&mut self, since_ns: u64, count: &Count) {
        let mut row = Row::new(self.clock.wall(since_ns), EventKind::Counts);
        row.duration = count.duration;
        row.call = count.nr;
        row.flags = if count.compat {
            sys_flag::SYS_COMPAT.0 as u8
        } else {
            0
        };
        let strings = &mut self.batch.strings;
        let call_counts = CallCounts {
            comm: strings.intern(&escape(&count.comm)),
            calls: count.calls as i64,
            errors: count.errors as i64,
            bytes: count.bytes as i64,
            latency: strings.intern(&serde_json::json!(count.latency).to_string()),
        };
        // A process that calls is in the cgroup.
        self.registry.enter(count.cgroup, b"");
        let detail = EventDetail {
            container: self.registry.index(count.cgroup),
            counted: Some(Box::new(call_counts)),
            ..EventDetail::default()
        };
        self.batch.push_event(row, detail);
    }

    fn syscall(&mut self, mut head: Head, duration: u64, ret: i64, key: u64, args: Args<'_>) {
        let denied = sys_flag::SYS_DENIED.0 as u8;
        // For a refused call, `duration` is the time since the thread's previous return. If entries were missed since
        // then, the call was perhaps not refused.
        if head.flags & denied != 0
            && head.time.saturating_sub(duration) < self.entries_missed_until_ns
        {
            head.flags = head.flags & !denied | sys_flag::SYS_NO_ENTRY.0 as u8;
        }
        let has = |flag: sys_flag| u32::from(head.flags) & flag.0 != 0;
        let Some(call) = self.calls.get(has(sys_flag::SYS_COMPAT), head.nr) else {
            self.faults.broken += 1;
            return;
        };
        let has_duration = !has(sys_flag::SYS_DENIED) && !has(sys_flag::SYS_NO_ENTRY);
        let elapsed = if has_duration {
            duration.min(head.time)
        } else {
            0
        };
        let mut row = Row::new(self.clock.wall(head.time - elapsed), EventKind::Syscall);
        row.duration = duration;
        row.ret = ret;
        row.flags = head.flags;
        row.call = head.nr;
        self.batch.set_args(&mut row, call.values(args.iter()));
        let mut detail = CallDetail::NONE;
        self.set_task(&mut row, head.tid);
        let mut announced = std::mem::take(&mut self.announced);
        if has(sys_flag::SYS_CHILD) {
            detail.child_pid = Some(key as i32);
        } else {
            self.set_object(&mut row, &mut detail, key);
        }
        if has(sys_flag::SYS_EMPTY_PATH) {
            detail.path_arg = self.batch.strings.intern("");
        }
        // Announcements with another number belong to a call whose record was lost.
        let of_call = announced
            .drain(..)
            .filter(|(call_count, _)| *call_count == head.call_count);
        self.push_call(row, detail, of_call.map(|(_, pending)| pending));
        self.announced = announced;
        self.follow_queries(head.tid, head.time - elapsed, head.time);
    }

    /// Adds the row of a call with its announcements.
    fn push_call(
        &mut self,
        mut row: Row,
        mut detail: CallDetail,
        announced: impl Iterator<Item = Pending>,
    ) {
        let mut has_detail = detail != CallDetail::NONE;
        let mut has_address = false;
        for pending in announced {
            has_detail = true;
            has_address |= matches!(pending, Pending::Address(_));
            self.apply(&mut row, &mut detail, pending);
        }
        if row.ret < 0 && !has_address {
            self.clear_peer_of_failed_call(&mut row);
        }
        if let Some(failed) = self.failed.take()
            && row.ret < 0
        {
            self.restore_local_end(&mut row, &failed);
        }
        self.drop_argument_path(&row, &mut detail, false);
        if has_detail {
            self.batch.set_call_detail(&mut row, detail);
        }
        self.batch.rows.push(row);
    }

    /// Sets the row's thread, and moves the thread's announcements to `self.announced`.
    fn set_task(&mut self, row: &mut Row, tid: u32) {
        let Resolver {
            batch,
            registry,
            generation,
            announced,
            failed,
            ..
        } = self;
        announced.clear();
        *failed = None;
        let Some(thread) = self.threads.get_mut(tid.into()) else {
            self.faults.orphans += 1;
            return;
        };
        row.task = thread.identity.index(tid, *generation, batch, registry);
        std::mem::swap(&mut thread.pending, announced);
        *failed = thread.failed.take();
    }

    fn exit(&mut self, head: Head, code: u32) {
        if u32::from(head.flags) & exit_flag::EXIT_PROCESS.0 != 0 {
            let mut row = Row::new(self.clock.wall(head.time), EventKind::Process);
            // wait(2): the signal is in the low seven bits, the exit code in the second byte.
            let (code, signal) = ((code >> 8 & 0xff) as i32, (code & 0x7f) as i32);
            let exit = Exit {
                code: (signal == 0).then_some(code),
                signal: (signal != 0).then_some(signal),
                out_of_memory: false,
            };
            self.set_task(&mut row, head.tid);
            if let Some(thread) = self.threads.get(head.tid.into()) {
                let Identity {
                    cgroup,
                    pid,
                    ns_pid,
                    ..
                } = thread.identity;
                if ns_pid == 1 {
                    self.registry.set_exit(cgroup, pid, exit);
                }
                self.moved_to.remove(&pid);
                self.end_queries_of(pid, head.time);
            }
            let detail = EventDetail {
                container: 0,
                action: "exit",
                class: "process",
                exit_code: exit.code,
                exit_signal: exit.signal,
                ..EventDetail::default()
            };
            self.batch.push_event(row, detail);
        }
        self.threads.remove(head.tid.into());
    }
}
