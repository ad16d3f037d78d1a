//! Formats sockets as strace does: addresses as arguments, and both ends of a socket after its fd, as with `-yy`.

/// An end of a connection, with the values of the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End<'a> {
    /// Address, or `None` if it is not known or the wildcard (`0.0.0.0`).
    pub addr: Option<&'a str>,
    /// Port, if there is one.
    pub port: Option<i64>,
}

/// A socket, with the values of the columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket<'a> {
    /// Value of `family`. If it is null, the format of the addresses determines the family.
    pub family: Option<&'a str>,
    /// Value of `protocol`.
    pub protocol: Option<&'a str>,
    /// Values of `local_addr` and `local_port`.
    pub local: End<'a>,
    /// Values of `peer_addr` and `peer_port`.
    pub peer: End<'a>,
    /// Value of `peer_path`.
    pub peer_path: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Inet,
    Inet6,
    Unix,
    Netlink,
    Other,
}

impl<'a> Socket<'a> {
    fn family(&self) -> Family {
        let addr = self.peer.addr.or(self.local.addr);
        match (self.family, addr) {
            (Some("inet"), _) => Family::Inet,
            (Some("inet6"), _) => Family::Inet6,
            (Some("unix"), _) => Family::Unix,
            (Some("netlink"), _) => Family::Netlink,
            (None, Some(addr)) if addr.contains(':') => Family::Inet6,
            (None, Some(addr)) if addr.contains('.') => Family::Inet,
            (None, None) if self.peer_path.is_some() => Family::Unix,
            _ => Family::Other,
        }
    }

    /// Formats the address of the peer as an argument, if it is known.
    pub(super) fn peer_argument(&self) -> Option<String> {
        self.argument(self.peer, self.peer_path)
    }

    /// Formats the local address as an argument, if it is known. `path` is the path of a unix socket.
    pub(super) fn local_argument(&self, path: Option<&str>) -> Option<String> {
        self.argument(self.local, path)
    }

    fn argument(&self, end: End, path: Option<&str>) -> Option<String> {
        let family = self.family();
        let addr = address(family, end.addr);
        let known = end.addr.is_some() || end.port.is_some();
        let port = end.port.unwrap_or(0);
        Some(match family {
            Family::Inet if known => format!(
                "{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"{addr}\")}}"
            ),
            // Flow label and scope are not recorded.
            Family::Inet6 if known => format!(
                "{{sa_family=AF_INET6, sin6_port=htons({port}), inet_pton(AF_INET6, \"{addr}\", &sin6_addr), ...}}"
            ),
            Family::Unix => {
                let path = path?;
                let (sign, name) = match path.strip_prefix('@') {
                    Some(name) => ("@", name),
                    None => ("", path),
                };
                format!(
                    "{{sa_family=AF_UNIX, sun_path={sign}{}}}",
                    super::quoted(name)
                )
            }
            Family::Netlink => format!("{{sa_family=AF_NETLINK, nl_pid={}, ...}}", end.addr?),
            _ => return None,
        })
    }

    /// Formats both ends of the socket as with `-yy`: `TCP:[127.0.0.1:40000->127.0.0.1:80]`, or with `local_only` the local end.
    /// Returns `None` for sockets of other protocols, and for sockets that are neither bound nor connected.
    pub(super) fn ends(&self, local_only: bool) -> Option<String> {
        let family = self.family();
        let v6 = match family {
            Family::Inet => "",
            Family::Inet6 => "v6",
            _ => return None,
        };
        let protocol = match self.protocol? {
            protocol @ ("tcp" | "udp" | "udplite" | "sctp") => protocol.to_uppercase(),
            _ => return None,
        };
        let end = |end: End| {
            let (addr, port) = (address(family, end.addr), end.port.unwrap_or(0));
            match family {
                Family::Inet6 => format!("[{addr}]:{port}"),
                _ => format!("{addr}:{port}"),
            }
        };
        let local = self.local.port.map(|_| end(self.local))?;
        Some(match self.peer.addr {
            Some(_) if !local_only => format!("{protocol}{v6}:[{local}->{}]", end(self.peer)),
            _ => format!("{protocol}{v6}:[{local}]"),
        })
    }
}

/// Formats an address in the notation of its family. Recordings contain IPv4-mapped IPv6 addresses as IPv4 addresses, and null
/// instead of the wildcard.
fn address(family: Family, addr: Option<&str>) -> String {
    match (family, addr) {
        (Family::Inet6, None) => "::".into(),
        (Family::Inet6, Some(addr)) if !addr.contains(':') => format!("::ffff:{addr}"),
        (_, None) => "0.0.0.0".into(),
        (_, Some(addr)) => addr.into(),
    }
}
