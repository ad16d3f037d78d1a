//! The column names of an answer: an expression without an alias is named by its SQL text.

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Ident, Query, SelectItem, Statement as Sql};

use crate::engine::statement;

/// Adds aliases to the columns of a query, but not to those of its subqueries.
pub(crate) fn set(statement: &mut Statement) {
    if let Statement::Statement(sql) = statement
        && let Sql::Query(query) = sql.as_mut()
    {
        set_in_query(query);
    }
}

fn set_in_query(query: &mut Query) {
    let Some(select) = statement::first_select(query) else {
        return;
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && !statement::is_column(expr)
        {
            let alias = Ident::with_quote('"', expr.to_string());
            let expr = expr.clone();
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
    statement::sort_by_aliases(query);
}
