//! Reads the counters of lost events.
//!
//! The kernel side counts every event that it drops in the map `losses`, for each container, class and reason, one
//! counter per CPU. Each reading returns the differences to the previous one.

use ctrace_schema::syscalls::Class;
use libbpf_rs::MapCore;
use rustc_hash::FxHashMap;

use crate::kernel::counts::{entries, is_removed};
use crate::records::loss::{Cause, Loss};
use crate::wire::types::loss;

/// The previous reading: by `struct loss_key`, the counter of each CPU that has lost events.
#[derive(Debug, Default)]
pub(super) struct LastLosses(FxHashMap<Vec<u8>, FxHashMap<u16, u64>>);

impl LastLosses {
    /// Returns the differences to the previous reading. Entries of removed containers (not `is_known`) are
    /// deleted from `map` once they no longer change: no process remains that could lose more events.
    pub(super) fn read(&mut self, map: &impl MapCore, is_known: impl Fn(u64) -> bool) -> Vec<Loss> {
        let mut losses = vec![];
        for (key, values) in entries(map) {
            let losses_before = losses.len();
            let last_by_cpu = self.0.entry(key.clone()).or_default();
            for (cpu, value) in (0..).zip(&values) {
                let now = value.first_chunk().map_or(0, |v| u64::from_ne_bytes(*v));
                if now > 0 {
                    let last = last_by_cpu.insert(cpu, now).unwrap_or(0);
                    let lost = now.checked_sub(last).filter(|lost| *lost > 0);
                    losses.extend(lost.and_then(|lost| parse_loss(&key, cpu, lost)));
                }
            }
            let has_changed = losses.len() > losses_before;
            if !has_changed && is_removed(&key, &is_known) && map.delete(&key).is_ok() {
                self.0.remove(&key);
            }
        }
        losses
    }
}

/// Combines a `struct loss_key` (cgroup, class, reason) and the number of events lost on `cpu`.
fn parse_loss(key: &[u8], cpu: u16, events: u64) -> Option<Loss> {
    let (cgroup, rest) = key.split_first_chunk::<8>()?;
    let [class, cause] = rest.as_chunks::<4>().0.first_chunk()?;
    let class = Class::ALL.get(u32::from_ne_bytes(*class) as usize).copied();
    let is_shed = u32::from_ne_bytes(*cause) == loss::LOSS_SHED.0;
    Some(Loss {
        cgroup: u64::from_ne_bytes(*cgroup),
        class: Some(class.unwrap_or(Class::Other)),
        cause: if is_shed { Cause::Shed } else { Cause::Ring },
        cpu: Some(cpu),
        events,
    })
}
