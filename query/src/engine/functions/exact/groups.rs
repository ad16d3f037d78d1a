//! The totals of all groups of a query.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array};
use arrow::datatypes::{Decimal128Type, UInt64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use crate::engine::functions::exact::total::{Total, each_value};
use crate::engine::functions::values::passes;

/// A sum and the number of its values for each group.
#[derive(Debug)]
pub(super) struct GroupTotals {
    total: Total,
    sums: Vec<i128>,
    counts: Vec<u64>,
}

impl GroupTotals {
    pub(super) fn new(total: Total) -> GroupTotals {
        GroupTotals {
            total,
            sums: vec![],
            counts: vec![],
        }
    }

    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    fn take(&mut self, emit_to: EmitTo) -> (Vec<i128>, Vec<u64>) {
        let sums = emit_to.take_needed(&mut self.sums);
        (sums, emit_to.take_needed(&mut self.counts))
    }

    fn columns(&self, sums: Vec<i128>, counts: Vec<u64>) -> Result<Vec<ArrayRef>> {
        Ok(vec![
            self.total.sums(sums)?,
            Arc::new(UInt64Array::from(counts)),
        ])
    }
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        each_value(&values[0], |row, value| {
            if passes(opt_filter, row) {
                let group = group_indices[row];
                self.sums[group] = self.total.add(self.sums[group], value)?;
                self.counts[group] += 1;
            }
            Ok(())
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = self.take(emit_to);
        self.total.results(&sums, &counts)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = self.take(emit_to);
        self.columns(sums, counts)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let sums = values[0].as_primitive::<Decimal128Type>().values().iter();
        let counts = values[1].as_primitive::<UInt64Type>().values().iter();
        for ((sum, count), group) in sums.zip(counts).zip(group_indices) {
            self.sums[*group] = self.total.add(self.sums[*group], *sum)?;
            self.counts[*group] += count;
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let (mut sums, mut counts) = (vec![0; rows], vec![0; rows]);
        each_value(&values[0], |row, value| {
            if passes(opt_filter, row) {
                (sums[row], counts[row]) = (value, 1);
            }
            Ok(())
        })?;
        self.columns(sums, counts)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<u64>()
    }
}
