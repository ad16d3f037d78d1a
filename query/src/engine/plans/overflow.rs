//! Arithmetic of whole numbers that fails where the result is beyond the range of its type. DataFusion's operators `+`,
//! `-` and `*` wrap around instead.

use std::sync::Arc;

use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, ScalarValue, exec_datafusion_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum;

use crate::engine::plans::expressions::each_expression;
use crate::engine::types;

/// Analyzer rule: operators on whole numbers become functions that compute the same, or fail. Follows the coercion of
/// types, so that both operands have the type of the result.
#[derive(Debug)]
pub(crate) struct CheckOverflow;

impl AnalyzerRule for CheckOverflow {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let mut schema = merge_schema(&node.inputs());
            if let LogicalPlan::TableScan(scan) = &node {
                schema.merge(&scan.projected_schema);
            }
            each_expression(node, |expr| {
                expr.transform_up(|expr| checked(expr, &schema))
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "check_overflow"
    }
}

/// Replaces an operator on whole numbers.
fn checked(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_integer = |operand: &Expr| {
        let ty = operand.get_type(schema);
        ty.is_ok_and(|ty| ty.is_integer())
    };
    let (operation, operands) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_integer(&left) && is_integer(&right) =>
        {
            let operation = match op {
                Operator::Plus => Operation::Addition,
                Operator::Minus => Operation::Subtraction,
                Operator::Multiply => Operation::Multiplication,
                _ => {
                    let same = Expr::BinaryExpr(BinaryExpr { left, op, right });
                    return Ok(Transformed::no(same));
                }
            };
            (operation, vec![*left, *right])
        }
        Expr::Negative(operand) if is_integer(&operand) => (Operation::Negation, vec![*operand]),
        other => return Ok(Transformed::no(other)),
    };
    let function = Arc::new(ScalarUDF::new_from_impl(Checked::new(operation)));
    Ok(Transformed::yes(Expr::ScalarFunction(
        ScalarFunction::new_udf(function, operands),
    )))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Addition,
    Subtraction,
    Multiplication,
    Negation,
}

/// The function for an operator. Columns have the same names with the function as with the operator.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Checked {
        Checked {
            operation,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// Returns the name of the operation in errors.
    fn noun(&self) -> &'static str {
        match self.operation {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Multiplication => "multiplication",
            Operation::Negation => "negation",
        }
    }

    /// Writes the operands around the operator.
    fn text(&self, operands: &[String]) -> String {
        operands.join(match self.operation {
            Operation::Addition => " + ",
            Operation::Subtraction => " - ",
            Operation::Multiplication => " * ",
            Operation::Negation => return format!("(- {})", operands.concat()),
        })
    }

    /// Explains an overflow.
    fn explain(&self, error: DataFusionError, ty: &DataType) -> DataFusionError {
        match error.find_root() {
            DataFusionError::ArrowError(cause, _) => match cause.as_ref() {
                ArrowError::ArithmeticOverflow(text) => {
                    let values = text.trim_start_matches("Overflow happened on: ");
                    exec_datafusion_err!(
                        "this {} overflows: {values} is beyond the range of {}",
                        self.noun(),
                        types::name(ty)
                    )
                }
                _ => error,
            },
            _ => error,
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Addition => "+",
            Operation::Subtraction | Operation::Negation => "-",
            Operation::Multiplication => "*",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<_> = args.iter().map(|a| a.schema_name().to_string()).collect();
        Ok(self.text(&names))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        Ok(given.to_vec())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let ty = args.arg_fields[0].data_type().clone();
        Ok(Arc::new(Field::new(self.name(), ty, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ty = args.return_type().clone();
        let computed = match (self.operation, args.args.as_slice()) {
            (Operation::Addition, [left, right]) => datum::apply(left, right, numeric::add),
            (Operation::Subtraction, [left, right]) => datum::apply(left, right, numeric::sub),
            (Operation::Multiplication, [left, right]) => datum::apply(left, right, numeric::mul),
            (_, [ColumnarValue::Array(operand)]) => numeric::neg(operand)
                .map(ColumnarValue::Array)
                .map_err(DataFusionError::from),
            (_, operands) => ColumnarValue::values_to_arrays(operands)
                .and_then(|arrays| Ok(numeric::neg(&arrays[0])?))
                .and_then(|array| ScalarValue::try_from_array(&array, 0))
                .map(ColumnarValue::Scalar),
        };
        computed.map_err(|error| self.explain(error, &ty))
    }
}
