//! `--max-cpu`: while the recorder itself takes more CPU than it may, calls are given up, those first that tell least. The
//! kernel side counts each of them as lost; they are taken back when there is room.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use ctrace_schema::syscalls::Class;
use rustix::time::{ClockId, clock_gettime};

/// How much CPU the recorder may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuLimit {
    /// Of one CPU: 0.05 is 5 %.
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

/// The level at which all is given up that ever is.
const HIGHEST: u8 = 5;
/// From that level on no call is given up.
const NEVER: u8 = u8::MAX;

/// Calls without which nobody can tell what happened: who ran what, as whom, and talked to whom.
const KEPT: [&str; 22] = [
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

/// Up to which level a call is kept.
pub fn kept_to(name: &str, class: Class, moves_bytes: bool) -> u8 {
    match class {
        _ if KEPT.contains(&name) => NEVER,
        Class::Credential => NEVER,
        Class::Time | Class::Poll => 0,
        Class::Memory | Class::Signal | Class::Ipc => 1,
        Class::Process | Class::System | Class::Other => 2,
        Class::File | Class::Network if moves_bytes => 3,
        Class::File | Class::Network => 4,
    }
}

/// Seconds for which there has to be room before something is taken back; each time that this was too early, twice as many.
const PATIENCE: u32 = 4;
const MOST_PATIENCE: u32 = 64;
/// There is room below this part of the limit.
const ROOM: f64 = 0.6;

/// Watches how much CPU the recorder takes.
#[derive(Debug)]
pub struct CallShedder {
    limit: CpuLimit,
    level: u8,
    /// Seconds for which there has been room.
    roomy: u32,
    patience: u32,
    /// Seconds since something was taken back.
    taken_back: u32,
    looked: Instant,
    used: Duration,
}

impl CallShedder {
    /// Nothing is given up yet.
    pub fn new(limit: CpuLimit) -> CallShedder {
        CallShedder {
            limit,
            level: 0,
            roomy: 0,
            patience: PATIENCE,
            taken_back: MOST_PATIENCE,
            looked: Instant::now(),
            used: cpu_time(),
        }
    }

    /// The level from now on. To be called once a second.
    pub fn look(&mut self) -> u8 {
        let (now, used) = (Instant::now(), cpu_time());
        let share = (used - self.used).as_secs_f64() / (now - self.looked).as_secs_f64();
        (self.looked, self.used) = (now, used);
        self.step(share)
    }

    /// A second in which this share of a CPU was taken.
    fn step(&mut self, share: f64) -> u8 {
        self.taken_back = self.taken_back.saturating_add(1);
        let room = share < self.limit.share * ROOM;
        self.roomy = if room { self.roomy + 1 } else { 0 };
        if share > self.limit.share && self.level < HIGHEST {
            if self.taken_back <= self.patience {
                self.patience = MOST_PATIENCE.min(self.patience * 2);
            }
            self.level += 1;
        } else if self.level > 0 && self.roomy >= self.patience {
            self.level -= 1;
            (self.roomy, self.taken_back) = (0, 0);
        } else if self.level == 0 && self.roomy >= MOST_PATIENCE {
            self.patience = PATIENCE;
        }
        self.level
    }
}

/// CPU time of all threads of this process.
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
    fn more_and_more_is_given_up_and_taken_back_with_patience() {
        let mut shedder = CallShedder::new(CpuLimit { share: 0.05 });
        let levels: Vec<u8> = (0..7).map(|_| shedder.step(0.2)).collect();
        assert_eq!(levels, [1, 2, 3, 4, 5, 5, 5]);
        // Neither too much nor room: it stays.
        assert_eq!(shedder.step(0.04), 5);
        let levels: Vec<u8> = (0..8).map(|_| shedder.step(0.01)).collect();
        assert_eq!(levels, [5, 5, 5, 4, 4, 4, 4, 3]);
        // That was too early: the next time takes twice as long.
        assert_eq!(shedder.step(0.2), 4);
        let levels: Vec<u8> = (0..8).map(|_| shedder.step(0.01)).collect();
        assert_eq!(levels, [4, 4, 4, 4, 4, 4, 4, 3]);
    }

    #[test]
    fn what_tells_who_did_what_is_never_given_up() {
        assert_eq!(kept_to("execve", Class::Process, false), NEVER);
        assert_eq!(kept_to("connect", Class::Network, false), NEVER);
        assert!(kept_to("read", Class::File, true) < kept_to("openat", Class::File, false));
        assert!(kept_to("futex", Class::Ipc, false) < kept_to("read", Class::File, true));
        assert!(kept_to("openat", Class::File, false) < HIGHEST);
    }
}
