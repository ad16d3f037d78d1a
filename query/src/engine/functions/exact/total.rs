//! Exact sums, and their conversion to results.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, Float64Array, Int64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use datafusion::common::{ScalarValue, exec_err, internal_err};
use datafusion::error::Result;

use crate::engine::types;

/// The aggregate function: `sum` or `avg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Statistic {
    Sum,
    Average,
}

/// The conversion of a sum and the number of its values to a result.
#[derive(Clone, Debug)]
pub(super) struct Total {
    /// The expression, for errors.
    pub(super) name: String,
    pub(super) statistic: Statistic,
    pub(super) result_type: DataType,
    pub(super) state_type: DataType,
}

impl Total {
    /// Adds two numbers.
    ///
    /// # Errors
    /// The result is beyond 128 bits.
    pub(super) fn add(&self, sum: i128, value: i128) -> Result<i128> {
        match sum.checked_add(value) {
            Some(sum) => Ok(sum),
            None => self.too_large(),
        }
    }

    /// Returns the results of groups with these sums and numbers of values.
    ///
    /// # Errors
    /// A sum does not fit into the type of the result.
    pub(super) fn results(&self, sums: &[i128], counts: &[u64]) -> Result<ArrayRef> {
        let totals = sums.iter().zip(counts);
        let present = totals.map(|(sum, count)| (*count > 0).then_some((*sum, *count)));
        match (self.statistic, &self.result_type) {
            (Statistic::Average, _) => {
                let average = |(sum, count): (i128, u64)| sum as f64 / count as f64;
                let averages = present.map(|total| total.map(average));
                Ok(Arc::new(averages.collect::<Float64Array>()))
            }
            (Statistic::Sum, DataType::Decimal128(precision, scale)) => {
                let max = 10_i128.pow(u32::from(*precision)) - 1;
                let sums = present.map(|total| match total {
                    Some((sum, _)) if !(-max..=max).contains(&sum) => self.too_large(),
                    total => Ok(total.map(|(sum, _)| sum)),
                });
                let sums: Decimal128Array = sums.collect::<Result<_>>()?;
                Ok(Arc::new(sums.with_precision_and_scale(*precision, *scale)?))
            }
            (Statistic::Sum, duration) => {
                let sums = present.map(|total| match total.map(|(sum, _)| i64::try_from(sum)) {
                    Some(Err(_)) => self.too_large(),
                    Some(Ok(sum)) => Ok(Some(sum)),
                    None => Ok(None),
                });
                let sums: Int64Array = sums.collect::<Result<_>>()?;
                Ok(cast(&sums, duration)?)
            }
        }
    }

    /// Returns the partial sums of groups as a column.
    pub(super) fn sums(&self, sums: Vec<i128>) -> Result<ArrayRef> {
        let DataType::Decimal128(precision, scale) = self.state_type else {
            return internal_err!("the partial sum of {} is no decimal", self.name);
        };
        let sums = Decimal128Array::from(sums);
        Ok(Arc::new(sums.with_precision_and_scale(precision, scale)?))
    }

    pub(super) fn result(&self, sum: i128, count: u64) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.results(&[sum], &[count])?, 0)
    }

    fn too_large<T>(&self) -> Result<T> {
        exec_err!(
            "`{}` is too large for {}: select fewer rows, or sum doubles, as in sum(cast(x as double))",
            self.name,
            types::name(&self.result_type)
        )
    }
}

/// Calls `f` with the row and the value of each value that is not null.
///
/// # Errors
/// The array has another type than whole numbers, decimals and durations, or `f` fails.
pub(super) fn each_value(
    values: &ArrayRef,
    f: impl FnMut(usize, i128) -> Result<()>,
) -> Result<()> {
    match values.data_type() {
        DataType::Int64 => each::<Int64Type>(values, f),
        DataType::UInt64 => each::<UInt64Type>(values, f),
        DataType::Decimal128(..) => each::<Decimal128Type>(values, f),
        DataType::Duration(_) => each::<Int64Type>(&cast(values, &DataType::Int64)?, f),
        other => internal_err!("numbers of type {other} cannot be added exactly"),
    }
}

fn each<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    mut f: impl FnMut(usize, i128) -> Result<()>,
) -> Result<()>
where
    i128: From<T::Native>,
{
    let values = values.as_primitive::<T>();
    for (row, value) in values.values().iter().enumerate() {
        if values.is_valid(row) {
            f(row, i128::from(*value))?;
        }
    }
    Ok(())
}
