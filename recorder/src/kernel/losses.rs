//! Events that the kernel side has counted as lost: what has come since the last reading, by the CPU on which it was.

use ctrace_schema::syscalls::Class;
use libbpf_rs::MapCore;
use rustc_hash::FxHashMap;

use crate::kernel::counts::{entries, is_gone};
use crate::records::loss::{Cause, Loss};
use crate::wire::types::loss;

/// What was read last, by `struct loss_key`: the number of each CPU on which something was lost.
#[derive(Debug, Default)]
pub struct LastLosses(FxHashMap<Vec<u8>, FxHashMap<u16, u64>>);

impl LastLosses {
    /// The differences to the last time. What was lost of a container that is gone makes room, for nobody is left in it who
    /// could lose more: `cgroups` has those that are there.
    pub fn read(&mut self, map: &impl MapCore, cgroups: &impl MapCore) -> Vec<Loss> {
        let mut found = vec![];
        for (key, values) in entries(map) {
            let before = found.len();
            let known = self.0.entry(key.clone()).or_default();
            for (cpu, value) in (0..).zip(&values) {
                let now = value.first_chunk().map_or(0, |v| u64::from_ne_bytes(*v));
                if now > 0 {
                    let last = known.insert(cpu, now).unwrap_or(0);
                    let lost = now.checked_sub(last).filter(|lost| *lost > 0);
                    found.extend(lost.and_then(|lost| loss_of(&key, cpu, lost)));
                }
            }
            let more = found.len() > before;
            if !more && is_gone(&key, cgroups) && map.delete(&key).is_ok() {
                self.0.remove(&key);
            }
        }
        found
    }
}

/// What a `struct loss_key` says: cgroup, class, why.
fn loss_of(key: &[u8], cpu: u16, events: u64) -> Option<Loss> {
    let (cgroup, rest) = key.split_first_chunk::<8>()?;
    let [class, why] = rest.as_chunks::<4>().0.first_chunk()?;
    let class = Class::ALL.get(u32::from_ne_bytes(*class) as usize).copied();
    let shed = u32::from_ne_bytes(*why) == loss::LOSS_SHED.0;
    Some(Loss {
        cgroup: u64::from_ne_bytes(*cgroup),
        class: Some(class.unwrap_or(Class::Other)),
        why: if shed { Cause::Shed } else { Cause::Ring },
        cpu: Some(cpu),
        events,
    })
}
