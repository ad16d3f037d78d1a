//! The CPUs of the machine, and the ring of each.
//!
//! Possible CPUs are those that may come online, such as CPUs that may be added to a virtual machine. Memory is divided
//! among the CPUs that are online. A CPU that comes online later shares the ring of another.

use anyhow::{Context, Result};

/// The file with the list of CPUs that are online, such as `0-3,8`.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// The rings of the possible CPUs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CpuRings {
    /// The index of the ring of each possible CPU.
    pub(super) ring_of: Vec<usize>,
    /// The number of rings.
    pub(super) rings: usize,
    /// The number of CPUs with a ring that is indexed by the CPU, if each CPU that is online has one.
    pub(super) own: usize,
}

impl CpuRings {
    /// Returns a ring for each CPU that is online.
    ///
    /// # Errors
    /// The number of possible CPUs cannot be read.
    pub(super) fn detect() -> Result<CpuRings> {
        let possible = libbpf_rs::num_possible_cpus().context("cannot count the CPUs")?;
        let online = std::fs::read_to_string(ONLINE).unwrap_or_default();
        Ok(CpuRings::new(possible, &parse_list(&online)))
    }

    /// Returns whether each CPU that may come online has a ring of its own.
    pub(super) fn all_have_own(&self) -> bool {
        self.own == self.ring_of.len()
    }

    /// Returns the number of rings among which the memory is divided: CPUs that come online later need one more.
    pub(super) fn most_rings(&self) -> usize {
        self.rings.max(self.own + usize::from(!self.all_have_own()))
    }

    /// Returns a ring for each CPU of `online`; without any, for each of the `possible` CPUs.
    fn new(possible: usize, online: &[usize]) -> CpuRings {
        let is_online = |cpu: &usize| online.contains(cpu);
        let rings = (0..possible).filter(is_online).count();
        if rings == 0 {
            return CpuRings {
                ring_of: (0..possible).collect(),
                rings: possible,
                own: possible,
            };
        }
        let mut own = 0..rings;
        let ring_of = (0..possible).map(|cpu| match is_online(&cpu) {
            true => own.next().unwrap_or(0),
            false => cpu % rings,
        });
        CpuRings {
            ring_of: ring_of.collect(),
            rings,
            own: online.iter().max().map_or(0, |last| last + 1).min(possible),
        }
    }
}

/// Parses a list of CPUs, such as `0-3,8`. Damaged parts are skipped.
fn parse_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let numbers = first.parse::<usize>().ok()?..=last.parse().ok()?;
        Some(numbers)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse_list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_list("0\n"), [0]);
        assert_eq!(parse_list("\n"), [0; 0]);
    }

    #[test]
    fn cpus_that_are_not_online_share_rings() {
        let rings = CpuRings::new(6, &[0, 2]);
        assert_eq!(rings.ring_of, [0, 1, 1, 1, 0, 1]);
        assert_eq!(rings.rings, 2);
        // CPU 1 has a ring of its own that is empty, and the last three share one.
        assert_eq!((rings.own, rings.most_rings()), (3, 4));
        assert_eq!(CpuRings::new(2, &[]), CpuRings::new(2, &[0, 1]));
        // A machine with 2 of 64 CPUs has rings as large as one with 2 CPUs.
        let online = CpuRings::new(64, &[0, 1]).rings;
        assert_eq!(online, 2);
    }
}
