//! Syscall tables: the numbers and names on each architecture, and the meaning of each argument.
//!
//! The numbers and names are those of the crate `syscalls`, which has the calls up to `file_setattr` (469, Linux 6.17), but not
//! `listns` and `rseq_slice_yield`. The meanings of the arguments are defined here, one line per call, in files for related
//! classes, according to the kernel's SYSCALL_DEFINE prototypes. A call that is newer than the tables is recorded by its
//! number.

mod abi32;
mod file;
mod memory;
mod network;
mod process;
pub mod rules;
mod sync;
mod system;
pub mod uring;

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

/// The ABI of a caller, which determines the numbers of the syscalls: that of the machine, or that of 32-bit callers on it.
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
    /// All ABIs.
    pub const ALL: [Abi; 4] = [Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm];

    /// Returns the ABI of 64-bit callers on a machine, or with `compat` of 32-bit callers. `machine` is the output of `uname -m`.
    pub fn of_machine(machine: &str, compat: bool) -> Option<Abi> {
        match (machine, compat) {
            ("x86_64", false) => Some(Abi::X86_64),
            ("x86_64", true) => Some(Abi::X86),
            ("aarch64", false) => Some(Abi::Aarch64),
            ("aarch64", true) => Some(Abi::Arm),
            _ => None,
        }
    }

    /// Returns whether registers are 32 bits wide.
    pub(crate) fn is_32bit(self) -> bool {
        matches!(self, Abi::X86 | Abi::Arm)
    }

    /// Returns whether constants have ARM's values where they differ from other architectures (four flags of open(2)).
    pub(crate) fn is_arm(self) -> bool {
        matches!(self, Abi::Aarch64 | Abi::Arm)
    }
}

/// The class of a call: the value of the column `class`, and the argument of `--set`. The name of a call alone determines its
/// class: read(2) is `file`, also on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Files, directories, mounts, extended attributes, and input and output on any fd.
    File,
    /// Sockets.
    Network,
    /// Processes and threads: creation, exec, wait, scheduling, tracing, limits.
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
    /// Calls that are not in the tables, and calls that Linux reserves without an implementation.
    Other,
}

impl Class {
    /// All classes, in the order of their discriminants.
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

    /// Returns the value of the column `class`.
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

    /// Returns the class with this name, as from [`Class::as_str`], or with this short name: fs, net, proc, mem, sig, cred, sys.
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

/// The meaning of an argument, which determines what the kernel side resolves, and how the argument is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// The file descriptor of the file or socket that the call uses.
    Fd,
    /// The file descriptor of the directory that the path in the next argument is relative to, or AT_FDCWD.
    DirFd,
    /// Pointer to a path. The first path of a call becomes `path`, the second `path2` (see [`Spec`]).
    Path,
    /// Pointer to text for `path2` that is not resolved as a path (symlink's target, mount's source).
    Text,
    /// Pointer to the argument vector of a program (execve).
    Argv,
    /// Pointer to a sockaddr that the caller fills in. The next argument is its length.
    SockAddrIn,
    /// Pointer to a sockaddr that the kernel fills in. The next argument is a pointer to its length.
    SockAddrOut,
    /// Pointer to a struct msghdr, with an address that the caller fills in (sendmsg).
    MsgIn,
    /// Pointer to a struct msghdr, with an address that the kernel fills in (recvmsg).
    MsgOut,
    /// Pointer to an array of struct mmsghdr with addresses that the caller fills in (sendmmsg). The next argument is its length.
    MmsgIn,
    /// Pointer to an array of struct mmsghdr with addresses that the kernel fills in (recvmmsg). The next argument is its length.
    MmsgOut,
    /// Another pointer or address, which is not stored, because it has no meaning after the call.
    Ptr,
    /// A signed 32-bit number.
    Int,
    /// An unsigned 32-bit number.
    UInt,
    /// A signed number of register width: an offset, a time, an argument with several meanings.
    Long,
    /// An unsigned number of register width: a size, a count.
    Size,
    /// An unsigned number of register width that is printed in hexadecimal: a mask, a magic number, mmap's offset.
    Hex,
    /// An unsigned 32-bit number that is printed in hexadecimal: flags, a mask, a key.
    Bits,
    /// Low half of a 64-bit number on a 32-bit ABI. The next argument is the high half.
    Low,
    /// High half of the 64-bit number whose low half is the previous argument.
    High,
    /// An unused register: on 32-bit ARM, a 64-bit number begins in an even register.
    Pad,
    /// A combination of flags, and the table of their names.
    Flags(Names),
    /// One of several constants (a command, a family), and the table of their names.
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
    /// Returns whether the argument is an address, which has no meaning after the call.
    pub fn is_pointer(self) -> bool {
        use Arg::*;
        matches!(
            self,
            Path | Text | Argv | SockAddrIn | SockAddrOut | MsgIn | MsgOut | MmsgIn | MmsgOut | Ptr
        )
    }
}

/// A table of named constants: see [`crate::strace`]. Each variant has the name of its constants' prefix or of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say which constants or call")]
#[rustfmt::skip]
pub enum Names {
    Access, ArchPrctl, At, AtAccess, AtUnlink, Clock, Clone, CloseRange, Domain, Epoll, EpollOp, Eventfd, Fadvise,
    Fallocate, Fcntl, FdFlags, FdOpen, Flock, Fsopen, Futex, Getrandom, IdType, Inotify, InotifyMask, Ioctl, IpcGet, ItimerWhich,
    Madvise, Map, Membarrier, Memfd, Mlock, Mlockall, Mount, MoveMount, Mremap, Msg, Msync, Namespace, Open,
    OpenTree, Pidfd, Prctl, PrioWhich, Prot, Protocol, Ptrace, Rename, Resource, RusageWho, Rwf, Sched, Seccomp,
    Shutdown, SigHow, Signalfd, Socketcall, SockFlags, SockLevel, SockOpt, SockType, Splice, SyncRange, Timer, Timerfd, Umount,
    Wait, Whence, Xattr,
}

/// The meaning of a call's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// Zero or a number.
    Num,
    /// A new file descriptor, whose file or socket is resolved when the call returns.
    Fd,
    /// The number of transferred bytes, which becomes `bytes`.
    Bytes,
    /// An address.
    Ptr,
    /// A process or thread id.
    Pid,
}

/// The specification of a syscall: class, arguments and result.
#[derive(Debug)]
pub struct Spec {
    /// Name, as in the man page. The generic specification of calls that are not in the tables has an empty name.
    pub name: &'static str,
    /// Class of the call.
    pub class: Class,
    /// Names (as in the man page) and meanings of the arguments, at most six.
    pub args: &'static [(&'static str, Arg)],
    /// Meaning of the result: `Num` for fcntl, ioctl, bpf, seccomp, socketcall and landlock_create_ruleset, which return a
    /// new fd only for some arguments.
    pub ret: Ret,
}

impl Spec {
    fn position(&self, matches: impl Fn(Arg) -> bool) -> Option<usize> {
        self.args.iter().position(|&(_, arg)| matches(arg))
    }

    /// Returns the index of the fd argument. A directory fd ([`Arg::DirFd`]) does not count.
    pub fn fd_arg(&self) -> Option<usize> {
        self.position(|a| a == Arg::Fd)
    }

    /// Returns the index of the fd argument whose file or socket the call is about. There is none if the call has a path.
    pub fn object_arg(&self) -> Option<usize> {
        self.fd_arg().filter(|_| self.paths().next().is_none())
    }

    /// Returns the indices of the path arguments, each after the index of the directory fd that it is relative to, if there is one.
    pub fn paths(&self) -> impl Iterator<Item = (Option<usize>, usize)> + '_ {
        let is = |i: usize, arg| self.args[i].1 == arg;
        (0..self.args.len())
            .filter(move |&i| is(i, Arg::Path))
            .map(move |i| (i.checked_sub(1).filter(|&d| is(d, Arg::DirFd)), i))
    }

    /// Returns the index of the argument that is text for `path2` and not a path.
    pub fn text_arg(&self) -> Option<usize> {
        self.position(|a| a == Arg::Text)
    }

    /// Returns the index of the argument for the column `flags`: the argument that the man page calls flags, otherwise the first
    /// argument with flags (mprotect's `prot`, wait4's `options`). Flags in a struct (openat2, clone3) are not arguments.
    pub fn flags_arg(&self) -> Option<usize> {
        let holds_flags = |arg| matches!(arg, Arg::Flags(_));
        self.args
            .iter()
            .position(|&(name, arg)| name == "flags" && holds_flags(arg))
            .or_else(|| self.position(holds_flags))
    }

    /// Returns the index of the argument for the column `mode`.
    pub fn mode_arg(&self) -> Option<usize> {
        self.position(|a| a == Arg::Mode)
    }
}

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

/// Numbers of the time64 calls, which only 32-bit ABIs have (include/uapi/asm-generic/unistd.h). The crate also lists them for
/// 64-bit ARM.
const TIME64: std::ops::RangeInclusive<u32> = 403..=423;

/// Private calls of 32-bit ARM, which the crate does not have (arch/arm/include/uapi/asm/unistd.h, __ARM_NR_BASE).
const ARM_PRIVATE: [(u32, &str); 6] = [
    (0xf0001, "breakpoint"),
    (0xf0002, "cacheflush"),
    (0xf0003, "usr26"),
    (0xf0004, "usr32"),
    (0xf0005, "set_tls"),
    (0xf0006, "get_tls"),
];

/// Returns the kernel's name of syscall `nr`.
pub fn name(abi: Abi, nr: u32) -> Option<&'static str> {
    let id = nr as usize;
    match abi {
        Abi::X86_64 => syscalls::x86_64::Sysno::new(id).map(|s| s.name()),
        // The crate has one name as a raw identifier, because it is a keyword of Rust: r#break.
        Abi::X86 => syscalls::x86::Sysno::new(id).map(|s| s.name().trim_start_matches("r#")),
        Abi::Aarch64 if TIME64.contains(&nr) => None,
        Abi::Aarch64 => syscalls::aarch64::Sysno::new(id).map(|s| match s.name() {
            // The crate has the name of the C function instead of the kernel's name on all 64-bit ABIs.
            "fstatat" => "newfstatat",
            name => name,
        }),
        Abi::Arm => syscalls::arm::Sysno::new(id).map(|s| s.name()).or_else(|| {
            let private = ARM_PRIVATE.iter().find(|(n, _)| *n == nr);
            private.map(|(_, name)| *name)
        }),
    }
}

/// Returns the number of the syscall `name`.
pub fn number(abi: Abi, name: &str) -> Option<u32> {
    static NUMBERS: LazyLock<HashMap<(Abi, &str), u32>> = LazyLock::new(|| {
        let numbers = |abi| iter(abi).map(move |(nr, name)| ((abi, name), nr));
        Abi::ALL.into_iter().flat_map(numbers).collect()
    });
    NUMBERS.get(&(abi, name)).copied()
}

/// Returns all syscalls of an ABI in the order of their numbers.
pub fn iter(abi: Abi) -> impl Iterator<Item = (u32, &'static str)> {
    // The numbers of all ABIs are in these ranges: the test `the_last_call_is_found` checks it.
    (0..600)
        .chain(0xf0000..0xf0010)
        .filter_map(move |nr| Some((nr, name(abi, nr)?)))
}

/// Returns the names of the syscalls of all ABIs and of the operations of io_uring, sorted.
pub fn events() -> &'static [&'static str] {
    static EVENTS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let all: BTreeSet<_> = names().iter().copied().chain(uring::names()).collect();
        all.into_iter().collect()
    });
    &EVENTS
}

/// Returns the names of the syscalls of all ABIs, sorted.
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

/// Returns the specification of the call `name`, or of the operation of io_uring if the name begins with `io_uring:`. If 64-bit and
/// 32-bit ABIs differ, the specification is that of 64-bit ABIs. An unknown name has the generic specification: class
/// `other`, empty name, no arguments.
pub fn spec(name: &str) -> &'static Spec {
    static SPECS: LazyLock<HashMap<&str, &Spec>> = LazyLock::new(|| {
        let calls = TABLES.iter().copied().flatten();
        calls.map(|s| (s.name, s)).collect()
    });
    static OPERATIONS: LazyLock<HashMap<&str, &Spec>> = LazyLock::new(|| uring::specs().collect());
    let found = SPECS.get(name).or_else(|| OPERATIONS.get(name));
    found.copied().unwrap_or(&UNKNOWN)
}

/// Returns the specification of syscall `nr` on this ABI, which differs from [`spec`] of the name if a 32-bit ABI passes the arguments
/// of the call differently (x86's mmap, 64-bit offsets in two registers).
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
