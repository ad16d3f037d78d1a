//! Sorts with a limit whose partitions are told apart by a key.
//!
//! Each partition of such a sort has a heap of its own, and where one is full, rows of all that are greater than its greatest
//! are dropped (DataFusion's `TopKDynamicFilters`). By a key that is constant in each partition, as that which tells the parts
//! of a union apart, no heap sorts; so rows of one partition are dropped for those of another that come after them. Of
//!
//! ```text
//! SortPreservingMergeExec: [part, item], fetch=4
//!   SortExec: TopK(fetch=4), expr=[item], preserve_partitioning=[true]
//!     UnionExec
//! ```
//!
//! it makes
//!
//! ```text
//! SortExec: TopK(fetch=4), expr=[part, item], preserve_partitioning=[false]
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

/// What is below a sort with a limit, of partitions each, that is by fewer than `keys`, with the projections above it. None: there is no such.
fn unsorted(plan: &Arc<dyn ExecutionPlan>, keys: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let shares = sort.fetch().is_some() && sort.preserve_partitioning();
        let wrong = shares && sort.expr().len() < keys;
        return Ok(wrong.then(|| sort.input().clone()));
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
