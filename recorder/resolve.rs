//! From records to rows: who did it, in which container, to which file or peer.
//!
//! Holds what the kernel side has defined so far: threads by id, files and sockets by key. Never touches libbpf.

use std::rc::Rc;
use std::sync::Arc;

use ctrace_schema::text::{escape, shell_join};
use rustc_hash::FxHashMap;

use crate::addrs;
use crate::batch::{Batch, Ends, NONE, Object, Row, Task, Text};
use crate::calls::{CallInfo, Calls};
use crate::decode::{self, Args, Body, Head, Sock};
use crate::definitions::{Definitions, Sent};
use crate::names;
use crate::paths;
use crate::registry::{Change, Fact, Registry};
use crate::wire::types::{data_flag, data_slot, exit_flag, sock_flag, sys_flag};

/// Converts CLOCK_BOOTTIME to wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Wall clock minus boot time, ns.
    pub offset: i64,
}

impl Clock {
    /// Wall clock, ns since 1970 UTC.
    pub fn wall(self, boot: u64) -> i64 {
        (boot as i64).wrapping_add(self.offset)
    }
}

/// Who a thread is, and what it has announced of the call that it is in.
#[derive(Debug)]
struct Thread {
    cgroup: u64,
    pid: u32,
    ppid: u32,
    ns_pid: u32,
    uid: u32,
    comm: Arc<str>,
    exe: Option<Arc<str>>,
    /// Where it stands in a batch's list of tasks.
    sent: Sent,
    pending: Vec<Pending>,
}

/// User memory of a call, announced before its record.
#[derive(Debug)]
enum Pending {
    /// A path in `path` (0) or `path2` (1): what it means, and what the caller passed.
    Path {
        slot: u16,
        base: u64,
        arg: Box<[u8]>,
    },
    Text(Box<[u8]>),
    /// What a stat has found.
    Stat {
        inode: u64,
        dev: u32,
    },
    /// What stood in the struct that openat2 or clone3 took.
    Flags {
        flags: u64,
        mode: u64,
    },
    /// The second fd of the call.
    Second(u64),
    Address(addrs::Address),
    Exec {
        exe: u64,
        argv: Box<[u8]>,
    },
}

#[derive(Debug)]
struct File {
    path: Arc<str>,
    dev: u32,
    inode: u64,
    sent: Sent,
}

#[derive(Debug)]
struct Socket {
    family: Option<&'static str>,
    number: u16,
    protocol: Option<&'static str>,
    inode: u64,
    local: (Option<String>, Option<u16>),
    peer: (Option<String>, Option<u16>),
    local_path: Option<String>,
    peer_path: Option<String>,
    sent: Sent,
}

/// What did not come as it should, for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Records that could not be decoded.
    pub broken: u64,
    /// Calls of a thread that was never defined.
    pub orphans: u64,
    /// Paths whose user memory could not be read.
    pub unread: u64,
}

/// The state between records and rows.
#[derive(Debug)]
pub struct Resolver {
    threads: FxHashMap<u32, Thread>,
    files: Definitions<File>,
    sockets: Definitions<Socket>,
    calls: Rc<Calls>,
    /// The containers.
    pub registry: Registry,
    /// The clock that gives rows their time.
    pub clock: Clock,
    /// What did not come as it should.
    pub faults: Faults,
    /// Rows since the last [`Resolver::take`].
    pub batch: Batch,
    /// Numbers batches, so that what was sent in an earlier one is sent again.
    generation: u32,
    next_seq: u64,
}

impl Resolver {
    /// Nothing is known yet. `calls` are those of the machine that is recorded.
    pub fn new(calls: Calls, registry: Registry) -> Resolver {
        Resolver {
            threads: FxHashMap::default(),
            files: Definitions::default(),
            sockets: Definitions::default(),
            calls: Rc::new(calls),
            registry,
            clock: Clock::default(),
            faults: Faults::default(),
            batch: Batch::default(),
            generation: 1,
            next_seq: 0,
        }
    }

    /// The rows so far.
    pub fn take(&mut self) -> Batch {
        self.generation += 1;
        let mut batch = std::mem::take(&mut self.batch);
        batch.first_seq = self.next_seq;
        self.next_seq += batch.rows.len() as u64;
        batch
    }

    /// Whether definitions fill so much memory that the kernel side should be told to start anew.
    pub fn is_full(&self) -> bool {
        self.files.is_full() || self.sockets.is_full()
    }

    /// Forgets the older half of the definitions. The kernel side sends those again that it uses.
    pub fn forget(&mut self) {
        self.files.age();
        self.sockets.age();
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
                let exe = self.files.get(exe).map(|f| f.path.clone());
                let pending = self
                    .threads
                    .remove(&head.tid)
                    .map(|t| t.pending)
                    .unwrap_or_default();
                let comm = escape(comm).into();
                let sent = Sent::default();
                self.registry.enter(cgroup);
                self.threads.insert(
                    head.tid,
                    Thread {
                        cgroup,
                        pid,
                        ppid,
                        ns_pid,
                        uid,
                        comm,
                        exe,
                        sent,
                        pending,
                    },
                );
            }
            Body::File {
                key,
                inode,
                dev,
                magic,
                names,
            } => {
                let path = paths::file_text(names, magic, inode).into();
                self.files.insert(
                    key,
                    File {
                        path,
                        dev,
                        inode,
                        sent: Sent::default(),
                    },
                );
            }
            Body::Sock(sock) => {
                let connected = u32::from(head.flags) & sock_flag::SOCK_CONNECTED.0 != 0;
                self.sockets.insert(sock.key, socket(&sock, connected));
            }
            Body::Data { base, bytes } => self.data(head, base, bytes),
            Body::Exec { caller, exe, argv } => {
                self.take_over(head.tid, caller);
                let argv = argv.into();
                self.announce(head.tid, Pending::Exec { exe, argv });
            }
            Body::Exit { pid, code } => self.exit(head, pid, code),
            Body::Cgroup { .. } => {}
        }
    }

    /// A fact about a cgroup: becomes a row where a container came or went.
    pub fn learn(&mut self, fact: &Fact, found: bool) {
        let (index, action) = match self.registry.learn(fact) {
            Change::None => return,
            Change::Appeared(index) if found => (index, "found"),
            Change::Appeared(index) => (index, "started"),
            Change::Gone(index) => (index, "stopped"),
        };
        let mut row = Row::new(self.clock.wall(fact.boot), "container");
        row.container = index;
        row.action = action;
        row.description = self.batch.descriptions.len() as u32;
        self.batch.descriptions.push(self.registry.describe(index));
        self.batch.rows.push(row);
    }

    /// Events of `class` were lost between two instants (boot time, ns).
    pub fn gap(&mut self, cgroup: u64, class: &'static str, lost: u64, since: u64, until: u64) {
        let mut row = Row::new(self.clock.wall(since), "gap");
        row.duration = Some(until.saturating_sub(since));
        row.container = self.registry.index(cgroup);
        row.action = "ring full";
        row.class = class;
        row.lost = Some(lost as i64);
        self.batch.rows.push(row);
    }

    fn announce(&mut self, tid: u32, pending: Pending) {
        // A thread's first call may announce before the thread is defined: its definition comes with its first return.
        let thread = self.threads.entry(tid).or_insert_with(|| Thread {
            cgroup: 0,
            pid: tid,
            ppid: 0,
            ns_pid: 0,
            uid: 0,
            comm: "".into(),
            exe: None,
            sent: Sent::default(),
            pending: vec![],
        });
        // A call announces four things at most; more means that its record was lost.
        if thread.pending.len() >= 8 {
            thread.pending.clear();
        }
        thread.pending.push(pending);
    }

    /// A thread that calls exec gets the id of its process's first thread: what it has announced goes with it.
    fn take_over(&mut self, tid: u32, caller: u32) {
        if caller == tid {
            return;
        }
        for pending in self.threads.remove(&caller).map_or(vec![], |t| t.pending) {
            self.announce(tid, pending);
        }
    }

    fn data(&mut self, head: Head, base: u64, bytes: &[u8]) {
        if u32::from(head.flags) & data_flag::DATA_FAULT.0 != 0 {
            self.faults.unread += 1;
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
            _ => {
                self.faults.broken += 1;
                return;
            }
        };
        self.announce(head.tid, pending);
    }

    fn syscall(&mut self, head: Head, duration: u64, ret: i64, key: u64, args: Args<'_>) {
        let flags = u32::from(head.flags);
        let has = |flag: sys_flag| flags & flag.0 != 0;
        let compat = has(sys_flag::SYS_COMPAT);
        let timed = !has(sys_flag::SYS_DENIED) && !has(sys_flag::SYS_NO_ENTRY);
        let calls = self.calls.clone();
        let Some(call) = calls.get(compat, head.nr) else {
            self.faults.broken += 1;
            return;
        };

        let mut row = Row::new(
            self.clock
                .wall(head.time - if timed { duration.min(head.time) } else { 0 }),
            "syscall",
        );
        let returned = !has(sys_flag::SYS_NO_RETURN);
        row.duration = (timed && returned).then_some(duration);
        row.class = call.class;
        row.syscall = self.batch.strings.intern_shared(&call.name);
        row.compat = Some(compat);
        row.denied = Some(has(sys_flag::SYS_DENIED));
        row.ret = returned.then_some(ret);
        call.set_args(&mut row, args);
        if call.moves_bytes && returned {
            row.bytes = Some(ret.max(0));
        }
        if has(sys_flag::SYS_CHILD) {
            row.child_pid = Some(key as i32);
        } else {
            if has(sys_flag::SYS_RET_KEY) {
                row.fd = Some(ret as i32);
            }
            self.set_object(&mut row, key);
        }
        self.set_pending(&mut row, head.tid, call);
        self.set_task(&mut row, head.tid);
        self.batch.rows.push(row);
    }

    /// The file or socket behind `key`.
    fn set_object(&mut self, row: &mut Row, key: u64) {
        if key == 0 {
            return;
        }
        let (batch, generation) = (&mut self.batch, self.generation);
        if let Some(file) = self.files.get_mut(key) {
            row.path = batch.strings.intern_shared(&file.path);
            row.object = file.sent.index(generation, || {
                let dev = batch.strings.intern(&paths::dev_text(file.dev));
                batch.objects.push(Object {
                    dev,
                    inode: file.inode,
                });
                batch.objects.len() - 1
            });
        } else if let Some(socket) = self.sockets.get_mut(key) {
            let mut sent = socket.sent;
            row.ends = sent.index(generation, || {
                let ends = socket.ends(batch);
                batch.ends.push(ends);
                batch.ends.len() - 1
            });
            socket.sent = sent;
            // A socket has no path and no device; its inode tells sockets apart.
            batch.objects.push(Object {
                dev: NONE,
                inode: socket.inode,
            });
            row.object = batch.objects.len() as u32 - 1;
            if let Some(path) = &socket.local_path {
                row.path = batch.strings.intern(path);
            }
        }
    }

    /// What the thread announced of this call.
    fn set_pending(&mut self, row: &mut Row, tid: u32, call: &CallInfo) {
        let Some(thread) = self.threads.get_mut(&tid) else {
            return;
        };
        if thread.pending.is_empty() {
            return;
        }
        for pending in std::mem::take(&mut thread.pending) {
            match pending {
                Pending::Path { slot, base, arg } => self.set_path(row, slot, base, &arg),
                Pending::Stat { inode, dev } if row.object == NONE => {
                    let dev = self.batch.strings.intern(&paths::dev_text(dev));
                    row.object = self.batch.objects.len() as u32;
                    self.batch.objects.push(Object { dev, inode });
                }
                Pending::Stat { .. } => {}
                Pending::Flags { flags, mode } => call.set_flags(row, flags, mode),
                Pending::Second(key) => {
                    if let Some(file) = self.files.get(key) {
                        row.path2 = self.batch.strings.intern_shared(&file.path);
                    }
                }
                Pending::Text(text) => row.path2 = self.batch.strings.intern(&escape(&text)),
                Pending::Address(address) => self.set_address(row, &address, call.binds),
                Pending::Exec { exe, argv } => {
                    row.argv = self.batch.strings.intern(&shell_join(&argv));
                    self.set_object(row, exe);
                }
            }
        }
    }

    fn set_path(&mut self, row: &mut Row, slot: u16, base: u64, arg: &[u8]) {
        let joined = self
            .files
            .get(base)
            .map(|base| paths::join(&base.path, arg));
        let strings = &mut self.batch.strings;
        let path = joined.map_or(NONE, |path| strings.intern(&path));
        if u32::from(slot) == data_slot::DATA_PATH2.0 {
            row.path2 = path;
            return;
        }
        row.path_arg = strings.intern(&escape(arg));
        if arg.is_empty() && row.object == NONE {
            // AT_EMPTY_PATH: the call is about the directory fd itself.
            self.set_object(row, base);
        } else if row.path == NONE {
            row.path = path;
        }
    }

    /// An address that the caller passed or got. It counts where the socket itself does not know better: a UDP socket
    /// that is not connected, a connect that failed.
    fn set_address(&mut self, row: &mut Row, address: &addrs::Address, binds: bool) {
        let batch = &mut self.batch;
        let text = |batch: &mut Batch, text: &Option<String>| {
            text.as_ref().map_or(NONE, |t| batch.strings.intern(t))
        };
        let addr = text(batch, &address.addr);
        let path = text(batch, &address.path);
        let mut ends = match batch.ends.get(row.ends as usize) {
            Some(ends) => *ends,
            None => Ends {
                family: names::family(address.family).map_or(NONE, |f| batch.strings.intern(f)),
                protocol: NONE,
                local_addr: NONE,
                local_port: None,
                peer_addr: NONE,
                peer_port: None,
                peer_path: NONE,
            },
        };
        if binds {
            if ends.local_addr == NONE && ends.local_port.is_none_or(|p| p == 0) {
                (ends.local_addr, ends.local_port) = (addr, address.port);
            }
            if row.path == NONE {
                row.path = path;
            }
        } else if ends.peer_addr == addr && ends.peer_port.is_none() {
            // The kernel forgets the port of a connection that was refused.
            ends.peer_port = address.port;
            if ends.peer_path == NONE {
                ends.peer_path = path;
            }
        } else if ends.peer_addr == NONE && ends.peer_path == NONE {
            (ends.peer_addr, ends.peer_port, ends.peer_path) = (addr, address.port, path);
        } else {
            return;
        }
        row.ends = batch.ends.len() as u32;
        batch.ends.push(ends);
    }

    fn set_task(&mut self, row: &mut Row, tid: u32) {
        let (batch, generation) = (&mut self.batch, self.generation);
        let Some(thread) = self.threads.get_mut(&tid) else {
            self.faults.orphans += 1;
            row.container = 0;
            return;
        };
        row.container = self.registry.index(thread.cgroup);
        row.task = thread.sent.index(generation, || {
            batch.tasks.push(Task {
                container: row.container,
                pid: thread.pid,
                tid,
                ppid: thread.ppid,
                ns_pid: thread.ns_pid,
                uid: thread.uid,
                comm: batch.strings.intern_shared(&thread.comm),
                exe: thread
                    .exe
                    .as_ref()
                    .map_or(NONE, |exe| batch.strings.intern_shared(exe)),
            });
            batch.tasks.len() - 1
        });
    }

    fn exit(&mut self, head: Head, _pid: u32, code: u32) {
        if u32::from(head.flags) & exit_flag::EXIT_PROCESS.0 != 0 {
            let mut row = Row::new(self.clock.wall(head.time), "process");
            row.action = "exit";
            row.class = "process";
            // wait(2): the signal in the low seven bits, the code above them.
            match code & 0x7f {
                0 => row.exit_code = Some((code >> 8 & 0xff) as i32),
                signal => row.exit_signal = Some(signal as i32),
            }
            self.set_task(&mut row, head.tid);
            self.batch.rows.push(row);
        }
        self.threads.remove(&head.tid);
    }
}

impl Socket {
    fn ends(&self, batch: &mut Batch) -> Ends {
        let strings = &mut batch.strings;
        let mut text =
            |text: Option<&str>| -> Text { text.map_or(NONE, |text| strings.intern(text)) };
        let number = self.family.is_none().then(|| self.number.to_string());
        Ends {
            family: text(self.family.or(number.as_deref())),
            protocol: text(self.protocol),
            local_addr: text(self.local.0.as_deref()),
            local_port: self.local.1,
            peer_addr: text(self.peer.0.as_deref()),
            peer_port: self.peer.1,
            peer_path: text(self.peer_path.as_deref()),
        }
    }
}

fn socket(sock: &Sock<'_>, connected: bool) -> Socket {
    let port = |port: u16| (port != 0).then_some(port);
    let inet = matches!(i32::from(sock.family), libc::AF_INET | libc::AF_INET6);
    let (local, peer) = if inet {
        (
            (
                addrs::ip_text(sock.family, &sock.local),
                port(sock.local_port),
            ),
            (
                addrs::ip_text(sock.family, &sock.peer),
                port(sock.peer_port),
            ),
        )
    } else if sock.portid != 0 {
        ((Some(sock.portid.to_string()), None), (None, None))
    } else {
        ((None, None), (None, None))
    };
    // An accepted socket has the listener's name, and its other end most often none: the name is what both ends share.
    let local_path = addrs::unix_text(sock.local_name);
    let shared = if connected { local_path.clone() } else { None };
    Socket {
        family: names::family(sock.family),
        number: sock.family,
        protocol: names::protocol(sock.family, sock.ty, sock.protocol),
        inode: sock.inode,
        local,
        peer,
        local_path,
        peer_path: addrs::unix_text(sock.peer_name).or(shared),
        sent: Sent::default(),
    }
}
