//! The column names of an answer: an expression without an alias is named by its SQL text.

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderByKind, Query, SelectItem, SetExpr, Statement as Sql,
};

/// Adds aliases to the columns of a query, but not to those of its subqueries.
pub(crate) fn set(statement: &mut Statement) {
    if let Statement::Statement(sql) = statement
        && let Sql::Query(query) = sql.as_mut()
    {
        set_in_query(query);
    }
}

fn set_in_query(query: &mut Query) {
    let mut body = query.body.as_mut();
    let select = loop {
        body = match body {
            SetExpr::Select(select) => break select,
            SetExpr::Query(inner) => return set_in_query(inner),
            // The first query of a set operation names the columns.
            SetExpr::SetOperation { left, .. } => left.as_mut(),
            _ => return,
        }
    };
    let mut named = Vec::new();
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && !has_name(expr)
        {
            let alias = Ident::with_quote('"', expr.to_string());
            let expr = expr.clone();
            named.push((expr.clone(), alias.clone()));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
    // A query with `distinct` can only be sorted by its selected expressions, which have aliases now.
    if select.distinct.is_some()
        && let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(orders) = &mut order.kind
    {
        for order in orders {
            if let Some((_, alias)) = named.iter().find(|(expr, _)| *expr == order.expr) {
                order.expr = Expr::Identifier(alias.clone());
            }
        }
    }
}

/// Returns whether the expression is a column, or expands to several columns.
fn has_name(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        Expr::Function(function) => function.name.to_string().eq_ignore_ascii_case("unnest"),
        _ => false,
    }
}
