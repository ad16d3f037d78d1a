//! Commands that say when they are ready.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Starts a command whose first line is `ready`, and waits for the line. Its stdin stays open.
pub(crate) fn started(command: &mut Command) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "{command:?}");
    child
}
