//! Counts of calls, summed by the kernel side (`--mode counts`).

use serde::{Deserialize, Serialize};

/// The calls with one number by threads of one name in one container, since the previous reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Key of the container's cgroup; 0: the host.
    pub(crate) cgroup: u64,
    /// The threads' comm, unescaped.
    pub(crate) comm: Vec<u8>,
    pub(crate) nr: u16,
    /// True if `nr` is a number of the 32-bit ABI.
    pub(crate) compat: bool,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    /// Bytes that the calls transferred.
    pub(crate) bytes: u64,
    /// Total duration, ns.
    pub(crate) duration: u64,
    /// Histogram: bucket `i` counts the calls that took at least 2^i and less than 2^(i+1) ns. Contains only calls
    /// whose entry and return were seen; trailing empty buckets are omitted.
    pub(crate) latency: Vec<u64>,
}
