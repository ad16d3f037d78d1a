//! Sockets as strace prints them: addresses that are arguments, and with `-yy` what is behind an fd.

/// One end of a connection, as the columns hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End<'a> {
    /// None where it is not known, or is no address in particular (`0.0.0.0`).
    pub addr: Option<&'a str>,
    /// None where it has none.
    pub port: Option<i64>,
}

/// The socket that a call was about, by the columns of these names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket<'a> {
    /// `family`; where it is not known, it is read off the addresses.
    pub family: Option<&'a str>,
    /// `protocol`.
    pub protocol: Option<&'a str>,
    /// `local_addr` and `local_port`.
    pub local: End<'a>,
    /// `peer_addr` and `peer_port`.
    pub peer: End<'a>,
    /// `peer_path`.
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

    /// The address of the other end as an argument; none: it is not known.
    pub fn peer_argument(&self) -> Option<String> {
        self.argument(self.peer, self.peer_path)
    }

    /// The address of this end as an argument; `path` is that of a unix socket.
    pub fn local_argument(&self, path: Option<&str>) -> Option<String> {
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
            // The flow and the scope are not recorded.
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

    /// What `-yy` prints behind the fd of a TCP or UDP socket: `TCP:[127.0.0.1:40000->127.0.0.1:80]`, without the other
    /// end where `alone`. None: it is another socket, or neither bound nor connected.
    pub fn ends(&self, alone: bool) -> Option<String> {
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
            Some(_) if !alone => format!("{protocol}{v6}:[{local}->{}]", end(self.peer)),
            _ => format!("{protocol}{v6}:[{local}]"),
        })
    }
}

/// The address as its family writes it: a recording has IPv4 in IPv6 as IPv4, and none for no address in particular.
fn address(family: Family, addr: Option<&str>) -> String {
    match (family, addr) {
        (Family::Inet6, None) => "::".into(),
        (Family::Inet6, Some(addr)) if !addr.contains(':') => format!("::ffff:{addr}"),
        (_, None) => "0.0.0.0".into(),
        (_, Some(addr)) => addr.into(),
    }
}
