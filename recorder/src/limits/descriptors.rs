//! The limit of open file descriptors: RLIMIT_NOFILE of getrlimit(2).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of this process as far as it may go without rights, and returns the limit before.
pub(crate) fn raise_limit() -> Rlimit {
    let before = getrlimit(Resource::Nofile);
    set_limit(Rlimit {
        current: before.maximum,
        ..before
    });
    before
}

/// Sets the limit of this process, and of the processes that it starts from now on.
pub(crate) fn set_limit(limit: Rlimit) {
    // A limit that cannot be set leaves the one that there is.
    let _ = setrlimit(Resource::Nofile, limit);
}
