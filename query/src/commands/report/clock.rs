//! The times on the page, without a date that all of them share: the header of the page contains the date.

use chrono::{DateTime, NaiveDate, Utc};
use ctrace_schema::human;

use crate::source::TimeSpan;

pub(crate) const SECOND_NS: i64 = 1_000_000_000;

/// The format of the times in a time window.
#[derive(Clone, Copy)]
pub(crate) struct PageClock {
    window: TimeSpan,
    /// The date of the whole window, if it is within one day.
    date: Option<NaiveDate>,
    /// True if times are shown in milliseconds, because the window is short.
    millis: bool,
}

impl PageClock {
    pub(crate) fn new(window: TimeSpan) -> PageClock {
        let (first, last) = (window.start.date_naive(), window.end.date_naive());
        PageClock {
            window,
            date: (first == last).then_some(first),
            millis: length_ns(window) <= 120 * SECOND_NS,
        }
    }

    fn time_of_day_format(self) -> &'static str {
        match self.millis {
            true => "%H:%M:%S%.3f",
            false => "%H:%M:%S",
        }
    }

    /// Formats a time in ns since 1970, such as `03:12:05`, with the date if it is not that of the window.
    pub(crate) fn time(self, ns: i64) -> String {
        let time = DateTime::from_timestamp_nanos(ns);
        let date = match self.date == Some(time.date_naive()) {
            true => "",
            false => "%Y-%m-%d ",
        };
        let time_of_day = self.time_of_day_format();
        time.format(&format!("{date}{time_of_day}")).to_string()
    }

    /// Formats a span, of which an end may be unknown.
    pub(crate) fn between(self, first: Option<i64>, last: Option<i64>) -> Option<String> {
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

    /// Formats the window, with its date and its length.
    pub(crate) fn window(self) -> String {
        if !self.window.is_known() {
            return "no events".to_string();
        }
        let TimeSpan { start, end } = self.window;
        let length = human::duration(length_ns(self.window));
        let time_of_day = self.time_of_day_format();
        let date = "%-d %B %Y";
        match self.date {
            Some(_) => format!(
                "{} to {} UTC ({length})",
                start.format(&format!("{date}, {time_of_day}")),
                end.format(time_of_day)
            ),
            None => format!(
                "{} to {} UTC ({length})",
                start.format(&format!("{date} {time_of_day}")),
                end.format(&format!("{date} {time_of_day}"))
            ),
        }
    }
}

fn length_ns(window: TimeSpan) -> i64 {
    ns(window.end).saturating_sub(ns(window.start))
}

/// Returns a time in ns since 1970.
pub(crate) fn ns(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(start: i64, end: i64) -> PageClock {
        PageClock::new(TimeSpan {
            start: DateTime::from_timestamp_nanos(start * SECOND_NS),
            end: DateTime::from_timestamp_nanos(end * SECOND_NS),
        })
    }

    #[test]
    fn a_date_other_than_that_of_the_window_is_shown() {
        let hour = clock(1_795_230_720, 1_795_234_320);
        assert_eq!(
            hour.window(),
            "21 November 2026, 03:12:00 to 04:12:00 UTC (1h 00m)"
        );
        let at = |seconds: i64| (1_795_230_720 + seconds) * SECOND_NS;
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
