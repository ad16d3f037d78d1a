//! The rights that a test needs.

use std::os::unix::fs::MetadataExt;

/// Fails a test that needs the kernel's tracing or containers unless it runs as root.
pub(crate) fn require_root() {
    // The owner of /proc/self is the effective user.
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    assert_eq!(
        uid, 0,
        "this test records real containers: run it as root (`make test` does)"
    );
}
