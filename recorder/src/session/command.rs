//! The command of `ctrace-rec -- COMMAND`, which runs during the recording.

use std::process::{Child, Command};

use anyhow::{Context, Result};
use rustix::process::Rlimit;

use crate::limits::descriptors;
use crate::report::systemd;

/// Starts the command, if there is one, with `descriptors` as its limit of open files: programs that use select(2) expect
/// the one of the shell.
pub(crate) fn start(command: &[String], descriptors: Rlimit) -> Result<Option<Child>> {
    let Some((program, args)) = command.split_first() else {
        return Ok(None);
    };
    descriptors::set_limit(descriptors);
    let child = Command::new(program)
        .args(args)
        // For systemd the recorder is the service, not the command.
        .env_remove(systemd::SOCKET)
        .spawn();
    descriptors::raise_limit();
    Ok(Some(
        child.with_context(|| format!("cannot run `{program}`"))?,
    ))
}

/// Sends SIGTERM to the command when a signal ends the recording. A signal from the terminal has reached the command
/// already; the second one is harmless.
pub(crate) fn terminate(command: &Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(command.id() as i32) {
        // The command may already have ended.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Returns the exit code as a shell does: the command's code, or 128 plus the number of the signal.
pub(crate) fn exit_code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.unwrap_or(255) as u8
}
