//! The total of one group, or of the rows in a window, and the total of distinct values.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;

use crate::engine::functions::exact::total::{Total, each_value};

/// The sum of values, from which values can be removed again.
#[derive(Debug)]
pub(super) struct RunningTotal {
    total: Total,
    sum: i128,
    count: u64,
}

impl RunningTotal {
    pub(super) fn new(total: Total) -> RunningTotal {
        RunningTotal {
            total,
            sum: 0,
            count: 0,
        }
    }
}

impl Accumulator for RunningTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each_value(&values[0], |_, value| {
            self.sum = self.total.add(self.sum, value)?;
            self.count += 1;
            Ok(())
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each_value(&values[0], |_, value| {
            self.sum = self.total.add(self.sum, value.wrapping_neg())?;
            self.count -= 1;
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.total.result(self.sum, self.count)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = ScalarValue::try_from_array(&self.total.sums(vec![self.sum])?, 0)?;
        Ok(vec![sum, ScalarValue::UInt64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let sums = states[0].as_primitive::<Decimal128Type>().values().iter();
        let counts = states[1].as_primitive::<UInt64Type>().values().iter();
        for (sum, count) in sums.zip(counts) {
            self.sum = self.total.add(self.sum, *sum)?;
            self.count += count;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The sum of distinct values, with the number of occurrences of each.
#[derive(Debug)]
pub(super) struct DistinctTotal {
    total: Total,
    values: HashMap<i128, u64>,
}

impl DistinctTotal {
    pub(super) fn new(total: Total) -> DistinctTotal {
        DistinctTotal {
            total,
            values: HashMap::new(),
        }
    }
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each_value(&values[0], |_, value| {
            *self.values.entry(value).or_default() += 1;
            Ok(())
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each_value(&values[0], |_, value| {
            if let Some(count) = self.values.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    self.values.remove(&value);
                }
            }
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = 0;
        for value in self.values.keys() {
            sum = self.total.add(sum, *value)?;
        }
        self.total.result(sum, self.values.len() as u64)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.total.sums(self.values.keys().copied().collect())?;
        let values = (0..values.len()).map(|row| ScalarValue::try_from_array(&values, row));
        let values = values.collect::<Result<Vec<_>>>()?;
        let list = ScalarValue::new_list_nullable(&values, &self.total.state_type);
        Ok(vec![ScalarValue::List(list)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<(i128, u64)>()
    }
}
