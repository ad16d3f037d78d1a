//! The command of the pager.

use std::process::Command;

/// Returns the command that runs $PAGER, or less if it is not set.
pub(super) fn pager_command() -> Command {
    let pager = std::env::var("PAGER")
        .ok()
        .filter(|pager| !pager.trim().is_empty());
    let mut command = Command::new(if pager.is_some() { "sh" } else { "less" });
    if let Some(pager) = &pager {
        command.args(["-c", pager]);
    }
    if std::env::var_os("LESS").is_none() {
        // F: exit if the text fits on a screen. X: leave the text on the screen. git sets the same.
        command.env("LESS", "FX");
    }
    command
}
