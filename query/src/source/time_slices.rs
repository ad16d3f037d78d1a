//! Slices of time with about the same number of rows, so that a recording can be read in the order of time piece by piece.

use crate::source::file::OpenFile;
use crate::source::repeated::time_ranges;

/// The share of the first slice that becomes a slice of its own, so that the first rows are there soon.
const FIRST_SHARE: i64 = 16;

/// Divides the time from `from` to `to`, both included and ns since 1970 UTC, into slices of about `rows` rows of `files`.
/// Returns the first and the last ns of each, in the order of time.
///
/// Parts of a file, such as row groups, follow each other in time except for long calls: most rows of a part are between the
/// end of the part before and its own end.
pub(crate) fn time_slices(files: &[OpenFile], from: i64, to: i64, rows: u64) -> Vec<(i64, i64)> {
    let ranges = files.iter().flat_map(time_ranges);
    slices(ranges.collect(), from, to, rows)
}

fn slices(mut parts: Vec<(u64, (i64, i64))>, from: i64, to: i64, rows: u64) -> Vec<(i64, i64)> {
    parts.retain(|(_, (first, last))| *last >= from && *first <= to);
    parts.sort_unstable_by_key(|(_, (_, last))| *last);
    let mut slices = vec![];
    let (mut start, mut pending) = (from, 0);
    for (count, (_, last)) in parts {
        pending += count;
        if pending >= rows && last >= start {
            divide(&mut slices, start, last.min(to), pending.div_ceil(rows));
            start = last.saturating_add(1);
            pending = 0;
        }
        if last >= to {
            break;
        }
    }
    if start <= to && slices.last().is_none_or(|(_, last)| *last < to) {
        divide(&mut slices, start, to, pending.div_ceil(rows).max(1));
    }
    if let Some((first, last)) = slices.first_mut() {
        let length = last.saturating_sub(*first);
        if length >= FIRST_SHARE {
            let first_slice = (*first, *first + length / FIRST_SHARE);
            *first = first_slice.1 + 1;
            slices.insert(0, first_slice);
        }
    }
    slices
}

/// Adds `count` slices of equal length, which cover the time from `start` to `end`.
fn divide(slices: &mut Vec<(i64, i64)>, start: i64, end: i64, count: u64) {
    let length = (i128::from(end) - i128::from(start) + 1).max(1);
    let count = i128::from(count).clamp(1, length);
    // Both are between `start` and `end`.
    let at = |i: i128| (i128::from(start) + length * i / count) as i64;
    slices.extend((0..count).map(|i| match i + 1 == count {
        true => (at(i), end),
        false => (at(i), at(i + 1) - 1),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that slices cover the time without a hole and without an overlap.
    fn assert_covers(slices: &[(i64, i64)], from: i64, to: i64) {
        assert_eq!(slices.first().map(|s| s.0), Some(from), "{slices:?}");
        assert_eq!(slices.last().map(|s| s.1), Some(to), "{slices:?}");
        for pair in slices.windows(2) {
            assert_eq!(pair[0].1 + 1, pair[1].0, "{slices:?}");
        }
        assert!(slices.iter().all(|(a, b)| a <= b), "{slices:?}");
    }

    #[test]
    fn slices_cover_the_span() {
        // The second part has a call that began with the first.
        let parts = vec![
            (100, (0, 999)),
            (100, (10, 1999)),
            (50, (2000, 2100)),
            (50, (2100, 2999)),
        ];
        for (from, to) in [
            (0, 2999),
            (0, 0),
            (500, 600),
            (-100, 5000),
            (1999, 2000),
            (4000, 5000),
        ] {
            for rows in [1, 30, 100, 1000] {
                assert_covers(&slices(parts.clone(), from, to, rows), from, to);
            }
        }
        assert_eq!(slices(parts.clone(), 1000, 2999, 100).len(), 3);
    }

    #[test]
    fn a_file_without_statistics_is_one_slice() {
        let parts = vec![(10_000_000, (i64::MIN, i64::MAX))];
        let all = slices(parts, 0, 1_000_000, 1_000_000);
        assert_covers(&all, 0, 1_000_000);
        let empty = slices(vec![], i64::MIN, i64::MAX, 100);
        assert_covers(&empty, i64::MIN, i64::MAX);
    }
}
