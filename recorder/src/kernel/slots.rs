//! Decisions about cgroups, and the slots of cgroups in the maps of the kernel side.

use std::collections::BTreeSet;

/// A decision about a cgroup, for the kernel side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CgroupVerdict {
    /// The key of the cgroup in the wire format.
    pub(crate) cgroup: u64,
    pub(crate) decision: Decision,
    /// True if the cgroup was made by another user than root, or by a container.
    pub(crate) is_foreign: bool,
    /// True if the kernel side had no slot for the cgroup when it was made.
    pub(crate) lacks_slot: bool,
}

/// The part of a [`CgroupVerdict`] that differs between cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Not decided yet. `is_found`: the cgroup existed before the recording, so that the kernel side does not know it.
    Undecided { is_found: bool },
    /// The cgroup belongs to whom the cgroup above it belongs to.
    Inherited,
    /// The host's, although it is below the cgroup of a container, whose key is `below`.
    HostBelow { below: u64 },
    /// A container's own cgroup.
    Container { is_excluded: bool },
    /// Removed.
    Removed,
}

/// The cgroups for which the kernel side has no slot, and the slots of foreign containers.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) foreign_containers: BTreeSet<u64>,
    /// The undecided cgroups without a slot.
    pub(super) without: BTreeSet<u64>,
    /// The cgroups that the kernel side has reported as without a slot, and that were remembered.
    pub(super) reported: u64,
    /// The cgroups for which the recorder itself found no slot.
    pub(super) refused: u64,
}
