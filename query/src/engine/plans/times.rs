//! Comparisons of times with constants: text in the forms of `--since`, and times that 64 bits of nanoseconds cannot
//! express, which are replaced by the first or the last instant that they can.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, Cast, InList};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use crate::engine::plans::expressions::each_expression;
use crate::source::{GivenTime, TimeSpan, WindowEnd, clamped_ns, parse_time, resolve_time};

/// Returns whether a plan compares anything with a time of day, which depends on the time span of the recordings.
pub(crate) fn needs_span(plan: &LogicalPlan) -> bool {
    let mut needed = false;
    // The closures never fail.
    let _ = plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                needed |= operands(expr).is_some_and(|(time, constants)| {
                    time_zone(time, &schema).is_some()
                        && constants
                            .iter()
                            .any(|c| matches!(given(c), Some(GivenTime::OfDay(_))))
                });
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    needed
}

/// Replaces the constants with which the expressions of a plan node compare times.
///
/// # Errors
/// A text is a duration.
pub(super) fn compare(plan: LogicalPlan, span: Option<TimeSpan>) -> Result<LogicalPlan> {
    let schema = merge_schema(&plan.inputs());
    each_expression(plan, |expr| {
        expr.transform_up(|node| compared(node, &schema, span))
    })
    .data()
}

/// Returns the operand of a comparison that is not a constant, and the constants.
fn operands(expr: &Expr) -> Option<(&Expr, Vec<&Expr>)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            match (is_constant(left), is_constant(right)) {
                (false, true) => Some((left, vec![right])),
                (true, false) => Some((right, vec![left])),
                _ => None,
            }
        }
        Expr::Between(Between {
            expr, low, high, ..
        }) => Some((expr, vec![low, high])),
        Expr::InList(InList { expr, list, .. }) => Some((expr, list.iter().collect())),
        _ => None,
    }
}

fn is_comparison(op: Operator) -> bool {
    op.supports_propagation()
        || matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(Cast { expr, .. }) => is_constant(expr),
        other => matches!(other, Expr::Literal(..)),
    }
}

/// Returns the time zone of an expression that is a time in nanoseconds; `None`: the expression has another type.
fn time_zone(expr: &Expr, schema: &DFSchema) -> Option<Option<std::sync::Arc<str>>> {
    match expr.get_type(schema).ok()? {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => Some(zone),
        _ => None,
    }
}

fn compared(expr: Expr, schema: &DFSchema, span: Option<TimeSpan>) -> Result<Transformed<Expr>> {
    let Some(zone) = operands(&expr).and_then(|(time, _)| time_zone(time, schema)) else {
        return Ok(Transformed::no(expr));
    };
    let replaced = |constant: Expr| -> Result<Transformed<Expr>> {
        if !is_constant(&constant) {
            return Ok(Transformed::no(constant));
        }
        let Some(time) = given(&constant) else {
            return Ok(Transformed::no(constant));
        };
        if matches!(time, GivenTime::BeforeEnd(_)) {
            let text = literal_text(&constant).unwrap_or_default();
            return plan_err!("`{text}` is a duration, not a time: write ago('{text}')");
        }
        let span = span.unwrap_or(TimeSpan::EPOCH);
        let time = clamped_ns(resolve_time(time, WindowEnd::Since, span));
        let time = ScalarValue::TimestampNanosecond(Some(time), zone.clone());
        Ok(Transformed::yes(Expr::Literal(time, None)))
    };
    expr.map_children(replaced)
}

/// Returns the time that a constant stands for. `None`: the constant is left to DataFusion.
fn given(constant: &Expr) -> Option<GivenTime> {
    match constant {
        Expr::Literal(ScalarValue::Date32(Some(days)), _) => {
            let day = NaiveDate::from_epoch_days(*days)?;
            Some(instant(day))
        }
        Expr::Literal(..) => parse_time(literal_text(constant)?).ok(),
        Expr::Cast(Cast { expr, field })
            if matches!(
                field.data_type(),
                DataType::Timestamp(..) | DataType::Date32
            ) =>
        {
            let time = given(expr)?;
            match (field.data_type(), time) {
                (DataType::Date32, GivenTime::Instant(time)) => Some(instant(time.date_naive())),
                (DataType::Timestamp(..), GivenTime::Instant(_)) => Some(time),
                _ => None,
            }
        }
        _ => None,
    }
}

fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

fn instant(day: NaiveDate) -> GivenTime {
    let start: DateTime<Utc> = day.and_time(NaiveTime::MIN).and_utc();
    GivenTime::Instant(start)
}
