//! The values of a column before they are encoded: runs, for most columns are the same, or absent, over many rows.

/// A value, and over how many rows it is the same. Text is told by its index in the batch's strings, truth by 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    value: i64,
    /// Rows in the low bits; the highest says that there is no value.
    rows: u32,
}

const NULL: u32 = 1 << 31;

impl Run {
    /// A run of `rows` rows, of which a batch has far fewer than 2^31.
    pub(crate) fn new(value: Option<i64>, rows: usize) -> Run {
        let null = if value.is_none() { NULL } else { 0 };
        Run {
            value: value.unwrap_or(0),
            rows: rows as u32 | null,
        }
    }

    /// None: null.
    pub(crate) fn value(self) -> Option<i64> {
        (self.rows & NULL == 0).then_some(self.value)
    }

    /// How many rows it has.
    pub(crate) fn rows(self) -> usize {
        (self.rows & !NULL) as usize
    }
}

/// The values of a column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Neighbours differ.
    runs: Vec<Run>,
    rows: usize,
    nulls: usize,
}

impl Series {
    /// Adds rows that have the same value, or none.
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

    /// The runs.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many runs there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.runs.capacity()
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many rows have no value.
    pub(crate) fn nulls(&self) -> usize {
        self.nulls
    }

    /// The value of each row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<i64>> {
        let each = |run: &Run| std::iter::repeat_n(run.value(), run.rows());
        self.runs.iter().flat_map(each)
    }

    /// The runs of up to `rows` rows each time: those of a page.
    pub(crate) fn pages(&self, rows: usize) -> Pages<'_> {
        Pages {
            runs: &self.runs,
            taken: 0,
            rows,
        }
    }

    /// Has no rows any more, and keeps its memory for others.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        (self.rows, self.nulls) = (0, 0);
    }
}

/// A column, a page at a time.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    /// Those that are left.
    runs: &'a [Run],
    /// Rows of the first of them that are taken.
    taken: usize,
    rows: usize,
}

impl Pages<'_> {
    /// Makes `page` the runs of the next one; false: there is none.
    pub(crate) fn next(&mut self, page: &mut Vec<Run>) -> bool {
        page.clear();
        let mut left = self.rows;
        while left > 0
            && let Some(run) = self.runs.first()
        {
            let rows = (run.rows() - self.taken).min(left);
            page.push(Run::new(run.value(), rows));
            left -= rows;
            self.taken += rows;
            if self.taken == run.rows() {
                (self.runs, self.taken) = (&self.runs[1..], 0);
            }
        }
        !page.is_empty()
    }
}

/// The stretches over which none of `columns`, which have as many rows, changes: their values, and the rows.
pub(crate) fn stretches(columns: &[&[Run]], mut each: impl FnMut(&[Option<i64>], usize)) {
    let mut rest: Vec<_> = columns.iter().map(|runs| runs.iter()).collect();
    let mut left = vec![0; columns.len()];
    let mut values = vec![None; columns.len()];
    loop {
        let mut rows = usize::MAX;
        for i in 0..columns.len() {
            if left[i] == 0 {
                let Some(run) = rest[i].next() else {
                    return;
                };
                (values[i], left[i]) = (run.value(), run.rows());
            }
            rows = rows.min(left[i]);
        }
        if columns.is_empty() {
            return;
        }
        each(&values, rows);
        left.iter_mut().for_each(|left| *left -= rows);
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
    fn a_stretch_ends_where_a_column_changes() {
        let column = |values: &[i64]| -> Series { values.iter().copied().map(Some).collect() };
        let (a, b) = (column(&[1, 1, 1, 2, 2]), column(&[5, 6, 6, 6, 6]));
        let mut found = vec![];
        stretches(&[a.runs(), b.runs()], |values, rows| {
            found.push((values[0], values[1], rows));
        });
        let some = |a, b, rows| (Some(a), Some(b), rows);
        assert_eq!(found, [some(1, 5, 1), some(1, 6, 2), some(2, 6, 2)]);
        stretches(&[], |_, _| panic!("there are no columns"));
    }

    #[test]
    fn neighbours_are_one_run_and_pages_cut_it() {
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
