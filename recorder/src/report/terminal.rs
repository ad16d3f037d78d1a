//! The one line on stderr that says how the recording goes, and the summary at its end.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use ctrace_schema::human::{bytes, count};

use crate::progress::Progress;
use crate::report::warnings::warn;
use crate::sink::summary::Summary;

const ON_TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Shows progress.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    target: String,
    quiet: bool,
    terminal: bool,
    began: Instant,
    shown: Instant,
    events: u64,
}

impl ProgressLine {
    /// Of a recording to `target`.
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

    /// Says that recording has begun.
    pub(crate) fn begin(&mut self) {
        (self.began, self.shown) = (Instant::now(), Instant::now());
        if !self.quiet {
            eprintln!("recording to {}", self.target);
        }
    }

    /// Shows the line, if it is time to.
    pub(crate) fn show(&mut self, p: &Progress) {
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
        // Nobody to tell that stderr is closed.
        let _ = write!(stderr(), "{before}{line}{after}");
    }

    /// Says something; `error`: that nobody may silence.
    pub(crate) fn print(&self, text: &str, error: bool) {
        if self.quiet && !error {
            return;
        }
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let warning = if error { "warning: " } else { "" };
        // Nobody to tell that stderr is closed.
        let _ = writeln!(stderr(), "{clear}{warning}{text}");
    }

    /// Shows the summary.
    pub(crate) fn end(&self, summary: &Summary, bytes_written: Option<u64>) {
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
