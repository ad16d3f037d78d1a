//! The confinement of the recorder to what recording needs: [`rights`] of the process, rules of Landlock on files, and a
//! filter of seccomp on system calls.
//!
//! Capabilities and the rules of Landlock belong to a thread and to those that it starts. So a thread that is started with
//! [`spawn`] gives up, before its work begins, what its work does not need; [`main_thread`] does the same for the main
//! thread once the BPF programs are attached, and puts the filter on all threads.

pub(crate) mod rights;

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result};
use caps::Capability;
use ctrace_common::confine::calls::AllowedCalls;
use ctrace_common::confine::files::{Enforced, FileRules};

/// The files of a recording.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Directories and files that tell about containers and processes.
    pub(crate) state: Vec<PathBuf>,
    /// Directories of the output.
    pub(crate) output: Vec<PathBuf>,
    /// Directories with sockets that the recorder removes when it ends.
    pub(crate) sockets: Vec<PathBuf>,
}

/// The files of this process's recording.
static REACH: OnceLock<Reach> = OnceLock::new();

/// Files that every thread may read: the recorder's own process in proc(5), random bytes, and the time zone.
const OWN: [&str; 4] = [
    "/proc/self",
    "/dev/urandom",
    "/etc/localtime",
    "/usr/share/zoneinfo",
];

/// The needs of a thread, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// No files but the process's own in `/proc`.
    Nothing,
    /// The files of the output.
    Output,
    /// The state of the runtimes, read only, and their sockets.
    State,
}

impl Needs {
    fn capabilities(self) -> &'static [Capability] {
        match self {
            Needs::Nothing => &[],
            // The directory of the user of sudo(8).
            Needs::Output => &[Capability::CAP_DAC_OVERRIDE],
            // The files of other users; to connect to a socket is to write.
            Needs::State => &[
                Capability::CAP_DAC_READ_SEARCH,
                Capability::CAP_DAC_OVERRIDE,
            ],
        }
    }

    fn rules(self, reach: &Reach) -> FileRules {
        let own = OWN.iter().map(PathBuf::from);
        let state = reach.state.iter().filter(|_| self == Needs::State);
        let output = reach.output.iter().filter(|_| self == Needs::Output);
        FileRules {
            read: own.chain(state.cloned()).collect(),
            change: output.cloned().collect(),
            ..FileRules::default()
        }
    }
}

/// Sets the files of this process's recording, before a thread is started.
pub(crate) fn set_reach(reach: Reach) {
    // A process has one recording.
    let _ = REACH.set(reach);
}

/// Starts a thread that keeps only the rights for its `needs`. Outside of a recording, as in a unit test, the thread keeps all
/// rights.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    needs: Needs,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_string()).spawn(move || {
        if let Some(reach) = REACH.get() {
            rights::keep(needs.capabilities());
            // A thread that cannot be confined works without: the filter of `main_thread` is for all threads.
            let _ = needs.rules(reach).confine();
        }
        work()
    })
}

/// Does `work` in a thread without any capability, and waits for its end. Processes and threads that `work` starts have none
/// either. Returns `None` if there is no thread, or if `work` panics.
pub(crate) fn without_capabilities<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = Builder::new().spawn_scoped(scope, || {
            rights::keep(&[]);
            work()
        });
        thread.ok()?.join().ok()
    })
}

/// The calls that the main thread needs for its work, beyond those of every thread.
#[derive(Debug, Default)]
pub(crate) struct MainCalls<'a> {
    /// The commands of bpf(2).
    pub(crate) bpf: &'a [u64],
    /// The command that is recorded, which a signal ends.
    pub(crate) command: Option<u32>,
}

/// Confines the main thread to the files of the recording, and all threads to the calls that they need. Nothing can be
/// attached, started or listened to from then on. Returns what the kernel enforces of the rules on files.
///
/// # Errors
/// The kernel refuses the rules or the filter.
pub(crate) fn main_thread(calls: &MainCalls<'_>) -> Result<Enforced> {
    let reach = REACH.get_or_init(Reach::default);
    let own = OWN.iter().map(PathBuf::from);
    let rules = FileRules {
        read: own.chain(reach.state.iter().cloned()).collect(),
        change: reach.output.clone(),
        remove: reach.sockets.clone(),
        // systemd's socket may be abstract, and a signal ends the command that is recorded.
        reaches_processes: true,
        ..FileRules::default()
    };
    let enforced = rules
        .confine()
        .context("cannot confine the recorder to its files")?;
    allowed(calls)
        .confine()
        .context("cannot confine the recorder to the system calls that it needs")?;
    Ok(enforced)
}

fn allowed(calls: &MainCalls<'_>) -> AllowedCalls {
    const AF_UNIX: u64 = libc::AF_UNIX as u64;
    // Of files and directories that the recorder has made.
    const MODES: [u64; 2] = [0o600, 0o700];
    let command = calls.command.map(u64::from);
    AllowedCalls::default()
        .with("bpf", 0, calls.bpf)
        // Runtimes are asked over their sockets. The metrics and requests for dumps arrive on sockets that are open.
        .with("socket", 0, &[AF_UNIX])
        .any("connect accept accept4 getsockopt setsockopt getsockname getpeername")
        .with("chmod", 1, &MODES)
        .with("fchmod", 1, &MODES)
        .with("fchmodat", 2, &MODES)
        .with("kill", 0, command.as_slice())
}

#[cfg(test)]
mod tests;
