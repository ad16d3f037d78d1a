//! Reads the counters that replace records with `--mode counts`.
//!
//! The kernel side adds up calls in the map `counts`, one `struct count` per CPU for each container, comm and call.
//! Each reading returns the differences to the previous one.

use libbpf_rs::{MapCore, MapFlags};
use rustc_hash::FxHashMap;

use crate::records::count::Count;
use crate::wire::types::limits;

const BUCKETS: usize = limits::COUNT_BUCKETS.0 as usize;

/// Counters of `struct count`: calls, errors, bytes, duration and the buckets of the latency histogram.
const NUMBERS: usize = 4 + BUCKETS;

/// The previous reading: the numbers of each `struct count`, summed over all CPUs, by `struct count_key`.
#[derive(Debug, Default)]
pub(super) struct LastCounts(FxHashMap<Vec<u8>, [u64; NUMBERS]>);

impl LastCounts {
    /// Returns the differences to the previous reading. Entries of removed containers (not `is_known`) are
    /// deleted from `map` once they no longer change: no process remains that could add to them.
    pub(super) fn read(
        &mut self,
        map: &impl MapCore,
        is_known: impl Fn(u64) -> bool,
    ) -> Vec<Count> {
        let mut counts = vec![];
        for (key, values) in entries(map) {
            let now = sum_cpus(&values);
            let before = self.0.entry(key.clone()).or_insert([0; NUMBERS]);
            if *before != now {
                let pairs = now.iter().zip(&*before);
                let differences: Vec<u64> = pairs
                    .map(|(now, before)| now.wrapping_sub(*before))
                    .collect();
                *before = now;
                counts.extend(parse_count(&key, &differences));
            } else if is_removed(&key, &is_known) && map.delete(&key).is_ok() {
                self.0.remove(&key);
            }
        }
        counts
    }
}

/// Returns each key of a per-CPU map with the values of all CPUs. Keys that are deleted during the walk are skipped.
pub(super) fn entries(map: &impl MapCore) -> impl Iterator<Item = (Vec<u8>, Vec<Vec<u8>>)> {
    let keys: Vec<Vec<u8>> = map.keys().collect();
    keys.into_iter().filter_map(|key| {
        let values = map.lookup_percpu(&key, MapFlags::ANY).ok()??;
        Some((key, values))
    })
}

/// Returns whether the container of a `struct count_key` or `struct loss_key` has been removed. The host, cgroup 0, is never
/// removed.
pub(super) fn is_removed(key: &[u8], is_known: impl Fn(u64) -> bool) -> bool {
    let cgroup = key.first_chunk::<8>().map(|key| u64::from_ne_bytes(*key));
    cgroup.is_some_and(|cgroup| cgroup != 0 && !is_known(cgroup))
}

fn sum_cpus(values: &[Vec<u8>]) -> [u64; NUMBERS] {
    let mut total = [0; NUMBERS];
    for value in values {
        for (number, bytes) in total.iter_mut().zip(value.as_chunks::<8>().0) {
            *number += u64::from_ne_bytes(*bytes);
        }
    }
    total
}

/// Combines a `struct count_key` and the numbers of its `struct count`.
fn parse_count(key: &[u8], numbers: &[u64]) -> Option<Count> {
    let (cgroup, rest) = key.split_first_chunk::<8>()?;
    let (comm, rest) = rest.split_first_chunk::<16>()?;
    let (nr, compat) = rest.split_first_chunk::<4>()?;
    let [calls, errors, bytes, duration, latency @ ..] = numbers else {
        return None;
    };
    let used_buckets = latency
        .iter()
        .rposition(|n| *n > 0)
        .map_or(0, |last| last + 1);
    Some(Count {
        cgroup: u64::from_ne_bytes(*cgroup),
        comm: comm.split(|b| *b == 0).next().unwrap_or_default().to_vec(),
        nr: u32::from_ne_bytes(*nr) as u16,
        compat: compat.iter().any(|b| *b != 0),
        calls: *calls,
        errors: *errors,
        bytes: *bytes,
        duration: *duration,
        latency: latency[..used_buckets].to_vec(),
    })
}
