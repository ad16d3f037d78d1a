//! `--max-cpu`: limits the CPU time of the recorder by load shedding.
//!
//! While the recorder exceeds its limit, the kernel side drops calls by level, the least informative classes first, and
//! counts each dropped call as lost. When the recorder is well below the limit again, the calls are recorded again.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use ctrace_schema::syscalls::Class;
use rustix::time::{ClockId, clock_gettime};

/// The CPU time that the recorder may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CpuLimit {
    /// The share of one CPU: 0.05 is 5 %.
    share: f64,
}

impl FromStr for CpuLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<CpuLimit, String> {
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        match number.parse::<f64>() {
            Ok(percent) if percent.is_finite() && percent >= 1.0 => Ok(CpuLimit {
                share: percent / 100.0,
            }),
            _ => Err("a share of one CPU of at least 1%, such as 5% or 150%".to_string()),
        }
    }
}

impl fmt::Display for CpuLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.share * 100.0)
    }
}

/// The highest shed level, at which all calls that can be dropped are dropped.
const MAX_SHED_LEVEL: u8 = 5;
/// The level of a call that is never dropped.
const NEVER_DROPPED: u8 = u8::MAX;

/// The calls that are never dropped because no other call can replace them: which program was executed, by which user,
/// and which peers it connected to.
const ESSENTIAL: [&str; 22] = [
    "execve",
    "execveat",
    "fork",
    "vfork",
    "clone",
    "clone3",
    "exit",
    "exit_group",
    "ptrace",
    "setns",
    "unshare",
    "pidfd_open",
    "connect",
    "accept",
    "accept4",
    "bind",
    "listen",
    "mount",
    "umount2",
    "kill",
    "tgkill",
    "pivot_root",
];

/// Returns the highest shed level at which a call is still recorded.
pub(crate) fn recorded_up_to(name: &str, class: Class, moves_bytes: bool) -> u8 {
    match class {
        _ if ESSENTIAL.contains(&name) => NEVER_DROPPED,
        Class::Credential => NEVER_DROPPED,
        Class::Time | Class::Poll => 0,
        Class::Memory | Class::Signal | Class::Ipc => 1,
        Class::Process | Class::System | Class::Other => 2,
        Class::File | Class::Network if moves_bytes => 3,
        Class::File | Class::Network => 4,
    }
}

/// The initial time below [`LOW_LOAD`] after which the level falls. The time doubles each time that the level has to
/// rise again soon after it fell.
const PATIENCE_SECONDS: u32 = 4;
const MAX_PATIENCE_SECONDS: u32 = 64;
/// The fraction of the limit below which the load counts as low.
const LOW_LOAD: f64 = 0.6;

/// Measures the CPU time of the recorder, and sets the shed level.
#[derive(Debug)]
pub(crate) struct CallShedder {
    limit: CpuLimit,
    level: u8,
    /// The seconds for which the load has been low.
    low_seconds: u32,
    patience_seconds: u32,
    /// The seconds since the level last fell.
    since_fall_seconds: u32,
    measured_at: Instant,
    cpu_time: Duration,
}

impl CallShedder {
    /// Creates a shedder with level 0, at which all calls are recorded.
    pub(crate) fn new(limit: CpuLimit) -> CallShedder {
        CallShedder {
            limit,
            level: 0,
            low_seconds: 0,
            patience_seconds: PATIENCE_SECONDS,
            since_fall_seconds: MAX_PATIENCE_SECONDS,
            measured_at: Instant::now(),
            cpu_time: cpu_time(),
        }
    }

    /// Measures the CPU time, and returns the new shed level. To be called once a second.
    pub(crate) fn update(&mut self) -> u8 {
        let (now, cpu_time) = (Instant::now(), cpu_time());
        let used = (cpu_time - self.cpu_time).as_secs_f64();
        let share = used / (now - self.measured_at).as_secs_f64();
        (self.measured_at, self.cpu_time) = (now, cpu_time);
        self.set_level(share)
    }

    /// Computes the level after a second in which the recorder used the given share of a CPU.
    fn set_level(&mut self, share: f64) -> u8 {
        self.since_fall_seconds = self.since_fall_seconds.saturating_add(1);
        let low = share < self.limit.share * LOW_LOAD;
        self.low_seconds = if low { self.low_seconds + 1 } else { 0 };
        if share > self.limit.share && self.level < MAX_SHED_LEVEL {
            if self.since_fall_seconds <= self.patience_seconds {
                self.patience_seconds = MAX_PATIENCE_SECONDS.min(self.patience_seconds * 2);
            }
            self.level += 1;
        } else if self.level > 0 && self.low_seconds >= self.patience_seconds {
            self.level -= 1;
            (self.low_seconds, self.since_fall_seconds) = (0, 0);
        } else if self.level == 0 && self.low_seconds >= MAX_PATIENCE_SECONDS {
            self.patience_seconds = PATIENCE_SECONDS;
        }
        self.level
    }
}

/// Returns the CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shares_of_a_cpu() {
        assert_eq!("5%".parse(), Ok(CpuLimit { share: 0.05 }));
        assert_eq!("150".parse(), Ok(CpuLimit { share: 1.5 }));
        for wrong in ["", "%", "0%", "-3", "nan", "inf", "5 percent"] {
            assert!(wrong.parse::<CpuLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_level_rises_at_once_and_falls_with_patience() {
        let mut shedder = CallShedder::new(CpuLimit { share: 0.05 });
        let levels: Vec<u8> = (0..7).map(|_| shedder.set_level(0.2)).collect();
        assert_eq!(levels, [1, 2, 3, 4, 5, 5, 5]);
        // The load is neither high nor low: the level does not change.
        assert_eq!(shedder.set_level(0.04), 5);
        let levels: Vec<u8> = (0..8).map(|_| shedder.set_level(0.01)).collect();
        assert_eq!(levels, [5, 5, 5, 4, 4, 4, 4, 3]);
        // The level fell too early: the next fall takes twice as long.
        assert_eq!(shedder.set_level(0.2), 4);
        let levels: Vec<u8> = (0..8).map(|_| shedder.set_level(0.01)).collect();
        assert_eq!(levels, [4, 4, 4, 4, 4, 4, 4, 3]);
    }

    #[test]
    fn essential_calls_are_never_dropped() {
        let level = recorded_up_to;
        assert_eq!(level("execve", Class::Process, false), NEVER_DROPPED);
        assert_eq!(level("connect", Class::Network, false), NEVER_DROPPED);
        assert!(level("read", Class::File, true) < level("openat", Class::File, false));
        assert!(level("futex", Class::Ipc, false) < level("read", Class::File, true));
        assert!(level("openat", Class::File, false) < MAX_SHED_LEVEL);
    }
}
