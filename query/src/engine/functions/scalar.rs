//! The one shape of our scalar functions: what each takes and gives, and what works it out.

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

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Text, as views or in a dictionary.
    Text,
    /// A whole number, as 64 bits.
    Integer,
    /// Any number, as a double.
    Number,
    /// Any number, as a double, or a span of time.
    NumberOrInterval,
    /// A whole number or text.
    IntegerOrText,
    /// True or false.
    Boolean,
}

impl Takes {
    /// The type that an argument of type `given` is handed over as.
    fn coerced(self, given: &DataType) -> Option<DataType> {
        let text = match given {
            DataType::Dictionary(_, value) if value.is_string() => Some(given.clone()),
            DataType::Null => Some(DataType::Utf8View),
            other => other.is_string().then_some(DataType::Utf8View),
        };
        let integer = (given.is_integer() || given.is_null()).then_some(DataType::Int64);
        let number = (given.is_numeric() || given.is_null()).then_some(DataType::Float64);
        match self {
            Takes::Text => text,
            Takes::Integer => integer,
            Takes::IntegerOrText => integer.or(text),
            Takes::Number => number,
            Takes::NumberOrInterval => match given {
                DataType::Duration(_) => Some(DataType::Duration(TimeUnit::Nanosecond)),
                DataType::Interval(_) => Some(DataType::Interval(IntervalUnit::MonthDayNano)),
                _ => number,
            },
            Takes::Boolean => {
                (given == &DataType::Boolean || given.is_null()).then_some(DataType::Boolean)
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Takes::Text => "text",
            Takes::Integer => "a whole number",
            Takes::Number => "a number",
            Takes::NumberOrInterval => "a number of nanoseconds or an interval",
            Takes::IntegerOrText => "a whole number or text",
            Takes::Boolean => "true or false",
        }
    }
}

/// What a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    Text,
    Boolean,
    Time,
    Bytes,
}

impl Gives {
    fn arrow(self) -> DataType {
        match self {
            Gives::Text => DataType::Utf8View,
            Gives::Boolean => DataType::Boolean,
            Gives::Bytes => DataType::Binary,
            Gives::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        }
    }
}

/// Works a function out for a batch of so many rows.
type Run = fn(&[ColumnarValue], usize) -> Result<ArrayRef>;
/// The name of a column in an answer.
type Named = fn(&[Expr]) -> Option<String>;
/// A plainer expression with the same result.
type Simplify = fn(&[Expr]) -> Option<Expr>;

/// A function of the values of one row.
#[derive(Debug)]
pub struct Scalar {
    name: &'static str,
    takes: &'static [Takes],
    gives: Gives,
    run: Run,
    named: Option<Named>,
    simplify: Option<Simplify>,
    signature: Signature,
}

impl Scalar {
    /// A function that `run` works out for a batch of so many rows; its result depends on the arguments alone.
    pub fn new(name: &'static str, takes: &'static [Takes], gives: Gives, run: Run) -> Self {
        Scalar {
            name,
            takes,
            gives,
            run,
            named: None,
            simplify: None,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// The name of its column in an answer, where that is not the function with all its arguments.
    pub fn named(mut self, named: Named) -> Self {
        self.named = Some(named);
        self
    }

    /// A plainer expression with the same result, which scans know how to use.
    pub fn simplified(mut self, simplify: Simplify) -> Self {
        self.simplify = Some(simplify);
        self
    }

    /// As DataFusion takes it.
    pub fn udf(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(self)
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        if let Some(name) = self.named.and_then(|named| named(args)) {
            return Ok(name);
        }
        let args: Vec<_> = args.iter().map(|a| a.schema_name().to_string()).collect();
        Ok(format!("{}({})", self.name, args.join(",")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.gives.arrow())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if given.len() != self.takes.len() {
            let arguments = if self.takes.len() == 1 {
                "argument"
            } else {
                "arguments"
            };
            return plan_err!(
                "`{}` takes {} {arguments}, not {}",
                self.name,
                self.takes.len(),
                given.len()
            );
        }
        let types = given.iter().zip(self.takes).enumerate();
        types
            .map(|(i, (given, takes))| match takes.coerced(given) {
                Some(ty) => Ok(ty),
                None => plan_err!(
                    "`{}` takes {} as argument {}, not {}",
                    self.name,
                    takes.words(),
                    i + 1,
                    types::name(given)
                ),
            })
            .collect()
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.simplify.and_then(|simplify| simplify(&args)) {
            Some(plainer) => ExprSimplifyResult::Simplified(plainer),
            None => ExprSimplifyResult::Original(args),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let values = (self.run)(&args.args, rows)?;
        Ok(match constant {
            true => {
                ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&values, 0)?)
            }
            false => ColumnarValue::Array(values),
        })
    }
}
