//! Names of the constants in the kernel's interface. The values are those of the crate `linux-raw-sys`, which is generated from the
//! kernel's headers and builds on all systems. Flags are in the order in which strace prints them.

use linux_raw_sys::{general, ioctl, net, netlink, prctl, ptrace};

use crate::syscalls::Names;

type Constants = &'static [(&'static str, u32)];

/// The names of a number: the bits in `mask` are one of `values`, and the other bits are `flags`.
pub(super) struct Table {
    /// The comment that strace prints after a number without a name: `O_???`.
    unknown: &'static str,
    mask: u32,
    values: Constants,
    flags: Constants,
}

impl Table {
    /// Returns the name of the constant `number`.
    pub(super) fn name(&self, number: u32) -> Option<&'static str> {
        self.values
            .iter()
            .find(|(_, v)| *v == number)
            .map(|(name, _)| *name)
    }

    /// Formats a number like strace: names joined by `|`, and bits without a name in hexadecimal.
    pub(super) fn text(&self, number: u32) -> String {
        let value = number & self.mask;
        let constant = self.values.iter().find(|(_, v)| *v == value);
        let mut parts: Vec<&str> = Vec::new();
        let mut rest = number;
        // Without a mask, the name of the value zero (PROT_NONE) is printed only if the whole number is zero.
        if let Some((name, _)) = constant.filter(|_| self.mask != 0 || number == 0) {
            parts.push(name);
            rest &= !self.mask;
        }
        for (name, bits) in self.flags {
            if *bits != 0 && rest & bits == *bits {
                parts.push(name);
                rest &= !bits;
            }
        }
        match (parts.is_empty(), rest) {
            (true, 0) => "0".into(),
            (true, rest) => format!("{rest:#x} /* {} */", self.unknown),
            (false, 0) => parts.join("|"),
            (false, rest) => format!("{}|{rest:#x}", parts.join("|")),
        }
    }
}

/// Pairs of names and values of constants in one module of linux-raw-sys.
macro_rules! constants {
    ($module:ident: $($name:ident)*) => { &[$((stringify!($name), $module::$name as u32)),*] };
}

/// Creates a table of constants, one of which is the whole number.
const fn one_of(unknown: &'static str, values: Constants) -> Table {
    Table {
        unknown,
        mask: u32::MAX,
        values,
        flags: &[],
    }
}

/// Creates a table of flags that can be combined.
const fn any_of(unknown: &'static str, flags: Constants) -> Table {
    Table {
        unknown,
        mask: 0,
        values: &[],
        flags,
    }
}

/// Returns the table of `names`, or `None` if the numbers have no names. `arm` selects ARM's flags of open(2). `context` is the
/// argument that selects the table: the domain of a protocol, or the level of a socket option.
pub(super) fn table(names: Names, arm: bool, context: Option<i64>) -> Option<&'static Table> {
    let context = context.map(|c| c as u32);
    Some(match names {
        Names::Open if arm => &OPEN_ARM,
        Names::FdOpen if arm => &FD_OPEN_ARM,
        Names::Protocol => match context? {
            net::AF_INET | net::AF_INET6 => &IP_PROTOCOL,
            net::AF_NETLINK => &NETLINK_PROTOCOL,
            _ => return None,
        },
        Names::SockOpt => match context? {
            net::SOL_SOCKET => &SOCKET_OPTION,
            net::SOL_TCP => &TCP_OPTION,
            net::SOL_IP => &IP_OPTION,
            net::SOL_IPV6 => &IPV6_OPTION,
            _ => return None,
        },
        other => return fixed_table(other),
    })
}

/// Returns a table that does not depend on the architecture or other arguments.
#[rustfmt::skip]
fn fixed_table(names: Names) -> Option<&'static Table> {
    use Names::*;
    Some(match names {
        Access => &ACCESS, ArchPrctl => &ARCH_PRCTL, At => &AT, AtAccess => &AT_ACCESS, AtUnlink => &AT_UNLINK, Clock => &CLOCK,
        Clone => &CLONE, CloseRange => &CLOSE_RANGE, Domain => &DOMAIN, Epoll => &EPOLL, EpollOp => &EPOLL_OP,
        Eventfd => &EVENTFD, Fadvise => &FADVISE, Fallocate => &FALLOCATE, Fcntl => &FCNTL,
        FdFlags => &FD_FLAGS, FdOpen => &FD_OPEN, Flock => &FLOCK, Fsopen => &FSOPEN, Futex => &FUTEX, Getrandom => &GETRANDOM,
        IdType => &ID_TYPE, Inotify => &INOTIFY, Signalfd => &SIGNALFD, Timerfd => &TIMERFD,
        SockFlags => &SOCK_FLAGS, Pidfd => &PIDFD, InotifyMask => &INOTIFY_MASK, Ioctl => &IOCTL,
        IpcGet => &IPC_GET, ItimerWhich => &ITIMER, Madvise => &MADVISE, Map => &MAP,
        Membarrier => &MEMBARRIER, Memfd => &MEMFD, Mlock => &MLOCK, Mlockall => &MLOCKALL, Mount => &MOUNT,
        MoveMount => &MOVE_MOUNT, Mremap => &MREMAP, Msg => &MSG, Msync => &MSYNC, Namespace => &NAMESPACE,
        Open => &OPEN, OpenTree => &OPEN_TREE, Prctl => &PRCTL, PrioWhich => &PRIO, Prot => &PROT,
        Ptrace => &PTRACE, Rename => &RENAME, Resource => &RESOURCE, RusageWho => &RUSAGE, Rwf => &RWF,
        Sched => &SCHED, Seccomp => &SECCOMP, Shutdown => &SHUTDOWN, SigHow => &SIG_HOW,
        Socketcall => &SOCKETCALL, SockLevel => &SOCK_LEVEL, SockType => &SOCK_TYPE, Splice => &SPLICE,
        SyncRange => &SYNC_RANGE, Timer => &TIMER, Umount => &UMOUNT, Wait => &WAIT, Whence => &WHENCE,
        Xattr => &XATTR,
        Protocol | SockOpt => return None,
    })
}

/// Returns the name of a signal like strace, which numbers real-time signals from the first one: `SIGRT_2`. Other numbers are
/// printed as they are.
pub fn signal(number: i64) -> String {
    match SIGNALS.iter().find(|(_, v)| i64::from(*v) == number) {
        Some((name, _)) => (*name).into(),
        None if number == i64::from(general::SIGRTMIN) => "SIGRTMIN".into(),
        None if (33..=64).contains(&number) => format!("SIGRT_{}", number - 32),
        None => number.to_string(),
    }
}

const SIGNALS: Constants = constants!(general: SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1
    SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU
    SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS);

// files

/// The flags of open(2). Four flags have special values on ARM (arch/arm/include/uapi/asm/fcntl.h, and the same file of arm64).
/// Other architectures, including x86, use the values of include/uapi/asm-generic/fcntl.h. Both are written out here, because
/// a recording can be read on a different architecture.
macro_rules! open_table {
    (direct $direct:literal, largefile $largefile:literal, directory $directory:literal, nofollow $nofollow:literal) => {
        Table {
            unknown: "O_???",
            mask: general::O_ACCMODE,
            values: constants!(general: O_RDONLY O_WRONLY O_RDWR O_ACCMODE),
            flags: &[
                ("O_CREAT", general::O_CREAT),
                ("O_EXCL", general::O_EXCL),
                ("O_NOCTTY", general::O_NOCTTY),
                ("O_TRUNC", general::O_TRUNC),
                ("O_APPEND", general::O_APPEND),
                ("O_NONBLOCK", general::O_NONBLOCK),
                ("O_SYNC", general::O_SYNC),
                ("O_DSYNC", general::O_DSYNC),
                ("O_DIRECT", $direct),
                ("O_LARGEFILE", $largefile),
                ("O_NOFOLLOW", $nofollow),
                ("O_NOATIME", general::O_NOATIME),
                ("O_CLOEXEC", general::O_CLOEXEC),
                ("O_PATH", general::O_PATH),
                ("O_TMPFILE", general::__O_TMPFILE | $directory),
                ("O_DIRECTORY", $directory),
                ("FASYNC", general::FASYNC),
            ],
        }
    };
}

static OPEN: Table =
    open_table!(direct 0o40000, largefile 0o100000, directory 0o200000, nofollow 0o400000);
static OPEN_ARM: Table =
    open_table!(direct 0o200000, largefile 0o400000, directory 0o40000, nofollow 0o100000);

/// The flags of pipe2, dup3 and similar calls, which apply to the new fd and have no access mode.
static FD_OPEN: Table = any_of("O_???", OPEN.flags);
static FD_OPEN_ARM: Table = any_of("O_???", OPEN_ARM.flags);

#[rustfmt::skip]
mod tables {
    use super::*;

    pub(super) static ACCESS: Table = Table { unknown: "?_OK", mask: 0, values: constants!(general: F_OK), flags: constants!(general: R_OK W_OK X_OK) };
    pub(super) static AT: Table = any_of("AT_???", constants!(general: AT_STATX_FORCE_SYNC AT_STATX_DONT_SYNC AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH AT_RECURSIVE));
    pub(super) static AT_ACCESS: Table = any_of("AT_???", constants!(general: AT_SYMLINK_NOFOLLOW AT_EACCESS AT_EMPTY_PATH));
    pub(super) static AT_UNLINK: Table = any_of("AT_???", constants!(general: AT_REMOVEDIR));
    // include/uapi/linux/close_range.h, which the crate leaves out
    pub(super) static CLOSE_RANGE: Table = any_of("CLOSE_RANGE_???", &[("CLOSE_RANGE_UNSHARE", 2), ("CLOSE_RANGE_CLOEXEC", 4)]);
    pub(super) static FADVISE: Table = one_of("POSIX_FADV_???", constants!(general: POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED POSIX_FADV_DONTNEED POSIX_FADV_NOREUSE));
    pub(super) static FALLOCATE: Table = any_of("FALLOC_FL_???", constants!(general: FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_NO_HIDE_STALE FALLOC_FL_COLLAPSE_RANGE FALLOC_FL_ZERO_RANGE FALLOC_FL_INSERT_RANGE FALLOC_FL_UNSHARE_RANGE FALLOC_FL_WRITE_ZEROES));
    pub(super) static FCNTL: Table = one_of("F_???", constants!(general: F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_SETSIG F_GETSIG F_SETOWN_EX F_GETOWN_EX F_GETOWNER_UIDS F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETLEASE F_GETLEASE F_NOTIFY F_DUPFD_QUERY F_CREATED_QUERY F_CANCELLK F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS F_GET_RW_HINT F_SET_RW_HINT F_GET_FILE_RW_HINT F_SET_FILE_RW_HINT));
    pub(super) static FD_FLAGS: Table = any_of("FD_???", constants!(general: FD_CLOEXEC));
    pub(super) static FLOCK: Table = any_of("LOCK_???", constants!(general: LOCK_SH LOCK_EX LOCK_NB LOCK_UN LOCK_MAND LOCK_READ LOCK_WRITE));
    pub(super) static FSOPEN: Table = any_of("FSOPEN_???", constants!(general: FSOPEN_CLOEXEC));
    pub(super) static INOTIFY: Table = any_of("IN_???", constants!(general: IN_CLOEXEC IN_NONBLOCK));
    pub(super) static INOTIFY_MASK: Table = any_of("IN_???", constants!(general: IN_ALL_EVENTS IN_ACCESS IN_MODIFY IN_ATTRIB IN_CLOSE_WRITE IN_CLOSE_NOWRITE IN_OPEN IN_MOVED_FROM IN_MOVED_TO IN_CREATE IN_DELETE IN_DELETE_SELF IN_MOVE_SELF IN_UNMOUNT IN_Q_OVERFLOW IN_IGNORED IN_ONLYDIR IN_DONT_FOLLOW IN_EXCL_UNLINK IN_MASK_CREATE IN_MASK_ADD IN_ISDIR IN_ONESHOT));
    pub(super) static IOCTL: Table = one_of("", constants!(ioctl: TCGETS TCSETS TCSETSW TCSETSF TCGETS2 TCSETS2 TCSETSW2 TCSETSF2 TCGETA TCSETA TCSETAW TCSETAF TCSBRK TCXONC TCFLSH TIOCEXCL TIOCNXCL TIOCSCTTY TIOCGPGRP TIOCSPGRP TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ TIOCMGET TIOCMSET FIONREAD TIOCLINUX TIOCCONS TIOCPKT FIONBIO TIOCNOTTY TIOCSETD TIOCGETD TIOCGSID TIOCGPTN TIOCSPTLCK TIOCGPTPEER TIOCVHANGUP FIONCLEX FIOCLEX FIOASYNC FIOQSIZE FIOSETOWN FIOGETOWN BLKROSET BLKROGET BLKRRPART BLKGETSIZE BLKFLSBUF BLKSSZGET BLKPBSZGET BLKBSZGET BLKGETSIZE64 BLKDISCARD BLKZEROOUT FIBMAP FIGETBSZ FIFREEZE FITHAW FITRIM FICLONE FICLONERANGE FIDEDUPERANGE FS_IOC_GETFLAGS FS_IOC_SETFLAGS FS_IOC_GETVERSION FS_IOC_FIEMAP FS_IOC_FSGETXATTR FS_IOC_FSSETXATTR SIOCGIFNAME SIOCGIFCONF SIOCGIFFLAGS SIOCSIFFLAGS SIOCGIFADDR SIOCSIFADDR SIOCGIFNETMASK SIOCSIFNETMASK SIOCGIFBRDADDR SIOCGIFMTU SIOCSIFMTU SIOCGIFHWADDR SIOCSIFHWADDR SIOCGIFINDEX SIOCGIFTXQLEN SIOCADDRT SIOCDELRT));
    pub(super) static MOUNT: Table = any_of("MS_???", constants!(general: MS_RDONLY MS_NOSUID MS_NODEV MS_NOEXEC MS_SYNCHRONOUS MS_REMOUNT MS_MANDLOCK MS_DIRSYNC MS_NOSYMFOLLOW MS_NOATIME MS_NODIRATIME MS_BIND MS_MOVE MS_REC MS_SILENT MS_POSIXACL MS_UNBINDABLE MS_PRIVATE MS_SLAVE MS_SHARED MS_RELATIME MS_KERNMOUNT MS_I_VERSION MS_STRICTATIME MS_LAZYTIME));
    pub(super) static MOVE_MOUNT: Table = any_of("MOVE_MOUNT_???", constants!(general: MOVE_MOUNT_F_SYMLINKS MOVE_MOUNT_F_AUTOMOUNTS MOVE_MOUNT_F_EMPTY_PATH MOVE_MOUNT_T_SYMLINKS MOVE_MOUNT_T_AUTOMOUNTS MOVE_MOUNT_T_EMPTY_PATH MOVE_MOUNT_SET_GROUP MOVE_MOUNT_BENEATH));
    pub(super) static OPEN_TREE: Table = any_of("OPEN_TREE_???", constants!(general: OPEN_TREE_CLONE OPEN_TREE_CLOEXEC AT_SYMLINK_NOFOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH AT_RECURSIVE));
    pub(super) static RENAME: Table = any_of("RENAME_???", constants!(general: RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT));
    pub(super) static RWF: Table = any_of("RWF_???", constants!(general: RWF_HIPRI RWF_DSYNC RWF_SYNC RWF_NOWAIT RWF_APPEND));
    pub(super) static SPLICE: Table = any_of("SPLICE_F_???", constants!(general: SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE SPLICE_F_GIFT));
    pub(super) static SYNC_RANGE: Table = any_of("SYNC_FILE_RANGE_???", constants!(general: SYNC_FILE_RANGE_WAIT_BEFORE SYNC_FILE_RANGE_WRITE SYNC_FILE_RANGE_WAIT_AFTER));
    pub(super) static UMOUNT: Table = any_of("MNT_???", constants!(general: MNT_FORCE MNT_DETACH MNT_EXPIRE UMOUNT_NOFOLLOW));
    pub(super) static WHENCE: Table = one_of("SEEK_???", constants!(general: SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE));
    pub(super) static XATTR: Table = any_of("XATTR_???", constants!(general: XATTR_CREATE XATTR_REPLACE));

    // network
    pub(super) static DOMAIN: Table = one_of("AF_???", constants!(net: AF_UNSPEC AF_UNIX AF_INET AF_AX25 AF_IPX AF_APPLETALK AF_NETROM AF_BRIDGE AF_ATMPVC AF_X25 AF_INET6 AF_ROSE AF_KEY AF_NETLINK AF_PACKET AF_RDS AF_PPPOX AF_LLC AF_CAN AF_TIPC AF_BLUETOOTH AF_IUCV AF_RXRPC AF_ALG AF_NFC AF_VSOCK AF_KCM AF_QIPCRTR AF_SMC AF_XDP AF_MCTP));
    // include/linux/net.h: the two flags have the values of O_CLOEXEC and O_NONBLOCK
    const SOCK: Constants = &[("SOCK_CLOEXEC", general::O_CLOEXEC), ("SOCK_NONBLOCK", general::O_NONBLOCK)];
    pub(super) static SOCK_TYPE: Table = Table { unknown: "SOCK_???", mask: 0xf, values: constants!(net: SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET), flags: SOCK };
    pub(super) static SOCK_FLAGS: Table = any_of("SOCK_???", SOCK);
    pub(super) static IP_PROTOCOL: Table = { use net::_bindgen_ty_1 as ip; one_of("IPPROTO_???", &[("IPPROTO_IP", ip::IPPROTO_IP as u32), ("IPPROTO_ICMP", ip::IPPROTO_ICMP as u32), ("IPPROTO_IGMP", ip::IPPROTO_IGMP as u32), ("IPPROTO_TCP", ip::IPPROTO_TCP as u32), ("IPPROTO_UDP", ip::IPPROTO_UDP as u32), ("IPPROTO_IPV6", ip::IPPROTO_IPV6 as u32), ("IPPROTO_GRE", ip::IPPROTO_GRE as u32), ("IPPROTO_ESP", ip::IPPROTO_ESP as u32), ("IPPROTO_AH", ip::IPPROTO_AH as u32), ("IPPROTO_ICMPV6", net::IPPROTO_ICMPV6), ("IPPROTO_SCTP", ip::IPPROTO_SCTP as u32), ("IPPROTO_UDPLITE", ip::IPPROTO_UDPLITE as u32), ("IPPROTO_RAW", ip::IPPROTO_RAW as u32), ("IPPROTO_MPTCP", ip::IPPROTO_MPTCP as u32)]) };
    pub(super) static NETLINK_PROTOCOL: Table = one_of("NETLINK_???", constants!(netlink: NETLINK_ROUTE NETLINK_USERSOCK NETLINK_SOCK_DIAG NETLINK_NFLOG NETLINK_XFRM NETLINK_SELINUX NETLINK_ISCSI NETLINK_AUDIT NETLINK_FIB_LOOKUP NETLINK_CONNECTOR NETLINK_NETFILTER NETLINK_KOBJECT_UEVENT NETLINK_GENERIC NETLINK_CRYPTO));
    // The last three flags are defined in include/linux/socket.h only, which the crate does not have.
    pub(super) static MSG: Table = any_of("MSG_???", &[("MSG_OOB", net::MSG_OOB), ("MSG_PEEK", net::MSG_PEEK), ("MSG_DONTROUTE", net::MSG_DONTROUTE), ("MSG_CTRUNC", net::MSG_CTRUNC), ("MSG_PROBE", net::MSG_PROBE), ("MSG_TRUNC", net::MSG_TRUNC), ("MSG_DONTWAIT", net::MSG_DONTWAIT), ("MSG_EOR", net::MSG_EOR), ("MSG_WAITALL", net::MSG_WAITALL), ("MSG_CONFIRM", net::MSG_CONFIRM), ("MSG_ERRQUEUE", net::MSG_ERRQUEUE), ("MSG_NOSIGNAL", net::MSG_NOSIGNAL), ("MSG_MORE", net::MSG_MORE), ("MSG_CMSG_CLOEXEC", net::MSG_CMSG_CLOEXEC), ("MSG_WAITFORONE", 0x10000), ("MSG_ZEROCOPY", 0x4000000), ("MSG_FASTOPEN", 0x20000000)]);
    pub(super) static SHUTDOWN: Table = one_of("SHUT_???", constants!(net: SHUT_RD SHUT_WR SHUT_RDWR));
    pub(super) static SOCK_LEVEL: Table = one_of("SOL_???", constants!(net: SOL_IP SOL_SOCKET SOL_TCP SOL_UDP SOL_IPV6 SOL_ICMPV6 SOL_SCTP SOL_UDPLITE SOL_RAW SOL_PACKET SOL_NETLINK SOL_TIPC SOL_BLUETOOTH SOL_ALG SOL_TLS SOL_XDP SOL_MPTCP));
    pub(super) static SOCKET_OPTION: Table = one_of("SO_???", constants!(net: SO_DEBUG SO_REUSEADDR SO_TYPE SO_ERROR SO_DONTROUTE SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_SNDBUFFORCE SO_RCVBUFFORCE SO_KEEPALIVE SO_OOBINLINE SO_PRIORITY SO_LINGER SO_REUSEPORT SO_PASSCRED SO_PEERCRED SO_RCVLOWAT SO_SNDLOWAT SO_RCVTIMEO_OLD SO_SNDTIMEO_OLD SO_BINDTODEVICE SO_ATTACH_FILTER SO_DETACH_FILTER SO_PEERNAME SO_TIMESTAMP_OLD SO_ACCEPTCONN SO_PEERSEC SO_PASSSEC SO_TIMESTAMPNS_OLD SO_MARK SO_TIMESTAMPING_OLD SO_PROTOCOL SO_DOMAIN SO_RXQ_OVFL SO_PEEK_OFF SO_LOCK_FILTER SO_BUSY_POLL SO_MAX_PACING_RATE SO_INCOMING_CPU SO_ATTACH_BPF SO_MEMINFO SO_COOKIE SO_PEERGROUPS SO_ZEROCOPY SO_TXTIME SO_BINDTOIFINDEX SO_PASSPIDFD SO_PEERPIDFD));
    pub(super) static TCP_OPTION: Table = one_of("TCP_???", constants!(net: TCP_NODELAY TCP_MAXSEG TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_SYNCNT TCP_LINGER2 TCP_DEFER_ACCEPT TCP_WINDOW_CLAMP TCP_INFO TCP_QUICKACK TCP_CONGESTION TCP_MD5SIG TCP_USER_TIMEOUT TCP_REPAIR TCP_FASTOPEN TCP_TIMESTAMP TCP_NOTSENT_LOWAT TCP_FASTOPEN_CONNECT TCP_ULP TCP_INQ));
    pub(super) static IP_OPTION: Table = one_of("IP_???", constants!(net: IP_TOS IP_TTL IP_HDRINCL IP_OPTIONS IP_RECVOPTS IP_PKTINFO IP_MTU_DISCOVER IP_RECVERR IP_RECVTTL IP_RECVTOS IP_MTU IP_FREEBIND IP_TRANSPARENT IP_ORIGDSTADDR IP_BIND_ADDRESS_NO_PORT IP_MULTICAST_IF IP_MULTICAST_TTL IP_MULTICAST_LOOP IP_ADD_MEMBERSHIP IP_DROP_MEMBERSHIP IP_MULTICAST_ALL));
    pub(super) static IPV6_OPTION: Table = one_of("IPV6_???", constants!(net: IPV6_CHECKSUM IPV6_UNICAST_HOPS IPV6_MULTICAST_IF IPV6_MULTICAST_HOPS IPV6_MULTICAST_LOOP IPV6_ADD_MEMBERSHIP IPV6_DROP_MEMBERSHIP IPV6_MTU_DISCOVER IPV6_MTU IPV6_RECVERR IPV6_V6ONLY IPV6_RECVPKTINFO IPV6_PKTINFO IPV6_RECVHOPLIMIT IPV6_HOPLIMIT IPV6_RECVTCLASS IPV6_TCLASS IPV6_DONTFRAG IPV6_TRANSPARENT IPV6_FREEBIND));
    pub(super) static SOCKETCALL: Table = one_of("SYS_???", constants!(net: SYS_SOCKET SYS_BIND SYS_CONNECT SYS_LISTEN SYS_ACCEPT SYS_GETSOCKNAME SYS_GETPEERNAME SYS_SOCKETPAIR SYS_SEND SYS_RECV SYS_SENDTO SYS_RECVFROM SYS_SHUTDOWN SYS_SETSOCKOPT SYS_GETSOCKOPT SYS_SENDMSG SYS_RECVMSG SYS_ACCEPT4 SYS_RECVMMSG SYS_SENDMMSG));

    // processes
    pub(super) static CLONE: Table = Table { unknown: "CLONE_???", mask: 0, values: &[], flags: constants!(general: CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK CLONE_PARENT CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_DETACHED CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO) };
    pub(super) static NAMESPACE: Table = any_of("CLONE_???", constants!(general: CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_THREAD CLONE_SYSVSEM CLONE_NEWTIME CLONE_NEWNS CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET));
    pub(super) static WAIT: Table = any_of("W???", constants!(general: WNOHANG WSTOPPED WEXITED WCONTINUED WNOWAIT __WCLONE __WALL __WNOTHREAD));
    pub(super) static ID_TYPE: Table = one_of("P_???", constants!(general: P_ALL P_PID P_PGID P_PIDFD));
    // PIDFD_NONBLOCK is O_NONBLOCK, PIDFD_THREAD is O_EXCL (include/uapi/linux/pidfd.h)
    pub(super) static PIDFD: Table = any_of("PIDFD_???", &[("PIDFD_NONBLOCK", general::O_NONBLOCK), ("PIDFD_THREAD", general::O_EXCL)]);
    pub(super) static PRCTL: Table = one_of("PR_???", constants!(prctl: PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_GET_UNALIGN PR_SET_UNALIGN PR_GET_KEEPCAPS PR_SET_KEEPCAPS PR_GET_TIMING PR_SET_TIMING PR_SET_NAME PR_GET_NAME PR_GET_SECCOMP PR_SET_SECCOMP PR_CAPBSET_READ PR_CAPBSET_DROP PR_GET_TSC PR_SET_TSC PR_GET_SECUREBITS PR_SET_SECUREBITS PR_SET_TIMERSLACK PR_GET_TIMERSLACK PR_TASK_PERF_EVENTS_DISABLE PR_TASK_PERF_EVENTS_ENABLE PR_MCE_KILL PR_MCE_KILL_GET PR_SET_MM PR_SET_PTRACER PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_GET_TID_ADDRESS PR_SET_THP_DISABLE PR_GET_THP_DISABLE PR_CAP_AMBIENT PR_SVE_SET_VL PR_SVE_GET_VL PR_GET_SPECULATION_CTRL PR_SET_SPECULATION_CTRL PR_PAC_RESET_KEYS PR_SET_TAGGED_ADDR_CTRL PR_GET_TAGGED_ADDR_CTRL PR_SET_IO_FLUSHER PR_GET_IO_FLUSHER PR_SET_SYSCALL_USER_DISPATCH PR_SCHED_CORE PR_SET_MDWE PR_GET_MDWE PR_SET_VMA PR_GET_AUXV PR_SET_MEMORY_MERGE PR_GET_MEMORY_MERGE PR_GET_SHADOW_STACK_STATUS PR_SET_SHADOW_STACK_STATUS PR_LOCK_SHADOW_STACK_STATUS));
    // arch/x86/include/uapi/asm/prctl.h, which the crate does not have
    pub(super) static ARCH_PRCTL: Table = one_of("ARCH_???", &[("ARCH_SET_GS", 0x1001), ("ARCH_SET_FS", 0x1002), ("ARCH_GET_FS", 0x1003), ("ARCH_GET_GS", 0x1004), ("ARCH_GET_CPUID", 0x1011), ("ARCH_SET_CPUID", 0x1012), ("ARCH_GET_XCOMP_SUPP", 0x1021), ("ARCH_GET_XCOMP_PERM", 0x1022), ("ARCH_REQ_XCOMP_PERM", 0x1023), ("ARCH_GET_XCOMP_GUEST_PERM", 0x1024), ("ARCH_REQ_XCOMP_GUEST_PERM", 0x1025), ("ARCH_MAP_VDSO_X32", 0x2001), ("ARCH_MAP_VDSO_32", 0x2002), ("ARCH_MAP_VDSO_64", 0x2003), ("ARCH_GET_UNTAG_MASK", 0x4001), ("ARCH_ENABLE_TAGGED_ADDR", 0x4002), ("ARCH_GET_MAX_TAG_BITS", 0x4003), ("ARCH_FORCE_TAGGED_SVA", 0x4004), ("ARCH_SHSTK_ENABLE", 0x5001), ("ARCH_SHSTK_DISABLE", 0x5002), ("ARCH_SHSTK_LOCK", 0x5003), ("ARCH_SHSTK_UNLOCK", 0x5004), ("ARCH_SHSTK_STATUS", 0x5005)]);
    pub(super) static PTRACE: Table = one_of("PTRACE_???", constants!(ptrace: PTRACE_TRACEME PTRACE_PEEKTEXT PTRACE_PEEKDATA PTRACE_PEEKUSR PTRACE_POKETEXT PTRACE_POKEDATA PTRACE_POKEUSR PTRACE_CONT PTRACE_KILL PTRACE_SINGLESTEP PTRACE_ATTACH PTRACE_DETACH PTRACE_SYSCALL PTRACE_SETOPTIONS PTRACE_GETEVENTMSG PTRACE_GETSIGINFO PTRACE_SETSIGINFO PTRACE_GETREGSET PTRACE_SETREGSET PTRACE_SEIZE PTRACE_INTERRUPT PTRACE_LISTEN PTRACE_PEEKSIGINFO PTRACE_GETSIGMASK PTRACE_SETSIGMASK PTRACE_SECCOMP_GET_FILTER PTRACE_SECCOMP_GET_METADATA PTRACE_GET_SYSCALL_INFO PTRACE_GET_RSEQ_CONFIGURATION));
    pub(super) static SECCOMP: Table = one_of("SECCOMP_???", constants!(ptrace: SECCOMP_SET_MODE_STRICT SECCOMP_SET_MODE_FILTER SECCOMP_GET_ACTION_AVAIL SECCOMP_GET_NOTIF_SIZES));
    pub(super) static RESOURCE: Table = one_of("RLIMIT_???", constants!(general: RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME));
    pub(super) static RUSAGE: Table = one_of("RUSAGE_???", constants!(general: RUSAGE_SELF RUSAGE_CHILDREN RUSAGE_THREAD));
    pub(super) static PRIO: Table = one_of("PRIO_???", constants!(general: PRIO_PROCESS PRIO_PGRP PRIO_USER));
    pub(super) static SCHED: Table = Table { unknown: "SCHED_???", mask: !general::SCHED_RESET_ON_FORK, values: &[("SCHED_OTHER", general::SCHED_NORMAL), ("SCHED_FIFO", general::SCHED_FIFO), ("SCHED_RR", general::SCHED_RR), ("SCHED_BATCH", general::SCHED_BATCH), ("SCHED_IDLE", general::SCHED_IDLE), ("SCHED_DEADLINE", general::SCHED_DEADLINE), ("SCHED_EXT", general::SCHED_EXT)], flags: constants!(general: SCHED_RESET_ON_FORK) };

    // memory
    pub(super) static PROT: Table = Table { unknown: "PROT_???", mask: 0, values: constants!(general: PROT_NONE), flags: constants!(general: PROT_READ PROT_WRITE PROT_EXEC PROT_SEM PROT_GROWSDOWN PROT_GROWSUP) };
    pub(super) static MAP: Table = Table { unknown: "MAP_???", mask: general::MAP_TYPE, values: constants!(general: MAP_SHARED MAP_PRIVATE MAP_SHARED_VALIDATE MAP_DROPPABLE), flags: constants!(general: MAP_FIXED MAP_ANONYMOUS MAP_NORESERVE MAP_POPULATE MAP_NONBLOCK MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED MAP_STACK MAP_HUGETLB MAP_SYNC MAP_FIXED_NOREPLACE) };
    pub(super) static MREMAP: Table = any_of("MREMAP_???", constants!(general: MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP));
    pub(super) static MSYNC: Table = any_of("MS_???", constants!(general: MS_SYNC MS_ASYNC MS_INVALIDATE));
    pub(super) static MADVISE: Table = one_of("MADV_???", constants!(general: MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ MADV_POPULATE_WRITE MADV_DONTNEED_LOCKED MADV_COLLAPSE MADV_HWPOISON MADV_SOFT_OFFLINE MADV_GUARD_INSTALL MADV_GUARD_REMOVE));
    pub(super) static MLOCK: Table = any_of("MLOCK_???", constants!(general: MLOCK_ONFAULT));
    pub(super) static MLOCKALL: Table = any_of("MCL_???", constants!(general: MCL_CURRENT MCL_FUTURE MCL_ONFAULT));
    pub(super) static MEMFD: Table = any_of("MFD_???", constants!(general: MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB MFD_NOEXEC_SEAL MFD_EXEC));
    pub(super) static MEMBARRIER: Table = { use general::membarrier_cmd as membarrier; one_of("MEMBARRIER_CMD_???", &[("MEMBARRIER_CMD_QUERY", membarrier::MEMBARRIER_CMD_QUERY as u32), ("MEMBARRIER_CMD_GLOBAL", membarrier::MEMBARRIER_CMD_GLOBAL as u32), ("MEMBARRIER_CMD_GLOBAL_EXPEDITED", membarrier::MEMBARRIER_CMD_GLOBAL_EXPEDITED as u32), ("MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED", membarrier::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED as u32), ("MEMBARRIER_CMD_PRIVATE_EXPEDITED", membarrier::MEMBARRIER_CMD_PRIVATE_EXPEDITED as u32), ("MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED", membarrier::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED as u32)]) };

    // communication, signals, time, waiting
    pub(super) static FUTEX: Table = Table { unknown: "FUTEX_???", mask: !general::FUTEX_CLOCK_REALTIME, values: constants!(general: FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET FUTEX_WAIT_REQUEUE_PI FUTEX_CMP_REQUEUE_PI FUTEX_LOCK_PI2 FUTEX_WAIT_PRIVATE FUTEX_WAKE_PRIVATE FUTEX_REQUEUE_PRIVATE FUTEX_CMP_REQUEUE_PRIVATE FUTEX_WAKE_OP_PRIVATE FUTEX_LOCK_PI_PRIVATE FUTEX_UNLOCK_PI_PRIVATE FUTEX_TRYLOCK_PI_PRIVATE FUTEX_WAIT_BITSET_PRIVATE FUTEX_WAKE_BITSET_PRIVATE FUTEX_WAIT_REQUEUE_PI_PRIVATE FUTEX_CMP_REQUEUE_PI_PRIVATE FUTEX_LOCK_PI2_PRIVATE), flags: constants!(general: FUTEX_CLOCK_REALTIME) };
    pub(super) static EVENTFD: Table = any_of("EFD_???", constants!(general: EFD_SEMAPHORE EFD_CLOEXEC EFD_NONBLOCK));
    // include/uapi/linux/ipc.h, which the crate does not have; the low nine bits are a mode
    pub(super) static IPC_GET: Table = any_of("IPC_???", &[("IPC_CREAT", 0o1000), ("IPC_EXCL", 0o2000), ("IPC_NOWAIT", 0o4000)]);
    // include/uapi/linux/signalfd.h: the values of O_CLOEXEC and O_NONBLOCK
    pub(super) static SIGNALFD: Table = any_of("SFD_???", &[("SFD_CLOEXEC", general::O_CLOEXEC), ("SFD_NONBLOCK", general::O_NONBLOCK)]);
    pub(super) static SIG_HOW: Table = one_of("SIG_???", constants!(general: SIG_BLOCK SIG_UNBLOCK SIG_SETMASK));
    pub(super) static CLOCK: Table = one_of("CLOCK_???", constants!(general: CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_TAI));
    pub(super) static TIMER: Table = any_of("TIMER_???", &[("TIMER_ABSTIME", general::TIMER_ABSTIME), ("TFD_TIMER_CANCEL_ON_SET", general::TFD_TIMER_CANCEL_ON_SET)]);
    pub(super) static TIMERFD: Table = any_of("TFD_???", constants!(general: TFD_CLOEXEC TFD_NONBLOCK));
    pub(super) static ITIMER: Table = one_of("ITIMER_???", constants!(general: ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF));
    pub(super) static EPOLL: Table = any_of("EPOLL_???", constants!(general: EPOLL_CLOEXEC));
    pub(super) static EPOLL_OP: Table = one_of("EPOLL_CTL_???", constants!(general: EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD));
    pub(super) static GETRANDOM: Table = any_of("GRND_???", constants!(general: GRND_RANDOM GRND_NONBLOCK GRND_INSECURE));
}
use tables::*;
