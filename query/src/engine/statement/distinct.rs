//! Repeated keys of `distinct on`. DataFusion compares the keys with those of `order by` one by one, and refuses a key
//! that is repeated.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Distinct, Expr, Select, Statement, VisitMut, VisitorMut};

/// Removes the keys of each `distinct on` that are there before.
pub(super) fn correct(sql: &mut Statement) {
    let _ = VisitMut::visit(sql, &mut KeyVisitor);
}

/// A visitor of all selections of a statement.
struct KeyVisitor;

impl VisitorMut for KeyVisitor {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let Some(Distinct::On(keys)) = &mut select.distinct {
            let mut kept: Vec<Expr> = Vec::with_capacity(keys.len());
            for key in keys.drain(..) {
                if !kept.contains(&key) {
                    kept.push(key);
                }
            }
            *keys = kept;
        }
        ControlFlow::Continue(())
    }
}
