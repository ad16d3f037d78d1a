//! The one line on stderr that says how the recording goes, and the summary at its end.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use ctrace_schema::human::{bytes, count};
use ctrace_schema::syscalls::Class;

use crate::kernel::Misses;
use crate::sink::Summary;

const ON_TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// How a recording goes.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Containers that are there.
    pub containers: usize,
    /// Events so far.
    pub events: u64,
    /// Events lost so far, by class.
    pub lost: BTreeMap<&'static str, u64>,
    /// Parts of events that could not be recorded so far.
    pub missed: Misses,
    /// Bytes of the output so far; None: it has no size.
    pub bytes: Option<u64>,
    /// How long events waited in the kernel at most, since this was told last.
    pub lag: Duration,
    /// Bytes that wait in memory because the disk is full; None: it is not.
    pub waiting: Option<u64>,
    /// What is in the ring, if there is one.
    pub ring: Option<Held>,
}

/// What a ring holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Bytes of memory.
    pub bytes: u64,
    /// From its oldest event to its newest.
    pub reach: Duration,
    /// How often it was written out.
    pub dumps: u64,
}

impl Progress {
    /// Events lost so far, of all classes.
    pub fn total_lost(&self) -> u64 {
        self.lost.values().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// Shows progress.
#[derive(Debug)]
pub struct Status {
    target: String,
    quiet: bool,
    terminal: bool,
    began: Instant,
    shown: Instant,
    events: u64,
}

impl Status {
    /// Of a recording to `target`.
    pub fn new(quiet: bool, target: &str) -> Status {
        let now = Instant::now();
        Status {
            target: target.to_string(),
            quiet,
            terminal: stderr().is_terminal(),
            began: now,
            shown: now,
            events: 0,
        }
    }

    /// Says that recording has begun.
    pub fn begin(&mut self) {
        (self.began, self.shown) = (Instant::now(), Instant::now());
        if !self.quiet {
            eprintln!("recording to {}", self.target);
        }
    }

    /// Shows the line, if it is time to.
    pub fn show(&mut self, p: &Progress) {
        let every = if self.terminal {
            ON_TERMINAL
        } else {
            ELSEWHERE
        };
        let since = self.shown.elapsed();
        if self.quiet || since < every {
            return;
        }
        self.shown = Instant::now();
        let rate = (p.events.saturating_sub(self.events)) as f64 / since.as_secs_f64();
        self.events = p.events;
        let size = match p.ring {
            Some(ring) => format!(", {} in {}", elapsed(ring.reach), bytes(ring.bytes)),
            None => p.bytes.map_or(String::new(), |b| format!(", {}", bytes(b))),
        };
        let full = p.waiting.map_or(String::new(), |waiting| {
            format!(", the disk is full: {} wait", bytes(waiting))
        });
        let line = format!(
            "{}  {} containers, {} events, {}/s, {} lost{size}{full}",
            elapsed(self.began.elapsed()),
            p.containers,
            count(p.events),
            count(rate as u64),
            count(p.total_lost()),
        );
        let (before, after) = if self.terminal {
            ("\r", "\x1b[K")
        } else {
            ("", "\n")
        };
        // Nobody to tell that stderr is closed.
        let _ = write!(stderr(), "{before}{line}{after}");
    }

    /// Says something; `error`: that nobody may silence.
    pub fn say(&self, text: &str, error: bool) {
        if self.quiet && !error {
            return;
        }
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let warning = if error { "warning: " } else { "" };
        // Nobody to tell that stderr is closed.
        let _ = writeln!(stderr(), "{clear}{warning}{text}");
    }

    /// Shows the summary.
    pub fn end(&self, summary: &Summary, bytes_written: Option<u64>) {
        if self.quiet {
            return;
        }
        if self.terminal {
            eprint!("\r\x1b[K");
        }
        let size = bytes_written
            .map(|b| format!(" ({})", bytes(b)))
            .unwrap_or_default();
        eprintln!(
            "{} events in {} to {}{size}",
            count(summary.events),
            elapsed(self.began.elapsed()),
            self.target
        );
        warn(summary);
    }
}

/// Names what is missing, if anything is.
pub fn warn(summary: &Summary) {
    let mut lost = summary.lost.clone();
    for (class, shed) in &summary.shed {
        let all = lost.entry(class).or_default();
        *all = all.saturating_sub(*shed);
    }
    if let Some(other) = lost.get_mut(Class::Other.as_str()) {
        *other = other.saturating_sub(summary.not_run);
    }
    for (class, unwritten) in &summary.unwritten {
        let all = lost.entry(class).or_default();
        *all = all.saturating_sub(*unwritten);
    }
    warn_of_lost(&lost, "because the recorder could not keep up");
    if summary.not_run > 0 {
        eprintln!(
            "warning: up to {} events were lost because the kernel did not run the programs that see them",
            count(summary.not_run)
        );
    }
    warn_of_lost(&summary.shed, "to keep within --max-cpu");
    warn_of_lost(&summary.unwritten, "because the disk was full");
    let missed = |what: &str| summary.missed.get(what).copied().unwrap_or(0);
    let (definitions, threads) = (missed("definitions"), missed("threads") + missed("cgroups"));
    if definitions > 0 {
        eprintln!(
            "warning: {} paths and addresses of recorded events were lost",
            count(definitions)
        );
    }
    if threads > 0 {
        eprintln!(
            "warning: {} threads or cgroups could not be watched for want of kernel memory",
            count(threads)
        );
    }
    if missed("programs") > 0 {
        eprintln!(
            "warning: {} times the kernel did not run a program: so many calls have no duration, or no result",
            count(missed("programs"))
        );
    }
    let faults = summary.faults;
    if faults.orphans + faults.broken > 0 {
        eprintln!(
            "warning: {} records could not be understood and {} calls have no process; please report this",
            count(faults.broken),
            count(faults.orphans)
        );
    }
}

fn warn_of_lost(lost: &BTreeMap<&'static str, u64>, why: &str) {
    let lost: Vec<_> = lost.iter().filter(|(_, n)| **n > 0).collect();
    if lost.is_empty() {
        return;
    }
    let total = lost
        .iter()
        .fold(0u64, |sum, (_, n)| sum.saturating_add(**n));
    let by_class: Vec<_> = lost
        .iter()
        .map(|(class, n)| format!("{class} {}", count(**n)))
        .collect();
    eprintln!(
        "warning: {} events were lost {why} ({}); the recording says when",
        count(total),
        by_class.join(", ")
    );
}

fn elapsed(time: Duration) -> String {
    let s = time.as_secs();
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(elapsed(Duration::from_secs(3_725)), "1:02:05");
    }
}
