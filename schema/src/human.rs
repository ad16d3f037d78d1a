//! Numbers as people read them.

/// A number with its thousands apart: `1,234,567`.
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

/// A number of bytes: `1.5 kB`, of 1,000 bytes each.
pub fn bytes(n: u64) -> String {
    match n {
        ..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.2} GB", n as f64 / 1e9),
        _ => format!("{:.2} TB", n as f64 / 1e12),
    }
}

/// A span of nanoseconds: `250ns`, `25µs`, `1.5ms`, `2.50s`, `3m 05s`, `1h 02m`, `4d 03h`.
pub fn duration(ns: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match ns {
        ..0 => format!("-{}", duration(ns.saturating_neg())),
        0..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{}µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{:.1}ms", ns as f64 / 1e6),
        1_000_000_000..60_000_000_000 => format!("{:.2}s", ns as f64 / 1e9),
        _ => match ns / 1_000_000_000 {
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
    }

    #[test]
    fn spans_are_readable() {
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
            (-25_000, "-25µs"),
            (i64::MIN, "-106751d 23h"),
        ] {
            assert_eq!(duration(ns), want);
        }
    }
}
