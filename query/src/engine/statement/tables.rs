//! The tables that a statement names, before there is a session.

use std::ops::ControlFlow;

use datafusion::config::SqlParserOptions;
use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::visit_relations;

use crate::engine::statement::bounds;

/// Returns the names of the tables in the statements of a text: none if the text is no SQL. Needs a deep stack.
pub(crate) fn named_tables(sql: &str) -> Vec<String> {
    let mut names = vec![];
    for statement in parsed(sql).unwrap_or_default() {
        let mut inner = &statement;
        while let Statement::Explain(explain) = inner {
            inner = &explain.statement;
        }
        let Statement::Statement(inner) = inner else {
            continue;
        };
        let _ = visit_relations(inner.as_ref(), |name| {
            if let [part] = name.0.as_slice()
                && let Some(ident) = part.as_ident()
            {
                names.push(match ident.quote_style {
                    Some(_) => ident.value.clone(),
                    None => ident.value.to_lowercase(),
                });
            }
            ControlFlow::<()>::Continue(())
        });
    }
    names
}

fn parsed(sql: &str) -> Result<Vec<Statement>, DataFusionError> {
    bounds::check_text(sql)?;
    let limit = SqlParserOptions::default().recursion_limit.get();
    let mut parser = DFParserBuilder::new(sql)
        .with_recursion_limit(limit)
        .build()?;
    Ok(parser.parse_statements()?.into())
}

#[cfg(test)]
mod tests {
    use super::named_tables;

    #[test]
    fn files_and_tables_are_found() {
        let sql = "with a as (select * from 'x/run.parquet') select 'no.parquet' from a, \"other.sqlite\" \
                   where path in (select path from files where path = '/etc/shadow')";
        assert_eq!(
            named_tables(sql),
            ["x/run.parquet", "a", "other.sqlite", "files"]
        );
        assert_eq!(
            named_tables("explain select * from 'a.parquet'"),
            ["a.parquet"]
        );
        assert_eq!(named_tables("describe 'a.parquet'"), ["a.parquet"]);
        assert!(named_tables("no sql").is_empty());
    }
}
