//! Percentiles under the names that dashboards give them, read from a histogram: where t-digests take most of a question's
//! time, this counts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::histogram::Histogram;

/// `p99(x)` and its like.
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

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "histogram");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            let name = self.name;
            return plan_err!(
                "{name} counts each value as often as it is there: leave `distinct` out"
            );
        }
        Ok(Box::new(Groups {
            percent: self.percent,
            groups: vec![Histogram::default()],
        }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups {
            percent: self.percent,
            groups: vec![],
        }))
    }
}

/// A histogram for each group.
#[derive(Debug)]
struct Groups {
    percent: u8,
    groups: Vec<Histogram>,
}

impl Groups {
    fn add(&mut self, values: &ArrayRef, group: impl Fn(usize) -> Option<usize>) {
        let values = values.as_primitive::<Float64Type>();
        for (row, value) in values.iter().enumerate() {
            if let (Some(value), Some(group)) = (value, group(row)) {
                self.groups[group].add(value);
            }
        }
    }

    fn merge(&mut self, states: &ArrayRef, group: impl Fn(usize) -> usize) {
        for (row, state) in states.as_binary::<i32>().iter().enumerate() {
            let histogram = &mut self.groups[group(row)];
            read(state.unwrap_or_default(), histogram);
        }
    }

    fn bytes(&self) -> usize {
        let heap: usize = self.groups.iter().map(Histogram::size).sum();
        heap + self.groups.capacity() * size_of::<Histogram>()
    }
}

/// Least and greatest number, then buckets with their counts, 12 bytes each.
fn written(histogram: &Histogram) -> Vec<u8> {
    let (least, greatest) = histogram.ends();
    let mut bytes = [least.to_le_bytes(), greatest.to_le_bytes()].concat();
    for (bucket, count) in histogram.buckets() {
        bytes.extend(bucket.to_le_bytes());
        bytes.extend(count.to_le_bytes());
    }
    bytes
}

fn read(bytes: &[u8], histogram: &mut Histogram) {
    let Some((least, rest)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let Some((greatest, rest)) = rest.split_first_chunk::<8>() else {
        return;
    };
    histogram.reach((f64::from_le_bytes(*least), f64::from_le_bytes(*greatest)));
    let (each, _) = rest.as_chunks::<12>();
    for [a, b, c, d, count @ ..] in each {
        let bucket = i32::from_le_bytes([*a, *b, *c, *d]);
        histogram.count(bucket, u64::from_le_bytes(*count));
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups, Histogram::default());
        let takes = |row| opt_filter.is_none_or(|is| is.is_valid(row) && is.value(row));
        self.add(&values[0], |row| takes(row).then(|| group_indices[row]));
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        let percentiles = groups.iter().map(|group| group.percentile(self.percent));
        Ok(Arc::new(percentiles.collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let states = BinaryArray::from_iter_values(groups.iter().map(written));
        Ok(vec![Arc::new(states)])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups, Histogram::default());
        self.merge(&values[0], |row| group_indices[row]);
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows: Vec<usize> = (0..values[0].len()).collect();
        let mut each = Groups {
            percent: self.percent,
            groups: vec![],
        };
        GroupsAccumulator::update_batch(&mut each, values, &rows, opt_filter, rows.len())?;
        GroupsAccumulator::state(&mut each, EmitTo::All)
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

/// Of one group.
impl Accumulator for Groups {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], |_| Some(0));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let percentile = self.groups[0].percentile(self.percent);
        Ok(ScalarValue::Float64(percentile))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = written(&self.groups[0]);
        Ok(vec![ScalarValue::Binary(Some(state))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge(&states[0], |_| 0);
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes()
    }
}
