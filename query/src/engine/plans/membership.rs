//! A guard around DataFusion's simplification of expressions, which combines the lists of several `in` and `not in` of
//! one operand without regard to nulls: `x not in (1) or x not in (2)` becomes true even if `x` is null, and `x in (1,
//! 2) and x not in (1, null)` becomes `x = 2` (apache/datafusion#24246).
//!
//! While expressions are simplified, the operands get different aliases, so that the lists are not combined. Lists that
//! are only joined by `or` are combined here instead, as DataFusion would.
//!
//! The simplification also leaves some comparisons with the literal on the left, which a later rule takes for a
//! contradiction of the same comparison with the literal on the right (apache/datafusion#24763). Such comparisons are
//! turned around.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Alias, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::engine::plans::expressions::each_expression;

/// The key of the metadata of an alias that this rule has added.
const MARK: &str = "ctrace.membership";

/// An optimizer rule with the guard around it.
#[derive(Debug)]
pub(crate) struct SimplifyMembership(Arc<dyn OptimizerRule + Send + Sync>);

impl SimplifyMembership {
    pub(crate) fn new(rule: Arc<dyn OptimizerRule + Send + Sync>) -> SimplifyMembership {
        SimplifyMembership(rule)
    }
}

impl OptimizerRule for SimplifyMembership {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let guarded = each_expression(plan, guard)?;
        let simplified = self.0.rewrite(guarded.data, config)?;
        let transformed = guarded.transformed || simplified.transformed;
        let shown = each_expression(simplified.data, unguard)?;
        Ok(Transformed::new(
            shown.data,
            transformed || shown.transformed,
            TreeNodeRecursion::Continue,
        ))
    }
}

/// Gives the operands of membership tests in `expr` different aliases, if an operand is tested several times.
fn guard(expr: Expr) -> Result<Transformed<Expr>> {
    let (mut tests, mut repeated): (Vec<Expr>, Vec<Expr>) = (vec![], vec![]);
    expr.apply(|node| {
        if let Some(operand) = tested(node) {
            match tests.contains(operand) {
                true if repeated.contains(operand) => {}
                true => repeated.push(operand.clone()),
                false => tests.push(operand.clone()),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if repeated.is_empty() {
        return Ok(Transformed::no(expr));
    }
    let united = expr.transform_up(unite)?;
    let mut number = 0;
    let mut alias = |operand: Expr| {
        number += 1;
        let mark = BTreeMap::from([(MARK.to_string(), number.to_string())]);
        // The alias has the name of the operand, so that the name of the expression does not change.
        let name = operand.schema_name().to_string();
        let alias = Alias::new(operand, None::<&str>, name);
        Box::new(Expr::Alias(
            alias.with_metadata(Some(FieldMetadata::new(mark))),
        ))
    };
    let aliased = united.data.transform_up(|node| {
        if !tested(&node).is_some_and(|operand| repeated.contains(operand)) {
            return Ok(Transformed::no(node));
        }
        Ok(match node {
            Expr::InList(list) => Transformed::yes(Expr::InList(InList {
                expr: alias(*list.expr),
                ..list
            })),
            Expr::BinaryExpr(comparison) => Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                left: alias(*comparison.left),
                ..comparison
            })),
            other => Transformed::no(other),
        })
    })?;
    Ok(Transformed::new(
        aliased.data,
        united.transformed,
        TreeNodeRecursion::Continue,
    ))
}

/// Returns the operand of a membership test: `x in (...)`, or a comparison `x = value` or `x <> value` of a column.
fn tested(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::InList(list) => Some(&list.expr),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq | Operator::NotEq,
            right,
        }) => {
            let is_test = matches!(**left, Expr::Column(_)) && right.column_refs().is_empty();
            is_test.then_some(left)
        }
        _ => None,
    }
}

/// Combines `x in (...) or x in (...)`, in which nulls have the same effect.
fn unite(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Or,
        right,
    }) = &expr
    else {
        return Ok(Transformed::no(expr));
    };
    let (Some((operand, mut list)), Some((other, more))) = (members(left), members(right)) else {
        return Ok(Transformed::no(expr));
    };
    if operand != other {
        return Ok(Transformed::no(expr));
    }
    for member in more {
        if !list.contains(&member) {
            list.push(member);
        }
    }
    Ok(Transformed::yes(operand.clone().in_list(list, false)))
}

/// Returns the operand and the values of `x in (...)` or `x = value`.
fn members(expr: &Expr) -> Option<(&Expr, Vec<Expr>)> {
    match expr {
        Expr::InList(list) if !list.negated => Some((&list.expr, list.list.clone())),
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::Eq,
            right,
            ..
        }) => Some((tested(expr)?, vec![right.as_ref().clone()])),
        _ => None,
    }
}

/// Removes the aliases of [`guard`], and turns comparisons with a literal on the left around.
fn unguard(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|node| match node {
        Expr::Alias(alias) if is_marked(&alias) => Ok(Transformed::yes(*alias.expr)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let turned = op.swap().filter(|_| op.supports_propagation());
            match (left.as_ref(), turned) {
                (Expr::Literal(..), Some(op)) if !matches!(*right, Expr::Literal(..)) => {
                    let turned = BinaryExpr::new(right, op, left);
                    Ok(Transformed::yes(Expr::BinaryExpr(turned)))
                }
                _ => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(
                    left, op, right,
                )))),
            }
        }
        other => Ok(Transformed::no(other)),
    })
}

fn is_marked(alias: &Alias) -> bool {
    let metadata = alias.metadata.as_ref();
    metadata.is_some_and(|metadata| metadata.inner().contains_key(MARK))
}
