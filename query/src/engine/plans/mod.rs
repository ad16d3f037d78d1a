//! Corrections of logical plans that DataFusion 55 answers wrongly, refuses or answers slowly. Plans are changed before
//! or between the rules of its optimizer. `engine/plans/upstream.rs` tests that each correction is still needed.

mod expressions;
mod membership;
mod overflow;
mod range_frames;
mod semi_joins;
mod set_operations;
mod sort_keys;
mod subqueries;
mod times;
#[cfg(test)]
mod upstream;

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{Optimizer, OptimizerRule};

use crate::engine::statement::ChangedNames;
use crate::source::TimeSpan;
use membership::SimplifyMembership;
pub(crate) use overflow::CheckOverflow;
pub(crate) use semi_joins::DistinctSemiJoins;
pub(crate) use times::needs_span;

/// Returns DataFusion's optimizer rules, with a guard around the simplification of expressions.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter();
    let corrected = rules.map(|rule| match rule.name() {
        "simplify_expressions" => Arc::new(SimplifyMembership::new(rule)),
        _ => rule,
    });
    corrected.collect()
}

/// Corrects the plan of a statement before DataFusion analyzes it. `span` is the time span of the recordings, which
/// times of day depend on.
///
/// # Errors
/// A subquery is at a place where it cannot be answered.
pub(crate) fn correct(plan: LogicalPlan, span: Option<TimeSpan>) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let node = times::compare(node, span)?;
        let node = sort_keys::deduplicate(node)?;
        let node = range_frames::widen(node)?;
        let node = set_operations::count_occurrences(node)?;
        Ok(Transformed::yes(subqueries::decorrelate(node)?))
    })
    .data()
}

/// Gives the columns of an answer the names that they had before [`crate::engine::statement::rename`]. Columns of one
/// name get different qualifiers, as those of different tables.
pub(crate) fn with_repeated_names(
    plan: LogicalPlan,
    changed: &ChangedNames,
) -> Result<LogicalPlan> {
    let is_repeated = |name: &String| changed.values().any(|original| original == name);
    let columns = plan.schema().columns().into_iter().enumerate();
    let columns = columns.map(|(index, column)| {
        let original = changed.get(&column.name).unwrap_or(&column.name);
        let original = original.clone();
        let qualifier = TableReference::bare(format!("column {index}"));
        let expr = Expr::Column(column);
        match is_repeated(&original) {
            true => expr.alias_qualified(Some(qualifier), original),
            false => expr,
        }
    });
    let columns: Vec<_> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
