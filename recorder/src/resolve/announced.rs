//! Applies announcements to rows: paths, addresses, arguments and all other data that the kernel side read in the
//! caller's memory and sent before the record of the call.

use ctrace_schema::syscalls::rules::When;
use ctrace_schema::text::{escape, shell_join};

use crate::records::decode::{self, Head};
use crate::resolve::addresses::Address;
use crate::resolve::dns::message::DnsMessage;
use crate::resolve::objects::arg;
use crate::resolve::threads::{Pending, Thread};
use crate::resolve::{Resolver, addresses, paths};
use crate::rows::batch::{CallDetail, NONE, Object, Row};
use crate::wire::types::{data_flag, data_slot, sys_flag};

impl Resolver {
    pub(super) fn announce(&mut self, tid: u32, call_count: u16, pending: Pending) {
        // The announcements of a thread's first call may precede its definition, which is sent at the first return.
        if self.threads.get(tid.into()).is_none() {
            self.threads.put(tid.into(), Thread::undefined(tid), 0);
        }
        if let Some(thread) = self.threads.get_mut(tid.into()) {
            thread.announce(call_count, pending);
        }
    }

    /// Moves the announcements of the thread `caller` to `tid`: on exec, a thread takes the id of its process's first
    /// thread.
    pub(super) fn move_announced(&mut self, tid: u32, caller: u32) {
        if caller == tid {
            return;
        }
        for (call_count, pending) in self
            .threads
            .remove(caller.into())
            .map_or(vec![], |t| t.pending)
        {
            self.announce(tid, call_count, pending);
        }
    }

    /// Handles a record of user memory.
    pub(super) fn data(&mut self, head: Head, base: u64, bytes: &[u8]) {
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
                Some(fields) => Pending::Flags(fields),
                None => return,
            },
            data_slot::DATA_FD2 => Pending::SecondFd(base),
            data_slot::DATA_TEXT => Pending::Text(text()),
            data_slot::DATA_ADDR => match self.address(head, base, bytes) {
                Some(address) => Pending::Address(address),
                None => return,
            },
            data_slot::DATA_DNS => match DnsMessage::parse(bytes) {
                messages if messages.is_empty() => return,
                messages => Pending::Dns(messages),
            },
            data_slot::DATA_BYTES => match decode::number(bytes) {
                Some(bytes) => Pending::Bytes(bytes),
                None => return,
            },
            data_slot::DATA_SOCKET_ERROR => match decode::socket_error(bytes) {
                Some(errno) => Pending::SocketError(errno),
                None => return,
            },
            _ => {
                self.faults.broken += 1;
                return;
            }
        };
        self.announce(head.tid, head.call_count, pending);
    }

    /// Applies one announcement to the row of its call.
    pub(super) fn apply(&mut self, row: &mut Row, detail: &mut CallDetail, pending: Pending) {
        let compat = u32::from(row.flags) & sys_flag::SYS_COMPAT.0 != 0;
        let call = self.calls.get(compat, row.call);
        match pending {
            Pending::Path { slot, base, arg } => self.set_path(row, detail, slot, base, &arg),
            Pending::Stat { inode, dev } if row.object == NONE => {
                let strings = &mut self.batch.strings;
                let text = self.device_texts.entry(dev);
                let dev = *text.or_insert_with(|| strings.intern(&paths::dev_text(dev)));
                row.object = self.batch.objects.len() as u32;
                self.batch.objects.push(Object {
                    path: NONE,
                    host_path: NONE,
                    dev,
                    inode: Some(inode),
                    endpoints: NONE,
                });
            }
            Pending::Stat { .. } => {}
            Pending::SecondFd(key) => self.set_second_fd(row, detail, key),
            Pending::Flags(fields) => self.set_struct_flags(row, detail, &fields),
            Pending::Text(text) => detail.path2 = self.batch.strings.intern(&escape(&text)),
            Pending::Address(address) => {
                if let Some(role) = call.map(|call| call.address) {
                    self.set_address(row, detail, &address, role);
                }
            }
            Pending::Bytes(bytes) => detail.bytes = Some(bytes as i64),
            Pending::SocketError(errno) => {
                let name = ctrace_schema::errno::name(errno);
                detail.socket_error = self.batch.strings.intern_opt(name);
            }
            Pending::Dns(messages) => self.read_messages(row, messages),
            Pending::Exec { exe, argv, origin } => {
                if !origin.is_empty() && self.batch.container(row) != 0 {
                    detail.exe_origin = self.batch.strings.intern(origin);
                }
                detail.argv = self.batch.strings.intern(&shell_join(&argv));
                let object = self.object(exe, row);
                if object != NONE {
                    row.object = object;
                    self.drop_argument_path(row, detail, true);
                }
            }
        }
    }

    /// Decodes an address. `base` is the key of the directory to which the name of a unix socket is relative.
    fn address(&mut self, head: Head, base: u64, bytes: &[u8]) -> Option<Address> {
        let is_cut = u32::from(head.flags) & data_flag::DATA_CUT.0 != 0;
        let mut address = addresses::sockaddr(bytes, is_cut)?;
        if let Some(name) = address.relative_name.take() {
            let base = self.files.get(base).and_then(|file| file.path.as_ref());
            address.path = base.map(|base| paths::join(base, &name));
        }
        Some(address)
    }

    /// Sets the name in the row of a call by its messages to or from a name server, and stores the messages until the row is
    /// complete.
    fn read_messages(&mut self, row: &mut Row, messages: Vec<DnsMessage>) {
        if self.discards_bytes(row) {
            return;
        }
        for message in messages {
            if let Some(name) = message.name() {
                self.set_dns_name(row, name);
            }
            self.messages.push(message);
        }
    }

    /// Returns whether a call received from a TCP connection without copying: MSG_TRUNC discards the bytes, see tcp(7).
    fn discards_bytes(&self, row: &Row) -> bool {
        let compat = u32::from(row.flags) & sys_flag::SYS_COMPAT.0 != 0;
        let call = self.calls.get(compat, row.call);
        let Some(call) = call.filter(|call| call.result_is_length != When::Never) else {
            return false;
        };
        let batch = &self.batch;
        let object = batch.objects.get(row.object as usize);
        let endpoints = object.and_then(|object| batch.endpoints.get(object.endpoints as usize));
        let protocol = endpoints.and_then(|e| batch.strings.list.get(e.protocol as usize));
        protocol.is_some_and(|protocol| &**protocol == "tcp")
            && call.result_is_length.holds(|i| arg(batch, call, row, i))
    }
}
