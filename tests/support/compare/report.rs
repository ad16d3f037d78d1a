//! The result of a comparison: the number of checks, the rules that were applied, and every difference.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// The allowed deviations between strace and a recording, each with the reason. Everything else is a difference.
const RULES: &[(&str, &str)] = &[
    (
        "runtime",
        "strace does not see processes that ran in the container before it or beside it",
    ),
    (
        "tracer",
        "the child that strace forks has the name of strace until its exec, which is therefore recorded at its return only",
    ),
    (
        "deleted",
        "strace marks a file that has no name any more; the column `path` is the path without the mark",
    ),
    (
        "by name",
        "strace prints these arguments by name or in groups, not by register",
    ),
    (
        "untold",
        "strace does not print this, so there is nothing to compare",
    ),
    (
        "cut",
        "beside an fd strace prints the name of a unix socket up to the first NUL",
    ),
    (
        "killed",
        "strace does not see the return of a call whose thread is killed before or during the call",
    ),
    (
        "mapped",
        "an IPv4 address mapped into IPv6 is recorded as IPv4, so that both ends of a connection agree",
    ),
    (
        "unspecified",
        "the unspecified address has no information and is recorded as null",
    ),
    (
        "any port",
        "port 0 asks the kernel for a port: the port of the socket is recorded",
    ),
    (
        "script",
        "the kernel turns the arguments of a script into those of its interpreter, which are recorded",
    ),
    (
        "root",
        "in a chroot a path is recorded from the root of the container, but passed from the root of the caller",
    ),
    (
        "root of openat2",
        "with RESOLVE_IN_ROOT an absolute path begins in a directory, and is null if nothing was opened",
    ),
    (
        "detached",
        "strace prints the path inside of a mount that was detached, which leads nowhere in the container; no path is recorded",
    ),
    (
        "pidfd",
        "strace prints the process of a pidfd; the column `path` is the text that /proc/PID/fd shows",
    ),
    (
        "raw",
        "strace prints the type of a raw socket in place of its protocol, and a port that no raw socket has",
    ),
    (
        "relative",
        "strace prints the name of a unix socket as it was passed; a relative name is recorded from its directory",
    ),
    (
        "passed first",
        "beside an fd strace prints the ends of the socket; the address that a call passes counts before them",
    ),
    (
        "no address",
        "beside an fd strace prints the ends of the socket; a connect(2) or a message that fails without a readable address has no peer",
    ),
    (
        "connection",
        "a connection has one peer, which is recorded; strace prints the address that the kernel ignores",
    ),
    (
        "ignored",
        "strace prints a path or the file of an fd that the kernel ignores, as with FAN_MARK_FLUSH or MAP_ANONYMOUS",
    ),
    (
        "socket",
        "strace prints the device of a socket; a socket is recorded by its inode alone",
    ),
    (
        "check only",
        "with AT_EXECVE_CHECK the kernel runs nothing, so that no program has been given the arguments",
    ),
    (
        "long",
        "a text of more than 4,096 bytes, which the kernel refuses, is recorded up to there",
    ),
    (
        "disconnected",
        "strace prints the ends of a socket as they were before a connect(2) to AF_UNSPEC, which takes them away",
    ),
    (
        "room",
        "strace prints as much of an address as the caller had room for; the name of the socket is recorded, or null",
    ),
    (
        "strict",
        "the strict mode of seccomp ends a thread before any hook of the kernel runs, so that the call is not seen",
    ),
    (
        "length",
        "strace prints an address of a length that the kernel refuses, before it reads the address",
    ),
    (
        "corked",
        "strace prints the address of a part of a datagram that waits, which the kernel ignores; no peer is recorded",
    ),
    (
        "pages",
        "strace prints the offset of mmap2(2) in bytes; the argument is a number of pages",
    ),
    (
        "mask",
        "strace prints a mask of signals without a sign; the kernel returns it as a signed number",
    ),
    (
        "stat of 32 bits",
        "the struct stat of a 32-bit caller is not read, so that the row has no device and inode",
    ),
    (
        "half seen",
        "Linux 7 may skip a BPF program; columns that only the entry or only the return of a call provides are null then",
    ),
];

/// The outcome of one case.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) calls: usize,
    /// True if the kernel may skip a program: see the rule `half seen`.
    pub(crate) may_skip: bool,
    pub(crate) checks: BTreeMap<&'static str, usize>,
    pub(crate) rules: BTreeMap<&'static str, usize>,
    pub(crate) differences: Vec<String>,
}

impl Report {
    /// Counts a check of `what`, and records a difference if the values are not equal.
    pub(crate) fn check<T: PartialEq + fmt::Debug>(
        &mut self,
        what: &'static str,
        line: &str,
        strace: T,
        ours: T,
    ) {
        *self.checks.entry(what).or_default() += 1;
        if strace != ours {
            self.differ(format!("{what}: strace {strace:?}, ours {ours:?}: {line}"));
        }
    }

    /// Records a difference.
    pub(crate) fn differ(&mut self, text: String) {
        self.differences.push(text);
    }

    /// Counts an application of a rule.
    pub(crate) fn rule(&mut self, name: &'static str) {
        assert!(RULES.iter().any(|r| r.0 == name), "no rule `{name}`");
        *self.rules.entry(name).or_default() += 1;
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} calls compared; checks {:?}; rules {:?}",
            self.calls, self.checks, self.rules
        )?;
        writeln!(f, "{} differences", self.differences.len())?;
        // The first differences are enough: thousands more have the same cause.
        for difference in self.differences.iter().take(40) {
            writeln!(f, "  {difference}")?;
        }
        Ok(())
    }
}
