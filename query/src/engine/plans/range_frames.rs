//! Frames of `range between`. Where the end of a frame is beyond the type of the sorted column, DataFusion takes the rest
//! of the partition, with its nulls. A column of up to 32 bits is sorted as one of 64 bits.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, WindowFrame, WindowFrameBound, WindowFrameUnits, cast,
};

use crate::engine::plans::expressions::each_expression;

/// Widens the sorted columns of the frames in a plan node.
pub(super) fn widen(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !matches!(plan, LogicalPlan::Window(_)) {
        return Ok(plan);
    }
    let schema = merge_schema(&plan.inputs());
    each_expression(plan, |expr| {
        expr.transform_up(|node| {
            let Expr::WindowFunction(mut function) = node else {
                return Ok(Transformed::no(node));
            };
            let params = &mut function.params;
            if let [key] = params.order_by.as_mut_slice()
                && has_distance(&params.window_frame)
                && is_narrow(&key.expr.get_type(&schema)?)
            {
                key.expr = cast(key.expr.clone(), DataType::Int64);
                return Ok(Transformed::yes(Expr::WindowFunction(function)));
            }
            Ok(Transformed::no(Expr::WindowFunction(function)))
        })
    })
    .data()
}

fn has_distance(frame: &WindowFrame) -> bool {
    let is_distance = |bound: &WindowFrameBound| {
        !bound.is_unbounded() && !matches!(bound, WindowFrameBound::CurrentRow)
    };
    frame.units == WindowFrameUnits::Range
        && (is_distance(&frame.start_bound) || is_distance(&frame.end_bound))
}

fn is_narrow(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
    )
}
