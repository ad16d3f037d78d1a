//! Sockets: from the kernel side's definition to an object of a batch.

use std::sync::Arc;

use crate::records::decode::{SockEnds, SockRecord};
use crate::resolve::definitions::BatchIndex;
use crate::resolve::threads::FailedConnection;
use crate::resolve::{addresses, constants};
use crate::rows::batch::{Batch, Endpoints, NONE, Object};

/// A socket and its two ends, as text.
#[derive(Debug)]
pub(super) struct SocketDefinition {
    family: Option<&'static str>,
    family_number: u16,
    protocol: Option<&'static str>,
    inode: u64,
    local: (Option<String>, Option<u16>),
    peer: (Option<String>, Option<u16>),
    local_path: Option<String>,
    peer_path: Option<String>,
    /// DNS name of the peer at the container's first use of the socket. The outer `None`: not looked up yet.
    dns_name: Option<Option<Arc<str>>>,
    /// Index in the batch's list of objects.
    pub(super) batch_index: BatchIndex,
}

impl SocketDefinition {
    /// Looks up the DNS name of the peer with `find`, at the first call only.
    pub(super) fn resolve_peer<'a>(&mut self, find: impl FnOnce(&str) -> Option<&'a Arc<str>>) {
        let peer = self.peer.0.as_deref();
        self.dns_name
            .get_or_insert_with(|| peer.and_then(find).cloned());
    }

    /// Returns the local end, as that of a connection that has failed.
    pub(super) fn failed(&self) -> FailedConnection {
        FailedConnection {
            inode: self.inode,
            addr: self.local.0.clone(),
            port: self.local.1,
        }
    }

    /// Adds the socket to the batch's objects, and returns the object's index.
    pub(super) fn push_to(&self, batch: &mut Batch) -> usize {
        let strings = &mut batch.strings;
        let unknown_family = self
            .family
            .is_none()
            .then(|| self.family_number.to_string());
        let endpoints = Endpoints {
            family: strings.intern_opt(self.family.or(unknown_family.as_deref())),
            protocol: strings.intern_opt(self.protocol),
            local_addr: strings.intern_opt(self.local.0.as_deref()),
            local_port: self.local.1,
            peer_addr: strings.intern_opt(self.peer.0.as_deref()),
            peer_port: self.peer.1,
            peer_path: strings.intern_opt(self.peer_path.as_deref()),
            dns_name: strings.intern_opt(self.dns_name.iter().flatten().next().map(|name| &**name)),
        };
        batch.objects.push(Object {
            path: strings.intern_opt(self.local_path.as_deref()),
            host_path: NONE,
            dev: NONE,
            // The inode distinguishes sockets.
            inode: Some(self.inode),
            endpoints: batch.endpoints.len() as u32,
        });
        batch.endpoints.push(endpoints);
        batch.objects.len() - 1
    }
}

/// SOCK_RAW of linux/net.h. The kernel stores the protocol of a raw socket in place of its port.
const SOCK_RAW: u16 = 3;

/// Converts the kernel side's definition of a socket. `is_accepted`: a unix socket has a peer, perhaps without a
/// name, and the name of its listener.
/// `path_of` returns the path of a file, to which a relative name of a unix socket refers.
pub(super) fn socket_definition(
    sock: &SockRecord<'_>,
    is_accepted: bool,
    mut path_of: impl FnMut(u64) -> Option<String>,
) -> SocketDefinition {
    let mut unix_path = |name, file| match addresses::is_relative(name) {
        true => path_of(file),
        false => addresses::unix_text(name),
    };
    // An accepted unix socket has the name of the listener, and its peer usually has no name: both ends then show the
    // listener's name.
    let local_path = unix_path(sock.local_name, sock.local_file);
    let listener_path = if is_accepted {
        local_path.clone()
    } else {
        None
    };
    SocketDefinition {
        local_path,
        peer_path: unix_path(sock.peer_name, sock.peer_file).or(listener_path),
        ..definition_of_ends(sock.inode, &sock.ends)
    }
}

/// Converts the kind and the addresses of a socket that is not a unix socket.
pub(super) fn definition_of_ends(inode: u64, ends: &SockEnds) -> SocketDefinition {
    let port = |port: u16| (port != 0 && ends.ty != SOCK_RAW).then_some(port);
    let inet = matches!(i32::from(ends.family), libc::AF_INET | libc::AF_INET6);
    let protocol = constants::protocol(ends.family, ends.ty, ends.protocol);
    // A connection that ended, or was never made, leaves an address behind, but no port.
    let has_peer = ends.peer_port != 0 || !protocol.is_some_and(addresses::has_ports);
    let (local, peer) = if inet {
        (
            (
                addresses::ip_text(ends.family, &ends.local),
                port(ends.local_port),
            ),
            (
                addresses::ip_text(ends.family, &ends.peer).filter(|_| has_peer),
                port(ends.peer_port),
            ),
        )
    } else if ends.portid != 0 {
        ((Some(ends.portid.to_string()), None), (None, None))
    } else {
        ((None, None), (None, None))
    };
    SocketDefinition {
        family: constants::family(ends.family),
        family_number: ends.family,
        protocol,
        inode,
        local,
        peer,
        local_path: None,
        peer_path: None,
        dns_name: None,
        batch_index: BatchIndex::default(),
    }
}
