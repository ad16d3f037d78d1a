//! Sorts with a limit whose partitions are told apart by a key.
//!
//! Each partition of such a sort has a heap of its own, and they share what the fullest has seen: a row that is greater is
//! dropped (DataFusion's `TopKDynamicFilters`). A key that is constant in each partition, as that of the parts of a union is,
//! is left out of what a heap sorts by, and then rows of one partition are dropped for those of another that come after them.

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

/// Makes one sort by all keys of a merge of sorts with a limit that are by fewer.
#[derive(Debug)]
pub struct OneHeap;

impl PhysicalOptimizerRule for OneHeap {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let one = |plan: Arc<dyn ExecutionPlan>| {
            let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() else {
                return Ok(Transformed::no(plan));
            };
            let Some(unsorted) = unsorted(merge.input(), merge.expr().len())? else {
                return Ok(Transformed::no(plan));
            };
            let all = Arc::new(CoalescePartitionsExec::new(unsorted));
            let sort = SortExec::new(merge.expr().clone(), all).with_fetch(merge.fetch());
            Ok(Transformed::yes(Arc::new(sort) as Arc<dyn ExecutionPlan>))
        };
        plan.transform_up(one).data()
    }

    fn name(&self) -> &str {
        "one_heap"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What is below a sort with a limit that is by fewer than `keys`, with the projections above it. None: there is no such.
fn unsorted(plan: &Arc<dyn ExecutionPlan>, keys: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let by_fewer = sort.fetch().is_some() && sort.expr().len() < keys;
        return Ok(by_fewer.then(|| sort.input().clone()));
    }
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else {
        return Ok(None);
    };
    let Some(input) = unsorted(projection.input(), keys)? else {
        return Ok(None);
    };
    let projection = ProjectionExec::try_new(projection.expr().to_vec(), input)?;
    Ok(Some(Arc::new(projection)))
}
