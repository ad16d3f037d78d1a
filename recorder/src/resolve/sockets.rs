//! Sockets, as the kernel side defines them and as a batch holds them.

use std::sync::Arc;

use crate::records::decode::Sock;
use crate::resolve::definitions::Sent;
use crate::resolve::{addresses, constants};
use crate::rows::batch::{Batch, Endpoints, NONE, Object};

/// What a socket is, and between whom.
#[derive(Debug)]
pub struct SocketDefinition {
    family: Option<&'static str>,
    number: u16,
    protocol: Option<&'static str>,
    inode: u64,
    local: (Option<String>, Option<u16>),
    peer: (Option<String>, Option<u16>),
    local_path: Option<String>,
    peer_path: Option<String>,
    /// Name under which its container knew the other end when it first used the socket, once that was looked up.
    name: Option<Option<Arc<str>>>,
    /// Where it stands in a batch's list of objects.
    pub sent: Sent,
}

impl SocketDefinition {
    /// Looks up the name of the other end, at the first use.
    pub fn set_name<'a>(&mut self, find: impl FnOnce(&str) -> Option<&'a Arc<str>>) {
        let peer = self.peer.0.as_deref();
        self.name
            .get_or_insert_with(|| peer.and_then(find).cloned());
    }

    /// Adds it to the batch's objects, and returns its index there.
    pub fn push(&self, batch: &mut Batch) -> usize {
        let strings = &mut batch.strings;
        let number = self.family.is_none().then(|| self.number.to_string());
        let endpoints = Endpoints {
            family: strings.intern_opt(self.family.or(number.as_deref())),
            protocol: strings.intern_opt(self.protocol),
            local_addr: strings.intern_opt(self.local.0.as_deref()),
            local_port: self.local.1,
            peer_addr: strings.intern_opt(self.peer.0.as_deref()),
            peer_port: self.peer.1,
            peer_path: strings.intern_opt(self.peer_path.as_deref()),
            dns_name: strings.intern_opt(self.name.iter().flatten().next().map(|name| &**name)),
        };
        batch.objects.push(Object {
            path: strings.intern_opt(self.local_path.as_deref()),
            dev: NONE,
            // Tells sockets apart.
            inode: Some(self.inode),
            endpoints: batch.endpoints.len() as u32,
        });
        batch.endpoints.push(endpoints);
        batch.objects.len() - 1
    }
}

/// A socket as the kernel side defines it.
pub fn socket(sock: &Sock<'_>, connected: bool) -> SocketDefinition {
    let port = |port: u16| (port != 0).then_some(port);
    let inet = matches!(i32::from(sock.family), libc::AF_INET | libc::AF_INET6);
    let (local, peer) = if inet {
        (
            (
                addresses::ip_text(sock.family, &sock.local),
                port(sock.local_port),
            ),
            (
                addresses::ip_text(sock.family, &sock.peer),
                port(sock.peer_port),
            ),
        )
    } else if sock.portid != 0 {
        ((Some(sock.portid.to_string()), None), (None, None))
    } else {
        ((None, None), (None, None))
    };
    // An accepted socket has the listener's name, and its other end most often none: the name is what both ends share.
    let local_path = addresses::unix_text(sock.local_name);
    let shared = if connected { local_path.clone() } else { None };
    SocketDefinition {
        family: constants::family(sock.family),
        number: sock.family,
        protocol: constants::protocol(sock.family, sock.ty, sock.protocol),
        inode: sock.inode,
        local,
        peer,
        local_path,
        peer_path: addresses::unix_text(sock.peer_name).or(shared),
        name: None,
        sent: Sent::default(),
    }
}
