//! The kernel side's maps of cgroups, and the cgroups for which they have no slot.
//!
//! A cgroup without an entry belongs to whom the nearest cgroup above it belongs to, so only the cgroups of containers, and
//! those that are not decided yet, need slots. A cgroup without a slot is not lost: the kernel side sends the events of
//! all later cgroups without an entry (`no_slot_from` of `bpf/common.h`), and the recorder decides whose they are.

use libbpf_rs::{MapCore, MapFlags};

use crate::kernel::Kernel;
use crate::kernel::slots::{CgroupVerdict, Decision};
use crate::wire::types::{cgroup_key, cgroup_state, miss};

const KEY_V1: u64 = 1 << cgroup_key::CGROUP_KEY_V1_BIT.0;
/// The number of slots for containers whose cgroups were made by other users than root or by containers: a quarter of the
/// map `cgroups`.
const FOREIGN_CONTAINERS: usize = 4096;
/// The number of cgroups without a slot that are remembered.
const MAX_WITHOUT_SLOT: usize = 65_536;

impl Kernel {
    /// Applies a decision about a cgroup. Returns whether threads have to look up their container again.
    pub(crate) fn set_cgroup(&mut self, verdict: &CgroupVerdict) -> bool {
        let CgroupVerdict {
            cgroup,
            decision,
            is_foreign,
            lacks_slot,
        } = *verdict;
        // A cgroup that is not remembered is never counted: so `no_slot_from` stays below it.
        let has_room = self.slots.without.len() < MAX_WITHOUT_SLOT;
        self.slots.reported += u64::from(lacks_slot && has_room);
        match decision {
            Decision::Undecided { is_found } => {
                if is_found && !self.take_undecided(cgroup, is_foreign) {
                    self.slots.refused += 1;
                    self.add_without_slot(cgroup);
                } else if lacks_slot && has_room {
                    self.slots.without.insert(cgroup);
                }
                return is_found;
            }
            Decision::Removed => {
                self.slots.foreign_containers.remove(&cgroup);
                let _ = self.skel.maps.cgroups.delete(&cgroup.to_ne_bytes());
            }
            Decision::Inherited => {}
            Decision::HostBelow { below } => {
                self.take_decided(cgroup, below, cgroup_state::CGROUP_HOST);
            }
            Decision::Container { is_excluded } => {
                let state = match is_excluded {
                    true => cgroup_state::CGROUP_EXCLUDED,
                    false => cgroup_state::CGROUP_CONTAINER,
                };
                let slots = &self.slots.foreign_containers;
                let fits =
                    !is_foreign || slots.len() < FOREIGN_CONTAINERS || slots.contains(&cgroup);
                // Without a slot here it keeps the one that it has as an undecided cgroup, if any.
                if !fits || !self.take_decided(cgroup, cgroup, state) {
                    self.slots.refused += 1;
                    if !self.is_undecided(cgroup) {
                        self.add_without_slot(cgroup);
                    }
                    return true;
                }
                if is_foreign {
                    self.slots.foreign_containers.insert(cgroup);
                }
            }
        }
        let key = cgroup.to_ne_bytes();
        let _ = self.skel.maps.undecided.delete(&key);
        let _ = self.skel.maps.foreign.delete(&key);
        if self.slots.without.remove(&cgroup) || lacks_slot {
            self.raise_no_slot_from();
        }
        decision != Decision::Removed
    }

    fn take_decided(&self, cgroup: u64, owner: u64, state: cgroup_state) -> bool {
        // struct cgroup_info: owner, state, padding.
        let mut value = [0u8; 16];
        value[..8].copy_from_slice(&owner.to_ne_bytes());
        value[8..12].copy_from_slice(&state.0.to_ne_bytes());
        let map = &self.skel.maps.cgroups;
        map.update(&cgroup.to_ne_bytes(), &value, MapFlags::ANY)
            .is_ok()
    }

    fn take_undecided(&self, cgroup: u64, is_foreign: bool) -> bool {
        let maps = &self.skel.maps;
        let (key, any) = (cgroup.to_ne_bytes(), [0]);
        match is_foreign {
            true => maps.foreign.update(&key, &any, MapFlags::ANY).is_ok(),
            false => maps.undecided.update(&key, &any, MapFlags::ANY).is_ok(),
        }
    }

    fn is_undecided(&self, cgroup: u64) -> bool {
        let key = cgroup.to_ne_bytes();
        let maps = &self.skel.maps;
        has(&maps.undecided, &key) || has(&maps.foreign, &key)
    }

    /// Returns whether the kernel side may still know a cgroup.
    pub(super) fn is_cgroup_known(&self, cgroup: u64) -> bool {
        has(&self.skel.maps.cgroups, &cgroup.to_ne_bytes())
            || self.is_undecided(cgroup)
            || self.slots.without.contains(&cgroup)
    }

    fn add_without_slot(&mut self, cgroup: u64) {
        self.slots.without.insert(cgroup);
        let hierarchy = usize::from(cgroup & KEY_V1 != 0);
        if let Some(data) = &mut self.skel.maps.data_data {
            let from = &mut data.no_slot_from[hierarchy];
            *from = (*from).min(cgroup & !KEY_V1);
        }
    }

    /// Returns the number of cgroups for which there was no slot since the recording began.
    pub(crate) fn cgroups_without_slot(&self) -> u64 {
        self.missed(miss::MISS_CGROUP) + self.slots.refused
    }

    /// Gives free slots to undecided cgroups that have none.
    pub(crate) fn retry_cgroups(&mut self) {
        let mut given = false;
        while let Some(&cgroup) = self.slots.without.first()
            && self.take_undecided(cgroup, true)
        {
            self.slots.without.remove(&cgroup);
            given = true;
        }
        if given {
            self.raise_no_slot_from();
        }
    }

    /// Sets `no_slot_from` to the first undecided cgroups without a slot, if all of them are known.
    fn raise_no_slot_from(&mut self) {
        let first_v1 = self.slots.without.range(KEY_V1..).next();
        let first = self.slots.without.first().filter(|key| **key < KEY_V1);
        let from = [first, first_v1].map(|key| key.map_or(u64::MAX, |key| key & !KEY_V1));
        let before = match &self.skel.maps.data_data {
            Some(data) => data.no_slot_from,
            None => return,
        };
        // A cgroup may be made at the same time: what the kernel side has not reported yet stays without a slot.
        let is_complete =
            |kernel: &Kernel| kernel.missed(miss::MISS_CGROUP) == kernel.slots.reported;
        if is_complete(self) {
            self.set_no_slot_from(from);
            if !is_complete(self) {
                self.set_no_slot_from(before);
            }
        }
    }

    fn set_no_slot_from(&mut self, from: [u64; 2]) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.no_slot_from = from;
        }
    }
}

fn has(map: &impl MapCore, key: &[u8]) -> bool {
    !matches!(map.lookup(key, MapFlags::ANY), Ok(None))
}
