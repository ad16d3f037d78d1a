//! `fetch first n rows only`, which DataFusion knows as `limit n` alone.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, LimitClause, Query, Statement, Value, VisitMut, VisitorMut,
};

/// Replaces each `fetch` by `limit`.
pub(super) fn correct(sql: &mut Statement) {
    let _ = VisitMut::visit(sql, &mut QueryVisitor);
}

/// A visitor of all queries of a statement.
struct QueryVisitor;

impl VisitorMut for QueryVisitor {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(fetch) = query.fetch.take() else {
            return ControlFlow::Continue(());
        };
        let one = || Expr::value(Value::Number("1".into(), false));
        let rows = fetch.quantity.unwrap_or_else(one);
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, .. }) => *limit = Some(rows),
            other => {
                *other = Some(LimitClause::LimitOffset {
                    limit: Some(rows),
                    offset: None,
                    limit_by: Vec::new(),
                });
            }
        }
        ControlFlow::Continue(())
    }
}
