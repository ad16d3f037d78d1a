//! The progress line on stderr, and the summary at the end of the recording.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use ctrace_schema::human::{bytes, count};

use crate::progress::Progress;
use crate::report::warnings::warn;
use crate::sink::summary::Summary;

/// Time between two progress lines, on a terminal and elsewhere.
const TERMINAL_TIME: Duration = Duration::from_millis(500);
const OTHER_TIME: Duration = Duration::from_secs(10);

/// Prints the progress of a recording to stderr.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    target: String,
    quiet: bool,
    terminal: bool,
    began: Instant,
    /// Time of the last progress line, and the number of events then.
    shown: Instant,
    events: u64,
}

impl ProgressLine {
    pub(crate) fn new(quiet: bool, target: &str) -> ProgressLine {
        let now = Instant::now();
        ProgressLine {
            target: target.to_string(),
            quiet,
            terminal: stderr().is_terminal(),
            began: now,
            shown: now,
            events: 0,
        }
    }

    /// Prints that the recording has begun.
    pub(crate) fn begin(&mut self) {
        (self.began, self.shown) = (Instant::now(), Instant::now());
        if !self.quiet {
            say!("recording to {}", self.target);
        }
    }

    /// Prints the progress line, if it is due.
    pub(crate) fn show(&mut self, p: &Progress) {
        let time = if self.terminal {
            TERMINAL_TIME
        } else {
            OTHER_TIME
        };
        let since = self.shown.elapsed();
        if self.quiet || since < time {
            return;
        }
        self.shown = Instant::now();
        let rate = (p.events.saturating_sub(self.events)) as f64 / since.as_secs_f64();
        self.events = p.events;
        let size = match p.ring {
            Some(ring) => format!(", {} in {}", elapsed(ring.reach), bytes(ring.bytes)),
            None => p.bytes.map_or(String::new(), |b| format!(", {}", bytes(b))),
        };
        let full = p.spilled_bytes.map_or(String::new(), |waiting| {
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
        // If stderr is closed, there is no other place to report that.
        let _ = write!(stderr(), "{before}{line}{after}");
    }

    /// Prints a line. A warning is printed even with `--quiet`.
    pub(crate) fn print(&self, text: &str, is_warning: bool) {
        if self.quiet && !is_warning {
            return;
        }
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let prefix = if is_warning { "warning: " } else { "" };
        // If stderr is closed, there is no other place to report that.
        let _ = writeln!(stderr(), "{clear}{prefix}{text}");
    }

    /// Prints the summary.
    pub(crate) fn end(&self, summary: &Summary, bytes_written: Option<u64>) {
        if self.quiet {
            return;
        }
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
        let size = bytes_written
            .map(|b| format!(" ({})", bytes(b)))
            .unwrap_or_default();
        say!(
            "{} events in {} to {}{size}",
            count(summary.events),
            elapsed(self.began.elapsed()),
            self.target
        );
        if summary.events == 0 {
            say!(
                "no selected call was made: `ctrace-rec containers` lists the running containers, `--host` records other processes too"
            );
        }
        warn(summary);
    }
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
    fn long_times_have_hours() {
        assert_eq!(elapsed(Duration::from_secs(3_725)), "1:02:05");
    }
}
