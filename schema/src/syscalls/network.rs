//! Calls on sockets.

use super::Arg::*;
use super::{Arg, Class, Names::*, Ret, Spec};

const fn network(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Network, args, ret)
}

#[rustfmt::skip]
pub(super) static CALLS: &[Spec] = &[
    network("socket", &[("domain", Const(Domain)), ("type", Const(SockType)), ("protocol", Const(Protocol))], Ret::Fd),
    // The kernel stores the two new fds in an array.
    network("socketpair", &[("domain", Const(Domain)), ("type", Const(SockType)), ("protocol", Const(Protocol)), ("sv", Ptr)], Ret::Num),
    network("bind", &[("sockfd", Fd), ("addr", SockAddrIn), ("addrlen", Int)], Ret::Num),
    network("listen", &[("sockfd", Fd), ("backlog", Int)], Ret::Num),
    network("connect", &[("sockfd", Fd), ("addr", SockAddrIn), ("addrlen", Int)], Ret::Num),
    network("accept", &[("sockfd", Fd), ("addr", SockAddrOut), ("addrlen", Ptr)], Ret::Fd),
    network("accept4", &[("sockfd", Fd), ("addr", SockAddrOut), ("addrlen", Ptr), ("flags", Flags(SockFlags))], Ret::Fd),
    network("shutdown", &[("sockfd", Fd), ("how", Const(Shutdown))], Ret::Num),
    network("getsockname", &[("sockfd", Fd), ("addr", SockAddrOut), ("addrlen", Ptr)], Ret::Num),
    network("getpeername", &[("sockfd", Fd), ("addr", SockAddrOut), ("addrlen", Ptr)], Ret::Num),
    network("getsockopt", &[("sockfd", Fd), ("level", Const(SockLevel)), ("optname", Const(SockOpt)), ("optval", Ptr), ("optlen", Ptr)], Ret::Num),
    network("setsockopt", &[("sockfd", Fd), ("level", Const(SockLevel)), ("optname", Const(SockOpt)), ("optval", Ptr), ("optlen", Int)], Ret::Num),
    network("send", &[("sockfd", Fd), ("buf", Ptr), ("size", Size), ("flags", Flags(Msg))], Ret::Bytes),
    network("sendto", &[("sockfd", Fd), ("buf", Ptr), ("size", Size), ("flags", Flags(Msg)), ("dest_addr", SockAddrIn), ("addrlen", Int)], Ret::Bytes),
    network("sendmsg", &[("sockfd", Fd), ("msg", MsgIn), ("flags", Flags(Msg))], Ret::Bytes),
    // These two return a number of messages. The number of bytes is in the msg_len of each message.
    network("sendmmsg", &[("sockfd", Fd), ("msgvec", MmsgIn), ("vlen", UInt), ("flags", Flags(Msg))], Ret::Num),
    network("recvmmsg", &[("sockfd", Fd), ("msgvec", MmsgOut), ("vlen", UInt), ("flags", Flags(Msg)), ("timeout", Ptr)], Ret::Num),
    network("recv", &[("sockfd", Fd), ("buf", Ptr), ("size", Size), ("flags", Flags(Msg))], Ret::Bytes),
    network("recvfrom", &[("sockfd", Fd), ("buf", Ptr), ("size", Size), ("flags", Flags(Msg)), ("src_addr", SockAddrOut), ("addrlen", Ptr)], Ret::Bytes),
    network("recvmsg", &[("sockfd", Fd), ("msg", MsgOut), ("flags", Flags(Msg))], Ret::Bytes),
];
