//! Calls that the kernel side counts: what has come since the last reading.

use libbpf_rs::{MapCore, MapFlags};
use rustc_hash::FxHashMap;

use crate::records::count::Count;
use crate::wire::types::limits;

const BUCKETS: usize = limits::COUNT_BUCKETS.0 as usize;

/// What was read last: the numbers of each `struct count`.
#[derive(Debug, Default)]
pub struct LastCounts(FxHashMap<Vec<u8>, [u64; 4 + BUCKETS]>);

impl LastCounts {
    /// The differences to the last time. What was counted of a container that is gone makes room, for nobody is left in
    /// it who could add to it: `cgroups` has those that are there.
    pub fn read(&mut self, map: &impl MapCore, cgroups: &impl MapCore) -> Vec<Count> {
        let mut found = vec![];
        for (key, values) in entries(map) {
            let now = sum(&values);
            let before = self.0.entry(key.clone()).or_insert([0; 4 + BUCKETS]);
            if *before != now {
                let pairs = now.iter().zip(&*before);
                let since: Vec<u64> = pairs
                    .map(|(now, before)| now.wrapping_sub(*before))
                    .collect();
                *before = now;
                found.extend(count(&key, &since));
            } else if is_gone(&key, cgroups) && map.delete(&key).is_ok() {
                self.0.remove(&key);
            }
        }
        found
    }
}

/// Each key of a map per CPU, with the values of all CPUs. It may be deleted meanwhile.
pub fn entries(map: &impl MapCore) -> impl Iterator<Item = (Vec<u8>, Vec<Vec<u8>>)> {
    let keys: Vec<Vec<u8>> = map.keys().collect();
    keys.into_iter().filter_map(|key| {
        let values = map.lookup_percpu(&key, MapFlags::ANY).ok()??;
        Some((key, values))
    })
}

/// Whether the container of a `struct count_key` or `struct loss_key` is gone. The host, 0, stays.
pub fn is_gone(key: &[u8], cgroups: &impl MapCore) -> bool {
    let Some(cgroup) = key.first_chunk::<8>().filter(|cgroup| **cgroup != [0; 8]) else {
        return false;
    };
    matches!(cgroups.lookup(cgroup, MapFlags::ANY), Ok(None))
}

/// The numbers of all CPUs together.
fn sum(values: &[Vec<u8>]) -> [u64; 4 + BUCKETS] {
    let mut sum = [0; 4 + BUCKETS];
    for value in values {
        for (total, bytes) in sum.iter_mut().zip(value.as_chunks::<8>().0) {
            *total += u64::from_ne_bytes(*bytes);
        }
    }
    sum
}

/// What a `struct count_key` and the numbers of a `struct count` say.
fn count(key: &[u8], numbers: &[u64]) -> Option<Count> {
    let (cgroup, rest) = key.split_first_chunk::<8>()?;
    let (comm, rest) = rest.split_first_chunk::<16>()?;
    let (nr, compat) = rest.split_first_chunk::<4>()?;
    let [calls, errors, bytes, duration, latency @ ..] = numbers else {
        return None;
    };
    let used = latency
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
        latency: latency[..used].to_vec(),
    })
}
