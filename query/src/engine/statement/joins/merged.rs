//! Tables that are joined, and the columns that joins have merged.

use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::engine::statement::names::normalized;

/// A table of a `from` clause.
pub(super) struct Table {
    pub(super) qualifier: Ident,
    /// The names of the columns; `None`: they are not known, because the table depends on others.
    pub(super) columns: Option<Vec<String>>,
}

/// The column that a join has made of two or more.
#[derive(Clone)]
pub(super) struct Merged {
    pub(super) name: String,
    /// The columns of which the first that is not null is the value.
    pub(super) values: Vec<Expr>,
    pub(super) tables: Vec<usize>,
}

/// The tables that are joined, and their merged columns.
#[derive(Clone, Default)]
pub(super) struct Joined {
    pub(super) tables: Vec<usize>,
    pub(super) merged: Vec<Merged>,
}

impl Joined {
    pub(super) fn append(&mut self, other: Joined) {
        self.tables.extend(other.tables);
        self.merged.extend(other.merged);
    }

    /// Returns the columns with a name, and those that may have it because the columns of their table are not known.
    fn find(&self, tables: &[Table], name: &str) -> (Vec<Merged>, Vec<Merged>) {
        let merged = self.merged.iter().filter(|merged| merged.name == name);
        let mut found: Vec<Merged> = merged.cloned().collect();
        let mut possible = Vec::new();
        for index in &self.tables {
            if found.iter().any(|merged| merged.tables.contains(index)) {
                continue;
            }
            let plain = Merged {
                name: name.to_string(),
                values: vec![column(&tables[*index], name)],
                tables: vec![*index],
            };
            match &tables[*index].columns {
                Some(columns) if columns.iter().any(|column| column == name) => found.push(plain),
                Some(_) => {}
                None => possible.push(plain),
            }
        }
        (found, possible)
    }

    /// Returns the column that a join merges.
    pub(super) fn merging(&self, tables: &[Table], name: &str) -> Result<Merged> {
        let (mut found, mut possible) = self.find(tables, name);
        let candidates = match found.is_empty() {
            true => &mut possible,
            false => &mut found,
        };
        match (candidates.pop(), candidates.is_empty()) {
            (Some(column), true) => Ok(column),
            (None, _) => {
                plan_err!("`using ({name})` needs a column `{name}` on both sides of the join")
            }
            _ => plan_err!(
                "`using ({name})` is ambiguous, because more than one table before it has a column `{name}`: write `on` with the names of the tables, as in `on a.{name} = b.{name}`"
            ),
        }
    }

    /// Returns the value of a merged column; `None`: there is no such column, or the name is ambiguous.
    pub(super) fn value(&self, tables: &[Table], name: &str) -> Option<Expr> {
        if !self.merged.iter().any(|merged| merged.name == name) {
            return None;
        }
        match self.find(tables, name).0.as_slice() {
            [one] => Some(coalesced(&one.values)),
            _ => None,
        }
    }
}

/// A visitor that replaces the names of merged columns by their values, but not in subqueries, whose tables may have
/// columns of the same name.
pub(super) struct Naming<'a> {
    pub(super) tables: &'a [Table],
    pub(super) joined: &'a Joined,
    /// Number of the subqueries around the expression.
    pub(super) depth: usize,
}

impl VisitorMut for Naming<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(name) = expr
            && let Some(value) = self.joined.value(self.tables, &normalized(name))
        {
            *expr = value;
        }
        ControlFlow::Continue(())
    }
}

pub(super) fn column(table: &Table, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![table.qualifier.clone(), Ident::with_quote('"', name)])
}

/// Returns the first of the values that is not null.
pub(super) fn coalesced(values: &[Expr]) -> Expr {
    if let [value] = values {
        return value.clone();
    }
    let parser = Parser::new(&GenericDialect {}).try_with_sql("coalesce()");
    let mut call = parser.ok().and_then(|mut parser| parser.parse_expr().ok());
    if let Some(Expr::Function(function)) = &mut call
        && let FunctionArguments::List(list) = &mut function.args
    {
        let arguments = values.iter().cloned();
        let arguments = arguments.map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value)));
        list.args = arguments.collect();
    }
    call.unwrap_or_else(|| values[0].clone())
}
