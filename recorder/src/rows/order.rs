//! The order of rows in the file: those of a thread and a syscall stand together, which makes the file smaller and
//! questions faster; `time` and `seq` give the order back.

use rustc_hash::FxHashMap;

use crate::rows::batch::{Batch, ContainerName, NONE, Row};
use crate::wire::types::sys_flag;

/// The group of a row that is not kept.
const LEFT_OUT: u32 = u32::MAX;

/// Makes `order` the indices of the rows that are kept, in the order of the file; without `cluster` as they came.
/// `groups` is memory for it to work in.
pub(crate) fn order(
    batch: &Batch,
    containers: &[ContainerName],
    cluster: bool,
    (order, of): (&mut Vec<u32>, &mut Vec<u32>),
) {
    let rows = &batch.rows;
    let mut last = (NONE, false);
    let mut keep = |row: &Row| {
        // Neighbours are mostly of one thread.
        if row.task == NONE || row.task != last.0 {
            let container = containers.get(batch.container(row) as usize);
            last = (row.task, container.is_none_or(|c| c.recorded));
        }
        last.1
    };
    order.clear();
    if !cluster {
        order.extend((0..rows.len() as u32).filter(|&i| keep(&rows[i as usize])));
        return;
    }
    // By container, thread and syscall, and in the order of time: each such group has its place, counted first.
    let mut groups = Groups::default();
    of.clear();
    of.extend(rows.iter().map(|row| match keep(row) {
        true => groups.of(row),
        false => LEFT_OUT,
    }));
    let (mut next, kept) = groups.starts(|task| {
        let task = batch.tasks.get(task as usize)?;
        Some((task.container, task.tid))
    });
    order.resize(kept, 0);
    for (i, group) in (0..).zip(&*of).filter(|(_, group)| **group != LEFT_OUT) {
        let at = &mut next[*group as usize];
        order[*at] = i;
        *at += 1;
    }
}

/// Threads and calls that rows are of, numbered as they come.
#[derive(Default)]
struct Groups {
    numbers: FxHashMap<(u32, u32), u32>,
    /// Task, call, and number of rows.
    list: Vec<(u32, u32, usize)>,
    last: u32,
}

impl Groups {
    /// The group of a row, which is counted.
    fn of(&mut self, row: &Row) -> u32 {
        let compat = u32::from(row.flags) & sys_flag::SYS_COMPAT.0;
        let key = (row.task, u32::from(row.call) << 1 | compat);
        let last = self.list.get(self.last as usize);
        if last.is_none_or(|group| (group.0, group.1) != key) {
            let next = self.list.len() as u32;
            self.last = *self.numbers.entry(key).or_insert(next);
            if self.last == next {
                self.list.push((key.0, key.1, 0));
            }
        }
        self.list[self.last as usize].2 += 1;
        self.last
    }

    /// Where each begins when they stand in the order of `key`, which is by task, and then by call; and where the last ends.
    fn starts<K: Ord>(&self, key: impl Fn(u32) -> K) -> (Vec<usize>, usize) {
        let mut sorted: Vec<usize> = (0..self.list.len()).collect();
        sorted.sort_by_cached_key(|&i| {
            let (task, call, _) = self.list[i];
            (key(task), task, call)
        });
        let mut starts = vec![0; self.list.len()];
        let mut at = 0;
        for group in sorted {
            starts[group] = at;
            at += self.list[group].2;
        }
        (starts, at)
    }
}
