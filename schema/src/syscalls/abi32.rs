//! Calls that only 32-bit ABIs have, and calls whose arguments 32-bit ABIs pass differently.

use super::Arg::*;
use super::Class::{self, Credential, File, Ipc, Memory, Network, Poll, Process, System, Time};
use super::{Names::*, Ret, Spec, call};

/// Calls that 64-bit ABIs do not have. If x86 and ARM differ, the specification of ARM is in [`ARM`].
#[rustfmt::skip]
pub(super) static CALLS: &[Spec] = &[
    // files
    call("_llseek", File, &[("fd", Fd), ("offset_high", Hex), ("offset_low", Hex), ("result", Ptr), ("whence", Const(Whence))], Ret::Num),
    call("stat64", File, &[("path", Path), ("statbuf", Ptr)], Ret::Num),
    call("lstat64", File, &[("path", Path), ("statbuf", Ptr)], Ret::Num),
    call("fstat64", File, &[("fd", Fd), ("statbuf", Ptr)], Ret::Num),
    call("fstatat64", File, &[("dirfd", DirFd), ("path", Path), ("statbuf", Ptr), ("flags", Flags(At))], Ret::Num),
    call("oldstat", File, &[("path", Path), ("statbuf", Ptr)], Ret::Num),
    call("oldlstat", File, &[("path", Path), ("statbuf", Ptr)], Ret::Num),
    call("oldfstat", File, &[("fd", Fd), ("statbuf", Ptr)], Ret::Num),
    call("statfs64", File, &[("path", Path), ("size", Size), ("buf", Ptr)], Ret::Num),
    call("fstatfs64", File, &[("fd", Fd), ("size", Size), ("buf", Ptr)], Ret::Num),
    call("truncate64", File, &[("path", Path), ("length", Low), ("", High)], Ret::Num),
    call("ftruncate64", File, &[("fd", Fd), ("length", Low), ("", High)], Ret::Num),
    call("sendfile64", File, &[("out_fd", Fd), ("in_fd", Fd), ("offset", Ptr), ("count", Size)], Ret::Bytes),
    call("fadvise64_64", File, &[("fd", Fd), ("offset", Low), ("", High), ("size", Low), ("", High), ("advice", Const(Fadvise))], Ret::Num),
    call("arm_fadvise64_64", File, &[("fd", Fd), ("advice", Const(Fadvise)), ("offset", Low), ("", High), ("size", Low), ("", High)], Ret::Num),
    call("arm_sync_file_range", File, &[("fd", Fd), ("flags", Flags(SyncRange)), ("offset", Low), ("", High), ("nbytes", Low), ("", High)], Ret::Num),
    call("chown32", File, &[("path", Path), ("owner", Id), ("group", Id)], Ret::Num),
    call("lchown32", File, &[("path", Path), ("owner", Id), ("group", Id)], Ret::Num),
    call("fchown32", File, &[("fd", Fd), ("owner", Id), ("group", Id)], Ret::Num),
    call("utimensat_time64", File, &[("dirfd", DirFd), ("path", Path), ("times", Ptr), ("flags", Flags(At))], Ret::Num),
    call("io_pgetevents_time64", File, &[("ctx_id", Hex), ("min_nr", Long), ("nr", Long), ("events", Ptr), ("timeout", Ptr), ("usig", Ptr)], Ret::Num),
    call("readdir", File, &[("fd", Fd), ("dirp", Ptr), ("count", UInt)], Ret::Num),
    call("umount", File, &[("target", Path)], Ret::Num),
    call("bdflush", System, &[("func", Int), ("data", Hex)], Ret::Num),
    // network: the first argument is the number of the call, and an array contains its arguments
    call("socketcall", Network, &[("call", Const(Socketcall)), ("args", Ptr)], Ret::Num),
    call("recvmmsg_time64", Network, &[("sockfd", Fd), ("msgvec", MmsgOut), ("vlen", UInt), ("flags", Flags(Msg)), ("timeout", Ptr)], Ret::Num),
    // memory
    call("mmap2", Memory, &[("addr", Ptr), ("length", Size), ("prot", Flags(Prot)), ("flags", Flags(Map)), ("fd", Fd), ("pgoffset", Hex)], Ret::Ptr),
    // processes
    call("ugetrlimit", Process, &[("resource", Const(Resource)), ("rlim", Ptr)], Ret::Num),
    call("nice", Process, &[("inc", Int)], Ret::Num),
    call("sched_rr_get_interval_time64", Process, &[("pid", Pid), ("tp", Ptr)], Ret::Num),
    call("vm86", Process, &[("fn", Hex), ("v86", Ptr)], Ret::Num),
    call("vm86old", Process, &[("v86", Ptr)], Ret::Num),
    call("set_tls", Process, &[("tls", Ptr)], Ret::Num),
    call("get_tls", Process, &[], Ret::Ptr),
    call("breakpoint", Process, &[], Ret::Num),
    call("usr26", Process, &[], Ret::Num),
    call("usr32", Process, &[], Ret::Num),
    call("getuid32", Credential, &[], Ret::Num),
    call("getgid32", Credential, &[], Ret::Num),
    call("geteuid32", Credential, &[], Ret::Num),
    call("getegid32", Credential, &[], Ret::Num),
    call("setuid32", Credential, &[("uid", Id)], Ret::Num),
    call("setgid32", Credential, &[("gid", Id)], Ret::Num),
    call("setreuid32", Credential, &[("ruid", Id), ("euid", Id)], Ret::Num),
    call("setregid32", Credential, &[("rgid", Id), ("egid", Id)], Ret::Num),
    call("setresuid32", Credential, &[("ruid", Id), ("euid", Id), ("suid", Id)], Ret::Num),
    call("setresgid32", Credential, &[("rgid", Id), ("egid", Id), ("sgid", Id)], Ret::Num),
    call("getresuid32", Credential, &[("ruid", Ptr), ("euid", Ptr), ("suid", Ptr)], Ret::Num),
    call("getresgid32", Credential, &[("rgid", Ptr), ("egid", Ptr), ("sgid", Ptr)], Ret::Num),
    call("setfsuid32", Credential, &[("fsuid", Id)], Ret::Num),
    call("setfsgid32", Credential, &[("fsgid", Id)], Ret::Num),
    call("getgroups32", Credential, &[("size", Int), ("list", Ptr)], Ret::Num),
    call("setgroups32", Credential, &[("size", Int), ("list", Ptr)], Ret::Num),
    // communication: the first argument is the number of the call
    call("ipc", Ipc, &[("call", UInt), ("first", Int), ("second", Hex), ("third", Hex), ("ptr", Ptr), ("fifth", Hex)], Ret::Num),
    call("semtimedop_time64", Ipc, &[("semid", Int), ("sops", Ptr), ("nsops", UInt), ("timeout", Ptr)], Ret::Num),
    call("futex_time64", Ipc, &[("uaddr", Ptr), ("futex_op", Const(Futex)), ("val", UInt), ("timeout", Ptr), ("uaddr2", Ptr), ("val3", Bits)], Ret::Num),
    call("mq_timedsend_time64", Ipc, &[("mqdes", Fd), ("msg_ptr", Ptr), ("msg_len", Size), ("msg_prio", UInt), ("abs_timeout", Ptr)], Ret::Num),
    call("mq_timedreceive_time64", Ipc, &[("mqdes", Fd), ("msg_ptr", Ptr), ("msg_len", Size), ("msg_prio", Ptr), ("abs_timeout", Ptr)], Ret::Bytes),
    // signals
    call("signal", Class::Signal, &[("signum", Signal), ("handler", Ptr)], Ret::Ptr),
    call("sigaction", Class::Signal, &[("signum", Signal), ("act", Ptr), ("oldact", Ptr)], Ret::Num),
    call("sigprocmask", Class::Signal, &[("how", Const(SigHow)), ("set", Ptr), ("oldset", Ptr)], Ret::Num),
    call("sigpending", Class::Signal, &[("set", Ptr)], Ret::Num),
    call("sigsuspend", Class::Signal, &[("", Pad), ("", Pad), ("mask", Hex)], Ret::Num),
    call("sigreturn", Class::Signal, &[], Ret::Num),
    call("sgetmask", Class::Signal, &[], Ret::Num),
    call("ssetmask", Class::Signal, &[("newmask", Hex)], Ret::Num),
    call("rt_sigtimedwait_time64", Class::Signal, &[("set", Ptr), ("info", Ptr), ("timeout", Ptr), ("sigsetsize", Size)], Ret::Num),
    // time
    call("stime", Time, &[("t", Ptr)], Ret::Num),
    call("clock_gettime64", Time, &[("clockid", Const(Clock)), ("tp", Ptr)], Ret::Num),
    call("clock_settime64", Time, &[("clockid", Const(Clock)), ("tp", Ptr)], Ret::Num),
    call("clock_adjtime64", Time, &[("clockid", Const(Clock)), ("buf", Ptr)], Ret::Num),
    call("clock_getres_time64", Time, &[("clockid", Const(Clock)), ("res", Ptr)], Ret::Num),
    call("clock_nanosleep_time64", Time, &[("clockid", Const(Clock)), ("flags", Flags(Timer)), ("t", Ptr), ("remain", Ptr)], Ret::Num),
    call("timer_gettime64", Time, &[("timerid", Int), ("curr_value", Ptr)], Ret::Num),
    call("timer_settime64", Time, &[("timerid", Int), ("flags", Flags(Timer)), ("new_value", Ptr), ("old_value", Ptr)], Ret::Num),
    call("timerfd_gettime64", Time, &[("fd", Fd), ("curr_value", Ptr)], Ret::Num),
    call("timerfd_settime64", Time, &[("fd", Fd), ("flags", Flags(Timer)), ("new_value", Ptr), ("old_value", Ptr)], Ret::Num),
    // poll
    call("_newselect", Poll, &[("nfds", Int), ("readfds", Ptr), ("writefds", Ptr), ("exceptfds", Ptr), ("timeout", Ptr)], Ret::Num),
    call("pselect6_time64", Poll, &[("nfds", Int), ("readfds", Ptr), ("writefds", Ptr), ("exceptfds", Ptr), ("timeout", Ptr), ("sigmask", Ptr)], Ret::Num),
    call("ppoll_time64", Poll, &[("fds", Ptr), ("nfds", UInt), ("tmo_p", Ptr), ("sigmask", Ptr), ("sigsetsize", Size)], Ret::Num),
    // the machine
    call("olduname", System, &[("buf", Ptr)], Ret::Num),
    call("oldolduname", System, &[("buf", Ptr)], Ret::Num),
    call("pciconfig_iobase", System, &[("which", Long), ("bus", Size), ("devfn", Size)], Ret::Num),
    call("pciconfig_read", System, &[("bus", Size), ("dfn", Size), ("off", Size), ("size", Size), ("buf", Ptr)], Ret::Num),
    call("pciconfig_write", System, &[("bus", Size), ("dfn", Size), ("off", Size), ("size", Size), ("buf", Ptr)], Ret::Num),
];

/// Calls that 64-bit ABIs have too, with the arguments of 32-bit x86 (arch/x86/entry/syscalls/syscall_32.tbl).
#[rustfmt::skip]
pub(super) static X86: &[Spec] = &[
    call("mmap", Memory, &[("arg", Ptr)], Ret::Ptr),
    call("select", Poll, &[("arg", Ptr)], Ret::Num),
    call("pread64", File, &[("fd", Fd), ("buf", Ptr), ("count", Size), ("offset", Low), ("", High)], Ret::Bytes),
    call("pwrite64", File, &[("fd", Fd), ("buf", Ptr), ("count", Size), ("offset", Low), ("", High)], Ret::Bytes),
    call("preadv", File, &[("fd", Fd), ("iov", Ptr), ("iovcnt", Size), ("offset", Low), ("", High)], Ret::Bytes),
    call("pwritev", File, &[("fd", Fd), ("iov", Ptr), ("iovcnt", Size), ("offset", Low), ("", High)], Ret::Bytes),
    call("preadv2", File, &[("fd", Fd), ("iov", Ptr), ("iovcnt", Size), ("offset", Low), ("", High), ("flags", Flags(Rwf))], Ret::Bytes),
    call("pwritev2", File, &[("fd", Fd), ("iov", Ptr), ("iovcnt", Size), ("offset", Low), ("", High), ("flags", Flags(Rwf))], Ret::Bytes),
    call("readahead", File, &[("fd", Fd), ("offset", Low), ("", High), ("count", Size)], Ret::Num),
    call("fadvise64", File, &[("fd", Fd), ("offset", Low), ("", High), ("size", Size), ("advice", Const(Fadvise))], Ret::Num),
    call("fallocate", File, &[("fd", Fd), ("mode", Flags(Fallocate)), ("offset", Low), ("", High), ("size", Low), ("", High)], Ret::Num),
    call("sync_file_range", File, &[("fd", Fd), ("offset", Low), ("", High), ("nbytes", Low), ("", High), ("flags", Flags(SyncRange))], Ret::Num),
    call("fanotify_mark", File, &[("fanotify_fd", Fd), ("flags", Bits), ("mask", Low), ("", High), ("dirfd", DirFd), ("path", Path)], Ret::Num),
    call("lookup_dcookie", File, &[("cookie", Low), ("", High), ("buffer", Ptr), ("size", Size)], Ret::Num),
];

/// Calls that other ABIs have too, with the arguments of 32-bit ARM (arch/arm/tools/syscall.tbl). In the EABI, a 64-bit number
/// begins in an even register.
#[rustfmt::skip]
pub(super) static ARM: &[Spec] = &[
    call("pread64", File, &[("fd", Fd), ("buf", Ptr), ("count", Size), ("", Pad), ("offset", Low), ("", High)], Ret::Bytes),
    call("pwrite64", File, &[("fd", Fd), ("buf", Ptr), ("count", Size), ("", Pad), ("offset", Low), ("", High)], Ret::Bytes),
    call("preadv", File, &[("fd", Fd), ("iov", Ptr), ("iovcnt", Size), ("offset", Low), ("", High)], Ret::Bytes),
    call("pwritev", File, &[("fd", Fd), ("iov", Ptr), ("iovcnt", Size), ("offset", Low), ("", High)], Ret::Bytes),
    call("preadv2", File, &[("fd", Fd), ("iov", Ptr), ("iovcnt", Size), ("offset", Low), ("", High), ("flags", Flags(Rwf))], Ret::Bytes),
    call("pwritev2", File, &[("fd", Fd), ("iov", Ptr), ("iovcnt", Size), ("offset", Low), ("", High), ("flags", Flags(Rwf))], Ret::Bytes),
    call("truncate64", File, &[("path", Path), ("", Pad), ("length", Low), ("", High)], Ret::Num),
    call("ftruncate64", File, &[("fd", Fd), ("", Pad), ("length", Low), ("", High)], Ret::Num),
    call("readahead", File, &[("fd", Fd), ("", Pad), ("offset", Low), ("", High), ("count", Size)], Ret::Num),
    call("fallocate", File, &[("fd", Fd), ("mode", Flags(Fallocate)), ("offset", Low), ("", High), ("size", Low), ("", High)], Ret::Num),
    call("fanotify_mark", File, &[("fanotify_fd", Fd), ("flags", Bits), ("mask", Low), ("", High), ("dirfd", DirFd), ("path", Path)], Ret::Num),
    call("lookup_dcookie", File, &[("cookie", Low), ("", High), ("buffer", Ptr), ("size", Size)], Ret::Num),
];
