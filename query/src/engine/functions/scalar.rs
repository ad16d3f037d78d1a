//! The common implementation of the scalar functions: types of the arguments and the result, and the evaluation.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::engine::types;

/// The types that a function accepts as an argument, and the type that the argument is cast to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArgType {
    /// Text: an array of views, or a dictionary of texts.
    Text,
    /// A whole number, evaluated as 64 bits.
    Integer,
    /// Any number, evaluated as a double.
    Number,
    /// Any number, evaluated as a double, or an interval.
    NumberOrInterval,
    IntegerOrText,
    Boolean,
}

impl ArgType {
    /// Returns the type that an argument of type `given` is cast to; `None`: the type is not accepted.
    fn coerced(self, given: &DataType) -> Option<DataType> {
        let text = match given {
            DataType::Dictionary(_, value) if value.is_string() => Some(given.clone()),
            DataType::Null => Some(DataType::Utf8View),
            other => other.is_string().then_some(DataType::Utf8View),
        };
        let integer = (given.is_integer() || given.is_null()).then_some(DataType::Int64);
        let number = (given.is_numeric() || given.is_null()).then_some(DataType::Float64);
        match self {
            ArgType::Text => text,
            ArgType::Integer => integer,
            ArgType::IntegerOrText => integer.or(text),
            ArgType::Number => number,
            ArgType::NumberOrInterval => match given {
                DataType::Duration(_) => Some(DataType::Duration(TimeUnit::Nanosecond)),
                DataType::Interval(_) => Some(DataType::Interval(IntervalUnit::MonthDayNano)),
                _ => number,
            },
            ArgType::Boolean => {
                (given == &DataType::Boolean || given.is_null()).then_some(DataType::Boolean)
            }
        }
    }

    fn description(self) -> &'static str {
        match self {
            ArgType::Text => "text",
            ArgType::Integer => "a whole number",
            ArgType::Number => "a number",
            ArgType::NumberOrInterval => "a number of nanoseconds or an interval",
            ArgType::IntegerOrText => "a whole number or text",
            ArgType::Boolean => "true or false",
        }
    }
}

/// The type of a result, the same for all types of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultType {
    Text,
    Boolean,
    Time,
    Bytes,
}

impl ResultType {
    fn arrow(self) -> DataType {
        match self {
            ResultType::Text => DataType::Utf8View,
            ResultType::Boolean => DataType::Boolean,
            ResultType::Bytes => DataType::Binary,
            ResultType::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        }
    }
}

/// Evaluates a function for a batch; the second argument is the number of rows.
type Evaluate = fn(&[ColumnarValue], usize) -> Result<ArrayRef>;
/// Makes the name of the column in an answer.
type NameColumn = fn(&[Expr]) -> Option<String>;
/// Makes a simpler expression with the same result.
type Simplify = fn(&[Expr]) -> Option<Expr>;

/// A function of the values in one row, whose result depends on the arguments alone.
#[derive(Debug)]
pub(crate) struct ScalarFn {
    name: &'static str,
    arg_types: &'static [ArgType],
    result_type: ResultType,
    evaluate: Evaluate,
    name_column: Option<NameColumn>,
    simplify: Option<Simplify>,
    signature: Signature,
}

impl ScalarFn {
    pub(crate) fn new(
        name: &'static str,
        arg_types: &'static [ArgType],
        result_type: ResultType,
        evaluate: Evaluate,
    ) -> Self {
        ScalarFn {
            name,
            arg_types,
            result_type,
            evaluate,
            name_column: None,
            simplify: None,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// Sets the name of the column in an answer, if not the function with all arguments.
    pub(crate) fn column_name(mut self, name_column: NameColumn) -> Self {
        self.name_column = Some(name_column);
        self
    }

    /// Sets a simpler expression with the same result, which scans can use.
    pub(crate) fn simplified(mut self, simplify: Simplify) -> Self {
        self.simplify = Some(simplify);
        self
    }

    pub(crate) fn udf(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(self)
    }
}

impl PartialEq for ScalarFn {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ScalarFn {}

impl Hash for ScalarFn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for ScalarFn {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        if let Some(name) = self.name_column.and_then(|name_column| name_column(args)) {
            return Ok(name);
        }
        let args: Vec<_> = args.iter().map(|a| a.schema_name().to_string()).collect();
        Ok(format!("{}({})", self.name, args.join(",")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result_type.arrow())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if given.len() != self.arg_types.len() {
            let arguments = if self.arg_types.len() == 1 {
                "argument"
            } else {
                "arguments"
            };
            return plan_err!(
                "`{}` takes {} {arguments}, not {}",
                self.name,
                self.arg_types.len(),
                given.len()
            );
        }
        let types = given.iter().zip(self.arg_types).enumerate();
        types
            .map(|(i, (given, takes))| match takes.coerced(given) {
                Some(ty) => Ok(ty),
                None => plan_err!(
                    "`{}` takes {} as argument {}, not {}",
                    self.name,
                    takes.description(),
                    i + 1,
                    types::name(given)
                ),
            })
            .collect()
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.simplify.and_then(|simplify| simplify(&args)) {
            Some(simpler) => ExprSimplifyResult::Simplified(simpler),
            None => ExprSimplifyResult::Original(args),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let values = (self.evaluate)(&args.args, rows)?;
        Ok(match constant {
            true => {
                ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&values, 0)?)
            }
            false => ColumnarValue::Array(values),
        })
    }
}
