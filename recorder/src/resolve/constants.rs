//! Names of the kernel's constants for sockets and filesystems.

/// Returns the name of an address family: `AF_*` of linux/socket.h.
pub(super) fn family(family: u16) -> Option<&'static str> {
    Some(match family {
        1 => "unix",
        2 => "inet",
        3 => "ax25",
        10 => "inet6",
        15 => "key",
        16 => "netlink",
        17 => "packet",
        21 => "rds",
        24 => "pppox",
        29 => "can",
        30 => "tipc",
        31 => "bluetooth",
        38 => "alg",
        40 => "vsock",
        41 => "kcm",
        42 => "qipcrtr",
        43 => "smc",
        44 => "xdp",
        45 => "mctp",
        _ => return None,
    })
}

/// Returns the value of the column `protocol`: `IPPROTO_*` (in.h) for IP, `NETLINK_*` (netlink.h) for netlink, and the
/// socket's type, `SOCK_*` (net.h), for all other families.
pub(super) fn protocol(family: u16, ty: u16, protocol: u16) -> Option<&'static str> {
    match family {
        2 | 10 => Some(match protocol {
            1 => "icmp",
            2 => "igmp",
            6 => "tcp",
            17 => "udp",
            33 => "dccp",
            47 => "gre",
            50 => "esp",
            58 => "icmpv6",
            132 => "sctp",
            136 => "udplite",
            255 => "raw",
            262 => "mptcp",
            _ => return None,
        }),
        16 => Some(match protocol {
            0 => "route",
            2 => "usersock",
            3 => "firewall",
            4 => "sock_diag",
            5 => "nflog",
            6 => "xfrm",
            7 => "selinux",
            8 => "iscsi",
            9 => "audit",
            10 => "fib_lookup",
            11 => "connector",
            12 => "netfilter",
            13 => "ip6_fw",
            14 => "dnrtmsg",
            15 => "kobject_uevent",
            16 => "generic",
            18 => "scsitransport",
            19 => "ecryptfs",
            20 => "rdma",
            21 => "crypto",
            22 => "smc",
            _ => return None,
        }),
        _ => Some(match ty {
            1 => "stream",
            2 => "dgram",
            3 => "raw",
            4 => "rdm",
            5 => "seqpacket",
            _ => return None,
        }),
    }
}

/// Magic numbers of filesystems whose files have no path: linux/magic.h.
pub(super) mod magic {
    /// pipe(2). FIFOs have a path and are not included.
    pub(crate) const PIPE: u32 = 0x5049_5045;
    /// epoll, eventfd, timerfd, ...
    pub(crate) const ANON_INODE: u32 = 0x0904_1934;
    /// Namespaces, `/proc/PID/ns`.
    pub(crate) const NSFS: u32 = 0x6e73_6673;
    /// pidfd_open(2), Linux 6.9.
    pub(crate) const PIDFS: u32 = 0x5049_4446;
}
