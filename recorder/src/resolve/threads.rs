//! Threads, and the data announced for their current calls.
//!
//! The kernel side reads a call's user memory (paths, addresses, arguments) at its entry and announces it in records of
//! their own, before the record of the call. The announcements of a thread are pending until that record arrives.

use std::sync::Arc;

use crate::records::decode::StructFlags;
use crate::resolve::addresses::Address;
use crate::resolve::definitions::BatchIndex;
use crate::resolve::dns::message::DnsMessage;
use crate::resolve::registry::Registry;
use crate::rows::batch::{Arrival, Batch, NONE, Task};

#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) cgroup: u64,
    pub(super) pid: u32,
    pub(super) ppid: u32,
    pub(super) ns_pid: u32,
    pub(super) uid: u32,
    pub(super) comm: Arc<str>,
    pub(super) exe: Option<Arc<str>>,
    /// None: not known.
    pub(super) arrival: Option<Arrival>,
    /// Index in the batch's list of tasks.
    pub(super) batch_index: BatchIndex,
}

#[derive(Debug)]
pub(super) struct Thread {
    pub(super) identity: Identity,
    /// Announcements with the number of their call.
    pub(super) pending: Vec<(u16, Pending)>,
    /// A connection of the thread that has failed since its previous call.
    pub(super) failed: Option<Box<FailedConnection>>,
}

/// The owner of a connection. When the connection ends, the thread may have ended and its id may be reused.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) tid: u32,
    pub(super) identity: Identity,
}

/// The local end of a connection that failed. A connect(2) that waits resets it before it returns.
#[derive(Debug)]
pub(super) struct FailedConnection {
    /// Inode of the socket.
    pub(super) inode: u64,
    pub(super) addr: Option<String>,
    pub(super) port: Option<u16>,
}

impl Thread {
    /// Returns a placeholder for a thread whose announcements precede its definition.
    pub(super) fn undefined(tid: u32) -> Thread {
        Thread {
            identity: Identity {
                cgroup: 0,
                pid: tid,
                ppid: 0,
                ns_pid: 0,
                uid: 0,
                comm: "".into(),
                exe: None,
                arrival: None,
                batch_index: BatchIndex::default(),
            },
            pending: vec![],
            failed: None,
        }
    }

    /// Adds an announcement for call number `call_count`. A path or an address is announced a second time at the
    /// return. If the two differ, it is unknown which of them the kernel has read: a path loses its base and is not
    /// resolved, and an address is unknown.
    pub(super) fn announce(&mut self, call_count: u16, pending: Pending) {
        if let Pending::Path { slot, arg, .. } = &pending {
            let first = self.pending.iter_mut().find_map(|(n, p)| match p {
                Pending::Path { slot: s, base, arg } if *n == call_count && s == slot => {
                    Some((base, arg))
                }
                _ => None,
            });
            if let Some((base, first_arg)) = first {
                if first_arg != arg {
                    *base = 0;
                }
                return;
            }
        }
        if let Pending::Address(address) = &pending {
            let first = self.pending.iter_mut().find_map(|(n, p)| match p {
                Pending::Address(first) if *n == call_count => Some(first),
                _ => None,
            });
            if let Some(first) = first {
                if first != address {
                    *first = Address::unknown(first.family);
                }
                return;
            }
        }
        // A call has at most six announcements. More are left from earlier calls whose records were lost.
        if self.pending.len() >= MAX_ANNOUNCEMENTS {
            self.pending.retain(|(n, _)| *n == call_count);
        }
        self.pending.push((call_count, pending));
    }
}

/// Announcements of a thread before those of earlier calls are dropped.
const MAX_ANNOUNCEMENTS: usize = 8;

/// Data of a call, announced before its record.
#[derive(Debug)]
pub(super) enum Pending {
    /// A path argument: `slot` is 0 for the column `path` and 1 for `path2`, `base` the key of the directory to which
    /// `arg` is relative.
    Path {
        slot: u16,
        base: u64,
        arg: Box<[u8]>,
    },
    Text(Box<[u8]>),
    /// The file that stat(2) returned.
    Stat {
        inode: u64,
        dev: u32,
    },
    /// The flags in the struct argument of openat2(2) or clone3(2).
    Flags(StructFlags),
    /// Key of the call's second fd.
    SecondFd(u64),
    Address(Address),
    /// Messages to or from a name server.
    Dns(Vec<DnsMessage>),
    /// Errno that getsockopt(SO_ERROR) returned.
    SocketError(i32),
    /// Bytes of all messages of the call.
    Bytes(u64),
    Exec {
        exe: u64,
        argv: Box<[u8]>,
        /// Value of the column `exe_origin`; empty: not known.
        origin: &'static str,
    },
}

impl Identity {
    /// Returns the index of the thread in the batch; adds the thread if necessary.
    pub(super) fn index(
        &mut self,
        tid: u32,
        generation: u32,
        batch: &mut Batch,
        registry: &mut Registry,
    ) -> u32 {
        let mut batch_index = self.batch_index;
        let index = batch_index.get_or_add(generation, || {
            batch.tasks.push(Task {
                container: registry.index(self.cgroup),
                pid: self.pid,
                tid,
                ppid: self.ppid,
                ns_pid: self.ns_pid,
                uid: self.uid,
                comm: batch.strings.intern_shared(&self.comm),
                exe: match &self.exe {
                    Some(exe) => batch.strings.intern_shared(exe),
                    None => NONE,
                },
                arrival: self.arrival,
            });
            batch.tasks.len() - 1
        });
        self.batch_index = batch_index;
        index
    }
}
