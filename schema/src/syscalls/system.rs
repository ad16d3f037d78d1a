//! Calls on the machine as a whole, and calls that Linux never implemented or removed.

use super::Arg::*;
use super::{Arg, Class, Ret, Spec};

const fn system(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::System, args, ret)
}

const fn other(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Other, args, ret)
}

#[rustfmt::skip]
pub(super) static CALLS: &[Spec] = &[
    system("uname", &[("buf", Ptr)], Ret::Num),
    system("sysinfo", &[("info", Ptr)], Ret::Num),
    system("sethostname", &[("name", Ptr), ("size", Int)], Ret::Num),
    system("setdomainname", &[("name", Ptr), ("size", Int)], Ret::Num),
    system("syslog", &[("type", Int), ("bufp", Ptr), ("size", Int)], Ret::Num),
    system("sysfs", &[("option", Int), ("arg1", Hex), ("arg2", Hex)], Ret::Num),
    system("_sysctl", &[("args", Ptr)], Ret::Num),
    system("getrandom", &[("buf", Ptr), ("buflen", Size), ("flags", Flags(super::Names::Getrandom))], Ret::Num),
    system("vhangup", &[], Ret::Num),
    system("reboot", &[("magic", Bits), ("magic2", Bits), ("op", Bits), ("arg", Ptr)], Ret::Num),
    system("kexec_load", &[("entry", Ptr), ("nr_segments", Size), ("segments", Ptr), ("flags", Hex)], Ret::Num),
    system("kexec_file_load", &[("kernel_fd", Fd), ("initrd_fd", Fd), ("cmdline_len", Size), ("cmdline", Ptr), ("flags", Hex)], Ret::Num),
    system("init_module", &[("module_image", Ptr), ("size", Size), ("param_values", Ptr)], Ret::Num),
    system("finit_module", &[("fd", Fd), ("param_values", Ptr), ("flags", Bits)], Ret::Num),
    system("delete_module", &[("name", Ptr), ("flags", Flags(super::Names::Open))], Ret::Num),
    // The result is a new fd for some commands.
    system("bpf", &[("cmd", UInt), ("attr", Ptr), ("size", UInt)], Ret::Num),
    system("perf_event_open", &[("attr", Ptr), ("pid", Pid), ("cpu", Int), ("group_fd", Fd), ("flags", Hex)], Ret::Fd),
    // called by the trampolines that the kernel creates for uprobes
    system("uretprobe", &[], Ret::Num),
    system("uprobe", &[], Ret::Num),
];

#[rustfmt::skip]
pub(super) static OTHER: &[Spec] = &[
    other("afs_syscall", &[], Ret::Num),
    other("break", &[], Ret::Num),
    other("create_module", &[("name", Ptr), ("size", Size)], Ret::Ptr),
    other("epoll_ctl_old", &[], Ret::Num),
    other("epoll_wait_old", &[], Ret::Num),
    other("ftime", &[], Ret::Num),
    other("get_kernel_syms", &[("table", Ptr)], Ret::Num),
    other("getpmsg", &[], Ret::Num),
    other("gtty", &[], Ret::Num),
    other("idle", &[], Ret::Num),
    other("lock", &[], Ret::Num),
    other("mpx", &[], Ret::Num),
    other("nfsservctl", &[("cmd", Int), ("argp", Ptr), ("resp", Ptr)], Ret::Num),
    other("prof", &[], Ret::Num),
    other("profil", &[], Ret::Num),
    other("putpmsg", &[], Ret::Num),
    other("query_module", &[("name", Ptr), ("which", Int), ("buf", Ptr), ("bufsize", Size), ("ret", Ptr)], Ret::Num),
    other("security", &[], Ret::Num),
    other("stty", &[], Ret::Num),
    other("tuxcall", &[], Ret::Num),
    other("ulimit", &[], Ret::Num),
    other("vserver", &[], Ret::Num),
];
