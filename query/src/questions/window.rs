//! `--since` and `--until`: a time as a person on call writes it.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// First and last instant of the recordings.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl Span {
    /// Where no time is relative to the recording.
    pub const NONE: Span = Span {
        start: DateTime::UNIX_EPOCH,
        end: DateTime::UNIX_EPOCH,
    };
}

/// Which end of the window a time stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Since,
    Until,
}

/// A time as given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// One instant.
    Instant(DateTime<Utc>),
    /// A time of day, of the day of the recording.
    OfDay(NaiveTime),
    /// So long before the end of the recording.
    BeforeEnd(std::time::Duration),
}

/// Reads a time: RFC 3339, `YYYY-MM-DD`, `YYYY-MM-DD HH:MM[:SS]` and `HH:MM[:SS]` in UTC, or a span such as `10m`.
///
/// # Errors
/// A sentence that lists what is understood.
pub fn parse(text: &str) -> Result<Given, String> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(Given::Instant(time.to_utc()));
    }
    for format in [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Ok(Given::Instant(time.and_utc()));
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(Given::Instant(day.and_time(NaiveTime::MIN).and_utc()));
    }
    for format in ["%H:%M:%S%.f", "%H:%M"] {
        if let Ok(time) = NaiveTime::parse_from_str(text, format) {
            return Ok(Given::OfDay(time));
        }
    }
    let span = text.strip_prefix('-').unwrap_or(text);
    humantime::parse_duration(span).map(Given::BeforeEnd).map_err(|_| {
        format!(
            "cannot read `{text}` as a time: write 2026-11-21T03:12:05Z, \"2026-11-21 03:12\", 03:12 (of the \
             recording's day, UTC), or 10m (before its end)"
        )
    })
}

/// The instant that a time stands for in a recording.
pub fn resolve(given: Given, bound: Bound, span: Span) -> DateTime<Utc> {
    match given {
        Given::Instant(time) => time,
        Given::BeforeEnd(before) => chrono::Duration::from_std(before)
            .ok()
            .and_then(|before| span.end.checked_sub_signed(before))
            .unwrap_or(DateTime::<Utc>::MIN_UTC),
        Given::OfDay(time) => of_day(time, bound, span),
    }
}

/// A recording of one day: that day. Of several: the last such time within it, else the one next to it on the side that
/// leaves the most.
fn of_day(time: NaiveTime, bound: Bound, span: Span) -> DateTime<Utc> {
    let on = |day: NaiveDate| day.and_time(time).and_utc();
    let (first, last) = (span.start.date_naive(), span.end.date_naive());
    if first == last {
        return on(first);
    }
    if on(last) <= span.end {
        return on(last);
    }
    let eve = on(last.checked_sub_days(Days::new(1)).unwrap_or(first));
    if eve >= span.start || bound == Bound::Since {
        eve
    } else {
        on(last)
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn at(text: &str, bound: Bound, start: &str, end: &str) -> String {
        let span = Span {
            start: utc(start),
            end: utc(end),
        };
        resolve(parse(text).unwrap(), bound, span).to_rfc3339()
    }

    #[test]
    fn every_spelling_is_read() {
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
            assert_eq!(at(text, Bound::Since, start, end), want, "{text}");
        }
        assert!(parse("yesterday").unwrap_err().contains("03:12"));
        assert!(parse("-").is_err());
    }

    #[test]
    fn a_time_of_day_over_midnight() {
        let (start, end) = ("2026-11-20T23:50:00Z", "2026-11-21T00:10:00Z");
        let since = |t| at(t, Bound::Since, start, end);
        let until = |t| at(t, Bound::Until, start, end);
        assert_eq!(since("23:55"), "2026-11-20T23:55:00+00:00");
        assert_eq!(until("00:05"), "2026-11-21T00:05:00+00:00");
        // Neither is within the recording: nothing is cut off.
        assert_eq!(since("20:00"), "2026-11-20T20:00:00+00:00");
        assert_eq!(until("03:00"), "2026-11-21T03:00:00+00:00");
    }
}
