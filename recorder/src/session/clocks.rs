//! The clocks of this machine.

use rustix::time::{ClockId, clock_gettime};

use crate::records::note::Note;

pub fn nanoseconds(clock: ClockId) -> i64 {
    let t = clock_gettime(clock);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

pub fn boot_now() -> u64 {
    nanoseconds(ClockId::Boottime) as u64
}

/// Boot time and wall clock at one instant: the tightest of three tries, for the machine may look away in between.
pub fn read_clocks() -> Note {
    let read = |_| {
        let (before, wall, after) = (boot_now(), nanoseconds(ClockId::Realtime), boot_now());
        (after - before, before + (after - before) / 2, wall)
    };
    let (_, boot, wall) = (0..3).map(read).min().unwrap_or_default();
    Note::Clock { boot, wall }
}
