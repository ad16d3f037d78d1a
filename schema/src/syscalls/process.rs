//! Calls on processes and threads, and on identity and privileges.

use super::Arg::*;
use super::{Arg, Class, Names::*, Ret, Spec};

const fn process(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Process, args, ret)
}

const fn cred(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Credential, args, ret)
}

#[rustfmt::skip]
pub(super) static CALLS: &[Spec] = &[
    // creation, exec, exit, wait
    process("fork", &[], Ret::Pid),
    process("vfork", &[], Ret::Pid),
    // On all ABIs except x86-64, `tls` precedes `child_tid` (CONFIG_CLONE_BACKWARDS). Both are addresses.
    process("clone", &[("flags", Flags(Clone)), ("stack", Ptr), ("parent_tid", Ptr), ("child_tid", Ptr), ("tls", Ptr)], Ret::Pid),
    // Flags are in `struct clone_args`.
    process("clone3", &[("cl_args", Ptr), ("size", Size)], Ret::Pid),
    process("execve", &[("path", Path), ("argv", Argv), ("envp", Ptr)], Ret::Num),
    process("execveat", &[("dirfd", DirFd), ("path", Path), ("argv", Argv), ("envp", Ptr), ("flags", Flags(At))], Ret::Num),
    process("exit", &[("status", Int)], Ret::Num),
    process("exit_group", &[("status", Int)], Ret::Num),
    process("wait4", &[("pid", Pid), ("wstatus", Ptr), ("options", Flags(Wait)), ("rusage", Ptr)], Ret::Pid),
    process("waitpid", &[("pid", Pid), ("wstatus", Ptr), ("options", Flags(Wait))], Ret::Pid),
    process("waitid", &[("idtype", Const(IdType)), ("id", Pid), ("infop", Ptr), ("options", Flags(Wait)), ("rusage", Ptr)], Ret::Num),
    // ids, sessions, namespaces
    process("getpid", &[], Ret::Pid),
    process("getppid", &[], Ret::Pid),
    process("gettid", &[], Ret::Pid),
    process("getpgid", &[("pid", Pid)], Ret::Pid),
    process("setpgid", &[("pid", Pid), ("pgid", Pid)], Ret::Num),
    process("getpgrp", &[], Ret::Pid),
    process("getsid", &[("pid", Pid)], Ret::Pid),
    process("setsid", &[], Ret::Pid),
    process("setns", &[("fd", Fd), ("nstype", Flags(Namespace))], Ret::Num),
    process("unshare", &[("flags", Flags(Namespace))], Ret::Num),
    process("pidfd_open", &[("pid", Pid), ("flags", Flags(Pidfd))], Ret::Fd),
    process("pidfd_getfd", &[("pidfd", Fd), ("targetfd", Int), ("flags", Bits)], Ret::Fd),
    process("kcmp", &[("pid1", Pid), ("pid2", Pid), ("type", UInt), ("idx1", Hex), ("idx2", Hex)], Ret::Num),
    // attributes of threads
    process("prctl", &[("op", Const(Prctl)), ("arg2", Long), ("arg3", Long), ("arg4", Long), ("arg5", Long)], Ret::Num),
    process("arch_prctl", &[("op", Const(ArchPrctl)), ("addr", Ptr)], Ret::Num),
    process("personality", &[("persona", Bits)], Ret::Num),
    process("modify_ldt", &[("func", Int), ("ptr", Ptr), ("bytecount", Size)], Ret::Num),
    process("set_thread_area", &[("u_info", Ptr)], Ret::Num),
    process("get_thread_area", &[("u_info", Ptr)], Ret::Num),
    process("set_tid_address", &[("tidptr", Ptr)], Ret::Pid),
    process("set_robust_list", &[("head", Ptr), ("size", Size)], Ret::Num),
    process("get_robust_list", &[("pid", Pid), ("head_ptr", Ptr), ("sizep", Ptr)], Ret::Num),
    process("rseq", &[("rseq", Ptr), ("rseq_len", UInt), ("flags", Bits), ("sig", Bits)], Ret::Num),
    process("ptrace", &[("op", Const(Ptrace)), ("pid", Pid), ("addr", Ptr), ("data", Ptr)], Ret::Num),
    process("iopl", &[("level", UInt)], Ret::Num),
    process("ioperm", &[("from", Hex), ("num", Size), ("turn_on", Int)], Ret::Num),
    // limits and usage
    process("getrlimit", &[("resource", Const(Resource)), ("rlim", Ptr)], Ret::Num),
    process("setrlimit", &[("resource", Const(Resource)), ("rlim", Ptr)], Ret::Num),
    process("prlimit64", &[("pid", Pid), ("resource", Const(Resource)), ("new_limit", Ptr), ("old_limit", Ptr)], Ret::Num),
    process("getrusage", &[("who", Const(RusageWho)), ("usage", Ptr)], Ret::Num),
    process("acct", &[("path", Path)], Ret::Num),
    // scheduling
    process("getpriority", &[("which", Const(PrioWhich)), ("who", Int)], Ret::Num),
    process("setpriority", &[("which", Const(PrioWhich)), ("who", Int), ("prio", Int)], Ret::Num),
    process("ioprio_get", &[("which", Int), ("who", Int)], Ret::Num),
    process("ioprio_set", &[("which", Int), ("who", Int), ("ioprio", Bits)], Ret::Num),
    process("sched_yield", &[], Ret::Num),
    process("sched_setparam", &[("pid", Pid), ("param", Ptr)], Ret::Num),
    process("sched_getparam", &[("pid", Pid), ("param", Ptr)], Ret::Num),
    process("sched_setscheduler", &[("pid", Pid), ("policy", Const(Sched)), ("param", Ptr)], Ret::Num),
    process("sched_getscheduler", &[("pid", Pid)], Ret::Num),
    process("sched_setattr", &[("pid", Pid), ("attr", Ptr), ("flags", Bits)], Ret::Num),
    process("sched_getattr", &[("pid", Pid), ("attr", Ptr), ("size", UInt), ("flags", Bits)], Ret::Num),
    process("sched_get_priority_max", &[("policy", Const(Sched))], Ret::Num),
    process("sched_get_priority_min", &[("policy", Const(Sched))], Ret::Num),
    process("sched_rr_get_interval", &[("pid", Pid), ("tp", Ptr)], Ret::Num),
    process("sched_setaffinity", &[("pid", Pid), ("cpusetsize", UInt), ("mask", Ptr)], Ret::Num),
    process("sched_getaffinity", &[("pid", Pid), ("cpusetsize", UInt), ("mask", Ptr)], Ret::Num),
    process("getcpu", &[("cpu", Ptr), ("node", Ptr), ("tcache", Ptr)], Ret::Num),
];

#[rustfmt::skip]
pub(super) static CREDENTIAL: &[Spec] = &[
    cred("getuid", &[], Ret::Num),
    cred("getgid", &[], Ret::Num),
    cred("geteuid", &[], Ret::Num),
    cred("getegid", &[], Ret::Num),
    cred("setuid", &[("uid", Id)], Ret::Num),
    cred("setgid", &[("gid", Id)], Ret::Num),
    cred("setreuid", &[("ruid", Id), ("euid", Id)], Ret::Num),
    cred("setregid", &[("rgid", Id), ("egid", Id)], Ret::Num),
    cred("setresuid", &[("ruid", Id), ("euid", Id), ("suid", Id)], Ret::Num),
    cred("setresgid", &[("rgid", Id), ("egid", Id), ("sgid", Id)], Ret::Num),
    cred("getresuid", &[("ruid", Ptr), ("euid", Ptr), ("suid", Ptr)], Ret::Num),
    cred("getresgid", &[("rgid", Ptr), ("egid", Ptr), ("sgid", Ptr)], Ret::Num),
    cred("setfsuid", &[("fsuid", Id)], Ret::Num),
    cred("setfsgid", &[("fsgid", Id)], Ret::Num),
    cred("getgroups", &[("size", Int), ("list", Ptr)], Ret::Num),
    cred("setgroups", &[("size", Int), ("list", Ptr)], Ret::Num),
    cred("capget", &[("hdrp", Ptr), ("datap", Ptr)], Ret::Num),
    cred("capset", &[("hdrp", Ptr), ("datap", Ptr)], Ret::Num),
    cred("add_key", &[("type", Ptr), ("description", Ptr), ("payload", Ptr), ("plen", Size), ("keyring", Int)], Ret::Num),
    cred("request_key", &[("type", Ptr), ("description", Ptr), ("callout_info", Ptr), ("dest_keyring", Int)], Ret::Num),
    // Addresses or numbers, depending on the operation.
    cred("keyctl", &[("op", UInt), ("arg2", Hex), ("arg3", Hex), ("arg4", Hex), ("arg5", Hex)], Ret::Num),
    cred("seccomp", &[("op", Const(Seccomp)), ("flags", Bits), ("args", Ptr)], Ret::Num),
    // The result is a new fd, or a version with the flag LANDLOCK_CREATE_RULESET_VERSION.
    cred("landlock_create_ruleset", &[("attr", Ptr), ("size", Size), ("flags", Bits)], Ret::Num),
    cred("landlock_add_rule", &[("ruleset_fd", Fd), ("rule_type", UInt), ("rule_attr", Ptr), ("flags", Bits)], Ret::Num),
    cred("landlock_restrict_self", &[("ruleset_fd", Fd), ("flags", Bits)], Ret::Num),
    cred("lsm_get_self_attr", &[("attr", UInt), ("ctx", Ptr), ("size", Ptr), ("flags", Bits)], Ret::Num),
    cred("lsm_set_self_attr", &[("attr", UInt), ("ctx", Ptr), ("size", UInt), ("flags", Bits)], Ret::Num),
    cred("lsm_list_modules", &[("ids", Ptr), ("size", Ptr), ("flags", Bits)], Ret::Num),
];
