//! Times on the page: the day that all have in common is said once, at its head.

use chrono::{DateTime, NaiveDate, Utc};
use ctrace_schema::human;

use crate::questions::window::Span;

const SECOND: i64 = 1_000_000_000;

/// How times of a window are written.
#[derive(Clone, Copy)]
pub struct Clock {
    window: Span,
    /// The day of the whole window, if it is one.
    day: Option<NaiveDate>,
    /// Whether seconds alone would not tell them apart.
    millis: bool,
}

impl Clock {
    /// That of a window.
    pub fn of(window: Span) -> Clock {
        let (first, last) = (window.start.date_naive(), window.end.date_naive());
        Clock {
            window,
            day: (first == last).then_some(first),
            millis: length(window) <= 120 * SECOND,
        }
    }

    /// The format of a time of the day.
    fn second(self) -> &'static str {
        match self.millis {
            true => "%H:%M:%S%.3f",
            false => "%H:%M:%S",
        }
    }

    /// A time in ns since 1970: `03:12:05`, with its day if that is another.
    pub fn time(self, ns: i64) -> String {
        let time = DateTime::from_timestamp_nanos(ns);
        let day = match self.day == Some(time.date_naive()) {
            true => "",
            false => "%Y-%m-%d ",
        };
        let second = self.second();
        time.format(&format!("{day}{second}")).to_string()
    }

    /// From when to when; either may not be known.
    pub fn between(self, first: Option<i64>, last: Option<i64>) -> Option<String> {
        let (first, last) = (first.map(|t| self.time(t)), last.map(|t| self.time(t)));
        match (first, last) {
            (Some(first), Some(last)) if first == last => Some(first),
            (None, None) => None,
            (first, last) => Some(format!(
                "{}\u{2009}–\u{2009}{}",
                first.unwrap_or_default(),
                last.unwrap_or_default()
            )),
        }
    }

    /// The window in words, with its day.
    pub fn window(self) -> String {
        let Span { start, end } = self.window;
        let length = human::duration(length(self.window));
        let second = self.second();
        let day = "%-d %B %Y";
        match self.day {
            Some(_) => format!(
                "{} to {} UTC ({length})",
                start.format(&format!("{day}, {second}")),
                end.format(second)
            ),
            None => format!(
                "{} to {} UTC ({length})",
                start.format(&format!("{day} {second}")),
                end.format(&format!("{day} {second}"))
            ),
        }
    }
}

fn length(window: Span) -> i64 {
    ns(window.end).saturating_sub(ns(window.start))
}

/// A time as ns since 1970.
pub fn ns(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(start: i64, end: i64) -> Clock {
        Clock::of(Span {
            start: DateTime::from_timestamp_nanos(start * SECOND),
            end: DateTime::from_timestamp_nanos(end * SECOND),
        })
    }

    #[test]
    fn the_day_is_said_where_it_is_another() {
        let hour = clock(1_795_230_720, 1_795_234_320);
        assert_eq!(
            hour.window(),
            "21 November 2026, 03:12:00 to 04:12:00 UTC (1h 00m)"
        );
        let at = |seconds: i64| (1_795_230_720 + seconds) * SECOND;
        assert_eq!(hour.time(at(5)), "03:12:05");
        assert_eq!(hour.time(at(-86_400)), "2026-11-20 03:12:00");
        assert_eq!(
            hour.between(Some(at(5)), Some(at(6))).as_deref(),
            Some("03:12:05\u{2009}–\u{2009}03:12:06")
        );
        assert_eq!(
            hour.between(Some(at(5)), Some(at(5))).as_deref(),
            Some("03:12:05")
        );
        assert_eq!(hour.between(None, None), None);
        let days = clock(1_795_230_720, 1_795_330_720);
        assert_eq!(days.time(at(5)), "2026-11-21 03:12:05");
        let short = clock(1_795_230_720, 1_795_230_721);
        assert_eq!(short.time(at(0) + 1_500_000), "03:12:00.001");
    }
}
