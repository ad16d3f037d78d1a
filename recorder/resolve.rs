//! From records to rows: who did it, in which container, to which file or peer.
//!
//! Holds what the kernel side has defined so far: threads by id, files and sockets by key. Never touches libbpf.

mod requests;
mod threads;

use std::sync::Arc;

use ctrace_schema::text::{escape, shell_join};
use rustc_hash::FxHashMap;

use crate::addrs;
use crate::batch::{Batch, Counted, Ends, Kind, NONE, Names, Note, Object, Row, Text};
use crate::calls::Calls;
use crate::clock::Clock;
use crate::decode::{self, Args, Body, Head};
use crate::definitions::{Definitions, Sent};
use crate::dns::{Message, Resolved};
use crate::kernel::Count;
use crate::memory::{Memory, roomy};
use crate::names;
use crate::paths;
use crate::registry::{Change, Fact, Is, Registry};
use crate::resolve::requests::Requests;
use crate::resolve::threads::{Identity, Pending, Thread};
use crate::sockets::{Socket, socket};
use crate::wire::types::{data_flag, data_slot, exit_flag, sock_flag, sys_flag};

#[derive(Debug)]
struct File {
    path: Arc<str>,
    dev: u32,
    inode: u64,
    sent: Sent,
}

/// What did not come as it should, for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Records that could not be decoded.
    pub broken: u64,
    /// Calls of a thread that was never defined.
    pub orphans: u64,
}

/// The state between records and rows.
#[derive(Debug)]
pub struct Resolver {
    threads: Definitions<Thread>,
    files: Definitions<File>,
    sockets: Definitions<Socket>,
    requests: Requests,
    resolved: Resolved,
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
    joined: FxHashMap<(u64, Text), Text>,
    /// Text of a device in this batch.
    devices: FxHashMap<u32, Text>,
}

impl Resolver {
    /// Nothing is known yet. `calls` are those of the machine that is recorded.
    pub fn new(calls: Arc<Calls>, registry: Registry, memory: Memory) -> Resolver {
        Resolver {
            threads: Definitions::new(memory.threads()),
            files: Definitions::new(memory.definitions()),
            sockets: Definitions::new(memory.definitions()),
            requests: Requests::new(memory.threads()),
            resolved: Resolved::default(),
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
            rows: roomy(self.batch.rows.len()),
            args: roomy(self.batch.args.len()),
            first_seq: self.batch.first_seq + self.batch.len() as u64,
            ..Batch::default()
        };
        let mut batch = std::mem::replace(&mut self.batch, next);
        match batch.given.rows {
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

    /// Whether definitions fill so much memory that the kernel side should be told to start anew.
    pub fn is_full(&self) -> bool {
        self.files.is_full() || self.sockets.is_full() || self.threads.is_full()
    }

    /// Forgets the older half of the definitions. The kernel side sends those again that it uses.
    pub fn forget(&mut self) {
        self.files.age();
        self.sockets.age();
        // A thread may do nothing for long; those that are gone are forgotten when they go, unless that was lost.
        if self.threads.is_full() {
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
    pub fn learn(&mut self, fact: &Fact, found: bool) {
        if fact.is == Is::Removed {
            self.forget_gone(false);
        }
        let (index, action) = match self.registry.learn(fact) {
            Change::None => return,
            Change::Appeared(index) if found => (index, "found"),
            Change::Appeared(index) => (index, "started"),
            Change::Gone(index) => (index, "stopped"),
        };
        let note = Note {
            container: index,
            action,
            description: Some(Box::new(self.registry.describe(index))),
            ..Note::default()
        };
        let row = Row::new(self.clock.wall(fact.boot), Kind::Container);
        self.batch.push_note(row, note);
    }

    /// Events of `class` (empty: of any) were lost between two instants (boot time, ns), for the reason `why`.
    pub fn gap(
        &mut self,
        cgroup: u64,
        class: &'static str,
        why: &'static str,
        lost: u64,
        (since, until): (u64, u64),
    ) {
        let mut row = Row::new(self.clock.wall(since), Kind::Gap);
        row.duration = until.saturating_sub(since);
        let note = Note {
            container: self.registry.index_of_lost(cgroup),
            action: why,
            class,
            lost: Some(lost as i64),
            ..Note::default()
        };
        self.batch.push_note(row, note);
    }

    /// Calls that were counted since an instant (boot time, ns).
    pub fn count(&mut self, since: u64, count: &Count) {
        let mut row = Row::new(self.clock.wall(since), Kind::Counts);
        row.duration = count.duration;
        row.call = count.nr;
        row.flags = if count.compat {
            sys_flag::SYS_COMPAT.0 as u8
        } else {
            0
        };
        let strings = &mut self.batch.strings;
        let counted = Counted {
            comm: strings.intern(&escape(&count.comm)),
            calls: count.calls as i64,
            errors: count.errors as i64,
            bytes: count.bytes as i64,
            latency: strings.intern(&serde_json::json!(count.latency).to_string()),
        };
        // Who calls is in it.
        self.registry.enter(count.cgroup);
        let note = Note {
            container: self.registry.index(count.cgroup),
            counted: Some(Box::new(counted)),
            ..Note::default()
        };
        self.batch.push_note(row, note);
    }

    fn announce(&mut self, tid: u32, count: u16, pending: Pending) {
        // A thread's first call may announce before the thread is defined: its definition comes with its first return.
        if self.threads.get(tid.into()).is_none() {
            self.threads.put(tid.into(), Thread::undefined(tid), 0);
        }
        if let Some(thread) = self.threads.get_mut(tid.into()) {
            thread.announce(count, pending);
        }
    }

    /// A thread that calls exec gets the id of its process's first thread: what it has announced goes with it.
    fn take_over(&mut self, tid: u32, caller: u32) {
        if caller == tid {
            return;
        }
        for (count, pending) in self
            .threads
            .remove(caller.into())
            .map_or(vec![], |t| t.pending)
        {
            self.announce(tid, count, pending);
        }
    }

    fn data(&mut self, head: Head, base: u64, bytes: &[u8]) {
        if u32::from(head.flags) & data_flag::DATA_FAULT.0 != 0 {
            return;
        }
        let text = || decode::until_nul(bytes).into();
        let pending = match data_slot(u32::from(head.nr)) {
            data_slot::DATA_PATH | data_slot::DATA_PATH2 => Pending::Path {
                slot: head.nr,
                base,
                arg: text(),
            },
            data_slot::DATA_STAT => match decode::stat(bytes) {
                Some((inode, dev)) => Pending::Stat { inode, dev },
                None => return,
            },
            data_slot::DATA_FLAGS => match decode::flags(bytes) {
                Some((flags, mode)) => Pending::Flags { flags, mode },
                None => return,
            },
            data_slot::DATA_FD2 => Pending::Second(base),
            data_slot::DATA_TEXT => Pending::Text(text()),
            data_slot::DATA_ADDR => match addrs::sockaddr(bytes) {
                Some(address) => Pending::Address(address),
                None => return,
            },
            data_slot::DATA_DNS => match Message::parse(bytes) {
                Some(message) => Pending::Dns(message),
                None => return,
            },
            data_slot::DATA_BYTES => match decode::number(bytes) {
                Some(bytes) => Pending::Bytes(bytes),
                None => return,
            },
            _ => {
                self.faults.broken += 1;
                return;
            }
        };
        self.announce(head.tid, head.count, pending);
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
        let mut row = Row::new(self.clock.wall(head.time - before), Kind::Syscall);
        row.duration = duration;
        row.ret = ret;
        row.flags = head.flags;
        row.call = head.nr;
        self.batch.set_args(&mut row, call.values(args.iter()));
        let mut names = Names::NONE;
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
        mut names: Names,
        announced: impl Iterator<Item = Pending>,
    ) {
        let mut named = names != Names::NONE;
        for pending in announced {
            named = true;
            self.set_pending(&mut row, &mut names, pending);
        }
        if named {
            self.batch.set_names(&mut row, names);
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
                    ends: NONE,
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

    /// What the thread announced of this call.
    fn set_pending(&mut self, row: &mut Row, names: &mut Names, pending: Pending) {
        let compat = u32::from(row.flags) & sys_flag::SYS_COMPAT.0 != 0;
        let call = self.calls.get(compat, row.call);
        match pending {
            Pending::Path { slot, base, arg } => self.set_path(row, names, slot, base, &arg),
            Pending::Stat { inode, dev } if row.object == NONE => {
                let strings = &mut self.batch.strings;
                let text = self.devices.entry(dev);
                let dev = *text.or_insert_with(|| strings.intern(&paths::dev_text(dev)));
                row.object = self.batch.objects.len() as u32;
                self.batch.objects.push(Object {
                    path: NONE,
                    dev,
                    inode: Some(inode),
                    ends: NONE,
                });
            }
            Pending::Stat { .. } => {}
            Pending::Second(key) => {
                if let Some(file) = self.files.get(key) {
                    names.path2 = self.batch.strings.intern_shared(&file.path);
                }
            }
            Pending::Flags { flags, mode } => {
                (names.flags, names.mode) =
                    call.map_or((None, None), |call| call.struct_flags(flags, mode));
            }
            Pending::Text(text) => names.path2 = self.batch.strings.intern(&escape(&text)),
            Pending::Address(address) => {
                let binds = call.is_some_and(|call| call.binds);
                self.set_address(row, names, &address, binds);
            }
            Pending::Bytes(bytes) => names.bytes = Some(bytes as i64),
            Pending::Dns(message) => {
                let container = self.batch.container(row);
                self.resolved.learn(container, &message, row.time);
                self.set_question(row, &message);
            }
            Pending::Exec { exe, argv } => {
                names.argv = self.batch.strings.intern(&shell_join(&argv));
                let object = self.object(exe, row);
                if object != NONE {
                    row.object = object;
                }
            }
        }
    }

    fn set_path(&mut self, row: &mut Row, names: &mut Names, slot: u16, base: u64, arg: &[u8]) {
        let Resolver {
            batch,
            files,
            joined,
            ..
        } = self;
        let arg_text = batch.strings.intern(&escape(arg));
        let path = match (joined.get(&(base, arg_text)), files) {
            (Some(path), _) => *path,
            (None, files) => match files.get(base) {
                Some(base_file) => {
                    let path = batch.strings.intern(&paths::join(&base_file.path, arg));
                    joined.insert((base, arg_text), path);
                    path
                }
                None => NONE,
            },
        };
        if u32::from(slot) == data_slot::DATA_PATH2.0 {
            names.path2 = path;
            return;
        }
        names.path_arg = arg_text;
        if arg.is_empty() && row.object == NONE {
            // AT_EMPTY_PATH: the call is about the directory fd itself.
            row.object = self.object(base, row);
        } else {
            names.path = path;
        }
    }

    /// The name that a name server is asked for stands where that of the peer would.
    fn set_question(&mut self, row: &mut Row, message: &Message) {
        let batch = &mut self.batch;
        let Some(mut object) = batch.objects.get(row.object as usize).copied() else {
            return;
        };
        let Some(mut ends) = batch.ends.get(object.ends as usize).copied() else {
            return;
        };
        ends.dns_name = batch.strings.intern_shared(&message.name);
        object.ends = batch.ends.len() as u32;
        batch.ends.push(ends);
        row.object = batch.objects.len() as u32;
        batch.objects.push(object);
    }

    /// An address that the caller passed or got. It counts where the socket itself does not know better: a UDP socket
    /// that is not connected, a connect that failed.
    fn set_address(
        &mut self,
        row: &mut Row,
        names: &mut Names,
        address: &addrs::Address,
        binds: bool,
    ) {
        let container = self.batch.container(row);
        let peer = address.addr.as_deref();
        let name = peer.and_then(|peer| self.resolved.name(container, peer, row.time));
        let batch = &mut self.batch;
        let addr = batch.strings.intern_opt(address.addr.as_deref());
        let path = batch.strings.intern_opt(address.path.as_deref());
        let mut object = match batch.objects.get(row.object as usize) {
            Some(object) => *object,
            None => Object {
                path: NONE,
                dev: NONE,
                inode: None,
                ends: NONE,
            },
        };
        let mut ends = match batch.ends.get(object.ends as usize) {
            Some(ends) => *ends,
            None => Ends {
                family: batch.strings.intern_opt(names::family(address.family)),
                protocol: NONE,
                local_addr: NONE,
                local_port: None,
                peer_addr: NONE,
                peer_port: None,
                peer_path: NONE,
                dns_name: NONE,
            },
        };
        if binds {
            if ends.local_addr == NONE && ends.local_port.is_none_or(|p| p == 0) {
                (ends.local_addr, ends.local_port) = (addr, address.port);
            }
            names.path = path;
        } else if ends.peer_addr == addr && ends.peer_port.is_none() {
            // The kernel forgets the port of a connection that was refused.
            ends.peer_port = address.port;
            if ends.peer_path == NONE {
                ends.peer_path = path;
            }
        } else if ends.peer_addr == NONE && ends.peer_path == NONE {
            (ends.peer_addr, ends.peer_port, ends.peer_path) = (addr, address.port, path);
            ends.dns_name = name.map_or(NONE, |name| batch.strings.intern_shared(name));
        } else {
            return;
        }
        object.ends = batch.ends.len() as u32;
        batch.ends.push(ends);
        row.object = batch.objects.len() as u32;
        batch.objects.push(object);
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

    fn exit(&mut self, head: Head, code: u32) {
        if u32::from(head.flags) & exit_flag::EXIT_PROCESS.0 != 0 {
            let mut row = Row::new(self.clock.wall(head.time), Kind::Process);
            // wait(2): the signal in the low seven bits, the code above them.
            let (code, signal) = ((code >> 8 & 0xff) as i32, (code & 0x7f) as i32);
            self.set_task(&mut row, head.tid);
            let note = Note {
                container: 0,
                action: "exit",
                class: "process",
                exit_code: (signal == 0).then_some(code),
                exit_signal: (signal != 0).then_some(signal),
                ..Note::default()
            };
            self.batch.push_note(row, note);
        }
        self.threads.remove(head.tid.into());
    }
}
