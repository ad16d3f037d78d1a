//! What a comparison found: how much was compared, by which rules, and every difference.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// Where the two legitimately tell the same thing in different words, and why. Whatever no rule names is a difference.
pub const RULES: &[(&str, &str)] = &[
    (
        "runtime",
        "what ran in the container before and beside strace is not strace's to see",
    ),
    (
        "tracer",
        "the child that strace forks has strace's name until its exec, which is therefore recorded from its return on",
    ),
    (
        "deleted",
        "strace marks a file that has no name any more; the column `path` is the path alone",
    ),
    (
        "by name",
        "strace prints these arguments by name or grouped, not one for each register",
    ),
    (
        "untold",
        "strace does not tell this, so that there is nothing to compare with",
    ),
    (
        "cut",
        "of a unix socket's name strace prints behind an fd what comes before a NUL",
    ),
    (
        "killed",
        "a call that a kill interrupts or lets not begin comes back with a restart code or ENOSYS, which strace is not shown any more",
    ),
    (
        "mapped",
        "an IPv4 address mapped into IPv6 is recorded as IPv4, so that both ends of a connection agree",
    ),
    (
        "unspecified",
        "the unspecified address, which says nothing, is recorded as null",
    ),
    (
        "any port",
        "port 0 asks the kernel for a port: the socket's own is recorded",
    ),
    (
        "script",
        "of a script the kernel makes arguments of its interpreter, and those are recorded",
    ),
    (
        "root",
        "in a chroot a path is recorded from the container's root, and passed from the caller's",
    ),
    (
        "half seen",
        "Linux 7 may not run a program, and what only the entry of a call, or only its return, would have told is null",
    ),
];

/// The outcome of one case.
#[derive(Debug, Default)]
pub struct Report {
    pub calls: usize,
    /// Whether the kernel may not run a program: see the rule `half seen`.
    pub may_skip: bool,
    pub checks: BTreeMap<&'static str, usize>,
    pub rules: BTreeMap<&'static str, usize>,
    pub differences: Vec<String>,
}

impl Report {
    /// Counts a comparison of `what`, and notes it where it is none.
    pub fn check<T: PartialEq + fmt::Debug>(
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

    /// Notes a difference.
    pub fn differ(&mut self, text: String) {
        self.differences.push(text);
    }

    /// Counts that a rule was applied.
    pub fn rule(&mut self, name: &'static str) {
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
        // The first ones tell; thousands after them are of the same cause.
        for difference in self.differences.iter().take(40) {
            writeln!(f, "  {difference}")?;
        }
        Ok(())
    }
}
