//! Memory for the columns of a batch, reused from one batch to the next.
//!
//! A fresh page costs the kernel more time than filling the page costs the recorder: when each column and batch had
//! memory of its own, page faults were half of the recorder's CPU time.

use std::cell::RefCell;

use crate::rows::batch::{Batch, ContainerName, Row};
use crate::rows::order;
use crate::rows::runs::Series;

/// Reusable memory for sorting a batch and computing its columns.
#[derive(Debug, Default)]
pub(crate) struct ColumnBuffers {
    /// Index in the batch of each recorded row, in the order of the file.
    pub(crate) order: Vec<u32>,
    /// Group of each row, while the rows are sorted.
    groups: Vec<u32>,
    /// True if each position already contains its final row, while the rows are permuted.
    placed: Vec<bool>,
    args: Vec<u64>,
    /// Columns that are not in use.
    series: RefCell<Vec<Series>>,
}

impl ColumnBuffers {
    /// Returns an empty column for `rows` rows, reusing the smallest buffer that fits, so that large buffers stay
    /// available. If none fits, the largest one grows.
    pub(crate) fn take_buffer(&self, rows: usize) -> Series {
        let mut spare = self.series.borrow_mut();
        let fits = |series: &Series| match series.capacity() {
            capacity if capacity >= rows => (false, capacity),
            too_small => (true, usize::MAX - too_small),
        };
        let best = (0..spare.len()).min_by_key(|i| fits(&spare[*i]));
        best.map(|i| spare.swap_remove(i)).unwrap_or_default()
    }

    /// Returns the memory of a column for reuse.
    pub(crate) fn return_buffer(&self, mut series: Series) {
        series.clear();
        self.series.borrow_mut().push(series);
    }

    /// Computes the order of the rows of `batch`: see [`order::order`].
    pub(crate) fn order(&mut self, batch: &Batch, containers: &[ContainerName], cluster: bool) {
        let buffers = (&mut self.order, &mut self.groups);
        order::order(batch, containers, cluster, buffers);
    }

    /// Takes the rows of `batch` and puts them, and their arguments, into the order of the file: every column reads
    /// them in that order.
    pub(crate) fn arrange(&mut self, batch: &mut Batch) -> Vec<Row> {
        let mut rows = std::mem::take(&mut batch.rows);
        self.permute(&mut rows);
        let args = &mut self.args;
        args.clear();
        args.reserve(batch.args.len());
        for row in &mut rows {
            let from = row.args as usize;
            row.args = args.len() as u32;
            args.extend_from_slice(&batch.args[from..from + usize::from(row.arg_count)]);
        }
        std::mem::swap(&mut batch.args, args);
        rows
    }

    /// Permutes `rows` in place to `rows[order[0]]`, `rows[order[1]]`, ..., one cycle of the permutation at a time.
    /// Rows that are not in `order` are moved to the end and dropped.
    fn permute(&mut self, rows: &mut Vec<Row>) {
        let ColumnBuffers { order, placed, .. } = self;
        let recorded = order.len();
        placed.clear();
        placed.resize(rows.len(), false);
        if recorded < rows.len() {
            order.iter().for_each(|i| placed[*i as usize] = true);
            let dropped = (0..rows.len() as u32).filter(|i| !placed[*i as usize]);
            order.extend(dropped);
            placed.fill(false);
        }
        for begin in 0..rows.len() {
            if placed[begin] {
                continue;
            }
            let (first, mut at) = (rows[begin], begin);
            loop {
                placed[at] = true;
                let from = order[at] as usize;
                if from == begin {
                    break;
                }
                rows[at] = rows[from];
                at = from;
            }
            rows[at] = first;
        }
        order.truncate(recorded);
        rows.truncate(recorded);
    }
}
