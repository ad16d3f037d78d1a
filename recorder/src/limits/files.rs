//! Limits by size, by age or by both, as in `--rotate`, `--keep` and `--ring`.

use std::str::FromStr;
use std::time::Duration;

use ctrace_common::sizes::parse_bytes;

/// A limit by size, by age, or by both. With both, the first one that is reached applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SizeAndAge {
    pub(crate) bytes: Option<u64>,
    pub(crate) age: Option<Duration>,
}

impl FromStr for SizeAndAge {
    type Err = String;

    /// Parses limits separated by commas, as in `100MB,10m`.
    fn from_str(text: &str) -> Result<SizeAndAge, String> {
        let mut limits = SizeAndAge::default();
        for limit in text.split(',') {
            match (humantime::parse_duration(limit), parse_bytes(limit)) {
                (Ok(age), _) if !age.is_zero() => limits.age = Some(age),
                (_, Ok(bytes)) if bytes >= 1.0 => limits.bytes = Some(bytes as u64),
                _ => return Err("a size, a time, or both, such as 100MB,10m".to_string()),
            }
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_size_a_time_or_both() {
        let limits = |bytes, age: Option<u64>| {
            let age = age.map(Duration::from_secs);
            Ok(SizeAndAge { bytes, age })
        };
        assert_eq!("100MB".parse(), limits(Some(100_000_000), None));
        assert_eq!("10m".parse(), limits(None, Some(600)));
        assert_eq!(
            "7d,20GB".parse(),
            limits(Some(20_000_000_000), Some(604_800))
        );
        for wrong in ["", "0s", "10", "much", "1MB,"] {
            assert!(wrong.parse::<SizeAndAge>().is_err(), "{wrong}");
        }
    }
}
