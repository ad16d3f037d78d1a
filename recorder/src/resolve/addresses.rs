//! Converts the kernel's socket addresses to text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ctrace_schema::text::escape;

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

/// Formats the name of a unix socket: a path, or `@name` for an abstract name, as netstat(8) and strace(1) do.
pub(super) fn unix_text(name: &[u8]) -> Option<String> {
    match name {
        [] => None,
        [0, rest @ ..] => Some(format!("@{}", escape(rest))),
        path => Some(escape(path.split(|b| *b == 0).next().unwrap_or(path)).into_owned()),
    }
}

/// Decodes a `struct sockaddr`. None: the bytes are too short for the family, or the family is not supported.
pub(super) fn sockaddr(bytes: &[u8]) -> Option<Address> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    let mut ip = [0; 16];
    let mut address = Address {
        family,
        ..Address::default()
    };
    match i32::from(family) {
        libc::AF_INET => {
            ip[..4].copy_from_slice(bytes.get(4..8)?);
            address.addr = ip_text(family, &ip);
            address.port = port();
        }
        libc::AF_INET6 => {
            ip.copy_from_slice(bytes.get(8..24)?);
            address.addr = ip_text(family, &ip);
            address.port = port();
        }
        libc::AF_UNIX => address.path = unix_text(&bytes[2..]),
        libc::AF_NETLINK => {
            let id = u32::from_ne_bytes(bytes.get(4..8)?.try_into().ok()?);
            address.addr = Some(id.to_string());
        }
        _ => return None,
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockaddrs() {
        let v4 = sockaddr(&[2, 0, 0, 80, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]).expect("IPv4");
        assert_eq!((v4.addr.as_deref(), v4.port), (Some("10.0.0.2"), Some(80)));
        let mut v6 = [0u8; 28];
        v6[0] = 10;
        v6[2..4].copy_from_slice(&443u16.to_be_bytes());
        v6[8 + 10..8 + 16].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        let v6 = sockaddr(&v6).expect("IPv6");
        assert_eq!(
            (v6.addr.as_deref(), v6.port),
            (Some("127.0.0.1"), Some(443))
        );
        let un = sockaddr(b"\x01\0/run/x.sock\0junk").expect("unix");
        assert_eq!(un.path.as_deref(), Some("/run/x.sock"));
        let un = sockaddr(b"\x01\0\0name").expect("abstract");
        assert_eq!(un.path.as_deref(), Some("@name"));
        assert_eq!(sockaddr(&[2, 0, 0]), None);
        assert_eq!(sockaddr(&[]), None);
    }
}
