//! Operations of io_uring by number: IORING_OP_* of include/uapi/linux/io_uring.h up to `pipe` (62, Linux 6.16).

use super::Arg::*;
use super::{Arg, Class, Names::*, Ret, Spec};

/// The arguments and the result of an operation.
enum Meaning {
    /// The arguments and the result of the syscall with this name.
    As(&'static str),
    Own(Spec),
}

use Meaning::{As, Own};

const fn own(class: Class, args: &'static [(&'static str, Arg)], ret: Ret) -> Meaning {
    Own(super::call("", class, args, ret))
}

/// Creates the specification of an operation of which only the fd is recorded, or the file in the ring's table of
/// files.
const fn fd(class: Class, ret: Ret) -> Meaning {
    own(class, &[("fd", Fd)], ret)
}

const fn no_args(class: Class) -> Meaning {
    own(class, &[], Ret::Num)
}

#[rustfmt::skip]
const READ: &[(&str, Arg)] = &[("fd", Fd), ("buf", Ptr), ("count", Size), ("offset", Long), ("", Pad), ("flags", Flags(Rwf))];

#[rustfmt::skip]
static OPERATIONS: &[(&str, Meaning)] = &[
    ("io_uring:nop", no_args(Class::Other)),
    ("io_uring:readv", As("preadv2")),
    ("io_uring:writev", As("pwritev2")),
    ("io_uring:fsync", own(Class::File, &[("fd", Fd), ("flags", Hex)], Ret::Num)),
    ("io_uring:read_fixed", own(Class::File, READ, Ret::Bytes)),
    ("io_uring:write_fixed", own(Class::File, READ, Ret::Bytes)),
    ("io_uring:poll_add", fd(Class::Poll, Ret::Num)),
    ("io_uring:poll_remove", no_args(Class::Poll)),
    ("io_uring:sync_file_range", As("sync_file_range")),
    ("io_uring:sendmsg", As("sendmsg")),
    ("io_uring:recvmsg", As("recvmsg")),
    ("io_uring:timeout", no_args(Class::Time)),
    ("io_uring:timeout_remove", no_args(Class::Time)),
    ("io_uring:accept", As("accept4")),
    ("io_uring:async_cancel", no_args(Class::Other)),
    ("io_uring:link_timeout", no_args(Class::Time)),
    ("io_uring:connect", As("connect")),
    ("io_uring:fallocate", As("fallocate")),
    ("io_uring:openat", As("openat")),
    ("io_uring:close", As("close")),
    ("io_uring:files_update", no_args(Class::File)),
    ("io_uring:statx", As("statx")),
    ("io_uring:read", own(Class::File, READ, Ret::Bytes)),
    ("io_uring:write", own(Class::File, READ, Ret::Bytes)),
    ("io_uring:fadvise", fd(Class::File, Ret::Num)),
    ("io_uring:madvise", no_args(Class::Memory)),
    ("io_uring:send", As("sendto")),
    ("io_uring:recv", As("recv")),
    // The kernel has already decoded its struct open_how.
    ("io_uring:openat2", As("openat")),
    ("io_uring:epoll_ctl", no_args(Class::Poll)),
    ("io_uring:splice", fd(Class::File, Ret::Bytes)),
    ("io_uring:provide_buffers", no_args(Class::Memory)),
    ("io_uring:remove_buffers", no_args(Class::Memory)),
    ("io_uring:tee", fd(Class::File, Ret::Bytes)),
    ("io_uring:shutdown", As("shutdown")),
    ("io_uring:renameat", As("renameat2")),
    ("io_uring:unlinkat", As("unlinkat")),
    ("io_uring:mkdirat", As("mkdirat")),
    ("io_uring:symlinkat", As("symlinkat")),
    ("io_uring:linkat", As("linkat")),
    ("io_uring:msg_ring", fd(Class::Ipc, Ret::Num)),
    ("io_uring:fsetxattr", fd(Class::File, Ret::Num)),
    ("io_uring:setxattr", own(Class::File, &[("path", Path)], Ret::Num)),
    ("io_uring:fgetxattr", fd(Class::File, Ret::Num)),
    ("io_uring:getxattr", own(Class::File, &[("path", Path)], Ret::Num)),
    ("io_uring:socket", As("socket")),
    ("io_uring:uring_cmd", fd(Class::File, Ret::Num)),
    ("io_uring:send_zc", As("sendto")),
    ("io_uring:sendmsg_zc", As("sendmsg")),
    ("io_uring:read_multishot", own(Class::File, READ, Ret::Bytes)),
    ("io_uring:waitid", no_args(Class::Process)),
    ("io_uring:futex_wait", no_args(Class::Ipc)),
    ("io_uring:futex_wake", no_args(Class::Ipc)),
    ("io_uring:futex_waitv", no_args(Class::Ipc)),
    ("io_uring:fixed_fd_install", fd(Class::File, Ret::Num)),
    ("io_uring:ftruncate", As("ftruncate")),
    ("io_uring:bind", As("bind")),
    ("io_uring:listen", As("listen")),
    ("io_uring:recv_zc", fd(Class::Network, Ret::Bytes)),
    ("io_uring:epoll_wait", fd(Class::Poll, Ret::Num)),
    ("io_uring:readv_fixed", As("preadv2")),
    ("io_uring:writev_fixed", As("pwritev2")),
    ("io_uring:pipe", no_args(Class::Ipc)),
];

/// The number that the recorder uses for all invalid operation numbers: the last number below a power of two.
const INVALID: u32 = 127;

/// Returns the name of operation `op`, as in the column `syscall`.
pub fn name(op: u32) -> Option<&'static str> {
    match OPERATIONS.get(op as usize) {
        None if op == INVALID => Some("io_uring:invalid"),
        found => found.map(|(name, _)| *name),
    }
}

/// Returns the names of all operations.
pub fn names() -> impl Iterator<Item = &'static str> {
    (0..=INVALID).filter_map(name)
}

/// Returns the specification of operation `op`. An operation that corresponds to a syscall has the specification of the syscall. An
/// unknown operation has the generic specification of [`super::spec`].
pub fn spec(op: u32) -> &'static Spec {
    match OPERATIONS.get(op as usize) {
        Some((_, As(call))) => super::spec(call),
        Some((_, Own(spec))) => spec,
        None => &super::UNKNOWN,
    }
}

/// Returns the names and specifications of all operations.
pub(crate) fn specs() -> impl Iterator<Item = (&'static str, &'static Spec)> {
    (0..=INVALID).filter_map(|op| Some((name(op)?, spec(op))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        for (op, expected) in [
            (0, "nop"),
            (18, "openat"),
            (22, "read"),
            (35, "renameat"),
            (45, "socket"),
            (55, "ftruncate"),
            (62, "pipe"),
        ] {
            assert_eq!(name(op), Some(format!("io_uring:{expected}").as_str()));
        }
        assert_eq!(name(63), None);
        assert_eq!(names().last(), Some("io_uring:invalid"));
    }

    #[test]
    fn operations_that_correspond_to_a_syscall_name_an_existing_one() {
        for (name, meaning) in OPERATIONS {
            if let As(call) = meaning {
                assert_eq!(super::super::spec(call).name, *call, "{name}");
            }
        }
        assert_eq!(super::super::spec("io_uring:openat").name, "openat");
        assert_eq!(super::super::spec("io_uring:read").args.len(), 6);
    }
}
