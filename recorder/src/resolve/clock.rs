//! Converts the time of events, CLOCK_BOOTTIME, to the wall clock, which may be slewed and set during a recording.
//!
//! Both clocks are read every 10 ms. A time between two readings is interpolated.

/// Two readings of both clocks differ by up to this much without any adjustment.
const JITTER_NS: u64 = 1_000;

/// A larger difference between two readings means that the wall clock was set: slewing cannot cause it.
const STEP_NS: u64 = 1_000_000;

/// A reading of both clocks.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    boot_ns: u64,
    /// Wall clock minus boot time.
    offset_ns: i64,
}

/// The two latest readings. The events to convert lie between them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    previous: Reading,
    latest: Reading,
}

impl Clock {
    /// Adds a simultaneous reading of both clocks.
    pub(crate) fn read(&mut self, boot_ns: u64, wall_ns: i64) {
        let mut offset_ns = wall_ns.wrapping_sub(boot_ns as i64);
        let moved = offset_ns.abs_diff(self.latest.offset_ns);
        // Jitter is ignored: following it would reorder a thread's events.
        if moved <= JITTER_NS {
            offset_ns = self.latest.offset_ns;
        }
        let latest = Reading { boot_ns, offset_ns };
        // The instant at which the clock was set is unknown: events that are not converted yet get the new time.
        self.previous = if moved < STEP_NS { self.latest } else { latest };
        self.latest = latest;
    }

    /// Returns the boot time of the latest reading, ns.
    pub(crate) fn boot(&self) -> u64 {
        self.latest.boot_ns
    }

    /// Converts a boot time to the wall clock, ns since 1970 UTC. Slewing is assumed to be even between two readings.
    pub(super) fn wall(&self, boot_ns: u64) -> i64 {
        let Reading {
            boot_ns: since,
            offset_ns,
        } = self.previous;
        let span = self.latest.boot_ns.saturating_sub(since);
        let elapsed = boot_ns.saturating_sub(since).min(span);
        let moved = i128::from(self.latest.offset_ns) - i128::from(offset_ns);
        // The offset is usually unchanged, which saves a division per event.
        let correction = match moved {
            0 => 0,
            _ => moved * i128::from(elapsed) / i128::from(span.max(1)),
        };
        (boot_ns as i64)
            .wrapping_add(offset_ns)
            .wrapping_add(correction as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: u64 = 10_000_000;
    const EPOCH: i64 = 1_800_000_000_000_000_000;

    #[test]
    fn a_slewed_clock_is_accurate_to_the_microsecond() {
        // The kernel slews by 500 ppm at most (adjtimex(2)).
        let wall = |boot: u64| EPOCH + boot as i64 + (boot / 2000) as i64;
        let mut clock = Clock::default();
        let mut last = 0;
        for poll in 0..100_000 {
            let boot = 1 + poll * POLL;
            // Each reading has an error of up to 200 ns.
            clock.read(boot, wall(boot) + (poll % 5) as i64 * 100 - 200);
            for event in (0..10).map(|i| boot.saturating_sub(POLL - i * POLL / 10)) {
                let time = clock.wall(event);
                if poll > 0 {
                    let error = time.abs_diff(wall(event));
                    assert!(error <= 1_000, "{error} ns at {event}");
                    assert!(time >= last, "goes back at {event}");
                }
                last = time;
            }
        }
    }

    #[test]
    fn jitter_does_not_change_the_offset() {
        let mut clock = Clock::default();
        clock.read(1_000, EPOCH + 1_000);
        for poll in 1..1_000u64 {
            clock.read(
                1_000 + poll * POLL,
                EPOCH + 1_000 + (poll * POLL + poll % 900) as i64,
            );
            assert_eq!(clock.wall(poll * POLL), EPOCH + (poll * POLL) as i64);
        }
    }

    #[test]
    fn a_clock_that_is_set_is_accurate_before_and_after() {
        let hour = 3_600_000_000_000;
        for step in [hour, -hour, 5_000_000, -5_000_000] {
            let mut clock = Clock::default();
            clock.read(POLL, EPOCH + POLL as i64);
            clock.read(2 * POLL, EPOCH + 2 * POLL as i64);
            assert_eq!(clock.wall(2 * POLL - 1), EPOCH + 2 * POLL as i64 - 1);
            // The clock was set between this reading and the previous one.
            clock.read(3 * POLL, EPOCH + 3 * POLL as i64 + step);
            assert_eq!(clock.wall(3 * POLL - 1), EPOCH + 3 * POLL as i64 - 1 + step);
            clock.read(4 * POLL, EPOCH + 4 * POLL as i64 + step);
            assert_eq!(clock.wall(4 * POLL - 5), EPOCH + 4 * POLL as i64 - 5 + step);
        }
    }

    #[test]
    fn extreme_readings_do_not_panic() {
        let mut clock = Clock::default();
        for (boot, wall) in [
            (u64::MAX, i64::MIN),
            (0, i64::MAX),
            (u64::MAX, 0),
            (5, 5),
            (3, 4),
        ] {
            clock.read(boot, wall);
            for event in [0, 1, 4, u64::MAX] {
                clock.wall(event);
            }
        }
    }
}
