//! Applies announcements to rows: paths, addresses, arguments and all other data that the kernel side read in the
//! caller's memory and sent before the record of the call.

use ctrace_schema::text::{escape, shell_join};

use crate::records::decode::{self, Head};
use crate::resolve::dns::DnsMessage;
use crate::resolve::threads::{Pending, Thread};
use crate::resolve::{Resolver, addresses, constants, paths};
use crate::rows::batch::{CallDetail, Endpoints, NONE, Object, Row};
use crate::wire::types::{data_flag, data_slot, sys_flag};

/// The object of a row that has none yet.
const NO_OBJECT: Object = Object {
    path: NONE,
    dev: NONE,
    inode: None,
    endpoints: NONE,
};

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
                Some((flags, mode)) => Pending::Flags { flags, mode },
                None => return,
            },
            data_slot::DATA_FD2 => Pending::SecondFd(base),
            data_slot::DATA_TEXT => Pending::Text(text()),
            data_slot::DATA_ADDR => match addresses::sockaddr(bytes) {
                Some(address) => Pending::Address(address),
                None => return,
            },
            data_slot::DATA_DNS => match DnsMessage::parse(bytes) {
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
                    dev,
                    inode: Some(inode),
                    endpoints: NONE,
                });
            }
            Pending::Stat { .. } => {}
            Pending::SecondFd(key) => {
                if let Some(file) = self.files.get(key) {
                    detail.path2 = self.batch.strings.intern_shared(&file.path);
                }
            }
            Pending::Flags { flags, mode } => {
                (detail.flags, detail.mode) =
                    call.map_or((None, None), |call| call.struct_flags(flags, mode));
            }
            Pending::Text(text) => detail.path2 = self.batch.strings.intern(&escape(&text)),
            Pending::Address(address) => {
                let is_own_end = call.is_some_and(|call| call.own_end);
                self.set_address(row, detail, &address, is_own_end);
            }
            Pending::Bytes(bytes) => detail.bytes = Some(bytes as i64),
            Pending::Dns(message) => {
                let container = self.batch.container(row);
                self.dns_names.learn(container, &message, row.time);
                self.set_dns_name(row, &message);
            }
            Pending::Exec { exe, argv } => {
                detail.argv = self.batch.strings.intern(&shell_join(&argv));
                let object = self.object(exe, row);
                if object != NONE {
                    row.object = object;
                }
            }
        }
    }

    fn set_path(
        &mut self,
        row: &mut Row,
        detail: &mut CallDetail,
        slot: u16,
        base: u64,
        arg: &[u8],
    ) {
        let Resolver {
            batch,
            files,
            joined_paths,
            ..
        } = self;
        let arg_text = batch.strings.intern(&escape(arg));
        let path = match (joined_paths.get(&(base, arg_text)), files) {
            (Some(path), _) => *path,
            (None, files) => match files.get(base) {
                Some(base_file) => {
                    let path = batch.strings.intern(&paths::join(&base_file.path, arg));
                    joined_paths.insert((base, arg_text), path);
                    path
                }
                None => NONE,
            },
        };
        if u32::from(slot) == data_slot::DATA_PATH2.0 {
            detail.path2 = path;
            return;
        }
        detail.path_arg = arg_text;
        if arg.is_empty() && row.object == NONE {
            // AT_EMPTY_PATH: the object of the call is the directory fd.
            row.object = self.object(base, row);
        } else {
            detail.path = path;
        }
    }

    /// Sets `dns_name` of the row's peer to the name in the question of a DNS message.
    fn set_dns_name(&mut self, row: &mut Row, message: &DnsMessage) {
        let batch = &mut self.batch;
        let Some(mut object) = batch.objects.get(row.object as usize).copied() else {
            return;
        };
        let Some(mut endpoints) = batch.endpoints.get(object.endpoints as usize).copied() else {
            return;
        };
        endpoints.dns_name = batch.strings.intern_shared(&message.name);
        object.endpoints = batch.endpoints.len() as u32;
        batch.endpoints.push(endpoints);
        row.object = batch.objects.len() as u32;
        batch.objects.push(object);
    }

    /// Adds an address that the caller passed or received, where the definition of the socket lacks it: for an
    /// unconnected UDP socket, or after a failed connect.
    fn set_address(
        &mut self,
        row: &mut Row,
        detail: &mut CallDetail,
        address: &addresses::Address,
        is_own_end: bool,
    ) {
        let container = self.batch.container(row);
        let peer = address.addr.as_deref();
        let dns_name = peer.and_then(|peer| self.dns_names.name(container, peer, row.time));
        let batch = &mut self.batch;
        let addr = batch.strings.intern_opt(address.addr.as_deref());
        let path = batch.strings.intern_opt(address.path.as_deref());
        let known = batch.objects.get(row.object as usize);
        let mut object = known.copied().unwrap_or(NO_OBJECT);
        let mut endpoints = match batch.endpoints.get(object.endpoints as usize) {
            Some(endpoints) => *endpoints,
            None => Endpoints {
                family: batch.strings.intern_opt(constants::family(address.family)),
                protocol: NONE,
                local_addr: NONE,
                local_port: None,
                peer_addr: NONE,
                peer_port: None,
                peer_path: NONE,
                dns_name: NONE,
            },
        };
        if is_own_end {
            if endpoints.local_addr == NONE && endpoints.local_port.is_none_or(|p| p == 0) {
                (endpoints.local_addr, endpoints.local_port) = (addr, address.port);
            }
            detail.path = path;
        } else if endpoints.peer_addr == addr && endpoints.peer_port.is_none() {
            // The kernel resets the port when a connection is refused.
            endpoints.peer_port = address.port;
            if endpoints.peer_path == NONE {
                endpoints.peer_path = path;
            }
        } else if endpoints.peer_addr == NONE && endpoints.peer_path == NONE {
            (
                endpoints.peer_addr,
                endpoints.peer_port,
                endpoints.peer_path,
            ) = (addr, address.port, path);
            endpoints.dns_name = dns_name.map_or(NONE, |name| batch.strings.intern_shared(name));
        } else {
            return;
        }
        object.endpoints = batch.endpoints.len() as u32;
        batch.endpoints.push(endpoints);
        row.object = batch.objects.len() as u32;
        batch.objects.push(object);
    }
}
