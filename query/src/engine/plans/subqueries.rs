//! Membership in the rows of a subquery, `exists`, and comparisons with `any` and `all` rows, where DataFusion's joins
//! answer wrongly or not at all.
//!
//! DataFusion replaces `x in (select ...)` and `exists` by joins, in conditions only. Its joins do not know that `x not
//! in (...)` is null if the subquery has a null (apache/datafusion#8241, #25347), unless the condition stands alone. A
//! test that may be negated, or stands elsewhere, is replaced by scalar subqueries that count rows:
//!
//! ```text
//! case when x is null then case when (select count(*) from rows) > 0 then null else false end
//!      when (select count(*) from rows where member = x) > 0 then true
//!      when (select count(*) from rows where member is null) > 0 then null
//!      else false end
//! ```
//!
//! In a comparison with `any` or `all`, DataFusion takes a column of the outer query for the column of the same name of
//! the subquery, and compares the latter with itself. Such a comparison is replaced by one with the minimum or the
//! maximum.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::count::count_all;
use datafusion::functions_aggregate::min_max::{max, min};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit,
    not, scalar_subquery, when,
};
use datafusion::prelude::{coalesce, col};

use crate::engine::plans::expressions::each_expression;

/// The name of the column of a subquery that has the members.
const MEMBER: &str = "__member";

/// Replaces the tests of a plan node that DataFusion does not answer correctly.
///
/// # Errors
/// A test stands in the condition of an outer join.
pub(super) fn decorrelate(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = each_expression(plan, |expr| expr.transform_up(as_membership))?;
    match plan.data {
        LogicalPlan::Filter(filter) if has_test(&filter.predicate) => {
            let schema = merge_schema(&[&filter.input]);
            let conditions = split_conjunction_owned(filter.predicate).into_iter();
            let conditions = conditions.map(|condition| match is_positive(&condition) {
                true => Ok(condition),
                false => counted(condition, &schema, false),
            });
            let predicate = conjunction(conditions.collect::<Result<Vec<_>>>()?);
            let predicate = predicate.unwrap_or(lit(true));
            Ok(LogicalPlan::Filter(Filter::try_new(
                predicate,
                filter.input,
            )?))
        }
        plan @ LogicalPlan::Projection(_) => {
            let schema = merge_schema(&plan.inputs());
            each_expression(plan, |expr| match has_test(&expr) {
                true => Ok(Transformed::yes(counted(expr, &schema, true)?)),
                false => Ok(Transformed::no(expr)),
            })?
            .map_data(LogicalPlan::recompute_schema)
            .data()
        }
        plan @ (LogicalPlan::Aggregate(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_)) => {
            lifted(plan)
        }
        plan @ LogicalPlan::Join(_) => above_join(plan),
        other => Ok(other),
    }
}

fn is_test(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
    )
}

/// Turns `= any (...)` into `in`, and `<> all (...)` into `not in`.
fn as_membership(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::SetComparison(SetComparison {
            expr,
            subquery,
            op: op @ (Operator::Eq | Operator::NotEq),
            quantifier,
        }) if (op == Operator::Eq) == (quantifier == SetQuantifier::Any) => {
            let negated = op == Operator::NotEq;
            Transformed::yes(Expr::InSubquery(InSubquery::new(expr, subquery, negated)))
        }
        other => Transformed::no(other),
    })
}

fn has_test(expr: &Expr) -> bool {
    expr.exists(|node| Ok(is_test(node))).unwrap_or(false)
}

/// Returns whether a condition passes the same rows if the tests in the condition are false instead of null.
fn is_positive(condition: &Expr) -> bool {
    match condition {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And | Operator::Or,
            right,
        }) => is_positive(left) && is_positive(right),
        Expr::InSubquery(test) => !test.negated && !has_test(&test.expr),
        Expr::Not(inner) => matches!(**inner, Expr::Exists(_)),
        Expr::Exists(_) => true,
        other => !has_test(other),
    }
}

/// Replaces the tests in `expr` by counts. `exists_too`: also `exists`, which is never null.
fn counted(expr: Expr, schema: &DFSchema, exists_too: bool) -> Result<Expr> {
    expr.transform_up(|node| match node {
        Expr::InSubquery(test) => Ok(Transformed::yes(membership(test, schema)?)),
        Expr::SetComparison(comparison) => Ok(Transformed::yes(compared(comparison)?)),
        Expr::Exists(Exists { subquery, negated }) if exists_too => {
            let found = found(&subquery.subquery, None)?;
            let result = if negated { not(found) } else { found };
            Ok(Transformed::yes(result))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// Returns an expression with the value of `x [not] in (subquery)`.
fn membership(test: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let InSubquery {
        expr,
        subquery,
        negated,
    } = test;
    let rows = members(&subquery)?;
    let null = || lit(ScalarValue::Boolean(None));
    let is_member = col(MEMBER).eq(outer(expr.as_ref().clone(), schema)?);
    let of_null = when(found(&rows, None)?, null()).otherwise(lit(negated))?;
    when(expr.is_null(), of_null)
        .when(found(&rows, Some(is_member))?, lit(!negated))
        .when(found(&rows, Some(col(MEMBER).is_null()))?, null())
        .otherwise(lit(negated))
}

/// Returns an expression with the value of a comparison with `any` or `all` rows. `x > any (...)` is true if `x` is
/// greater than the minimum.
fn compared(comparison: SetComparison) -> Result<Expr> {
    let SetComparison {
        expr,
        subquery,
        op,
        quantifier,
    } = comparison;
    let rows = members(&subquery)?;
    let is_any = quantifier == SetQuantifier::Any;
    let with = |extreme: Expr| -> Result<Expr> {
        let extreme = LogicalPlanBuilder::from(rows.as_ref().clone())
            .aggregate(Vec::<Expr>::new(), [extreme])?
            .build()?;
        let extreme = scalar_subquery(Arc::new(extreme));
        Ok(Expr::BinaryExpr(BinaryExpr::new(
            expr.clone(),
            op,
            Box::new(extreme),
        )))
    };
    let decided = match (op, is_any) {
        (Operator::Gt | Operator::GtEq, true) | (Operator::Lt | Operator::LtEq, false) => {
            with(min(col(MEMBER)))?
        }
        (Operator::Lt | Operator::LtEq, true) | (Operator::Gt | Operator::GtEq, false) => {
            with(max(col(MEMBER)))?
        }
        // Different from any: from the minimum or from the maximum. Equal to all: to both.
        (Operator::NotEq, _) => with(min(col(MEMBER)))?.or(with(max(col(MEMBER)))?),
        (Operator::Eq, _) => with(min(col(MEMBER)))?.and(with(max(col(MEMBER)))?),
        (op, _) => return plan_err!("`{op}` does not compare with any or all rows"),
    };
    let is_unknown = expr
        .is_null()
        .or(found(&rows, Some(col(MEMBER).is_null()))?);
    let if_decided = match is_any {
        true => decided.is_true(),
        false => decided.is_false(),
    };
    when(not(found(&rows, None)?), lit(!is_any))
        .when(if_decided, lit(is_any))
        .when(is_unknown, lit(ScalarValue::Boolean(None)))
        .otherwise(lit(!is_any))
}

/// Returns the rows of a subquery. The only column is named [`MEMBER`].
fn members(subquery: &Subquery) -> Result<Arc<LogicalPlan>> {
    let plan = subquery.subquery.as_ref().clone();
    let column = Column::from(plan.schema().qualified_field(0));
    let rows = LogicalPlanBuilder::from(plan).project([Expr::Column(column).alias(MEMBER)])?;
    Ok(Arc::new(rows.build()?))
}

/// Returns an expression that is true if any row passes a condition.
fn found(rows: &Arc<LogicalPlan>, condition: Option<Expr>) -> Result<Expr> {
    let mut rows = LogicalPlanBuilder::from(rows.as_ref().clone());
    if let Some(condition) = condition {
        rows = rows.filter(condition)?;
    }
    let count = rows.aggregate(Vec::<Expr>::new(), [count_all()])?.build()?;
    let count = scalar_subquery(Arc::new(count));
    Ok(coalesce(vec![count, lit(0i64)]).gt(lit(0i64)))
}

/// Turns the columns of an expression into references to the outer query.
fn outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    expr.transform_up(|node| match node {
        Expr::Column(column) => {
            let field = schema.field_from_column(&column)?.clone();
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// Moves the tests of an aggregate, a sort or a window into a projection below it.
fn lifted(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut is_needed = false;
    plan.apply_expressions(|expr| {
        is_needed |= has_test(expr);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !is_needed {
        return Ok(plan);
    }
    let input = plan.inputs()[0].clone();
    let schema = merge_schema(&[&input]);
    let mut columns: Vec<Expr> = input
        .schema()
        .columns()
        .into_iter()
        .map(Expr::from)
        .collect();
    let plain = columns.len();
    let outputs: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .map(Expr::from)
        .collect();
    let adds_columns = !matches!(plan, LogicalPlan::Aggregate(_));
    let lift = |expr: Expr| {
        expr.transform_down(|node| {
            if !is_test(&node) {
                return Ok(Transformed::no(node));
            }
            let column = format!("__test_{}", columns.len() - plain);
            columns.push(counted(node, &schema, true)?.alias(&column));
            let column = Expr::Column(Column::new_unqualified(column));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        })
    };
    let replaced = match plan {
        // The keys of a sort have no names.
        LogicalPlan::Sort(_) => plan.map_expressions(lift)?,
        plan => each_expression(plan, lift)?,
    };
    let input = LogicalPlanBuilder::from(input).project(columns)?.build()?;
    let exprs = replaced.data.expressions();
    let plan = replaced.data.with_new_exprs(exprs, vec![input])?;
    match adds_columns {
        true => LogicalPlanBuilder::from(plan).project(outputs)?.build(),
        false => Ok(plan),
    }
}

/// Moves the tests in the condition of an inner join into a filter above it.
fn above_join(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Join(mut join) = plan else {
        return Ok(plan);
    };
    let Some(condition) = join.filter.take_if(|condition| has_test(condition)) else {
        return Ok(LogicalPlan::Join(join));
    };
    if join.join_type != JoinType::Inner {
        return plan_err!(
            "the condition of an outer join cannot contain a subquery: join a subquery that has the condition instead"
        );
    }
    let conditions = split_conjunction_owned(condition);
    let (tests, others): (Vec<_>, Vec<_>) = conditions.into_iter().partition(has_test);
    join.filter = conjunction(others);
    let tests = conjunction(tests).unwrap_or(lit(true));
    let filter = Filter::try_new(tests, Arc::new(LogicalPlan::Join(join)))?;
    decorrelate(LogicalPlan::Filter(filter))
}
