//! The order of rows in the file: grouped by container, thread and syscall; within a group, in the
//! order in which the events ended.
//!
//! This order makes the file smaller and queries faster. The columns `time` and `seq` restore the original order.

use rustc_hash::FxHashMap;

use crate::rows::batch::{Batch, ContainerName, NONE, Row};
use crate::wire::types::sys_flag;

/// The group of a row that is not recorded.
const DROPPED: u32 = u32::MAX;

/// Sets `order` to the indices of the recorded rows in the order of the file; without `cluster`, in their original
/// order. `group_of` is a scratch buffer.
pub(crate) fn order(
    batch: &Batch,
    containers: &[ContainerName],
    cluster: bool,
    (order, group_of): (&mut Vec<u32>, &mut Vec<u32>),
) {
    let rows = &batch.rows;
    let mut last = (NONE, false);
    let mut is_recorded = |row: &Row| {
        // Adjacent rows mostly belong to the same thread.
        if row.task == NONE || row.task != last.0 {
            let container = containers.get(batch.container(row) as usize);
            last = (row.task, container.is_none_or(|c| c.recorded));
        }
        last.1
    };
    order.clear();
    if !cluster {
        order.extend((0..rows.len() as u32).filter(|&i| is_recorded(&rows[i as usize])));
        return;
    }
    // A counting sort: count the rows of each group, compute where each group starts, place the rows.
    let mut groups = CallGroups::default();
    group_of.clear();
    group_of.extend(rows.iter().map(|row| match is_recorded(row) {
        true => groups.count(row),
        false => DROPPED,
    }));
    let (mut next, recorded) = groups.starts(|task| {
        let task = batch.tasks.get(task as usize)?;
        Some((task.container, task.tid))
    });
    order.resize(recorded, 0);
    for (i, group) in (0..)
        .zip(&*group_of)
        .filter(|(_, group)| **group != DROPPED)
    {
        let at = &mut next[*group as usize];
        order[*at] = i;
        *at += 1;
    }
}

/// Pairs of thread and call, numbered in the order of their first rows.
#[derive(Default)]
struct CallGroups {
    numbers: FxHashMap<(u32, u32), u32>,
    /// Task, call, and number of rows of each group.
    list: Vec<(u32, u32, usize)>,
    /// Group of the previous row.
    last: u32,
}

impl CallGroups {
    /// Counts a row in its group, and returns the number of the group.
    fn count(&mut self, row: &Row) -> u32 {
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

    /// Returns the position of each group's first row, and the number of rows. The groups are sorted by the `key` of their
    /// task, then by task and call.
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
