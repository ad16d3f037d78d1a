//! Limits of the CPUs and the memory that a query uses.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;

use crate::engine::sql_error::SqlError;

/// Limits of an engine: threads and memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineLimits {
    /// Number of threads.
    pub(crate) cores: usize,
    /// Bytes that sorts, joins and groups may keep in memory. Larger sorts and groups use temporary files. Batches that
    /// pass through a query, some per thread, are not counted.
    pub(crate) memory_bytes: usize,
}

/// Queries may use 1/2 of the machine's memory by default.
const DEFAULT_SHARE_DIVISOR: usize = 2;
/// The limit if the memory of the machine is unknown.
const UNKNOWN_MEMORY_BYTES: usize = 2 << 30;
/// Bounds of the rows of a batch. With DataFusion's default of 8,192, grouping by text takes up to a third longer than with
/// the greatest number.
const MIN_BATCH_ROWS: usize = 1024;
const MAX_BATCH_ROWS: usize = 32_768;
/// Bytes of memory for which a batch has one more row.
const BYTES_PER_BATCH_ROW: usize = 32_768;
/// The reserve of each thread that sorts is this part of the memory, up to DataFusion's default.
const RESERVE_DIVISOR: usize = 32;
const MAX_RESERVE_BYTES: usize = 10 << 20;
/// Number of consumers that an error about memory names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN;

impl EngineLimits {
    /// Creates limits. Memory is limited to a share of the machine's memory, or of the control group's limit.
    pub(crate) fn new(cores: usize) -> EngineLimits {
        EngineLimits {
            cores,
            memory_bytes: match machine_memory() {
                Some(bytes) => bytes / DEFAULT_SHARE_DIVISOR,
                None => UNKNOWN_MEMORY_BYTES,
            },
        }
    }

    /// Returns the error for a query that needs more than the limits. `cause` is DataFusion's message.
    pub(super) fn exhausted(self, cause: &str) -> SqlError {
        let narrow =
            "select less: a shorter time (--since, --until), fewer containers, or fewer groups";
        let (message, help) = match cause.contains("disk space") {
            true => (
                "this needs more space for temporary files than is available".to_string(),
                format!(
                    "Name a directory with more space in the environment variable TMPDIR, or {narrow}."
                ),
            ),
            false => (
                format!(
                    "this needs more memory than the {} that a query may use",
                    human_size(self.memory_bytes)
                ),
                format!(
                    "Allow more, as in --memory {}, or {narrow}.",
                    human_size(self.memory_bytes * 2)
                ),
            ),
        };
        SqlError {
            message,
            help: Some(help),
            position: None,
        }
    }

    /// Returns the configuration with what depends on the memory: a sort that uses temporary files needs some batches of each
    /// thread in memory, and keeps a reserve for merging them.
    pub(super) fn configure(self, config: SessionConfig) -> SessionConfig {
        let rows = self.memory_bytes / BYTES_PER_BATCH_ROW;
        let reserve = self.memory_bytes / RESERVE_DIVISOR;
        config
            .with_batch_size(rows.clamp(MIN_BATCH_ROWS, MAX_BATCH_ROWS))
            .with_sort_spill_reservation_bytes(reserve.min(MAX_RESERVE_BYTES))
    }

    /// Creates the environment of a session, with a memory pool of [`Self::memory_bytes`].
    pub(super) fn runtime(self) -> Arc<RuntimeEnv> {
        let pool = FairSpillPool::new(self.memory_bytes);
        let pool = TrackConsumersPool::new(pool, NAMED_CONSUMERS);
        RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .build_arc()
            // Building fails only for temporary directories that are named here, of which there are none.
            .unwrap_or_default()
    }
}

/// Formats a size as `--memory` takes it, in whole MB.
fn human_size(bytes: usize) -> String {
    format!("{}MB", bytes / 1_000_000)
}

/// Returns the bytes of memory of the machine, or the limit of the control group if that limit is less. `None`:
/// unknown.
fn machine_memory() -> Option<usize> {
    // `/proc/meminfo` has KiB.
    let total = fs::read_to_string("/proc/meminfo").ok()?;
    let total = total
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = total.split_whitespace().next()?.parse().ok()?;
    let total = kib.saturating_mul(1024);
    Some(control_group_limit().map_or(total, |limit| limit.min(total)))
}

/// Returns the memory limit of the control group of this process (cgroup v2). In a container, the container's group is
/// the root.
fn control_group_limit() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let limit = |group: &str| {
        let path = format!("/sys/fs/cgroup{}/memory.max", group.trim_end_matches('/'));
        fs::read_to_string(path).ok()?.trim().parse::<usize>().ok()
    };
    // The limits of the groups above apply, too.
    let mut group = own;
    let mut least = limit(group);
    while let Some((above, _)) = group.rsplit_once('/') {
        group = above;
        let limit = limit(group);
        least = least.into_iter().chain(limit).min();
    }
    least
}
