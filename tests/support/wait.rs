//! Waiting for a condition.

use std::time::{Duration, Instant};

/// The longest that a test waits for something that takes a moment on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Calls `found` until it returns a value; panics with `what` after [`LIMIT`].
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
