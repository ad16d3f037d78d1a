//! A set of row numbers.

/// A set of row numbers, as ranges, because rows that are left out mostly follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowSet {
    /// Starts (included) and ends (excluded), ascending and not adjacent.
    ranges: Vec<(u64, u64)>,
}

impl RowSet {
    /// Creates the set of some rows, in any order.
    pub(crate) fn new(mut rows: Vec<u64>) -> RowSet {
        rows.sort_unstable();
        let mut set = RowSet::default();
        for row in rows {
            match set.ranges.last_mut() {
                Some((_, end)) if *end > row => {}
                Some((_, end)) if *end == row => *end += 1,
                _ => set.ranges.push((row, row + 1)),
            }
        }
        set
    }

    /// Creates the set of the first `count` rows.
    pub(crate) fn all(count: u64) -> RowSet {
        RowSet {
            ranges: vec![(0, count)],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the ranges: start included, end excluded.
    pub(crate) fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    pub(crate) fn contains(&self, row: u64) -> bool {
        let after = self.ranges.partition_point(|(start, _)| *start <= row);
        after > 0 && self.ranges[after - 1].1 > row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_ranges() {
        let set = RowSet::new(vec![7, 3, 4, 3, 9, 8]);
        assert_eq!(set.ranges(), [(3, 5), (7, 10)]);
        let contained = (0..12).filter(|row| set.contains(*row));
        assert_eq!(contained.collect::<Vec<_>>(), [3, 4, 7, 8, 9]);
        assert!(RowSet::new(vec![]).is_empty() && !set.is_empty());
    }
}
