//! Removes sort keys that occur twice. With such keys, DataFusion's physical planner panics for `distinct on` and
//! ordered aggregates.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use crate::engine::plans::expressions::each_expression;

/// Removes the repeated keys of the sorts in a plan node.
pub(super) fn deduplicate(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = match plan {
        LogicalPlan::Sort(mut sort) => {
            sort.expr = first_of_each(sort.expr);
            LogicalPlan::Sort(sort)
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            on.sort_expr = on.sort_expr.map(first_of_each);
            LogicalPlan::Distinct(Distinct::On(on))
        }
        other => other,
    };
    each_expression(plan, |expr| {
        expr.transform_up(|node| {
            Ok(match node {
                Expr::AggregateFunction(mut function) if function.params.order_by.len() > 1 => {
                    let keys = std::mem::take(&mut function.params.order_by);
                    function.params.order_by = first_of_each(keys);
                    Transformed::yes(Expr::AggregateFunction(function))
                }
                Expr::WindowFunction(mut function) if function.params.order_by.len() > 1 => {
                    let keys = std::mem::take(&mut function.params.order_by);
                    function.params.order_by = first_of_each(keys);
                    Transformed::yes(Expr::WindowFunction(function))
                }
                other => Transformed::no(other),
            })
        })
    })
    .data()
}

/// Returns the keys without those whose expression an earlier key has, in either direction.
fn first_of_each(keys: Vec<Sort>) -> Vec<Sort> {
    let mut unique: Vec<Sort> = Vec::with_capacity(keys.len());
    for key in keys {
        if !unique.iter().any(|earlier| earlier.expr == key.expr) {
            unique.push(key);
        }
    }
    unique
}
