//! SQL text to syntax tree, with the meaning that the SQL standard gives it where the parser or the planner deviates.

mod bounds;
mod casts;
mod distinct;
mod fetch;
mod joins;
mod like;
mod names;
mod precedence;
mod repeated_names;
mod rows;
mod tables;
mod unsupported;
mod wildcards;

use std::ops::ControlFlow;

pub(crate) use casts::{is_same_name, name_casts};
pub(crate) use joins::merge_columns;
pub(crate) use repeated_names::{
    ChangedNames, expand, first_select, is_column, next_wildcard, rename, sort_by_aliases,
};
pub(crate) use tables::named_tables;

use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Statement as Sql, visit_expressions_mut};

/// Parses one statement.
///
/// # Errors
/// The text is not SQL, is more than one statement, or is beyond the bounds of a statement.
pub(crate) fn parse(ctx: &SessionContext, sql: &str) -> Result<Statement, DataFusionError> {
    bounds::check_text(sql)?;
    let statement = parse_within_bounds(ctx, sql)?;
    if let Statement::Statement(inner) = &statement {
        bounds::check_reads(inner)?;
    }
    Ok(statement)
}

fn parse_within_bounds(ctx: &SessionContext, sql: &str) -> Result<Statement, DataFusionError> {
    let state = ctx.state();
    let options = &state.config_options().sql_parser;
    if let Some(tokens) = precedence::with_parentheses(sql) {
        let mut parser = DFParserBuilder::new(tokens)
            .with_recursion_limit(options.recursion_limit.get())
            .build()?;
        let mut statements = parser.parse_statements()?;
        if statements.len() == 1
            && let Some(statement) = statements.pop_front()
        {
            return Ok(statement);
        }
    }
    state.sql_to_statement(sql, &options.dialect)
}

/// Replaces what DataFusion's planner understands differently from the SQL standard. `is_scalar` returns whether a
/// function takes the values of one row.
///
/// # Errors
/// The statement has a clause that is not supported.
pub(crate) fn correct(
    statement: &mut Statement,
    is_scalar: &dyn Fn(&str) -> bool,
) -> Result<(), DataFusionError> {
    match statement {
        Statement::Statement(sql) => correct_sql(sql, is_scalar),
        Statement::Explain(explain) => correct(&mut explain.statement, is_scalar),
        _ => Ok(()),
    }
}

fn correct_sql(sql: &mut Sql, is_scalar: &dyn Fn(&str) -> bool) -> Result<(), DataFusionError> {
    unsupported::check(sql, is_scalar)?;
    fetch::correct(sql);
    rows::correct(sql)?;
    distinct::correct(sql);
    let _: ControlFlow<()> = visit_expressions_mut(sql, |expr| {
        like::correct(expr);
        ControlFlow::Continue(())
    });
    Ok(())
}
