//! Addresses that a call passes or receives, and the ends of its socket.

use crate::calls::AddressRole;
use crate::resolve::addresses::{self, Address};
use crate::resolve::objects::arg;
use crate::resolve::threads::FailedConnection;
use crate::resolve::{Resolver, constants};
use crate::rows::batch::{Batch, CallDetail, Endpoints, NONE, Object, Row, StringIndex};
use crate::wire::types::sys_flag;

/// Protocols whose sockets have one peer. Their sends ignore an address that is passed to a connected socket.
const CONNECTIONS: [&str; 5] = ["tcp", "mptcp", "dccp", "stream", "seqpacket"];

/// An address as values of columns.
#[derive(Clone, Copy)]
struct End {
    addr: StringIndex,
    port: Option<u16>,
    path: StringIndex,
}

impl End {
    const UNKNOWN: End = End {
        addr: NONE,
        port: None,
        path: NONE,
    };

    fn is_known(&self) -> bool {
        self.addr != NONE || self.path != NONE
    }
}

/// The way in which a call ended, as far as addresses depend on it.
#[derive(Clone, Copy)]
struct Outcome {
    /// The call returned without an error.
    succeeded: bool,
    /// The call began a connection.
    connected: bool,
}

impl Outcome {
    fn of(row: &Row) -> Outcome {
        let unfinished = sys_flag::SYS_NO_RETURN.0 | sys_flag::SYS_DENIED.0;
        let returned = u32::from(row.flags) & unfinished == 0;
        Outcome {
            succeeded: returned && row.ret >= 0,
            connected: returned && (row.ret == 0 || row.ret == -i64::from(libc::EINPROGRESS)),
        }
    }
}

impl Resolver {
    /// Sets an address that the caller passed or received. The address takes precedence over that of the socket, which
    /// the call may not have used: a datagram has its own destination, and a connect(2) that fails does not change the
    /// socket.
    pub(super) fn set_address(
        &mut self,
        row: &mut Row,
        detail: &mut CallDetail,
        address: &Address,
        role: AddressRole,
    ) {
        let (mut object, mut endpoints) = ends_of(&mut self.batch, row, address.family);
        let strings = &mut self.batch.strings;
        let text = |text: StringIndex| strings.list.get(text as usize).map(|text| &**text);
        // Raw sockets and those of ICMP ignore the port of an address: see raw(7).
        let has_ports = !matches!(text(endpoints.family), Some("inet" | "inet6"))
            || text(endpoints.protocol).is_none_or(addresses::has_ports);
        let end = End {
            addr: strings.intern_opt(address.addr.as_deref()),
            port: address.port.filter(|_| has_ports),
            path: strings.intern_opt(address.path.as_deref()),
        };
        let outcome = Outcome::of(row);
        let end = match role {
            AddressRole::Connect if address.is_unspecified() => End::UNKNOWN,
            _ => end,
        };
        if role == AddressRole::Local {
            if !set_local(&mut object, &mut endpoints, end, outcome) {
                detail.path = end.path;
            }
        } else if self.counts_before_socket(&endpoints, address, end, role, outcome) {
            endpoints.peer_addr = end.addr;
            endpoints.peer_port = end.port;
            endpoints.peer_path = end.path;
            let container = self.batch.container(row);
            let peer = address.addr.as_deref();
            let name = peer.and_then(|peer| self.dns_names.name(container, peer, row.time));
            let strings = &mut self.batch.strings;
            endpoints.dns_name = name.map_or(NONE, |name| strings.intern_shared(name));
        } else {
            return;
        }
        push_object(&mut self.batch, row, object, endpoints);
    }

    /// Returns whether a socket has one peer for its whole life.
    fn is_connection(&self, endpoints: &Endpoints) -> bool {
        let protocol = self.batch.strings.list.get(endpoints.protocol as usize);
        protocol.is_some_and(|protocol| CONNECTIONS.contains(&&**protocol))
    }

    /// Returns whether the peer of a row is the address of the call, not that of the socket.
    fn counts_before_socket(
        &self,
        endpoints: &Endpoints,
        address: &Address,
        end: End,
        role: AddressRole,
        outcome: Outcome,
    ) -> bool {
        let text = |text: StringIndex| self.batch.strings.list.get(text as usize);
        let has_peer = endpoints.peer_addr != NONE || endpoints.peer_path != NONE;
        // The kernel resets the port when a connection is refused.
        let has_port = endpoints.peer_port.is_some() || end.port.is_none();
        let is_connection = self.is_connection(endpoints);
        match role {
            AddressRole::None | AddressRole::Local => false,
            AddressRole::Connect if address.is_unspecified() => !outcome.succeeded,
            AddressRole::Connect => !(outcome.connected && has_peer && has_port),
            // AF_UNSPEC stands for AF_INET in udp_sendmsg() of net/ipv4/udp.c, and for no address in IPv6.
            AddressRole::Destination if address.is_unspecified() => {
                text(endpoints.family).is_some_and(|family| &**family == "inet")
            }
            AddressRole::Destination => {
                let is_unix = text(endpoints.family).is_some_and(|family| &**family == "unix");
                // The peer of a unix socket may have no name. A send by TCP_FASTOPEN begins a connection.
                let has_own = is_connection && (has_peer || is_unix);
                // unix_seqpacket_sendmsg() of net/unix/af_unix.c drops the address before anything can fail.
                let drops = is_unix
                    && text(endpoints.protocol).is_some_and(|protocol| &**protocol == "seqpacket");
                !(drops || outcome.succeeded && has_own)
            }
            AddressRole::Source if has_peer => end.is_known() && !is_connection,
            AddressRole::Source => end.is_known() || end.port.is_some(),
        }
    }

    /// Removes the peer from the row of a failed call that passed an address which could not be read: the peer of the
    /// socket is not the one that the call asked for.
    pub(super) fn clear_peer_of_failed_call(&mut self, row: &mut Row) {
        if Outcome::of(row).succeeded {
            return;
        }
        let compat = u32::from(row.flags) & sys_flag::SYS_COMPAT.0 != 0;
        let Some(call) = self.calls.get(compat, row.call) else {
            return;
        };
        // An error of the address itself, by move_addr_to_kernel() of net/socket.c. All other sends used the socket's peer.
        let bad_address =
            row.ret == -i64::from(libc::EFAULT) || row.ret == -i64::from(libc::EINVAL);
        let no_address = |i: usize| arg(&self.batch, call, row, i) == Some(0);
        let asked_for_another = match call.address {
            AddressRole::Connect => true,
            AddressRole::Destination => bad_address && !call.address_length.is_some_and(no_address),
            AddressRole::None | AddressRole::Local | AddressRole::Source => false,
        };
        if !asked_for_another {
            return;
        }
        let Some((object, mut endpoints)) = known_ends(&self.batch, row) else {
            return;
        };
        if call.address == AddressRole::Destination && self.is_connection(&endpoints) {
            return;
        }
        endpoints.peer_addr = NONE;
        endpoints.peer_port = None;
        endpoints.peer_path = NONE;
        endpoints.dns_name = NONE;
        push_object(&mut self.batch, row, object, endpoints);
    }

    /// Sets the local end of a connect(2) on a socket whose connection has failed during the call.
    pub(super) fn restore_local_end(&mut self, row: &mut Row, failed: &FailedConnection) {
        let Some((object, mut endpoints)) = known_ends(&self.batch, row) else {
            return;
        };
        if object.inode == Some(failed.inode) {
            endpoints.local_addr = self.batch.strings.intern_opt(failed.addr.as_deref());
            endpoints.local_port = failed.port;
            push_object(&mut self.batch, row, object, endpoints);
        }
    }

    /// Sets `dns_name` of the row's peer to the name in the question of a DNS message.
    pub(super) fn set_dns_name(&mut self, row: &mut Row, name: &std::sync::Arc<str>) {
        let batch = &mut self.batch;
        let Some((object, mut endpoints)) = known_ends(batch, row) else {
            return;
        };
        endpoints.dns_name = batch.strings.intern_shared(name);
        push_object(batch, row, object, endpoints);
    }
}

/// Returns the object of a row and its ends; `None` if the row has no object or the object has no ends.
fn known_ends(batch: &Batch, row: &Row) -> Option<(Object, Endpoints)> {
    let object = *batch.objects.get(row.object as usize)?;
    let endpoints = *batch.endpoints.get(object.endpoints as usize)?;
    Some((object, endpoints))
}

/// Returns the object of a row and its ends; both are new if the row has none.
fn ends_of(batch: &mut Batch, row: &Row, family: u16) -> (Object, Endpoints) {
    let object = batch.objects.get(row.object as usize).copied();
    let object = object.unwrap_or(Object {
        path: NONE,
        host_path: NONE,
        dev: NONE,
        inode: None,
        endpoints: NONE,
    });
    let endpoints = batch.endpoints.get(object.endpoints as usize).copied();
    let endpoints = endpoints.unwrap_or_else(|| Endpoints {
        family: batch.strings.intern_opt(constants::family(family)),
        protocol: NONE,
        local_addr: NONE,
        local_port: None,
        peer_addr: NONE,
        peer_port: None,
        peer_path: NONE,
        dns_name: NONE,
    });
    (object, endpoints)
}

/// Sets the local end: the address that a bind(2) failed to set, or the address that the socket lacks. Returns whether
/// the path of the socket was set too.
fn set_local(object: &mut Object, endpoints: &mut Endpoints, end: End, outcome: Outcome) -> bool {
    let has_none = endpoints.local_addr == NONE && endpoints.local_port.is_none();
    if !outcome.succeeded || has_none {
        (endpoints.local_addr, endpoints.local_port) = (end.addr, end.port);
    }
    if !outcome.succeeded && end.path != NONE {
        object.path = end.path;
        return true;
    }
    false
}

/// Gives a row an object of its own.
fn push_object(batch: &mut Batch, row: &mut Row, mut object: Object, endpoints: Endpoints) {
    object.endpoints = batch.endpoints.len() as u32;
    batch.endpoints.push(endpoints);
    row.object = batch.objects.len() as u32;
    batch.objects.push(object);
}
