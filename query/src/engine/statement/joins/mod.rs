//! Joins with `using` and `natural`. DataFusion takes a merged column for that of the left table, which is null in rows
//! that only the right table has, and does not find it in `where`. Such a join is replaced by one with `on`, and each
//! merged column by its value: `a.c` after inner and left joins, `b.c` after right joins, `coalesce(a.c, b.c)` after full
//! joins.

mod joiner;
mod kinds;
mod merged;
mod scope;

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Statement as Sql,
    TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::engine::statement::joins::joiner::Joiner;
use crate::engine::statement::joins::kinds::has_merging;
pub(super) use crate::engine::statement::joins::kinds::{Kind, is_merging, kind};
use crate::engine::statement::joins::merged::{Joined, Naming, Table, coalesced, column};
use crate::engine::statement::joins::scope::Scope;
use crate::engine::statement::names::normalized;
use crate::engine::statement::wildcards::with_options;

/// Replaces the joins of a statement with `using` and `natural`. The names of the columns of joined tables come from
/// plans.
///
/// # Errors
/// A joined table cannot be planned, or a merged column is ambiguous or missing.
pub(crate) async fn merge_columns(state: &SessionState, statement: &mut Statement) -> Result<()> {
    let mut inner = statement;
    while let Statement::Explain(explain) = inner {
        inner = &mut explain.statement;
    }
    let Statement::Statement(sql) = inner else {
        return Ok(());
    };
    loop {
        let mut tables = match VisitMut::visit(sql, &mut Search::default()) {
            ControlFlow::Break(tables) => tables,
            ControlFlow::Continue(()) => return Ok(()),
        };
        for (table, query) in &mut tables {
            if let Some(query) = query.take() {
                let query = Statement::Statement(Box::new(Sql::Query(Box::new(query))));
                let plan = state.statement_to_plan(query).await?;
                let columns = plan.schema().columns().into_iter();
                table.columns = Some(columns.map(|column| column.name).collect());
            }
        }
        let tables = tables.into_iter().map(|(table, _)| table).collect();
        let mut replacement = Replacement(Some(tables), Scope::default());
        match VisitMut::visit(sql, &mut replacement) {
            ControlFlow::Break(replaced) => replaced?,
            ControlFlow::Continue(()) => return Ok(()),
        }
    }
}

/// A visitor that stops at the first `select`, innermost first, that has a join to replace, and returns its tables, with
/// queries for their columns. Gives tables without a name one.
#[derive(Default)]
struct Search(Scope);

type FoundTables = Vec<(Table, Option<Query>)>;

impl Search {
    fn search(&mut self, select: &mut Select) -> ControlFlow<FoundTables> {
        if !select.from.iter().any(has_merging) {
            return ControlFlow::Continue(());
        }
        let mut found = FoundTables::new();
        for from in &mut select.from {
            each_table(from, &mut |table| {
                let number = found.len();
                found.push(self.found(table, number));
            });
        }
        ControlFlow::Break(found)
    }

    fn found(&self, factor: &mut TableFactor, number: usize) -> (Table, Option<Query>) {
        let (qualifier, is_known) = match factor {
            TableFactor::Table {
                name,
                alias: None,
                args: None,
                ..
            } => {
                let name = name.0.last().and_then(|part| part.as_ident()).cloned();
                let name = name.unwrap_or_else(|| Ident::new(""));
                let is_recursion = self.0.is_recursion(&normalized(&name));
                (name, !is_recursion)
            }
            TableFactor::Table { name, alias, .. } => {
                let name = name.0.last().and_then(|part| part.as_ident());
                let is_recursion = name.is_some_and(|name| self.0.is_recursion(&normalized(name)));
                (named(alias, number), !is_recursion)
            }
            TableFactor::Derived { lateral, alias, .. } => (named(alias, number), !*lateral),
            TableFactor::Function { lateral, alias, .. } => (named(alias, number), !*lateral),
            TableFactor::TableFunction { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => (named(alias, number), false),
            _ => (Ident::new(""), false),
        };
        let query = match is_known {
            true => self.0.columns_query(factor),
            false => None,
        };
        let table = Table {
            qualifier,
            columns: None,
        };
        (table, query)
    }
}

/// Returns the name of an alias, and creates one if there is none.
fn named(alias: &mut Option<TableAlias>, number: usize) -> Ident {
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: Ident::with_quote('"', format!("__table_{number}")),
        columns: Vec::new(),
        at: None,
    });
    alias.name.clone()
}

impl VisitorMut for Search {
    type Break = FoundTables;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<FoundTables> {
        self.0.enter(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<FoundTables> {
        as_query(table);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<FoundTables> {
        match self.0.is_part() {
            true => self.search(select),
            false => ControlFlow::Continue(()),
        }
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<FoundTables> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            self.search(select)?;
        }
        self.0.leave();
        ControlFlow::Continue(())
    }
}

/// Turns `(a join b using (c)) as j` into `(select * from a join b using (c)) as j`.
fn as_query(table: &mut TableFactor) {
    let TableFactor::NestedJoin {
        table_with_joins,
        alias: alias @ Some(_),
    } = table
    else {
        return;
    };
    let parser = Parser::new(&GenericDialect {}).try_with_sql("select * from t");
    if !has_merging(table_with_joins) {
        return;
    }
    if let Ok(mut parser) = parser
        && let Ok(mut subquery) = parser.parse_query()
        && let SetExpr::Select(select) = subquery.body.as_mut()
    {
        select.from = vec![table_with_joins.as_ref().clone()];
        *table = TableFactor::Derived {
            lateral: false,
            subquery,
            alias: alias.take(),
            sample: None,
        };
    }
}

/// Calls `f` with the tables of a `from` clause, in order.
fn each_table(from: &mut TableWithJoins, f: &mut impl FnMut(&mut TableFactor)) {
    let joins = from.joins.iter_mut().map(|join| &mut join.relation);
    for table in std::iter::once(&mut from.relation).chain(joins) {
        match table {
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => each_table(table_with_joins, f),
            table => f(table),
        }
    }
}

/// A visitor that replaces the joins of the `select` at which [`Search`] stopped, whose tables it has, and stops too.
struct Replacement(Option<Vec<Table>>, Scope);

impl Replacement {
    fn replace(
        &mut self,
        select: &mut Select,
        order_by: Option<&mut OrderBy>,
    ) -> ControlFlow<Result<()>> {
        if !select.from.iter().any(has_merging) {
            return ControlFlow::Continue(());
        }
        let tables = self.0.take().unwrap_or_default();
        ControlFlow::Break(replaced(&tables, select, order_by))
    }
}

impl VisitorMut for Replacement {
    type Break = Result<()>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Result<()>> {
        self.1.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Result<()>> {
        match self.1.is_part() {
            true => self.replace(select, None),
            false => ControlFlow::Continue(()),
        }
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Result<()>> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            self.replace(select, query.order_by.as_mut())?;
        }
        self.1.leave();
        ControlFlow::Continue(())
    }
}

/// Replaces the joins and the merged columns of a `select`.
fn replaced(tables: &[Table], select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<()> {
    let mut joiner = Joiner { tables, next: 0 };
    let mut all = Joined::default();
    for from in &mut select.from {
        all.append(joiner.join_all(from)?);
    }
    let mut items = Vec::with_capacity(select.projection.len());
    for item in select.projection.drain(..) {
        match item {
            SelectItem::Wildcard(options) => items.extend(columns(tables, &all, options)?),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                items.push(match all.value(tables, &normalized(&name)) {
                    Some(value) => item_of(value, &normalized(&name)),
                    None => SelectItem::UnnamedExpr(Expr::Identifier(name)),
                });
            }
            item => items.push(item),
        }
    }
    check_names(&all, &items)?;
    select.projection = items;
    let mut naming = Naming {
        tables,
        joined: &all,
        depth: 0,
    };
    // The joins have their columns already, and derived tables have columns of their own.
    let from = std::mem::take(&mut select.from);
    let _ = VisitMut::visit(select, &mut naming);
    select.from = from;
    if let Some(OrderByKind::Expressions(keys)) = order_by.map(|order_by| &mut order_by.kind) {
        let outputs: HashSet<String> = select.projection.iter().filter_map(output).collect();
        for key in keys {
            let is_output =
                matches!(&key.expr, Expr::Identifier(name) if outputs.contains(&normalized(name)));
            if !is_output {
                let _ = VisitMut::visit(&mut key.expr, &mut naming);
            }
        }
    }
    Ok(())
}

/// Checks that no column of a table has the name of a merged column beside it that is computed. DataFusion finds such a
/// name ambiguous.
fn check_names(joined: &Joined, items: &[SelectItem]) -> Result<()> {
    let is_computed = |name: &str| {
        let mut merged = joined.merged.iter().filter(|merged| merged.name == name);
        merged.any(|merged| merged.values.len() > 1)
    };
    let is_item = |name: &str| {
        items.iter().any(
            |item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if normalized(alias) == name),
        )
    };
    for item in items {
        if let SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) = item
            && let Some(name) = parts.last().map(normalized)
            && is_computed(&name)
            && is_item(&name)
        {
            return plan_err!(
                "two columns of this full join are named `{name}`: name one of them, as in `{} as other`",
                Expr::CompoundIdentifier(parts.clone())
            );
        }
    }
    Ok(())
}

/// Returns the name of a column of an answer.
fn output(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(normalized(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(normalized),
        SelectItem::ExprWithAlias { alias, .. } => Some(normalized(alias)),
        _ => None,
    }
}

/// Returns a column of an answer with the value of a merged column.
fn item_of(value: Expr, name: &str) -> SelectItem {
    match value {
        Expr::CompoundIdentifier(_) => SelectItem::UnnamedExpr(value),
        expr => SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', name),
        },
    }
}

/// Returns the columns that `*` stands for.
fn columns(
    tables: &[Table],
    joined: &Joined,
    options: WildcardAdditionalOptions,
) -> Result<Vec<SelectItem>> {
    let mut items = Vec::new();
    let mut done = HashSet::new();
    for index in &joined.tables {
        let Some(columns) = &tables[*index].columns else {
            return plan_err!(
                "`*` is not possible with this join, because the columns of `{}` depend on other tables: name the columns",
                tables[*index].qualifier.value
            );
        };
        for name in columns {
            let merged = joined
                .merged
                .iter()
                .position(|merged| merged.name == *name && merged.tables.contains(index));
            let value = match merged {
                Some(at) if !done.insert(at) => continue,
                Some(at) => coalesced(&joined.merged[at].values),
                None => column(&tables[*index], name),
            };
            items.push((name.clone(), value));
        }
    }
    with_options(items, options, item_of)
}
