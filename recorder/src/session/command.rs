//! The command that a recording runs.

use std::process::{Child, Command};

use anyhow::{Context, Result};

use crate::report::systemd;

pub fn start(command: &[String]) -> Result<Option<Child>> {
    let Some((program, args)) = command.split_first() else {
        return Ok(None);
    };
    let child = Command::new(program)
        .args(args)
        .env_remove(systemd::SOCKET) // the service is we
        .spawn();
    Ok(Some(
        child.with_context(|| format!("cannot run `{program}`"))?,
    ))
}

/// Passes the signal on that is to end the recording. From a terminal the command has it already, and twice is once.
pub fn terminate(command: &Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(command.id() as i32) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// As a shell tells it: the code, or 128 and the signal.
pub fn exit_code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.unwrap_or(255) as u8
}
