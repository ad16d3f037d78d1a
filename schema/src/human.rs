//! Formats of numbers for people.

/// Formats a number with thousands separators: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number of bytes with decimal units: `1.5 kB` is 1,500 bytes.
pub fn bytes(n: u64) -> String {
    bytes_of(n as f64)
}

/// Formats any number of bytes, including negative ones and fractions, as [`bytes`] does.
pub fn bytes_of(n: f64) -> String {
    /// Units, and the number of digits after the decimal point.
    const UNITS: [(&str, usize); 6] = [
        ("B", 0),
        ("kB", 1),
        ("MB", 1),
        ("GB", 2),
        ("TB", 2),
        ("PB", 2),
    ];
    if n < 0.0 {
        return format!("-{}", bytes_of(-n));
    }
    let mut scaled = n;
    for (unit, digits) in UNITS {
        // The rounded number decides: 999,999 bytes are 1.0 MB, not 1000.0 kB.
        if scaled + 0.5 / 10_f64.powi(digits as i32) < 1e3 {
            return format!("{scaled:.digits$} {unit}");
        }
        scaled /= 1e3;
    }
    match scaled < 1e6 {
        true => format!("{scaled:.2} EB"),
        false => format!("{scaled:.2e} EB"),
    }
}

/// Formats a duration of `ns` nanoseconds: `250ns`, `25µs`, `1.5ms`, `2.50s`, `3m 05s`, `1h 02m`, `4d 03h`.
pub fn duration(ns: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    // The first durations that are rounded up to 1 s and 60 s.
    const SECOND_NS: i64 = 1_000_000_000 - 50_000;
    const MINUTE_NS: i64 = 60_000_000_000 - 5_000_000;
    match ns {
        ..0 => format!("-{}", duration(ns.saturating_neg())),
        0..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{}µs", ns / 1_000),
        1_000_000..SECOND_NS => format!("{:.1}ms", ns as f64 / 1e6),
        SECOND_NS..MINUTE_NS => format!("{:.2}s", ns as f64 / 1e9),
        _ => match (ns / 1_000_000_000).max(MINUTE) {
            s @ ..HOUR => format!("{}m {:02}s", s / MINUTE, s % MINUTE),
            s @ ..DAY => format!("{}h {:02}m", s / HOUR, s % HOUR / MINUTE),
            s => format!("{}d {:02}h", s / DAY, s % DAY / HOUR),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1_234), "1,234");
        assert_eq!(count(123_456_789), "123,456,789");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(3_000_000_000_000), "3.00 TB");
        assert_eq!(bytes(999_949), "999.9 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(u64::MAX), "18.45 EB");
        assert_eq!(bytes_of(-1_500.4), "-1.5 kB");
        assert_eq!(bytes_of(1e300), "1.00e282 EB");
    }

    #[test]
    fn durations_are_readable() {
        let second = 1_000_000_000;
        for (ns, want) in [
            (0, "0ns"),
            (999, "999ns"),
            (25_000, "25µs"),
            (1_500_000, "1.5ms"),
            (2 * second + 500_000_000, "2.50s"),
            (185 * second, "3m 05s"),
            (3_720 * second, "1h 02m"),
            (99 * 3_600 * second, "4d 03h"),
            (999_940_000, "999.9ms"),
            (second - 1, "1.00s"),
            (60 * second - 1, "1m 00s"),
            (60 * second, "1m 00s"),
            (-25_000, "-25µs"),
            (i64::MIN, "-106751d 23h"),
        ] {
            assert_eq!(duration(ns), want);
        }
    }
}
