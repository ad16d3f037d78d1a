//! A filter of seccomp: the system calls that a process may make.
//!
//! The filter is a list of what is allowed. Any other call fails as if the kernel did not have it (`ENOSYS`), because a C
//! library that is newer than the list tries new calls first, and then uses the old ones. The kernel logs each call that fails
//! so: as a record `SECCOMP` of its audit, with the program and the number of the call. No call ends the process.

use std::collections::BTreeMap;
use std::{io, process};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use syscalls::Sysno;

/// The calls on memory, threads, signals, time and open files that every program makes, and those that open and remove files,
/// which Landlock restricts. Names that an architecture does not have are left out; `fstatat` is the name of newfstatat(2) that the
/// crate `syscalls` has on 64-bit ARM.
const COMMON: &str = "
    brk munmap mremap madvise mincore membarrier msync
    futex futex_wait futex_waitv futex_wake futex_requeue set_robust_list get_robust_list rseq sched_yield sched_getaffinity gettid set_tid_address exit
    exit_group restart_syscall getcpu
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage
    getpid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid capget capset
    uname sysinfo getrlimit wait4 waitid getrandom umask getcwd landlock_create_ruleset landlock_add_rule
    landlock_restrict_self seccomp
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2 dup3
    fcntl flock fsync fdatasync sync_file_range ftruncate fallocate fadvise64 readahead sendfile copy_file_range
    splice pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
    epoll_pwait2 eventfd eventfd2 getdents getdents64 fstat fstatfs
    open openat openat2 getxattr stat lstat newfstatat fstatat statx statfs access faccessat faccessat2 readlink readlinkat
    rename renameat renameat2 link linkat unlink unlinkat mkdir mkdirat rmdir
";

/// Calls that fail without a record in the log: a C library tries them first each time, or each time a program begins.
pub(super) const UNLOGGED: &str = "clone3";

/// The answer to calls that are not allowed.
const REFUSED: SeccompAction = SeccompAction::Errno(libc::ENOSYS as u32);

/// The first argument of socket(2) for sockets of unix(7).
const AF_UNIX: u64 = libc::AF_UNIX as u64;
/// The requests of ioctl(2) that every program makes: non-blocking descriptors, and questions about the terminal.
#[allow(clippy::unnecessary_cast, reason = "musl has these numbers as `int`")]
const COMMON_REQUESTS: [u64; 6] = [
    libc::FIONBIO as u64,
    libc::FIOCLEX as u64,
    libc::FIONREAD as u64,
    libc::TCGETS as u64,
    libc::TIOCGWINSZ as u64,
    // TCGETS2 of asm-generic/ioctls.h, which glibc uses since 2.42.
    0x802c_542a,
];
/// The options of prctl(2) that name threads and memory, or give up rights.
const OPTIONS: [u64; 8] = [
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    libc::PR_GET_DUMPABLE as u64,
    libc::PR_SET_NO_NEW_PRIVS as u64,
    libc::PR_CAPBSET_READ as u64,
    libc::PR_CAPBSET_DROP as u64,
    libc::PR_CAP_AMBIENT as u64,
    libc::PR_SET_VMA as u64,
];

/// A condition on the arguments of a call: the number of the argument, and the bits of a mask that must have a value. The
/// lower 32 bits are compared: the upper ones of an `int` are undefined.
#[derive(Clone, Copy, Debug)]
struct Argument {
    number: u8,
    mask: u32,
    value: u32,
}

impl Argument {
    fn is(number: u8, value: u64) -> Argument {
        Argument {
            number,
            mask: u32::MAX,
            value: value as u32,
        }
    }
}

/// The calls that a process may make, beyond those of every program.
#[derive(Clone, Debug, Default)]
pub struct AllowedCalls {
    calls: Vec<(&'static str, Option<Argument>)>,
}

impl AllowedCalls {
    /// Allows calls, whose names are separated by spaces, with any arguments.
    pub fn any(mut self, names: &'static str) -> Self {
        self.calls
            .extend(names.split_whitespace().map(|name| (name, None)));
        self
    }

    /// Allows a call if the argument with this number, from 0, is one of `values`.
    pub fn with(mut self, name: &'static str, number: u8, values: &[u64]) -> Self {
        let values = values.iter();
        let rules = values.map(|value| (name, Some(Argument::is(number, *value))));
        self.calls.extend(rules);
        self
    }

    /// Allows a call if all bits of `bits` in the argument with this number are `set`, or all are not.
    pub fn with_bits(mut self, name: &'static str, number: u8, bits: u32, set: bool) -> Self {
        let argument = Argument {
            number,
            mask: bits,
            value: if set { bits } else { 0 },
        };
        self.calls.push((name, Some(argument)));
        self
    }

    /// Confines all threads of this process, and the threads and processes that they start from now on.
    ///
    /// # Errors
    /// The kernel refuses the filter.
    pub fn confine(self) -> Result<(), seccompiler::Error> {
        let allowed = self.with_common().compiled(REFUSED, SeccompAction::Allow)?;
        let unlogged = AllowedCalls::default().any(UNLOGGED);
        let unlogged = unlogged.compiled(SeccompAction::Allow, REFUSED)?;
        install(&allowed, libc::SECCOMP_FILTER_FLAG_LOG)?;
        // Of filters that give the same answer, the one that was installed last decides whether the answer is logged.
        install(&unlogged, 0)
    }

    /// Returns the names of all calls that a process with this list may make.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.with_common().calls.into_iter().map(|(name, _)| name)
    }

    /// Adds the calls that every program makes.
    fn with_common(self) -> Self {
        self.any(COMMON)
            .with_bits("mmap", 2, libc::PROT_EXEC as u32, false)
            .with_bits("mprotect", 2, libc::PROT_EXEC as u32, false)
            // Threads, but no processes. clone3(2) has its flags in memory, which a filter cannot read.
            .with_bits("clone", 0, libc::CLONE_THREAD as u32, true)
            // abort(3) and pthread_kill(3) send signals to threads of this process.
            .with("tgkill", 0, &[process::id().into()])
            .with("prctl", 0, &OPTIONS)
            // SQLite gives its files to the owner of the database, if the user is root.
            .with("fchown", 1, &[own_user()])
            // The limits of this process, which can only be lowered.
            .with("prlimit64", 0, &[0, process::id().into()])
            .with("ioctl", 1, &COMMON_REQUESTS)
            // Pairs of connected sockets, which tell a thread that a signal has arrived.
            .with("socketpair", 0, &[AF_UNIX])
            .any("recvfrom sendto recvmsg sendmsg shutdown")
    }

    /// Compiles the list to a program that answers calls that are on it with `listed`, and all others with `others`.
    fn compiled(
        self,
        others: SeccompAction,
        listed: SeccompAction,
    ) -> Result<BpfProgram, seccompiler::Error> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        let mut unconditional = vec![];
        for (name, argument) in self.calls {
            // Another architecture has the call.
            let Ok(call) = name.parse::<Sysno>() else {
                continue;
            };
            let rules = rules.entry(i64::from(call.id())).or_default();
            match argument {
                None => unconditional.push(i64::from(call.id())),
                Some(Argument {
                    number,
                    mask,
                    value,
                }) => {
                    let compare = SeccompCmpOp::MaskedEq(mask.into());
                    let condition = SeccompCondition::new(
                        number,
                        SeccompCmpArgLen::Dword,
                        compare,
                        value.into(),
                    )?;
                    rules.push(SeccompRule::new(vec![condition])?);
                }
            }
        }
        // A call without rules matches always.
        for call in unconditional {
            rules.insert(call, vec![]);
        }
        let architecture = std::env::consts::ARCH.try_into()?;
        Ok(SeccompFilter::new(rules, others, listed, architecture)?.try_into()?)
    }
}

fn own_user() -> u64 {
    // SAFETY: geteuid(2) gets nothing, and always succeeds.
    unsafe { libc::geteuid() }.into()
}

/// Puts a filter on all threads of this process. With the flag `SECCOMP_FILTER_FLAG_LOG`, the kernel logs what the filter does
/// not allow.
fn install(filter: &BpfProgram, flag: libc::c_ulong) -> Result<(), seccompiler::Error> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        // seccompiler's type has the layout of the kernel's `struct sock_filter`.
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: prctl(2) gets numbers only. seccomp(2) reads the program, which lives until the call returns.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | flag;
        let program = &raw const program;
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            program,
        )
    };
    match result {
        0 => Ok(()),
        -1 => Err(seccompiler::Error::Seccomp(io::Error::last_os_error())),
        // The thread that cannot be given the filter.
        thread => Err(seccompiler::Error::ThreadSync(thread)),
    }
}
