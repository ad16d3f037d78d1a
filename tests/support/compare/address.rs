//! Socket addresses in the notation of strace and in that of a recording.

use super::report::Report;
use super::strace;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One end of a socket. A part is None if strace does not print it or if the socket has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) addr: Option<String>,
    pub(crate) port: Option<i64>,
    pub(crate) path: Option<Vec<u8>>,
}

/// A socket, as strace prints it beside an fd.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    pub(crate) family: &'static str,
    pub(crate) protocol: String,
    pub(crate) inode: Option<i64>,
    pub(crate) local: Address,
    pub(crate) peer: Address,
}

/// Returns an IP address in the notation of a recording.
pub(crate) fn ip(addr: IpAddr, report: &mut Report) -> Option<String> {
    let canonical = addr.to_canonical();
    if canonical != addr {
        report.rule("mapped");
    }
    if canonical.is_unspecified() {
        report.rule("unspecified");
        return None;
    }
    Some(canonical.to_string())
}

/// Parses `{sa_family=0x2, sin_port="\x00\x50", sin_addr="\x7f\x00\x00\x01"}`. Returns None if `text` is no address.
pub(crate) fn sockaddr(text: &str, report: &mut Report) -> Option<Address> {
    let family = strace::number(&strace::member(text, "sa_family")?)?;
    let bytes = |name| strace::string(&strace::member(text, name)?);
    let port = |name| Some(i64::from(u16::from_be_bytes(bytes(name)?.try_into().ok()?)));
    let mut address = Address::default();
    match family as i32 {
        libc::AF_INET => {
            let octets: [u8; 4] = bytes("sin_addr")?.try_into().ok()?;
            address.addr = ip(Ipv4Addr::from(octets).into(), report);
            address.port = port("sin_port");
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = bytes("sin6_addr")?.try_into().ok()?;
            address.addr = ip(Ipv6Addr::from(octets).into(), report);
            address.port = port("sin6_port");
        }
        libc::AF_UNIX => address.path = strace::member(text, "sun_path").and_then(|p| unix(&p)),
        libc::AF_NETLINK => {
            address.addr = strace::number(&strace::member(text, "nl_pid")?).map(|n| n.to_string());
        }
        _ => return None,
    }
    Some(address)
}

/// Parses the name of a unix socket: `"\x2f..."`, or `@"\x61..."` for an abstract name.
fn unix(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix('@') {
        Some(name) => Some([b"@".as_slice(), &strace::string(name)?].concat()),
        None => strace::string(text),
    }
}

/// Parses `TCP:[127.0.0.1:1->127.0.0.1:2]`, `UNIX-STREAM:[7->8,"\x2f..."]`, `NETLINK:[ROUTE:77]` and the like. Returns None
/// if `text` is no socket.
pub(crate) fn socket(text: &str, report: &mut Report) -> Option<Socket> {
    let (kind, rest) = text.split_once(":[")?;
    let inner = rest.strip_suffix(']')?;
    let mut socket = Socket::default();
    let (name, v6) = kind.strip_suffix("v6").map_or((kind, false), |n| (n, true));
    match name.split_once('-').unwrap_or((name, "")) {
        ("TCP" | "UDP" | "UDPLITE" | "RAW" | "SCTP" | "DCCP" | "PING", _) => {
            socket.family = if v6 { "inet6" } else { "inet" };
            socket.protocol = name.to_lowercase();
            let (local, peer) = inner.split_once("->").unwrap_or((inner, ""));
            socket.inode = local.parse().ok();
            socket.local = endpoint(local, report);
            socket.peer = endpoint(peer, report);
        }
        ("UNIX", kind) => {
            socket.family = "unix";
            socket.protocol = kind.to_lowercase();
            let (inodes, path) = inner.split_once(',').unwrap_or((inner, ""));
            socket.inode = inodes.split("->").next()?.parse().ok();
            socket.local.path = unix(path);
        }
        ("NETLINK", _) => {
            socket.family = "netlink";
            socket.inode = inner.parse().ok();
            if let Some((protocol, id)) = inner.split_once(':') {
                socket.protocol = protocol.to_lowercase();
                socket.local.addr = Some(id.to_owned()).filter(|id| id != "0");
            }
        }
        // strace does not know the family.
        ("socket", _) => socket.inode = inner.parse().ok(),
        _ => return None,
    }
    Some(socket)
}

/// Parses `127.0.0.1:80` or `[::1]:80`.
fn endpoint(text: &str, report: &mut Report) -> Address {
    let Some((addr, port)) = text.rsplit_once(':') else {
        return Address::default();
    };
    let addr: IpAddr = addr.trim_matches(['[', ']']).parse().unwrap();
    Address {
        addr: ip(addr, report),
        port: port.parse().ok(),
        path: None,
    }
}
