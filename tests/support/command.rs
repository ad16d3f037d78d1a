//! What the tests that record for real share: containers of three runtimes, and the two programs.

// Each test binary takes what it needs.
#![allow(dead_code)]
// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

pub mod containers;
pub mod docker;
pub mod image;
pub mod metrics;
pub mod programs;
pub mod recorder;

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take that takes a moment on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Stops a test that needs the kernel's tracing, or containers, where it is not run as root.
pub fn require_root() {
    // The owner of /proc/self is the effective user.
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    assert_eq!(
        uid, 0,
        "this test records for real: run it as root (`make test` does)"
    );
}

/// A name for a container that no other test of this machine uses.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{}-{next}", std::process::id())
}

/// Runs a command to its end, which must be success, and gives its stdout.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command to its end, whatever that is.
pub fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; `packaging/setup.sh test` installs it"))
}

/// Waits until `done` gives something; panics, naming `what`, after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
