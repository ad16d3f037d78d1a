//! Converts the kernel's socket addresses to text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ctrace_schema::text::escape;

use crate::records::decode;

/// An end of a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    /// Address family, `AF_*`.
    pub(super) family: u16,
    /// IP address, or the port id of netlink.
    pub(super) addr: Option<String>,
    pub(super) port: Option<u16>,
    /// Unix: a path, or `@name`.
    pub(super) path: Option<String>,
    /// Unix: a path that is relative to the working directory of the process that passed it, and not in `path`.
    pub(super) relative_name: Option<Vec<u8>>,
}

impl Address {
    /// Returns an address of which only the family is known.
    pub(super) fn unknown(family: u16) -> Address {
        Address {
            family,
            ..Address::default()
        }
    }

    /// Returns whether the address has no family (`AF_UNSPEC`).
    pub(super) fn is_unspecified(&self) -> bool {
        i32::from(self.family) == libc::AF_UNSPEC
    }
}

/// Formats an IP address in network byte order. IPv4-mapped IPv6 addresses are formatted as IPv4, so that both ends of
/// a connection have the same text. None: the unspecified address.
pub(super) fn ip_text(family: u16, bytes: &[u8; 16]) -> Option<String> {
    let ip = if family == libc::AF_INET as u16 {
        let [a, b, c, d, ..] = *bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical()
    };
    (!ip.is_unspecified()).then(|| ip.to_string())
}

/// Returns whether the addresses of a protocol have ports.
pub(super) fn has_ports(protocol: &str) -> bool {
    matches!(
        protocol,
        "tcp" | "udp" | "udplite" | "mptcp" | "dccp" | "sctp"
    )
}

/// Formats the name of a unix socket: a path, or `@name` for an abstract name, as netstat(8) and strace(1) do.
pub(super) fn unix_text(name: &[u8]) -> Option<String> {
    match name {
        [] => None,
        [0, rest @ ..] => Some(format!("@{}", escape(rest))),
        path => Some(escape(path.split(|b| *b == 0).next().unwrap_or(path)).into_owned()),
    }
}

/// Returns whether the name of a unix socket is a relative path.
pub(super) fn is_relative(name: &[u8]) -> bool {
    !matches!(name, [] | [0 | b'/', ..])
}

/// Decodes a `struct sockaddr`. Fields that the bytes do not contain are null; `is_cut`: the address was longer. None:
/// the bytes do not contain the family.
pub(super) fn sockaddr(bytes: &[u8], is_cut: bool) -> Option<Address> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = bytes.get(2..4).and_then(|port| port.try_into().ok());
    let port = port.map(u16::from_be_bytes).filter(|port| *port != 0);
    let v4 = |family| {
        let mut ip = [0; 16];
        ip[..4].copy_from_slice(bytes.get(4..8)?);
        ip_text(family, &ip)
    };
    let mut address = Address::unknown(family);
    match i32::from(family) {
        libc::AF_INET | libc::AF_UNSPEC => {
            address.addr = v4(libc::AF_INET as u16);
            address.port = port;
        }
        libc::AF_INET6 => {
            let ip = bytes.get(8..24).and_then(|ip| ip.try_into().ok());
            address.addr = ip.and_then(|ip| ip_text(family, ip));
            address.port = port;
        }
        libc::AF_UNIX if is_cut => {}
        libc::AF_UNIX if is_relative(&bytes[2..]) => {
            address.relative_name = Some(decode::until_nul(&bytes[2..]).into());
        }
        libc::AF_UNIX => address.path = unix_text(&bytes[2..]),
        libc::AF_NETLINK => {
            let id = bytes.get(4..8).and_then(|id| id.try_into().ok());
            address.addr = id.map(|id| u32::from_ne_bytes(id).to_string());
        }
        _ => {}
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Address {
        sockaddr(bytes, false).expect("the bytes have a family")
    }

    #[test]
    fn sockaddrs() {
        let v4 = whole(&[2, 0, 0, 80, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((v4.addr.as_deref(), v4.port), (Some("10.0.0.2"), Some(80)));
        let mut v6 = [0u8; 28];
        v6[0] = 10;
        v6[2..4].copy_from_slice(&443u16.to_be_bytes());
        v6[8 + 10..8 + 16].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        let address = whole(&v6);
        assert_eq!(
            (address.addr.as_deref(), address.port),
            (Some("127.0.0.1"), Some(443))
        );
        let cut = sockaddr(&v6[..16], true).expect("a family");
        assert_eq!((cut.addr, cut.port), (None, Some(443)));
        let un = whole(b"\x01\0/run/x.sock\0junk");
        assert_eq!(un.path.as_deref(), Some("/run/x.sock"));
        let un = whole(b"\x01\0\0name");
        assert_eq!(un.path.as_deref(), Some("@name"));
        let un = whole(b"\x01\0x.sock\0junk");
        assert_eq!(un.relative_name.as_deref(), Some(&b"x.sock"[..]));
        assert_eq!(un.path, None);
        let cut = sockaddr(b"\x01\0/run/x", true).expect("a family");
        assert_eq!(cut, Address::unknown(1));
        assert_eq!(whole(&[2, 0, 0]), Address::unknown(2));
        assert_eq!(whole(&[2, 0, 0, 0, 127, 0, 0, 1]).port, None);
        assert_eq!(sockaddr(&[], false), None);
    }
}
