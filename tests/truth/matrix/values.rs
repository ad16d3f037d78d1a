//! The special values of each kind of argument, as tokens of a plan: see `tests/programs/matrix.c`.

use super::named;
use ctrace_schema::syscalls::{Arg, Class, Spec};

/// The kinds of fds of `tests/programs/objects.h`, with those that are sockets at the end.
pub(crate) const FILES: &[&str] = &[
    "file",
    "dir",
    "path",
    "path_dir",
    "link",
    "pipe",
    "pipe_end",
    "device",
    "proc",
    "event",
    "epoll",
    "timer",
    "signal",
    "inotify",
    "fanotify",
    "memfd",
    "pidfd",
    "namespace",
    "ring",
    "deleted",
    "deleted_dir",
    "nameless",
    "detached",
    "detached_dir",
];

/// The kinds of sockets of `tests/programs/objects.h`.
pub(crate) const SOCKETS: &[&str] = &[
    "tcp",
    "tcp_listener",
    "tcp_client",
    "tcp6_client",
    "udp",
    "udp_bound",
    "udp_connected",
    "udp6_connected",
    "raw",
    "packet",
    "unix",
    "unix_listener",
    "unix_client",
    "unix_dgram",
    "unix_relative",
    "abstract",
    "pair",
    "netlink",
    "vsock",
    "xdp",
];

/// Numbers that are no open fd: one that is free, the working directory, and others.
const NO_FDS: &[&str] = &["39", "-1", "-100", "0x7fffffff", "-9"];

/// Names of addresses, with their lengths.
pub(crate) const ADDRESSES: &[(&str, i64)] = &[
    ("inet", 16),
    ("inet6", 28),
    ("any4", 16),
    ("any6", 28),
    ("mapped", 28),
    ("no_port", 16),
    ("unix", 16),
    ("relative", 9),
    ("unended", 8),
    ("abstract", 9),
    ("unnamed", 2),
    ("netlink", 12),
    ("unspec", 16),
    ("packet", 20),
    ("vsock", 16),
    ("unknown", 16),
];

/// Paths: text, bad memory, and memory that is hard to read.
pub(crate) const PATHS: &[&str] = &[
    "null",
    "bad",
    "s:",
    "s:.",
    "s:..",
    "s:/",
    "s:dir/../file",
    "s://tmp//m/./absolute",
    "s:dir/",
    "s:missing",
    "s:missing/x",
    "s:file/x",
    "s:link",
    "s:/proc/self/fd/40",
    "s:/proc/self/fd/48",
    "end:dir/file",
    "cut:dir/file",
    "end:",
    "cold:dir/file",
    "cold:",
    "long",
];

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// Returns every kind of fd, and numbers that are no fd.
pub(crate) fn fds() -> Vec<String> {
    let kinds = FILES.iter().chain(SOCKETS).map(|kind| format!("fd:{kind}"));
    kinds.chain(texts(NO_FDS)).collect()
}

/// Returns the harmless value of an argument.
pub(crate) fn base(spec: &Spec, name: &str, i: usize) -> String {
    let (arg_name, arg) = spec.args[i];
    let own = named::BASES
        .iter()
        .find(|(call, arg, _)| (*call, *arg) == (name, arg_name));
    if let Some((_, _, token)) = own {
        return (*token).to_owned();
    }
    let token = match arg {
        Arg::Fd if spec.class == Class::Network => "fd:udp_connected",
        Arg::Fd => "fd:file",
        Arg::DirFd => "-100",
        Arg::Path | Arg::Text => "s:file",
        Arg::Argv => "argv",
        Arg::SockAddrIn => "a:inet",
        Arg::SockAddrOut => "buf",
        Arg::MsgIn => "msg:inet",
        Arg::MsgOut => "msg:buf",
        Arg::MmsgIn => "mmsg:inet",
        Arg::MmsgOut => "mmsg:buf",
        Arg::Ptr if matches!(arg_name, "iov" | "local_iov" | "remote_iov") => "iov",
        Arg::Ptr if arg_name == "addrlen" || arg_name == "optlen" => "len:64",
        Arg::Ptr if arg_name == "timeout" && spec.args.iter().any(|a| a.1 == Arg::MmsgOut) => {
            "null"
        }
        Arg::Ptr => "buf",
        Arg::Int if arg_name == "addrlen" => "16",
        Arg::UInt if arg_name == "vlen" => "1",
        Arg::Size
            if arg_name.starts_with("iov")
                || arg_name.ends_with("iovcnt")
                || arg_name == "vlen"
                || arg_name == "nr_segs" =>
        {
            "1"
        }
        Arg::Size => "8",
        Arg::Mode => "0600",
        Arg::Pid => "self",
        _ => "0",
    };
    token.to_owned()
}

/// Returns the special values of an argument.
pub(crate) fn special(spec: &Spec, name: &str, i: usize) -> Vec<String> {
    let (arg_name, arg) = spec.args[i];
    let own = named::VALUES
        .iter()
        .find(|(call, arg, ..)| (*call, *arg) == (name, arg_name));
    if let Some((_, _, values, _)) = own {
        return texts(values);
    }
    let bits = || {
        (0..32)
            .map(|n| format!("{:#x}", 1u32 << n))
            .chain(texts(&["0", "-1"]))
            .collect()
    };
    match arg {
        Arg::Fd | Arg::DirFd => fds(),
        Arg::Path => texts(PATHS),
        Arg::Text => texts(&[
            "null",
            "bad",
            "s:",
            "s:file",
            "end:file",
            "cut:file",
            "cold:file",
            "long",
        ]),
        Arg::Argv => texts(&["null", "bad", "argv"]),
        Arg::SockAddrIn => ADDRESSES
            .iter()
            .map(|(name, _)| format!("a:{name}"))
            .chain(texts(&["null", "bad"]))
            .collect(),
        Arg::MsgIn | Arg::MmsgIn => messages(arg == Arg::MmsgIn, ADDRESSES.iter().map(|a| a.0)),
        Arg::MsgOut | Arg::MmsgOut => messages(arg == Arg::MmsgOut, ["buf", "none"].into_iter()),
        Arg::SockAddrOut => texts(&["null", "bad", "buf"]),
        Arg::Ptr if arg_name == "addrlen" => texts(&[
            "null", "bad", "len:0", "len:1", "len:2", "len:4", "len:8", "len:16", "len:28",
            "len:128", "len:-1",
        ]),
        Arg::Ptr => texts(&["null", "bad", "buf"]),
        Arg::Int if arg_name == "addrlen" => texts(&[
            "0", "1", "2", "3", "4", "8", "15", "17", "110", "128", "129", "-1",
        ]),
        Arg::Flags(_) => bits(),
        Arg::Hex | Arg::Bits if arg_name == "flags" || arg_name == "opcode" => bits(),
        Arg::Const(_) => (-1..40).map(|n: i64| n.to_string()).collect(),
        Arg::Pid => texts(&["self", "0", "-1", "0x7ffffffe"]),
        Arg::Signal => texts(&["0", "17", "64", "65", "-1"]),
        Arg::Mode => texts(&["0", "04755", "-1"]),
        Arg::Id => texts(&["0", "-1", "1000"]),
        Arg::Size => texts(&["0", "1", "4096", "-1"]),
        Arg::Pad => vec![],
        _ => texts(&["1", "-1", "0x7fffffff"]),
    }
}

/// Returns messages with each address, and with lengths that are too short and too long.
fn messages<'a>(many: bool, addresses: impl Iterator<Item = &'a str>) -> Vec<String> {
    let prefix = if many { "mmsg" } else { "msg" };
    let mut all = texts(&["null", "bad"]);
    for name in addresses {
        all.push(format!("{prefix}:{name}"));
        if matches!(name, "inet" | "unix" | "buf") {
            all.extend([0, 1, 2, 4, 8, 16, 128, 200, -1].map(|n| format!("{prefix}:{name},{n}")));
        }
    }
    all
}
