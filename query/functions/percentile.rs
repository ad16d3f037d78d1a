//! Percentiles under the names that dashboards give them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::functions_aggregate::approx_percentile_cont::ApproxPercentileCont;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::lit;

/// `p99(x)`: another spelling of `approx_percentile_cont(0.99) within group (order by x)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Percentile {
    name: &'static str,
    percent: u8,
    signature: Signature,
}

impl Percentile {
    /// The function `name` for so many percent.
    pub fn udf(name: &'static str, percent: u8) -> AggregateUDF {
        AggregateUDF::new_from_impl(Percentile {
            name,
            percent,
            signature: Signature::uniform(1, vec![DataType::Float64], Volatility::Immutable),
        })
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let percentile = f64::from(self.percent) / 100.0;
        let exprs = [&args.exprs[..1], &[lit(percentile)]].concat();
        let field = Arc::new(Field::new("percentile", DataType::Float64, false));
        let expr_fields = [&args.expr_fields[..1], &[field]].concat();
        ApproxPercentileCont::new().accumulator(AccumulatorArgs {
            exprs: &exprs,
            expr_fields: &expr_fields,
            ..args
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        ApproxPercentileCont::new().state_fields(args)
    }
}
