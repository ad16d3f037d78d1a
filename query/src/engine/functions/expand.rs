//! Writes out what stands short in a statement: `strace()` is a function of many columns, and `ago('10m')` one of the end
//! of the recording.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Statement as Sql,
    Value, visit_expressions, visit_expressions_mut,
};

use crate::engine::functions::calls;

/// Which of these functions a statement uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    pub strace: bool,
    pub ago: bool,
}

/// A use of a function that cannot be.
#[derive(Debug)]
pub struct Misused {
    /// The function.
    pub name: &'static str,
    /// How it is used.
    pub usage: &'static str,
}

/// Which of these functions `statement` uses.
pub fn uses(statement: &Statement) -> Uses {
    let mut uses = Uses::default();
    match statement {
        Statement::Statement(sql) => {
            let _: ControlFlow<()> = visit_expressions(sql.as_ref(), |expr| {
                match short(expr) {
                    Some("strace") => uses.strace = true,
                    Some("ago") => uses.ago = true,
                    _ => {}
                }
                ControlFlow::Continue(())
            });
            uses
        }
        Statement::Explain(explain) => self::uses(&explain.statement),
        _ => uses,
    }
}

/// Writes them out. `machines` is a JSON object of hosts and their architectures, `end` the last instant of the recordings,
/// ns since 1970.
///
/// # Errors
/// That one is called with what it does not take.
pub fn expand(statement: &mut Statement, machines: &str, end: i64) -> Result<(), Misused> {
    match statement {
        Statement::Statement(sql) => expand_sql(sql, machines, end),
        Statement::Explain(explain) => expand(&mut explain.statement, machines, end),
        _ => Ok(()),
    }
}

fn expand_sql(sql: &mut Sql, machines: &str, end: i64) -> Result<(), Misused> {
    let flow = visit_expressions_mut(sql, |expr| {
        let (short, Expr::Function(function)) = (short(expr), expr) else {
            return ControlFlow::Continue(());
        };
        let fits = match short {
            Some("strace") => strace(function, machines),
            Some("ago") => ago(function, end),
            _ => return ControlFlow::Continue(()),
        };
        match fits {
            Ok(()) => ControlFlow::Continue(()),
            Err(misused) => ControlFlow::Break(misused),
        }
    });
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(misused) => Err(misused),
    }
}

/// The name of a function that is to be written out.
fn short(expr: &Expr) -> Option<&'static str> {
    let Expr::Function(Function { name, .. }) = expr else {
        return None;
    };
    let [part] = name.0.as_slice() else {
        return None;
    };
    let ident = part.as_ident()?;
    ["strace", "ago"]
        .into_iter()
        .find(|name| ident.value.eq_ignore_ascii_case(name))
}

/// `strace()`, `strace(*)`, `strace(t)` and `strace(t.*)`.
fn strace(function: &mut Function, machines: &str) -> Result<(), Misused> {
    let misused = Misused {
        name: "strace",
        usage: "write strace(), or strace(t) for the calls of table `t`",
    };
    let FunctionArguments::List(list) = &mut function.args else {
        return Err(misused);
    };
    let place = function.name.0.first().and_then(|part| part.as_ident());
    let place = place.map_or_else(datafusion::sql::sqlparser::tokenizer::Span::empty, |i| {
        i.span
    });
    let table = match list.args.as_slice() {
        [] | [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => Vec::new(),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(table)))] => {
            vec![table.clone()]
        }
        [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name))] => {
            let parts = name.0.iter().filter_map(|part| part.as_ident().cloned());
            parts.collect()
        }
        _ => return Err(misused),
    };
    let column = |name: &str| {
        let ident = Ident::with_span(place, name);
        argument(match table.as_slice() {
            [] => Expr::Identifier(ident),
            table => Expr::CompoundIdentifier([table, &[ident]].concat()),
        })
    };
    let machines = Value::SingleQuotedString(machines.into());
    list.args = std::iter::once(argument(Expr::Value(machines.into())))
        .chain(calls::columns().map(column))
        .collect();
    Ok(())
}

/// `ago('10m')`.
fn ago(function: &mut Function, end: i64) -> Result<(), Misused> {
    match &mut function.args {
        FunctionArguments::List(list) if list.args.len() == 1 => {
            let end = Value::Number(end.to_string(), false);
            list.args.push(argument(Expr::Value(end.into())));
            Ok(())
        }
        _ => Err(Misused {
            name: "ago",
            usage: "write a span of time, such as ago('10m')",
        }),
    }
}

fn argument(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}
