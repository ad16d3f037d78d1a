//! The `with` queries that can be named at a place of a statement.

use datafusion::sql::sqlparser::ast::{Query, SetExpr, TableFactor, TableWithJoins, With};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::engine::statement::names::normalized;

/// The `with` queries that can be named at a place.
#[derive(Default)]
pub(super) struct Scope(Vec<ScopeOfQuery>);

struct ScopeOfQuery {
    with: Option<With>,
    /// Number of the `with` queries that were entered.
    entered: usize,
    /// Number of the `with` queries that can be named.
    visible: usize,
    /// True if the query is a `select`, and no set operation.
    is_select: bool,
}

impl Scope {
    pub(super) fn enter(&mut self, query: &Query) {
        if let Some(outer) = self.0.last_mut()
            && outer.entered < outer.len()
        {
            outer.visible = outer.entered;
            outer.entered += 1;
        }
        self.0.push(ScopeOfQuery {
            with: query.with.clone(),
            entered: 0,
            visible: 0,
            is_select: matches!(query.body.as_ref(), SetExpr::Select(_)),
        });
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
        if let Some(outer) = self.0.last_mut() {
            outer.visible = outer.entered;
        }
    }

    /// Returns whether the `select` that was left last is a part of a set operation.
    pub(super) fn is_part(&self) -> bool {
        self.0.last().is_some_and(|query| !query.is_select)
    }

    /// Returns whether a name is that of a recursive query inside of this query.
    pub(super) fn is_recursion(&self, name: &str) -> bool {
        self.0.iter().any(|query| {
            let with = query.with.as_ref().filter(|with| with.recursive);
            with.is_some_and(|with| {
                let being_defined = &with.cte_tables[query.visible..query.entered];
                being_defined
                    .iter()
                    .any(|cte| normalized(&cte.alias.name) == name)
            })
        })
    }

    /// Returns `select * from` a table.
    pub(super) fn columns_query(&self, table: &TableFactor) -> Option<Query> {
        let parser = Parser::new(&GenericDialect {}).try_with_sql("select * from t");
        let mut query = *parser.ok()?.parse_query().ok()?;
        for scope in &self.0 {
            let Some(with) = &scope.with else {
                continue;
            };
            let all = query.with.get_or_insert_with(|| With {
                cte_tables: Vec::new(),
                ..with.clone()
            });
            all.recursive |= with.recursive;
            all.cte_tables
                .extend(with.cte_tables[..scope.visible].iter().cloned());
        }
        query.with = query.with.filter(|with| !with.cte_tables.is_empty());
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.from = vec![TableWithJoins {
                relation: table.clone(),
                joins: Vec::new(),
            }];
        }
        Some(query)
    }
}

impl ScopeOfQuery {
    fn len(&self) -> usize {
        self.with.as_ref().map_or(0, |with| with.cte_tables.len())
    }
}
