//! Counts of calls, as the kernel side sums them up.

use serde::{Deserialize, Serialize};

/// The calls of one number, of threads of one name, in one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Key of the container's cgroup; 0: the host.
    pub cgroup: u64,
    /// Name of the threads, as the kernel has it.
    pub comm: Vec<u8>,
    /// Number of the call.
    pub nr: u16,
    /// Whether 32-bit calls are meant.
    pub compat: bool,
    /// How many.
    pub calls: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Bytes that they moved.
    pub bytes: u64,
    /// Time that they took together, ns.
    pub duration: u64,
    /// How many took 2^i ns or more and less than 2^(i+1); of calls whose entry and return were seen.
    pub latency: Vec<u64>,
}
