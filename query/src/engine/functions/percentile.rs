//! Percentiles with the usual names of dashboards, read from a histogram, which only counts. The t-digests of DataFusion took
//! most of the time of a query.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use ctrace_schema::histogram::Histogram;
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::{array, passes};
use crate::engine::types;

/// `p50(x)` to `p99(x)`, and the function that makes the histogram.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Percentile {
    name: &'static str,
    /// The percentage; `None`: the result is the histogram itself.
    percent: Option<u8>,
    /// Double for numbers, binary for histograms.
    arg_type: DataType,
    signature: Signature,
}

impl Percentile {
    /// Defines the function `name` for numbers.
    pub(crate) fn udf(name: &'static str, percent: u8) -> AggregateUDF {
        Percentile::new_udf(name, Some(percent), DataType::Float64)
    }

    /// Defines the function `name` for results of [`histogram`].
    pub(crate) fn of_histograms(name: &'static str, percent: u8) -> AggregateUDF {
        Percentile::new_udf(name, Some(percent), DataType::Binary)
    }

    /// Defines the function for the histogram of numbers, as bytes.
    pub(crate) fn histograms() -> AggregateUDF {
        Percentile::new_udf("histograms", None, DataType::Float64)
    }

    fn new_udf(name: &'static str, percent: Option<u8>, arg_type: DataType) -> AggregateUDF {
        AggregateUDF::new_from_impl(Percentile {
            name,
            percent,
            signature: Signature::user_defined(Volatility::Immutable),
            arg_type,
        })
    }

    fn groups(&self, groups: Vec<Histogram>) -> GroupHistograms {
        GroupHistograms {
            percent: self.percent,
            merges: self.arg_type == DataType::Binary,
            groups,
        }
    }
}

/// Defines `histogram(x)`: the histogram of one number, as bytes; empty for null.
pub(crate) fn histogram() -> ScalarFn {
    ScalarFn::new(
        "histogram",
        &[ArgType::Number],
        ResultType::Bytes,
        |args, rows| {
            let numbers = array(args, 0, rows)?;
            let each = numbers.as_primitive::<Float64Type>().iter().map(|number| {
                let mut histogram = Histogram::default();
                number.into_iter().for_each(|n| histogram.add(n));
                histogram.to_bytes()
            });
            Ok(Arc::new(BinaryArray::from_iter_values(each)))
        },
    )
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name;
        match given {
            [ty] if ty == &self.arg_type => Ok(given.to_vec()),
            [ty] if (ty.is_numeric() || ty.is_null()) && self.arg_type.is_numeric() => {
                Ok(vec![self.arg_type.clone()])
            }
            [ty] => plan_err!("`{name}` takes a number, not {}", types::name(ty)),
            _ => plan_err!("`{name}` takes 1 argument, not {}", given.len()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.percent {
            Some(_) => DataType::Float64,
            None => DataType::Binary,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "histogram");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            let name = self.name;
            return plan_err!("`{name}` does not support `distinct`");
        }
        Ok(Box::new(self.groups(vec![Histogram::default()])))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(vec![])))
    }
}

/// The state of the function: a histogram for each group.
#[derive(Debug)]
struct GroupHistograms {
    percent: Option<u8>,
    /// True if the arguments are histograms.
    merges: bool,
    groups: Vec<Histogram>,
}

impl GroupHistograms {
    fn add(&mut self, values: &ArrayRef, group: impl Fn(usize) -> Option<usize>) {
        if self.merges {
            return self.merge(values, group);
        }
        let values = values.as_primitive::<Float64Type>();
        for (row, value) in values.iter().enumerate() {
            if let (Some(value), Some(group)) = (value, group(row)) {
                self.groups[group].add(value);
            }
        }
    }

    fn merge(&mut self, states: &ArrayRef, group: impl Fn(usize) -> Option<usize>) {
        for (row, state) in states.as_binary::<i32>().iter().enumerate() {
            if let (Some(state), Some(group)) = (state, group(row)) {
                self.groups[group].merge_bytes(state);
            }
        }
    }

    fn bytes(&self) -> usize {
        let heap: usize = self.groups.iter().map(Histogram::heap).sum();
        heap + self.groups.capacity() * size_of::<Histogram>()
    }
}

fn bytes(groups: &[Histogram]) -> ArrayRef {
    let each = groups.iter().map(Histogram::to_bytes);
    Arc::new(BinaryArray::from_iter_values(each))
}

impl GroupsAccumulator for GroupHistograms {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups, Histogram::default());
        self.add(&values[0], |row| {
            passes(opt_filter, row).then(|| group_indices[row])
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        Ok(match self.percent {
            Some(percent) => {
                let percentiles = groups.iter().map(|group| group.percentile(percent));
                Arc::new(percentiles.collect::<Float64Array>())
            }
            None => bytes(&groups),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        Ok(vec![bytes(&groups)])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups, Histogram::default());
        self.merge(&values[0], |row| Some(group_indices[row]));
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows: Vec<usize> = (0..values[0].len()).collect();
        let mut each = GroupHistograms {
            groups: vec![],
            ..*self
        };
        GroupsAccumulator::update_batch(&mut each, values, &rows, opt_filter, rows.len())?;
        GroupsAccumulator::state(&mut each, EmitTo::All)
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

/// The state without `group by`: a single group.
impl Accumulator for GroupHistograms {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], |_| Some(0));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let group = &self.groups[0];
        Ok(match self.percent {
            Some(percent) => ScalarValue::Float64(group.percentile(percent)),
            None => ScalarValue::Binary(Some(group.to_bytes())),
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.groups[0].to_bytes();
        Ok(vec![ScalarValue::Binary(Some(state))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge(&states[0], |_| Some(0));
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes()
    }
}
