//! Expands short calls in a statement: `strace()` gets the columns of a call as arguments, `ago('10m')` the end of the
//! recording, and `mod(x, y)` becomes `x % y`.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Statement as Sql, Value, visit_expressions, visit_expressions_mut,
};

use crate::engine::functions::calls;

/// The functions of a statement that have to be expanded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExpandedFunctions {
    pub(crate) strace: bool,
    pub(crate) ago: bool,
    pub(crate) remainder: bool,
}

/// A call with wrong arguments.
#[derive(Debug)]
pub(crate) struct MisusedFunction {
    pub(crate) name: &'static str,
    /// The correct usage.
    pub(crate) usage: &'static str,
}

/// Returns the functions of `statement` that have to be expanded.
pub(crate) fn expanded_functions(statement: &Statement) -> ExpandedFunctions {
    let mut found = ExpandedFunctions::default();
    match statement {
        Statement::Statement(sql) => {
            let _: ControlFlow<()> = visit_expressions(sql.as_ref(), |expr| {
                match short_function(expr) {
                    Some("strace") => found.strace = true,
                    Some("ago") => found.ago = true,
                    Some("mod") => found.remainder = true,
                    _ => {}
                }
                ControlFlow::Continue(())
            });
            found
        }
        Statement::Explain(explain) => expanded_functions(&explain.statement),
        _ => found,
    }
}

/// Expands the functions. `architectures` is a JSON object from hosts to architectures, `end_ns` the last instant of the
/// recordings, ns since 1970.
///
/// # Errors
/// A function is called with wrong arguments.
pub(crate) fn expand(
    statement: &mut Statement,
    architectures: &str,
    end_ns: i64,
) -> Result<(), MisusedFunction> {
    match statement {
        Statement::Statement(sql) => expand_sql(sql, architectures, end_ns),
        Statement::Explain(explain) => expand(&mut explain.statement, architectures, end_ns),
        _ => Ok(()),
    }
}

fn expand_sql(sql: &mut Sql, architectures: &str, end_ns: i64) -> Result<(), MisusedFunction> {
    let flow = visit_expressions_mut(sql, |expr| {
        let name = short_function(expr);
        let expanded = match (name, &mut *expr) {
            (Some("strace"), Expr::Function(function)) => strace(function, architectures),
            (Some("ago"), Expr::Function(function)) => ago(function, end_ns),
            (Some("mod"), Expr::Function(function)) => {
                remainder(function).map(|remainder| *expr = remainder)
            }
            _ => return ControlFlow::Continue(()),
        };
        match expanded {
            Ok(()) => ControlFlow::Continue(()),
            Err(misused) => ControlFlow::Break(misused),
        }
    });
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(misused) => Err(misused),
    }
}

/// Returns the name of a function that has to be expanded.
fn short_function(expr: &Expr) -> Option<&'static str> {
    let Expr::Function(Function { name, .. }) = expr else {
        return None;
    };
    let [part] = name.0.as_slice() else {
        return None;
    };
    let ident = part.as_ident()?;
    ["strace", "ago", "mod"]
        .into_iter()
        .find(|name| ident.value.eq_ignore_ascii_case(name))
}

/// Expands `strace()`, `strace(*)`, `strace(t)` and `strace(t.*)`.
fn strace(function: &mut Function, architectures: &str) -> Result<(), MisusedFunction> {
    let misused = MisusedFunction {
        name: "strace",
        usage: "write strace(), or strace(t) for the calls of table `t`",
    };
    let FunctionArguments::List(list) = &mut function.args else {
        return Err(misused);
    };
    let span = function.name.0.first().and_then(|part| part.as_ident());
    let span = span.map_or_else(datafusion::sql::sqlparser::tokenizer::Span::empty, |i| {
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
        let ident = Ident::with_span(span, name);
        argument(match table.as_slice() {
            [] => Expr::Identifier(ident),
            table => Expr::CompoundIdentifier([table, &[ident]].concat()),
        })
    };
    let architectures = Value::SingleQuotedString(architectures.into());
    list.args = std::iter::once(argument(Expr::Value(architectures.into())))
        .chain(calls::columns().map(column))
        .collect();
    Ok(())
}

/// Expands `ago('10m')`.
fn ago(function: &mut Function, end_ns: i64) -> Result<(), MisusedFunction> {
    match &mut function.args {
        FunctionArguments::List(list) if list.args.len() == 1 => {
            let end = Value::Number(end_ns.to_string(), false);
            list.args.push(argument(Expr::Value(end.into())));
            Ok(())
        }
        _ => Err(MisusedFunction {
            name: "ago",
            usage: "write a duration, such as ago('10m')",
        }),
    }
}

/// Rewrites `mod(x, y)` to `(x) % (y)`.
fn remainder(function: &Function) -> Result<Expr, MisusedFunction> {
    let operand = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
            Some(Box::new(Expr::Nested(Box::new(expr.clone()))))
        }
        _ => None,
    };
    let operands = match &function.args {
        FunctionArguments::List(list) => match list.args.as_slice() {
            [x, y] => operand(x).zip(operand(y)),
            _ => None,
        },
        _ => None,
    };
    match operands {
        Some((left, right)) => Ok(Expr::BinaryOp {
            left,
            op: BinaryOperator::Modulo,
            right,
        }),
        None => Err(MisusedFunction {
            name: "mod",
            usage: "write two numbers, such as mod(pid, 10)",
        }),
    }
}

fn argument(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}
