//! Run-length values of a column, before they are encoded: most columns are equal or null over many rows.

/// A value, and the number of adjacent rows that have this value. Text is an index into the batch's strings, a boolean
/// is 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    value: i64,
    /// Number of rows in the low 31 bits. The highest bit marks a run of nulls.
    rows: u32,
}

const NULL: u32 = 1 << 31;

impl Run {
    /// Creates a run of `rows` rows. A batch has far fewer than 2^31 rows.
    pub(crate) fn new(value: Option<i64>, rows: usize) -> Run {
        let null = if value.is_none() { NULL } else { 0 };
        Run {
            value: value.unwrap_or(0),
            rows: rows as u32 | null,
        }
    }

    /// Returns the value; `None` is null.
    pub(crate) fn value(self) -> Option<i64> {
        (self.rows & NULL == 0).then_some(self.value)
    }

    pub(crate) fn rows(self) -> usize {
        (self.rows & !NULL) as usize
    }
}

/// The values of a column, as runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Adjacent runs have different values.
    runs: Vec<Run>,
    rows: usize,
    nulls: usize,
}

impl Series {
    /// Appends `rows` rows of the same value, or nulls.
    pub(crate) fn push(&mut self, value: Option<i64>, rows: usize) {
        if rows == 0 {
            return;
        }
        self.rows += rows;
        if value.is_none() {
            self.nulls += rows;
        }
        if let Some(last) = self.runs.last_mut()
            && last.value() == value
        {
            last.rows += rows as u32;
        } else {
            self.runs.push(Run::new(value, rows));
        }
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns the number of runs that the allocated memory has space for.
    pub(crate) fn capacity(&self) -> usize {
        self.runs.capacity()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of rows that are null.
    pub(crate) fn nulls(&self) -> usize {
        self.nulls
    }

    /// Returns the value of each row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<i64>> {
        let each = |run: &Run| std::iter::repeat_n(run.value(), run.rows());
        self.runs.iter().flat_map(each)
    }

    /// Divides the column into pages of `rows` rows.
    pub(crate) fn pages(&self, rows: usize) -> Pages<'_> {
        Pages {
            runs: &self.runs,
            consumed: 0,
            rows,
        }
    }

    /// Removes all rows and keeps the allocated memory.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        (self.rows, self.nulls) = (0, 0);
    }
}

/// A cursor that reads a column page by page.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    /// Runs that have not been returned completely.
    runs: &'a [Run],
    /// Rows of the first run that have been returned.
    consumed: usize,
    rows: usize,
}

impl Pages<'_> {
    /// Sets `page` to the runs of the next page. Returns false after the last page.
    pub(crate) fn next(&mut self, page: &mut Vec<Run>) -> bool {
        page.clear();
        let mut missing = self.rows;
        while missing > 0
            && let Some(run) = self.runs.first()
        {
            let rows = (run.rows() - self.consumed).min(missing);
            page.push(Run::new(run.value(), rows));
            missing -= rows;
            self.consumed += rows;
            if self.consumed == run.rows() {
                (self.runs, self.consumed) = (&self.runs[1..], 0);
            }
        }
        !page.is_empty()
    }
}

/// Calls `each` for every range of rows over which none of `columns` changes, with the values and the number of rows.
/// All columns have the same number of rows.
pub(crate) fn for_each_common_run(columns: &[&[Run]], mut each: impl FnMut(&[Option<i64>], usize)) {
    let mut runs: Vec<_> = columns.iter().map(|runs| runs.iter()).collect();
    let mut remaining = vec![0; columns.len()];
    let mut values = vec![None; columns.len()];
    loop {
        let mut rows = usize::MAX;
        for i in 0..columns.len() {
            if remaining[i] == 0 {
                let Some(run) = runs[i].next() else {
                    return;
                };
                (values[i], remaining[i]) = (run.value(), run.rows());
            }
            rows = rows.min(remaining[i]);
        }
        if columns.is_empty() {
            return;
        }
        each(&values, rows);
        remaining
            .iter_mut()
            .for_each(|remaining| *remaining -= rows);
    }
}

impl FromIterator<Option<i64>> for Series {
    fn from_iter<I: IntoIterator<Item = Option<i64>>>(values: I) -> Series {
        let mut series = Series::default();
        values.into_iter().for_each(|value| series.push(value, 1));
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_run_ends_where_any_column_changes() {
        let column = |values: &[i64]| -> Series { values.iter().copied().map(Some).collect() };
        let (a, b) = (column(&[1, 1, 1, 2, 2]), column(&[5, 6, 6, 6, 6]));
        let mut found = vec![];
        for_each_common_run(&[a.runs(), b.runs()], |values, rows| {
            found.push((values[0], values[1], rows));
        });
        let run = |a, b, rows| (Some(a), Some(b), rows);
        assert_eq!(found, [run(1, 5, 1), run(1, 6, 2), run(2, 6, 2)]);
        for_each_common_run(&[], |_, _| panic!("there are no columns"));
    }

    #[test]
    fn equal_adjacent_values_are_one_run_and_pages_divide_runs() {
        let values = [Some(7), Some(7), None, None, Some(8), Some(7)];
        let series: Series = values.into_iter().collect();
        assert_eq!(series.runs().len(), 4);
        assert_eq!((series.rows(), series.nulls()), (6, 2));
        assert!(series.iter().eq(values));
        let (mut pages, mut page) = (series.pages(3), vec![]);
        for sizes in [&[2, 1][..], &[1, 1, 1]] {
            assert!(pages.next(&mut page));
            assert!(page.iter().map(|run| run.rows()).eq(sizes.iter().copied()));
        }
        assert!(!pages.next(&mut page));
    }
}
