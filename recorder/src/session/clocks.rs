//! The clocks of this machine.

use rustix::time::{ClockId, clock_gettime};

use crate::records::note::Note;

fn nanoseconds(clock: ClockId) -> i64 {
    let t = clock_gettime(clock);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// Returns CLOCK_BOOTTIME in ns.
pub(crate) fn boot_now() -> u64 {
    nanoseconds(ClockId::Boottime) as u64
}

/// Returns the time, in ns, that the machine has been suspended since its start: CLOCK_BOOTTIME minus CLOCK_MONOTONIC.
/// The difference is exact if it is zero.
pub(crate) fn suspended_ns() -> u64 {
    let before = nanoseconds(ClockId::Monotonic);
    let boot = nanoseconds(ClockId::Boottime);
    let after = nanoseconds(ClockId::Monotonic);
    match boot <= after {
        true => 0,
        false => (boot - before - (after - before) / 2).max(0) as u64,
    }
}

/// Reads boot time and wall clock at the same instant. Of three attempts the one with the shortest interval is used,
/// because the thread may be preempted between the readings.
pub(crate) fn read_clocks() -> Note {
    let read = |_| {
        let (before, wall_ns, after) = (boot_now(), nanoseconds(ClockId::Realtime), boot_now());
        (after - before, before + (after - before) / 2, wall_ns)
    };
    let (_, boot_ns, wall_ns) = (0..3).map(read).min().unwrap_or_default();
    Note::Clock { boot_ns, wall_ns }
}
