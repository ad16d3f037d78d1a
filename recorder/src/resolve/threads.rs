//! Threads, and what they announce of their calls.

use std::sync::Arc;

use crate::resolve::addresses;
use crate::resolve::definitions::Sent;
use crate::resolve::dns::DnsMessage;
use crate::resolve::registry::Registry;
use crate::rows::batch::{Batch, NONE, Task};

/// Who a thread is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) cgroup: u64,
    pub(super) pid: u32,
    pub(super) ppid: u32,
    pub(super) ns_pid: u32,
    pub(super) uid: u32,
    /// When its process began, boot time in ns: with `pid`, that process and no other. 0: it is not known.
    pub(super) start_time: u64,
    pub(super) comm: Arc<str>,
    pub(super) exe: Option<Arc<str>>,
    /// Where it stands in a batch's list of tasks.
    pub(super) sent: Sent,
}

/// A thread, and what it has announced of the call that it is in.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) identity: Identity,
    /// By the number of the call.
    pub(super) pending: Vec<(u16, Pending)>,
}

impl Thread {
    /// One that tells of a call before it is defined.
    pub(super) fn undefined(tid: u32) -> Thread {
        Thread {
            identity: Identity {
                cgroup: 0,
                pid: tid,
                ppid: 0,
                ns_pid: 0,
                uid: 0,
                start_time: 0,
                comm: "".into(),
                exe: None,
                sent: Sent::default(),
            },
            pending: vec![],
        }
    }

    /// Takes in what it tells of a call. A path that is told again, at the return, has to be the same: else nobody knows
    /// which of them the kernel has read, and it has no base from which it could be told.
    pub(super) fn announce(&mut self, number: u16, pending: Pending) {
        if let Pending::Path { slot, arg, .. } = &pending {
            let told = self.pending.iter_mut().find_map(|(n, p)| match p {
                Pending::Path { slot: s, base, arg } if *n == number && s == slot => {
                    Some((base, arg))
                }
                _ => None,
            });
            if let Some((base, first)) = told {
                if first != arg {
                    *base = 0;
                }
                return;
            }
        }
        // A call announces six things at most; more means that records of earlier ones were lost.
        if self.pending.len() >= 8 {
            self.pending.retain(|(n, _)| *n == number);
        }
        self.pending.push((number, pending));
    }
}

/// User memory of a call, announced before its record.
#[derive(Debug)]
pub(super) enum Pending {
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
    Address(addresses::Address),
    /// What a name server was asked, or has answered.
    Dns(DnsMessage),
    /// Bytes of all messages.
    Bytes(u64),
    Exec {
        exe: u64,
        argv: Box<[u8]>,
    },
}

impl Identity {
    /// Index of the thread in the batch.
    pub(super) fn index(
        &mut self,
        tid: u32,
        generation: u32,
        batch: &mut Batch,
        registry: &mut Registry,
    ) -> u32 {
        let mut sent = self.sent;
        let index = sent.index(generation, || {
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
            });
            batch.tasks.len() - 1
        });
        self.sent = sent;
        index
    }
}
