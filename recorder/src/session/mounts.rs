//! Reads the mounts of this machine while it records.

use std::time::Duration;

use crate::containers::mounts::host_mounts;
use crate::records::note::Note;

/// The time between two readings, if no container starts.
const INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two readings, however many containers start. The list may have thousands of lines.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

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
    /// Reads the mounts soon: at a call of [`MountReader::note`].
    pub(super) fn set_due(&mut self) {
        self.is_due = true;
    }

    fn is_due(&self, now_ns: u64) -> bool {
        let interval = match self.is_due {
            true => LEAST_INTERVAL,
            false => INTERVAL,
        };
        now_ns.saturating_sub(self.read_ns) >= interval.as_nanos() as u64
    }

    /// Returns the mounts if they have changed, at the boot time `now_ns`. Mounts that cannot be read count as
    /// unchanged.
    pub(super) fn note(&mut self, now_ns: u64) -> Option<Note> {
        if !self.is_due(now_ns) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_containers_do_not_make_the_mounts_be_read_all_the_time() {
        let mut reader = MountReader::default();
        let second = 1_000_000_000;
        assert!(reader.note(second).is_some());
        let mut reads = 0;
        for now_ns in (second..2 * second).step_by(10_000_000) {
            reader.set_due();
            reads += u32::from(reader.is_due(now_ns));
            reader.note(now_ns);
        }
        assert_eq!(reads, 9);
        reader.note(2 * second);
        assert!(!reader.is_due(2 * second + second / 2));
        assert!(reader.is_due(3 * second));
    }
}
