//! The names of an answer's columns: an expression without an alias is named as it is written.

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderByKind, Query, SelectItem, SetExpr, Statement as Sql,
};

/// Names the columns of a query itself, and not those of queries inside it.
pub fn name(statement: &mut Statement) {
    if let Statement::Statement(sql) = statement
        && let Sql::Query(query) = sql.as_mut()
    {
        name_query(query);
    }
}

fn name_query(query: &mut Query) {
    let mut body = query.body.as_mut();
    let select = loop {
        body = match body {
            SetExpr::Select(select) => break select,
            SetExpr::Query(inner) => return name_query(inner),
            // The first names the columns of all.
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
    // What is distinct can be sorted by what is selected alone, and that has this name now.
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

/// Whether it is a column, or makes several.
fn has_name(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        Expr::Function(function) => function.name.to_string().eq_ignore_ascii_case("unnest"),
        _ => false,
    }
}
