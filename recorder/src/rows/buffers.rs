//! Memory for the columns of a batch, which is used again for the next: a fresh page costs the kernel more than it costs to
//! fill it. Where each column and batch had memory of its own, page faults were half of the recorder's CPU time.

use std::cell::RefCell;

use crate::rows::batch::{Batch, ContainerName, Row};
use crate::rows::order;
use crate::rows::runs::Series;

/// What is used again.
#[derive(Debug, Default)]
pub(crate) struct ColumnBuffers {
    /// Index in the batch of each kept row, in the order of the file.
    pub(crate) order: Vec<u32>,
    /// The group of each row.
    groups: Vec<u32>,
    /// Which rows stand where they belong.
    placed: Vec<bool>,
    args: Vec<u64>,
    series: RefCell<Vec<Series>>,
}

impl ColumnBuffers {
    /// A column without rows, to fill with so many: in the least memory in which there is room, lest in the end all is large.
    pub(crate) fn take_buffer(&self, rows: usize) -> Series {
        let mut spare = self.series.borrow_mut();
        let fits = |series: &Series| match series.capacity() {
            enough if enough >= rows => (false, enough),
            little => (true, usize::MAX - little),
        };
        let best = (0..spare.len()).min_by_key(|i| fits(&spare[*i]));
        best.map(|i| spare.swap_remove(i)).unwrap_or_default()
    }

    /// Takes the memory of a column back.
    pub(crate) fn return_buffer(&self, mut series: Series) {
        series.clear();
        self.series.borrow_mut().push(series);
    }

    /// Orders the rows of `batch`: see [`order::order`].
    pub(crate) fn order(&mut self, batch: &Batch, containers: &[ContainerName], cluster: bool) {
        let memory = (&mut self.order, &mut self.groups);
        order::order(batch, containers, cluster, memory);
    }

    /// The rows in the order of the file, and their arguments, for a column after the other reads them in that order.
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

    /// Keeps `rows[order[0]]`, `rows[order[1]]`, ... without a copy of all of them: where one goes, the one that was there is
    /// next, until it comes back to where it began. What is left out follows after them, and is dropped.
    fn permute(&mut self, rows: &mut Vec<Row>) {
        let ColumnBuffers { order, placed, .. } = self;
        let kept = order.len();
        placed.clear();
        placed.resize(rows.len(), false);
        if kept < rows.len() {
            order.iter().for_each(|i| placed[*i as usize] = true);
            let left_out = (0..rows.len() as u32).filter(|i| !placed[*i as usize]);
            order.extend(left_out);
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
        order.truncate(kept);
        rows.truncate(kept);
    }
}
