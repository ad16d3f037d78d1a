//! Corrects sorts with a limit over partitions of which a sort key is constant.
//!
//! Each partition of such a sort has its own heap. When a heap is full, rows of all partitions that are greater than its
//! maximum are dropped (DataFusion's `TopKDynamicFilters`). A key that is constant in each partition, such as a literal in the
//! branches of a union, is not part of the heaps' order, so rows of one partition are dropped for rows of another one that
//! sort after them. The rule replaces
//!
//! ```text
//! SortPreservingMergeExec: [branch, item], fetch=4
//!   SortExec: TopK(fetch=4), expr=[item], preserve_partitioning=[true]
//!     UnionExec
//! ```
//!
//! by
//!
//! ```text
//! SortExec: TopK(fetch=4), expr=[branch, item], preserve_partitioning=[false]
//!   CoalescePartitionsExec
//!     UnionExec
//! ```

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

/// The rule: a merge of sorts with a limit becomes one sort, if the merge has more keys than the sorts.
#[derive(Debug)]
pub(crate) struct OneHeap;

impl PhysicalOptimizerRule for OneHeap {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let merged = |plan: Arc<dyn ExecutionPlan>| {
            let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() else {
                return Ok(Transformed::no(plan));
            };
            let Some(input) = sort_input(merge.input(), merge.expr().len())? else {
                return Ok(Transformed::no(plan));
            };
            let all = Arc::new(CoalescePartitionsExec::new(input));
            let sort = SortExec::new(merge.expr().clone(), all).with_fetch(merge.fetch());
            Ok(Transformed::yes(Arc::new(sort) as Arc<dyn ExecutionPlan>))
        };
        plan.transform_up(merged).data()
    }

    fn name(&self) -> &str {
        "one_heap"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns the input of a sort of each partition with a limit and fewer than `keys` keys, below the projections of
/// `plan`. `None`: `plan` is not such a sort.
fn sort_input(
    plan: &Arc<dyn ExecutionPlan>,
    keys: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let is_partitioned_topk = sort.fetch().is_some() && sort.preserve_partitioning();
        let wrong = is_partitioned_topk && sort.expr().len() < keys;
        return Ok(wrong.then(|| sort.input().clone()));
    }
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else {
        return Ok(None);
    };
    let Some(input) = sort_input(projection.input(), keys)? else {
        return Ok(None);
    };
    let projection = ProjectionExec::try_new(projection.expr().to_vec(), input)?;
    Ok(Some(Arc::new(projection)))
}
