//! The rhythm of a replay: the instant at which each event is due.

use std::time::Duration;

use crate::cli::Speed;

/// The instants at which events are due, which come in the order of time.
#[derive(Debug)]
pub(crate) struct Pace {
    speed: Speed,
    /// The longest pause; `None`: pauses are as long as they were.
    idle: Option<Duration>,
    /// The time of the last event, ns since 1970 UTC.
    last: Option<i64>,
    /// The time from the start of the replay to the last event.
    reached: Duration,
}

/// The instant at which an event is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The time from the start of the replay.
    pub(crate) at: Duration,
    /// The pause before the event in the recording, if it was shortened.
    pub(crate) shortened: Option<Duration>,
}

impl Pace {
    pub(crate) fn new(speed: Speed, idle: Option<Duration>) -> Pace {
        Pace {
            speed,
            idle,
            last: None,
            reached: Duration::ZERO,
        }
    }

    /// Returns when the next event is due, which began at `time`, ns since 1970 UTC. The first one is due at once.
    pub(crate) fn due(&mut self, time: i64) -> Due {
        let last = self.last.replace(time).unwrap_or(time);
        let passed = u64::try_from(time.saturating_sub(last)).unwrap_or(0);
        let passed = Duration::from_nanos(passed);
        let Speed::Times(speed) = self.speed else {
            return Due {
                at: Duration::ZERO,
                shortened: None,
            };
        };
        // A pause that is too long for a `Duration` never ends.
        let pause = Duration::try_from_secs_f64(passed.as_secs_f64() / speed);
        let pause = pause.unwrap_or(Duration::MAX);
        let longest = self.idle.unwrap_or(Duration::MAX);
        self.reached = self.reached.saturating_add(pause.min(longest));
        Due {
            at: self.reached,
            shortened: (pause > longest).then_some(passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Returns the instants, in ms, at which events at `seconds` are due, and the pauses that were shortened.
    fn due(speed: Speed, idle: Option<u64>, seconds: &[i64]) -> Vec<(u128, Option<u64>)> {
        let mut pace = Pace::new(speed, idle.map(Duration::from_secs));
        let due = seconds.iter().map(|s| pace.due(s * SECOND));
        due.map(|due| (due.at.as_millis(), due.shortened.map(|d| d.as_secs())))
            .collect()
    }

    #[test]
    fn events_are_due_in_the_rhythm_of_the_recording() {
        let plain = |instants: &[u128]| instants.iter().map(|at| (*at, None)).collect::<Vec<_>>();
        let times = [100, 100, 101, 111];
        assert_eq!(
            due(Speed::Times(1.0), None, &times),
            plain(&[0, 0, 1000, 11_000])
        );
        assert_eq!(
            due(Speed::Times(2.0), None, &times),
            plain(&[0, 0, 500, 5500])
        );
        assert_eq!(
            due(Speed::Times(0.5), None, &times),
            plain(&[0, 0, 2000, 22_000])
        );
        assert_eq!(due(Speed::Max, Some(1), &times), plain(&[0, 0, 0, 0]));
        // An event that is not in order is due at once.
        assert_eq!(
            due(Speed::Times(1.0), None, &[5, 4, 6]),
            plain(&[0, 0, 2000])
        );
    }

    #[test]
    fn long_pauses_are_shortened() {
        let times = [100, 101, 111, 112];
        let wanted = [(0, None), (1000, None), (3000, Some(10)), (4000, None)];
        assert_eq!(due(Speed::Times(1.0), Some(2), &times), wanted);
        // The pause counts as it is played.
        assert_eq!(
            due(Speed::Times(10.0), Some(2), &times).last(),
            Some(&(1200, None))
        );
        let beyond = [i64::MIN / SECOND, i64::MAX / SECOND];
        assert_eq!(due(Speed::Times(1.0), Some(2), &beyond)[1].0, 2000);
    }
}
