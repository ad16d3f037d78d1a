//! Corrections of logical plans that DataFusion 55 answers wrongly, refuses or answers slowly. Plans are changed before
//! or between the rules of its optimizer. `engine/plans/upstream.rs` tests that each correction is still needed.

mod expressions;
mod membership;
mod range_frames;
mod semi_joins;
mod set_operations;
mod sort_keys;
mod subqueries;
mod times;
#[cfg(test)]
mod upstream;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerRule};

use crate::source::TimeSpan;
use membership::SimplifyMembership;
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
