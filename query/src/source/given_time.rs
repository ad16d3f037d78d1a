//! Times as people write them: in `--since` and `--until`, and as text that SQL compares with a time.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::source::span::TimeSpan;

/// The end of the time window that a time is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowEnd {
    Since,
    Until,
}

/// A time as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenTime {
    Instant(DateTime<Utc>),
    /// A time of the day of the recording.
    OfDay(NaiveTime),
    /// A time before the end of the recording.
    BeforeEnd(std::time::Duration),
}

/// Parses a time: RFC 3339, `YYYY-MM-DD`, `YYYY-MM-DD HH:MM[:SS]` and `HH:MM[:SS]` in UTC, or a duration such as `10m`.
///
/// # Errors
/// The text has none of these forms; the message lists them.
pub(crate) fn parse_time(text: &str) -> Result<GivenTime, String> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(GivenTime::Instant(time.to_utc()));
    }
    for format in [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Ok(GivenTime::Instant(time.and_utc()));
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(GivenTime::Instant(day.and_time(NaiveTime::MIN).and_utc()));
    }
    for format in ["%H:%M:%S%.f", "%H:%M"] {
        if let Ok(time) = NaiveTime::parse_from_str(text, format) {
            return Ok(GivenTime::OfDay(time));
        }
    }
    let duration = text.strip_prefix('-').unwrap_or(text);
    match parse_duration(duration) {
        Ok(duration) => Ok(GivenTime::BeforeEnd(duration)),
        Err(DurationError::Months) => Err(DurationError::Months.message(duration)),
        Err(DurationError::Unreadable) => Err(format!(
            "cannot read `{text}` as a time: write 2026-11-21T03:12:05Z, \"2026-11-21 03:12\", 03:12 (of the \
             recording's day, UTC), or 10m (before its end)"
        )),
    }
}

/// The reason for which a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DurationError {
    Unreadable,
    /// The unit is `M`, which means months, where minutes are `m`.
    Months,
}

impl DurationError {
    /// Returns the sentence for the user.
    pub(crate) fn message(self, text: &str) -> String {
        match self {
            DurationError::Unreadable => {
                format!("`{text}` is not a duration: write one such as 10m, 90s or 1h 30m")
            }
            DurationError::Months => format!(
                "`{text}` can be months or minutes: write {} for minutes, or {} for months",
                text.replace('M', "m"),
                text.replace('M', "months")
            ),
        }
    }
}

/// Parses a duration such as `10m` or `1h 30m`.
///
/// # Errors
/// The text is not a duration, or its unit is ambiguous.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, DurationError> {
    match humantime::parse_duration(text) {
        Ok(_) if text.contains('M') => Err(DurationError::Months),
        Ok(duration) => Ok(duration),
        Err(_) => Err(DurationError::Unreadable),
    }
}

/// Returns a time in nanoseconds since 1970 UTC. Times that 64 bits cannot express (before 1678, after 2262) become the
/// first or the last one that they can.
pub(crate) fn clamped_ns(time: DateTime<Utc>) -> i64 {
    let beyond = match time < DateTime::UNIX_EPOCH {
        true => i64::MIN,
        false => i64::MAX,
    };
    time.timestamp_nanos_opt().unwrap_or(beyond)
}

/// Returns the instant of a time in a recording of `span`.
pub(crate) fn resolve_time(time: GivenTime, end: WindowEnd, span: TimeSpan) -> DateTime<Utc> {
    match time {
        GivenTime::Instant(time) => time,
        GivenTime::BeforeEnd(before) => chrono::Duration::from_std(before)
            .ok()
            .and_then(|before| span.end.checked_sub_signed(before))
            .unwrap_or(DateTime::<Utc>::MIN_UTC),
        GivenTime::OfDay(time) => on_day(time, end, span),
    }
}

/// Chooses the day of a time of day: in a recording of one day, that day. In a recording of several days, the day of
/// the last such time within the recording, or if there is none, of the nearest one that makes the window larger.
fn on_day(time: NaiveTime, end: WindowEnd, span: TimeSpan) -> DateTime<Utc> {
    let on = |day: NaiveDate| day.and_time(time).and_utc();
    let (first, last) = (span.start.date_naive(), span.end.date_naive());
    if first == last {
        return on(first);
    }
    if on(last) <= span.end {
        return on(last);
    }
    let eve = on(last.checked_sub_days(Days::new(1)).unwrap_or(first));
    if eve >= span.start || end == WindowEnd::Since {
        eve
    } else {
        on(last)
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn at(text: &str, window_end: WindowEnd, start: &str, end: &str) -> String {
        let span = TimeSpan {
            start: utc(start),
            end: utc(end),
        };
        resolve_time(parse_time(text).unwrap(), window_end, span).to_rfc3339()
    }

    #[test]
    fn every_form_is_parsed() {
        let (start, end) = ("2026-11-21T03:00:00Z", "2026-11-21T04:00:00Z");
        for (text, want) in [
            ("2026-11-21T03:12:05Z", "2026-11-21T03:12:05+00:00"),
            ("2026-11-21T04:12:05+01:00", "2026-11-21T03:12:05+00:00"),
            ("2026-11-21 03:12", "2026-11-21T03:12:00+00:00"),
            ("2026-11-21 03:12:05.5", "2026-11-21T03:12:05.500+00:00"),
            ("2026-11-21", "2026-11-21T00:00:00+00:00"),
            ("03:12", "2026-11-21T03:12:00+00:00"),
            ("23:12:07", "2026-11-21T23:12:07+00:00"),
            ("10m", "2026-11-21T03:50:00+00:00"),
            ("-1h 30m", "2026-11-21T02:30:00+00:00"),
        ] {
            assert_eq!(at(text, WindowEnd::Since, start, end), want, "{text}");
        }
        assert!(parse_time("yesterday").unwrap_err().contains("03:12"));
        assert!(parse_time("-").is_err());
    }

    #[test]
    fn months_are_not_taken_for_minutes() {
        assert_eq!(
            parse_time("10M"),
            Err(
                "`10M` can be months or minutes: write 10m for minutes, or 10months for months"
                    .into()
            )
        );
        assert!(parse_time("10months").is_ok() && parse_time("10m").is_ok());
    }

    #[test]
    fn times_beyond_64_bits_become_the_first_and_the_last_time() {
        let ns = |text: &str| match parse_time(text) {
            Ok(GivenTime::Instant(time)) => clamped_ns(time),
            other => panic!("{other:?}"),
        };
        assert_eq!(ns("9999-12-31"), i64::MAX);
        assert_eq!(ns("1600-01-01"), i64::MIN);
        assert_eq!(ns("1970-01-01 00:00:01"), 1_000_000_000);
    }

    #[test]
    fn times_of_day_in_a_recording_over_midnight() {
        let (start, end) = ("2026-11-20T23:50:00Z", "2026-11-21T00:10:00Z");
        let since = |t| at(t, WindowEnd::Since, start, end);
        let until = |t| at(t, WindowEnd::Until, start, end);
        assert_eq!(since("23:55"), "2026-11-20T23:55:00+00:00");
        assert_eq!(until("00:05"), "2026-11-21T00:05:00+00:00");
        // Neither time is within the recording: the window includes all of it.
        assert_eq!(since("20:00"), "2026-11-20T20:00:00+00:00");
        assert_eq!(until("03:00"), "2026-11-21T03:00:00+00:00");
    }
}
