//! Names of columns with casts. DataFusion leaves casts out of names, so that `min(time)` and `min(cast(time as
//! bigint))` have the same name, and refuses to compute both.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Statement as Sql, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Returns whether an error may be due to two columns of one name.
pub(crate) fn is_same_name(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => matches!(
            **schema,
            SchemaError::DuplicateUnqualifiedField { .. }
                | SchemaError::DuplicateQualifiedField { .. }
                // Of a subquery with columns of one name.
                | SchemaError::AmbiguousReference { .. }
                | SchemaError::FieldNotFound { .. }
        ),
        DataFusionError::Plan(text) => text.contains("require unique expression names"),
        _ => false,
    }
}

/// Gives the casts in arguments of functions names. The first of them, such as `cast(time as bigint)`, becomes
/// `coalesce(cast(time as bigint))`, which has the same value; the second becomes the argument of `coalesce` twice, and
/// so on, so that each has another name.
pub(crate) fn name_casts(statement: &mut Statement) {
    match statement {
        Statement::Statement(sql) => name_in_sql(sql),
        Statement::Explain(explain) => name_casts(&mut explain.statement),
        _ => {}
    }
}

fn name_in_sql(sql: &mut Sql) {
    let mut casts: Vec<Expr> = vec![];
    let _: ControlFlow<()> = visit_expressions_mut(sql, |expr| {
        if let Expr::Function(function) = expr
            && let FunctionArguments::List(list) = &mut function.args
        {
            for argument in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument
                    && matches!(expr, Expr::Cast { .. })
                {
                    let known = casts.iter().position(|cast| cast == expr);
                    let index = known.unwrap_or_else(|| {
                        casts.push(expr.clone());
                        casts.len() - 1
                    });
                    if let Some(named) = coalesced(expr, index + 1) {
                        *expr = named;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    });
}

/// Returns a call of `coalesce` with `expr` as each of its arguments.
fn coalesced(expr: &Expr, arguments: usize) -> Option<Expr> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql("coalesce()");
    let mut call = parser.ok()?.parse_expr().ok()?;
    if let Expr::Function(function) = &mut call
        && let FunctionArguments::List(list) = &mut function.args
    {
        let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(expr.clone()));
        list.args = vec![argument; arguments];
        return Some(call);
    }
    None
}
