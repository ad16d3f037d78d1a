//! From the clock of events, CLOCK_BOOTTIME, to the wall clock, which may be slewed and set.

/// How far two readings of the same clocks differ though nothing has happened, ns.
const JITTER: u64 = 1_000;

/// What the wall clock cannot have gained or lost between two readings without having been set, ns.
const STEP: u64 = 1_000_000;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    boot: u64,
    /// Wall clock minus boot time, ns.
    offset: i64,
}

/// The two latest readings, which the events lie between that are converted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    before: Reading,
    latest: Reading,
}

impl Clock {
    /// Takes in what both clocks said at one instant, ns.
    pub fn read(&mut self, boot: u64, wall: i64) {
        let mut offset = wall.wrapping_sub(boot as i64);
        let moved = offset.abs_diff(self.latest.offset);
        // Jitter must not reorder a thread's events.
        if moved <= JITTER {
            offset = self.latest.offset;
        }
        let latest = Reading { boot, offset };
        // When the clock was set between the two nobody knows: what is not converted yet gets the new time.
        self.before = if moved < STEP { self.latest } else { latest };
        self.latest = latest;
    }

    /// Boot time of the latest reading, ns.
    pub fn boot(&self) -> u64 {
        self.latest.boot
    }

    /// Wall clock at boot time `boot`, ns since 1970 UTC. A clock that is slewed goes evenly between two readings.
    pub fn wall(&self, boot: u64) -> i64 {
        let Reading {
            boot: since,
            offset,
        } = self.before;
        let span = self.latest.boot.saturating_sub(since);
        let at = boot.saturating_sub(since).min(span);
        let moved = i128::from(self.latest.offset) - i128::from(offset);
        // Most of the time it has not: a division less for each event.
        let part = match moved {
            0 => 0,
            _ => moved * i128::from(at) / i128::from(span.max(1)),
        };
        (boot as i64).wrapping_add(offset).wrapping_add(part as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: u64 = 10_000_000;
    const EPOCH: i64 = 1_800_000_000_000_000_000;

    #[test]
    fn a_slewed_clock_is_right_to_the_microsecond() {
        // The kernel slews by 500 ppm at most (adjtimex(2)), a day long.
        let wall = |boot: u64| EPOCH + boot as i64 + (boot / 2000) as i64;
        let mut clock = Clock::default();
        let mut last = 0;
        for poll in 0..100_000 {
            let boot = 1 + poll * POLL;
            // Each reading is off by up to 200 ns.
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
    fn jitter_moves_nothing() {
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
    fn a_clock_that_is_set_is_right_before_and_after() {
        let hour = 3_600_000_000_000;
        for step in [hour, -hour, 5_000_000, -5_000_000] {
            let mut clock = Clock::default();
            clock.read(POLL, EPOCH + POLL as i64);
            clock.read(2 * POLL, EPOCH + 2 * POLL as i64);
            assert_eq!(clock.wall(2 * POLL - 1), EPOCH + 2 * POLL as i64 - 1);
            // Set between this reading and the last.
            clock.read(3 * POLL, EPOCH + 3 * POLL as i64 + step);
            assert_eq!(clock.wall(3 * POLL - 1), EPOCH + 3 * POLL as i64 - 1 + step);
            clock.read(4 * POLL, EPOCH + 4 * POLL as i64 + step);
            assert_eq!(clock.wall(4 * POLL - 5), EPOCH + 4 * POLL as i64 - 5 + step);
        }
    }

    #[test]
    fn no_reading_makes_it_panic() {
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
