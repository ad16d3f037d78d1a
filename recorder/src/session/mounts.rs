//! Reads the mounts of this machine while it records.

use std::time::Duration;

use crate::containers::mounts::host_mounts;
use crate::records::note::Note;

/// The time between two readings, if no container starts.
const INTERVAL: Duration = Duration::from_secs(1);

/// The mounts of the machine's first process, as they were read last.
#[derive(Debug, Default)]
pub(super) struct MountReader {
    /// The text of `/proc/1/mountinfo`.
    mountinfo: Vec<u8>,
    /// The boot time of the last reading, ns.
    read_ns: u64,
    /// True if a container has appeared since the last reading: its volumes may have been mounted for it.
    is_due: bool,
}

impl MountReader {
    /// Reads the mounts at the next call of [`MountReader::note`].
    pub(super) fn set_due(&mut self) {
        self.is_due = true;
    }

    /// Returns the mounts if they have changed, at the boot time `now_ns`. Mounts that cannot be read count as
    /// unchanged.
    pub(super) fn note(&mut self, now_ns: u64) -> Option<Note> {
        if !self.is_due && now_ns.saturating_sub(self.read_ns) < INTERVAL.as_nanos() as u64 {
            return None;
        }
        self.is_due = false;
        self.read_ns = now_ns;
        let mountinfo = std::fs::read("/proc/1/mountinfo").ok()?;
        if mountinfo == self.mountinfo {
            return None;
        }
        let mounts = host_mounts(&mountinfo);
        self.mountinfo = mountinfo;
        Some(Note::Mounts { mounts })
    }
}
