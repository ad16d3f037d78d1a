//! Syscall tables: numbers and names of each architecture, and what each argument means.
//!
//! Numbers and names come from the crate `syscalls`, which knows those up to `file_setattr` (469, Linux 6.17) and not
//! yet `listns` and `rseq_slice_yield`. The meaning of the arguments is ours, one line per call, in one file per class,
//! after the kernel's SYSCALL_DEFINE prototypes. A call that is newer than the tables is recorded by its number.

mod abi32;
mod file;
mod memory;
mod network;
mod process;
mod sync;
mod system;
pub mod uring;

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

/// Whose syscall numbers: the machine's own and its 32-bit callers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// x86-64.
    X86_64,
    /// 32-bit callers on x86-64.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit callers on 64-bit ARM (EABI).
    Arm,
}

impl Abi {
    /// All of them.
    pub const ALL: [Abi; 4] = [Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm];

    /// The ABI of the callers of a machine, named as `uname -m` does: 64-bit ones, or with `compat` 32-bit ones.
    pub fn of_machine(machine: &str, compat: bool) -> Option<Abi> {
        match (machine, compat) {
            ("x86_64", false) => Some(Abi::X86_64),
            ("x86_64", true) => Some(Abi::X86),
            ("aarch64", false) => Some(Abi::Aarch64),
            ("aarch64", true) => Some(Abi::Arm),
            _ => None,
        }
    }

    /// Whether registers are 32 bits wide.
    pub fn is_32bit(self) -> bool {
        matches!(self, Abi::X86 | Abi::Arm)
    }

    /// Whether the few constants that ARM defines for itself (four of open(2)) are ARM's.
    pub fn is_arm(self) -> bool {
        matches!(self, Abi::Aarch64 | Abi::Arm)
    }
}

/// What a call is about; the value of the column `class`, and the names that `--set` takes. A call has one class,
/// decided by its name alone: read(2) is `file` on a socket too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Files, directories, mounts, extended attributes, and input and output on any fd.
    File,
    /// Sockets.
    Network,
    /// Processes and threads: making, running, waiting, scheduling, tracing, limiting them.
    Process,
    /// Address space.
    Memory,
    /// Pipes, eventfds, futexes, System V and POSIX message queues, semaphores, shared memory.
    Ipc,
    /// Signals.
    Signal,
    /// Clocks, timers and sleep.
    Time,
    /// Waiting for events on many fds.
    Poll,
    /// Identity and privileges: user and group ids, capabilities, keys, seccomp, Landlock, security modules.
    Credential,
    /// The machine as a whole: modules, reboot, host name, logs, BPF, performance counters.
    System,
    /// What the tables do not know, and calls that Linux reserves and never implemented.
    Other,
}

impl Class {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Class; 11] = [
        Class::File,
        Class::Network,
        Class::Process,
        Class::Memory,
        Class::Ipc,
        Class::Signal,
        Class::Time,
        Class::Poll,
        Class::Credential,
        Class::System,
        Class::Other,
    ];

    /// The value of the column `class`.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::File => "file",
            Class::Network => "network",
            Class::Process => "process",
            Class::Memory => "memory",
            Class::Ipc => "ipc",
            Class::Signal => "signal",
            Class::Time => "time",
            Class::Poll => "poll",
            Class::Credential => "credential",
            Class::System => "system",
            Class::Other => "other",
        }
    }

    /// The class of a name as [`Class::as_str`] gives it, or of a short one: fs, net, proc, mem, sig, cred, sys.
    pub fn from_name(name: &str) -> Option<Class> {
        let name = match name {
            "fs" => "file",
            "net" => "network",
            "proc" => "process",
            "mem" => "memory",
            "sig" => "signal",
            "cred" => "credential",
            "sys" => "system",
            full => full,
        };
        Class::ALL.into_iter().find(|c| c.as_str() == name)
    }
}

/// What one argument of a call means. Decides what the kernel side resolves, and how the call is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A file descriptor that the call is about.
    Fd,
    /// A directory that the path in the next argument is relative to; AT_FDCWD allowed.
    DirFd,
    /// Pointer to a path. The first becomes `path`, the second `path2` (see [`Spec`]).
    Path,
    /// Pointer to other text that belongs in `path2`, not a path to resolve (symlink's target, mount's source).
    Text,
    /// Pointer to the argument vector of a program (execve).
    Argv,
    /// Pointer to a sockaddr that the caller filled in; its length is the next argument.
    SockAddrIn,
    /// Pointer to a sockaddr that the kernel fills in; pointer to its length is the next argument.
    SockAddrOut,
    /// Pointer to a struct msghdr, with an address that the caller filled in (sendmsg).
    MsgIn,
    /// Pointer to a struct msghdr, with an address that the kernel fills in (recvmsg).
    MsgOut,
    /// Pointer to an array of struct mmsghdr, caller's (sendmmsg); the next argument is its length.
    MmsgIn,
    /// Pointer to an array of struct mmsghdr, kernel's (recvmmsg); the next argument is its length.
    MmsgOut,
    /// Any other pointer or address: not stored, it means nothing later.
    Ptr,
    /// A number: signed 32 bits.
    Int,
    /// A number: unsigned 32 bits.
    UInt,
    /// A signed number of register width: an offset, a time, an argument of many meanings.
    Long,
    /// An unsigned number of register width: a size, a count.
    Size,
    /// An unsigned number of register width that people read in hexadecimal: a mask, a magic, mmap's offset.
    Hex,
    /// Low half of a 64-bit number on a 32-bit ABI; its high half is the next argument.
    Low,
    /// High half of the 64-bit number in the argument before.
    High,
    /// A register that the ABI leaves unused: 32-bit ARM starts a 64-bit number at an even one.
    Pad,
    /// Flags that may be combined, and the table that names them.
    Flags(Names),
    /// One constant out of several (a command, a family), and the table that names them.
    Const(Names),
    /// File mode bits.
    Mode,
    /// A signal number.
    Signal,
    /// A process or thread id.
    Pid,
    /// A user or group id; -1 means none.
    Id,
}

impl Arg {
    /// Whether the argument is an address, whose value means nothing later.
    pub fn is_pointer(self) -> bool {
        use Arg::*;
        matches!(
            self,
            Path | Text | Argv | SockAddrIn | SockAddrOut | MsgIn | MsgOut | MmsgIn | MmsgOut | Ptr
        )
    }
}

/// Tables of named constants, for printing: see [`crate::strace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named after its constants' prefix or its call")]
#[rustfmt::skip]
pub enum Names {
    Access, ArchPrctl, At, AtAccess, AtUnlink, Clock, Clone, CloseRange, Domain, Epoll, EpollOp, Eventfd, Fadvise,
    Fallocate, Fcntl, FdFlags, FdOpen, Flock, Fsopen, Futex, Getrandom, IdType, Inotify, InotifyMask, Ioctl, IpcGet, ItimerWhich,
    Madvise, Map, Membarrier, Memfd, Mlock, Mlockall, Mount, MoveMount, Mremap, Msg, Msync, Namespace, Open,
    OpenTree, Pidfd, Prctl, PrioWhich, Prot, Protocol, Ptrace, Rename, Resource, RusageWho, Rwf, Sched, Seccomp,
    Shutdown, SigHow, Signalfd, Socketcall, SockFlags, SockLevel, SockOpt, SockType, Splice, SyncRange, Timer, Timerfd, Umount,
    Wait, Whence, Xattr,
}

/// What the result of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// Zero or a number.
    Num,
    /// A new file descriptor: what it refers to is resolved when the call returns.
    Fd,
    /// The number of bytes of content moved, which becomes `bytes`.
    Bytes,
    /// An address.
    Ptr,
    /// A process or thread id.
    Pid,
}

/// One syscall.
#[derive(Debug)]
pub struct Spec {
    /// Its name, as in its man page; empty in the generic spec of a call that the tables do not know.
    pub name: &'static str,
    /// What it is about.
    pub class: Class,
    /// Names (as in the man page) and meanings of its arguments, at most six.
    pub args: &'static [(&'static str, Arg)],
    /// Its result. fcntl, ioctl, bpf, seccomp, socketcall and landlock_create_ruleset return a new fd only in some
    /// of their uses: they say `Num`.
    pub ret: Ret,
}

impl Spec {
    fn position(&self, wanted: impl Fn(Arg) -> bool) -> Option<usize> {
        self.args.iter().position(|&(_, arg)| wanted(arg))
    }

    /// Index of the argument that is the fd that the call is passed. A directory fd is none.
    pub fn fd_arg(&self) -> Option<usize> {
        self.position(|a| a == Arg::Fd)
    }

    /// Index of the argument that is the fd of the file or socket which the call is about: none where it is on a path.
    pub fn object_arg(&self) -> Option<usize> {
        self.fd_arg().filter(|_| self.paths().next().is_none())
    }

    /// Indices of the path arguments, each with that of the directory fd that it is relative to, if it has one.
    pub fn paths(&self) -> impl Iterator<Item = (Option<usize>, usize)> + '_ {
        let is = |i: usize, wanted| self.args[i].1 == wanted;
        (0..self.args.len())
            .filter(move |&i| is(i, Arg::Path))
            .map(move |i| (i.checked_sub(1).filter(|&d| is(d, Arg::DirFd)), i))
    }

    /// Index of the argument that is text for `path2`, not to be resolved.
    pub fn text_arg(&self) -> Option<usize> {
        self.position(|a| a == Arg::Text)
    }

    /// Bit `i` is set where argument `i` is an address, or is none of the call's, so that it is not worth storing.
    /// Of a call that the tables do not know every argument may be one.
    pub fn pointer_mask(&self) -> u8 {
        (0..6)
            .filter(|&i| self.args.get(i).is_none_or(|(_, arg)| arg.is_pointer()))
            .fold(0, |mask, i| mask | 1 << i)
    }

    /// Index of the argument that becomes the column `flags`: the one that the man page calls flags, else the first
    /// that holds flags at all (mprotect's `prot`, wait4's `options`). Flags in a struct (openat2, clone3) are
    /// none of the arguments.
    pub fn flags_arg(&self) -> Option<usize> {
        let holds_flags = |arg| matches!(arg, Arg::Flags(_));
        self.args
            .iter()
            .position(|&(name, arg)| name == "flags" && holds_flags(arg))
            .or_else(|| self.position(holds_flags))
    }

    /// Index of the argument that becomes the column `mode`.
    pub fn mode_arg(&self) -> Option<usize> {
        self.position(|a| a == Arg::Mode)
    }
}

/// A row of the tables below.
const fn call(
    name: &'static str,
    class: Class,
    args: &'static [(&'static str, Arg)],
    ret: Ret,
) -> Spec {
    Spec {
        name,
        class,
        args,
        ret,
    }
}

static UNKNOWN: Spec = call("", Class::Other, &[], Ret::Num);

static TABLES: &[&[Spec]] = &[
    file::CALLS,
    file::AT_CALLS,
    network::CALLS,
    process::CALLS,
    process::CREDENTIAL,
    memory::CALLS,
    sync::IPC,
    sync::SIGNAL,
    sync::TIME,
    sync::POLL,
    system::CALLS,
    system::OTHER,
    abi32::CALLS,
];

/// 64-bit 403 to 423 are the time64 calls that only 32-bit ABIs have (include/uapi/asm-generic/unistd.h), though the
/// crate lists them for 64-bit ARM too.
const TIME64: std::ops::RangeInclusive<u32> = 403..=423;

/// Calls private to 32-bit ARM, which the crate leaves out (arch/arm/include/uapi/asm/unistd.h, __ARM_NR_BASE).
const ARM_PRIVATE: [(u32, &str); 6] = [
    (0xf0001, "breakpoint"),
    (0xf0002, "cacheflush"),
    (0xf0003, "usr26"),
    (0xf0004, "usr32"),
    (0xf0005, "set_tls"),
    (0xf0006, "get_tls"),
];

/// The name of syscall `nr`, as the kernel spells it.
pub fn name(abi: Abi, nr: u32) -> Option<&'static str> {
    let id = nr as usize;
    match abi {
        Abi::X86_64 => syscalls::x86_64::Sysno::new(id).map(|s| s.name()),
        // One name is a word of Rust, and the crate has it as such: r#break.
        Abi::X86 => syscalls::x86::Sysno::new(id).map(|s| s.name().trim_start_matches("r#")),
        Abi::Aarch64 if TIME64.contains(&nr) => None,
        Abi::Aarch64 => syscalls::aarch64::Sysno::new(id).map(|s| match s.name() {
            // The kernel's name for it on every 64-bit ABI; the crate has the name of the C function.
            "fstatat" => "newfstatat",
            name => name,
        }),
        Abi::Arm => syscalls::arm::Sysno::new(id).map(|s| s.name()).or_else(|| {
            let private = ARM_PRIVATE.iter().find(|(n, _)| *n == nr);
            private.map(|(_, name)| *name)
        }),
    }
}

/// The number of the syscall `name`.
pub fn number(abi: Abi, name: &str) -> Option<u32> {
    static NUMBERS: LazyLock<HashMap<(Abi, &str), u32>> = LazyLock::new(|| {
        let of = |abi| iter(abi).map(move |(nr, name)| ((abi, name), nr));
        Abi::ALL.into_iter().flat_map(of).collect()
    });
    NUMBERS.get(&(abi, name)).copied()
}

/// Every syscall of an ABI, in the order of their numbers.
pub fn iter(abi: Abi) -> impl Iterator<Item = (u32, &'static str)> {
    // The tables end below this on every ABI; see the test `the_last_call_is_found`.
    (0..600)
        .chain(0xf0000..0xf0010)
        .filter_map(move |nr| Some((nr, name(abi, nr)?)))
}

/// All names over all ABIs, and those of the operations of io_uring, sorted.
pub fn events() -> &'static [&'static str] {
    static EVENTS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let all: BTreeSet<_> = names().iter().copied().chain(uring::names()).collect();
        all.into_iter().collect()
    });
    &EVENTS
}

/// All names over all ABIs, sorted.
pub fn names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let all: BTreeSet<_> = Abi::ALL
            .into_iter()
            .flat_map(iter)
            .map(|(_, name)| name)
            .collect();
        all.into_iter().collect()
    });
    &NAMES
}

/// What the call `name` takes and gives, on 64-bit ABIs where these have it, or the operation `io_uring:...`. An unknown
/// name gives a generic spec: class `other`, empty name, no arguments.
pub fn spec(name: &str) -> &'static Spec {
    static SPECS: LazyLock<HashMap<&str, &Spec>> = LazyLock::new(|| {
        let calls = TABLES.iter().copied().flatten();
        calls.map(|s| (s.name, s)).collect()
    });
    static OPERATIONS: LazyLock<HashMap<&str, &Spec>> = LazyLock::new(|| uring::specs().collect());
    let found = SPECS.get(name).or_else(|| OPERATIONS.get(name));
    found.copied().unwrap_or(&UNKNOWN)
}

/// What syscall `nr` takes and gives on this ABI. Differs from [`spec`] of its name where a 32-bit ABI passes the
/// same call's arguments otherwise (x86's mmap, 64-bit offsets in two registers).
pub fn spec_of(abi: Abi, nr: u32) -> &'static Spec {
    let Some(name) = name(abi, nr) else {
        return &UNKNOWN;
    };
    let differing = match abi {
        Abi::X86 => abi32::X86,
        Abi::Arm => abi32::ARM,
        Abi::X86_64 | Abi::Aarch64 => &[],
    };
    let own = differing.iter().find(|s| s.name == name);
    own.unwrap_or_else(|| spec(name))
}

#[cfg(test)]
mod tests;
