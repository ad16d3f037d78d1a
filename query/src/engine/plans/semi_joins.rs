//! Makes the rows of the right side of semi joins distinct. DataFusion's hash join compares each row of the left side
//! with all rows of the right side that have the same key, although one such row is enough.

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// Optimizer rule: `a semi join b on a.x = b.y` becomes `a semi join (select distinct y from b) as b on a.x = b.y`.
#[derive(Debug)]
pub(crate) struct DistinctSemiJoins;

impl OptimizerRule for DistinctSemiJoins {
    fn name(&self) -> &str {
        "distinct_semi_joins"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(mut join) = plan else {
            return Ok(Transformed::no(plan));
        };
        let is_semi = matches!(
            join.join_type,
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
        );
        let keys: Option<Vec<Expr>> = join.on.iter().map(|(_, key)| column(key)).collect();
        let is_distinct = matches!(*join.right, LogicalPlan::Aggregate(_));
        let Some(mut keys) = keys
            .filter(|keys| is_semi && join.filter.is_none() && !keys.is_empty() && !is_distinct)
        else {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        };
        let mut distinct = vec![];
        while let Some(key) = keys.pop() {
            if !distinct.contains(&key) {
                distinct.insert(0, key);
            }
        }
        let right = LogicalPlanBuilder::from(Arc::unwrap_or_clone(join.right));
        let right = right.aggregate(distinct, Vec::<Expr>::new())?;
        join.right = Arc::new(right.build()?);
        Ok(Transformed::yes(LogicalPlan::Join(join)))
    }
}

fn column(key: &Expr) -> Option<Expr> {
    matches!(key, Expr::Column(_)).then(|| key.clone())
}
