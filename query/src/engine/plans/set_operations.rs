//! `intersect all` and `except all`. DataFusion joins the rows of both sides, and does not count how often each occurs.
//! With the number of each occurrence as another column, the join is right: the second row `a` of the left side meets the
//! second row `a` of the right side.

use std::sync::Arc;

use datafusion::common::{Column, NullEquality};
use datafusion::error::Result;
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, JoinType, LogicalPlan, LogicalPlanBuilder};

/// The names of the columns with the number of an occurrence.
const LEFT: &str = "__left_occurrence";
const RIGHT: &str = "__right_occurrence";

/// Corrects a plan node that is an `intersect all` or `except all`.
pub(super) fn count_occurrences(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Join(join) = &plan else {
        return Ok(plan);
    };
    // No other join of a statement that has not been optimized takes nulls for equal. Without `all`, the left side is
    // distinct.
    let is_all = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_));
    let column = |expr: &Expr| expr.try_as_col().cloned();
    let keys = join.on.iter();
    let keys = keys.map(|(left, right)| Some((column(left)?, column(right)?)));
    let keys = keys.collect::<Option<Vec<(Column, Column)>>>();
    let Some(keys) = keys.filter(|_| is_all) else {
        return Ok(plan);
    };
    let columns = columns(&join.left);
    let (mut left_keys, mut right_keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    left_keys.push(Column::from_name(LEFT));
    right_keys.push(Column::from_name(RIGHT));
    LogicalPlanBuilder::from(numbered(&join.left, LEFT)?)
        .join_detailed(
            numbered(&join.right, RIGHT)?,
            join.join_type,
            (left_keys, right_keys),
            None,
            NullEquality::NullEqualsNull,
        )?
        .project(columns)?
        .build()
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    let columns = plan.schema().columns().into_iter();
    columns.map(Expr::Column).collect()
}

/// Returns a plan with another column, which numbers equal rows from 1.
fn numbered(plan: &Arc<LogicalPlan>, name: &str) -> Result<LogicalPlan> {
    let mut columns = columns(plan);
    let number = row_number().partition_by(columns.clone()).build()?;
    let column = Column::from_name(number.schema_name().to_string());
    columns.push(Expr::Column(column).alias(name));
    LogicalPlanBuilder::from(plan.as_ref().clone())
        .window([number])?
        .project(columns)?
        .build()
}
