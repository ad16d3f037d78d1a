//! Sums and averages of doubles in sliding frames. DataFusion subtracts the values that leave the frame, which leaves
//! rounding errors behind, and makes `nan` of an infinite value. Here the values of each frame are added anew.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Float64Type;
use datafusion::common::{ScalarValue, not_impl_err};
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;

use crate::engine::functions::exact::total::Statistic;

/// The values of a frame, in order.
#[derive(Debug)]
pub(super) struct FrameOfDoubles {
    statistic: Statistic,
    values: VecDeque<f64>,
}

impl FrameOfDoubles {
    pub(super) fn new(statistic: Statistic) -> FrameOfDoubles {
        FrameOfDoubles {
            statistic,
            values: VecDeque::new(),
        }
    }
}

impl Accumulator for FrameOfDoubles {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Float64Type>();
        self.values.extend(values.iter().flatten());
        Ok(())
    }

    /// Removes the values that leave the frame, which are always the first.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let leaving = values[0].len() - values[0].null_count();
        self.values.drain(..leaving.min(self.values.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let count = self.values.len();
        let sum: f64 = self.values.iter().sum();
        let result = match self.statistic {
            Statistic::Sum => sum,
            Statistic::Average => sum / count as f64,
        };
        Ok(ScalarValue::Float64((count > 0).then_some(result)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        not_impl_err!("a frame is not computed in parts")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        not_impl_err!("a frame is not computed in parts")
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}
