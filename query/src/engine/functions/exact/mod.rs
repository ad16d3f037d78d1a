//! The aggregate functions `sum` and `avg` of whole numbers, computed in 128 bits. DataFusion's `sum` wraps beyond 64
//! bits, and its `avg` adds doubles, so that the result depends on the order of the rows.

mod floating;
mod groups;
mod single;
mod total;

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
};

use crate::engine::types;
use floating::FrameOfDoubles;
use groups::GroupTotals;
use single::{DistinctTotal, RunningTotal};
use total::{Statistic, Total};

/// An aggregate function that is exact for integers, decimals and durations. Other arguments are left to DataFusion's
/// function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExactAggregate {
    statistic: Statistic,
    aliases: Vec<String>,
    signature: Signature,
}

/// Returns the function `sum`: the sum of integers is a decimal of 38 digits.
pub(crate) fn exact_sum() -> AggregateUDF {
    ExactAggregate::udf(Statistic::Sum, vec![])
}

/// Returns the function `avg`: the average of integers is the double nearest to the exact quotient.
pub(crate) fn exact_average() -> AggregateUDF {
    ExactAggregate::udf(Statistic::Average, vec!["mean".into()])
}

impl ExactAggregate {
    fn udf(statistic: Statistic, aliases: Vec<String>) -> AggregateUDF {
        AggregateUDF::new_from_impl(ExactAggregate {
            statistic,
            aliases,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    }

    /// Returns DataFusion's function of the same name.
    fn inexact(&self) -> Arc<AggregateUDF> {
        match self.statistic {
            Statistic::Sum => sum_udaf(),
            Statistic::Average => avg_udaf(),
        }
    }

    /// Returns whether this implementation handles arguments of a type.
    fn handles(&self, argument: &DataType) -> bool {
        match argument {
            DataType::Int64 | DataType::UInt64 | DataType::Decimal128(_, 0) => true,
            DataType::Decimal128(..) | DataType::Duration(_) => self.statistic == Statistic::Sum,
            _ => false,
        }
    }

    fn total(&self, args: &AccumulatorArgs<'_>) -> Total {
        Total {
            name: args.name.to_string(),
            statistic: self.statistic,
            result_type: args.return_type().clone(),
            state_type: state_type(args.expr_fields[0].data_type()),
        }
    }
}

/// Returns the type of a partial sum: a decimal with the scale of the argument.
fn state_type(argument: &DataType) -> DataType {
    match argument {
        DataType::Decimal128(_, scale) => DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale),
        _ => DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0),
    }
}

impl AggregateUDFImpl for ExactAggregate {
    fn name(&self) -> &str {
        match self.statistic {
            Statistic::Sum => "sum",
            Statistic::Average => "avg",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = given else {
            return plan_err!("`{}` takes 1 argument, not {}", self.name(), given.len());
        };
        let argument = match given {
            DataType::Dictionary(_, value) => value,
            other => other,
        };
        let is_sum = self.statistic == Statistic::Sum;
        Ok(vec![match argument {
            DataType::Null => DataType::Int64,
            ty if ty.is_signed_integer() => DataType::Int64,
            ty if ty.is_unsigned_integer() => DataType::UInt64,
            ty if ty.is_floating() => DataType::Float64,
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                DataType::Decimal128(*precision, *scale)
            }
            DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Duration(_) => {
                argument.clone()
            }
            DataType::Interval(_) if is_sum => argument.clone(),
            other => {
                return plan_err!(
                    "`{}` takes a number or an interval, not {}",
                    self.name(),
                    types::name(other)
                );
            }
        }])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match (self.statistic, &arguments[0]) {
            (Statistic::Sum, DataType::Int64 | DataType::UInt64) => {
                Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0))
            }
            (Statistic::Average, argument) if self.handles(argument) => Ok(DataType::Float64),
            _ => self.inexact().return_type(arguments),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let argument = args.input_fields[0].data_type();
        if !self.handles(argument) {
            return self.inexact().state_fields(args);
        }
        let name = |part: &str| format_state_name(args.name, part);
        let sum = state_type(argument);
        if args.is_distinct {
            let value = Field::new_list_field(sum, true);
            return Ok(vec![Arc::new(Field::new_list(name("values"), value, true))]);
        }
        let sum = Field::new(name("sum"), sum, true);
        let count = Field::new(name("count"), DataType::UInt64, true);
        Ok(vec![Arc::new(sum), Arc::new(count)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !self.handles(args.expr_fields[0].data_type()) {
            return self.inexact().accumulator(args);
        }
        let total = self.total(&args);
        Ok(match args.is_distinct {
            true => Box::new(DistinctTotal::new(total)),
            false => Box::new(RunningTotal::new(total)),
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let argument = args.expr_fields[0].data_type();
        match self.handles(argument) {
            true => self.accumulator(args),
            false if *argument == DataType::Float64 && !args.is_distinct => {
                Ok(Box::new(FrameOfDoubles::new(self.statistic)))
            }
            false => self.inexact().create_sliding_accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.handles(args.expr_fields[0].data_type()) {
            true => !args.is_distinct,
            false => self.inexact().groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match self.handles(args.expr_fields[0].data_type()) {
            true => Ok(Box::new(GroupTotals::new(self.total(&args)))),
            false => self.inexact().create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
