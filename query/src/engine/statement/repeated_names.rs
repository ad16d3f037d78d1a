//! Names of columns that a `select` repeats, as in `select pid, pid` or `select *, pid`. DataFusion refuses to compute two
//! columns of one name.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use datafusion::common::Column;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement as Sql, VisitMut, VisitorMut, With,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::engine::statement::names::normalized;

/// The names of columns that were changed, with the names that the statement gives them.
pub(crate) type ChangedNames = BTreeMap<String, String>;

/// Gives repeated columns names of their own: the second column `pid` of a `select` becomes `pid_1`. The names of
/// columns of the answer that change are added to `changed`. Columns of a `*` have no names before it is expanded, see
/// [`next_wildcard`].
pub(crate) fn rename(statement: &mut Statement, changed: &mut ChangedNames) {
    let Some(query) = query_of(statement) else {
        return;
    };
    if let Some(select) = first_select(query) {
        changed.extend(rename_in_select(select));
    }
    let _ = VisitMut::visit(query, &mut Renaming);
}

/// Returns a query for the columns of a `*` that must be expanded before its columns can get names.
pub(crate) fn next_wildcard(statement: &mut Statement) -> Option<Query> {
    let mut search = WildcardSearch::default();
    match VisitMut::visit(query_of(statement)?, &mut search) {
        ControlFlow::Break(query) => Some(query),
        ControlFlow::Continue(()) => None,
    }
}

/// Replaces the `*` that [`next_wildcard`] has found by its columns.
pub(crate) fn expand(statement: &mut Statement, columns: &[Column]) {
    if let Some(query) = query_of(statement) {
        let _ = VisitMut::visit(query, &mut Expansion(columns));
    }
}

fn query_of(statement: &mut Statement) -> Option<&mut Query> {
    match statement {
        Statement::Statement(sql) => match sql.as_mut() {
            Sql::Query(query) => Some(query),
            _ => None,
        },
        Statement::Explain(explain) => query_of(&mut explain.statement),
        _ => None,
    }
}

/// Returns the `select` that names the columns of a query: the first one of a set operation.
pub(crate) fn first_select(query: &mut Query) -> Option<&mut Select> {
    let mut body = query.body.as_mut();
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::Query(inner) => return first_select(inner),
            SetExpr::SetOperation { left, .. } => left.as_mut(),
            _ => return None,
        }
    }
}

/// Replaces the sort keys of a query with `distinct` by the aliases of its columns. Such a query can only be sorted by
/// its columns.
pub(crate) fn sort_by_aliases(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return;
    };
    if select.distinct.is_none() {
        return;
    }
    let Some(order) = &mut query.order_by else {
        return;
    };
    let OrderByKind::Expressions(keys) = &mut order.kind else {
        return;
    };
    // A name alone is that of a column of the answer.
    for key in keys
        .iter_mut()
        .filter(|key| !matches!(key.expr, Expr::Identifier(_)))
    {
        let alias = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == key.expr => Some(alias),
            _ => None,
        });
        if let Some(alias) = alias {
            key.expr = Expr::Identifier(alias.clone());
        }
    }
}

/// Gives the columns of a `select` different names. Returns the names that have changed, with the names before.
/// Expressions get their SQL text as a name, because DataFusion's names leave out casts.
fn rename_in_select(select: &mut Select) -> Vec<(String, String)> {
    if must_expand(select) || select.projection.len() == 1 {
        return Vec::new();
    }
    let mut taken: HashSet<String> = select.projection.iter().filter_map(name).collect();
    let mut seen = HashSet::new();
    let mut changed = Vec::new();
    for item in &mut select.projection {
        let Some(original) = name(item) else {
            continue;
        };
        let is_first = seen.insert(original.clone());
        let (expr, is_named) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.clone(), is_column(expr)),
            SelectItem::ExprWithAlias { expr, .. } => (expr.clone(), true),
            _ => continue,
        };
        if is_first && is_named {
            continue;
        }
        let alias = match is_first {
            true => original,
            false => {
                let numbered = |number| format!("{original}_{number}");
                let free = (1..).map(numbered).find(|name| !taken.contains(name));
                let unique = free.unwrap_or_default();
                taken.insert(unique.clone());
                changed.push((unique.clone(), original));
                unique
            }
        };
        let alias = Ident::with_quote('"', alias);
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
    changed
}

/// Returns the name of a column; `None`: the name is not known, or the item is several columns.
fn name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(normalized(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(normalized),
        SelectItem::UnnamedExpr(expr) => (!is_column(expr)).then(|| expr.to_string()),
        SelectItem::ExprWithAlias { alias, .. } => Some(normalized(alias)),
        _ => None,
    }
}

/// Returns whether an expression is a column, or expands to several columns.
pub(crate) fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        Expr::Function(function) => function.name.to_string().eq_ignore_ascii_case("unnest"),
        _ => false,
    }
}

/// Returns whether a `select` has a `*` whose columns may have the names of other columns.
fn must_expand(select: &Select) -> bool {
    let several = select.projection.len() > 1
        || select.from.len() > 1
        || select.from.iter().any(|table| !table.joins.is_empty());
    several && select.projection.iter().any(is_wildcard)
}

/// Returns whether the item is a `*` that stands for columns, without new names or values for some of them.
fn is_wildcard(item: &SelectItem) -> bool {
    let (SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options)) = item else {
        return false;
    };
    let is_table = match item {
        SelectItem::QualifiedWildcard(kind, _) => {
            matches!(
                kind,
                SelectItemQualifiedWildcardKind::ObjectName(ObjectName(_))
            )
        }
        _ => true,
    };
    is_table && options.opt_replace.is_none() && options.opt_rename.is_none()
}

/// A visitor that renames the columns of each `select`.
struct Renaming;

impl VisitorMut for Renaming {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        rename_in_select(select);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        sort_by_aliases(query);
        ControlFlow::Continue(())
    }
}

/// A visitor that stops at the first `*` that must be expanded, and makes a query for its columns.
#[derive(Default)]
struct WildcardSearch {
    /// The `with` clauses that apply.
    scope: Vec<Option<With>>,
}

impl VisitorMut for WildcardSearch {
    type Break = Query;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Query> {
        self.scope.push(query.with.clone());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Query> {
        self.scope.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Query> {
        let item = select.projection.iter().find(|item| is_wildcard(item));
        match item.filter(|_| must_expand(select)).cloned() {
            Some(item) => match columns_query(select, item, self.scope.iter().flatten()) {
                Some(query) => ControlFlow::Break(query),
                None => ControlFlow::Continue(()),
            },
            None => ControlFlow::Continue(()),
        }
    }
}

/// Returns `select ITEM from` the tables of a `select`.
fn columns_query<'a>(
    select: &Select,
    item: SelectItem,
    scope: impl Iterator<Item = &'a With>,
) -> Option<Query> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql("select 1");
    let mut query = *parser.ok()?.parse_query().ok()?;
    for with in scope {
        let all = query.with.get_or_insert_with(|| With {
            cte_tables: Vec::new(),
            ..with.clone()
        });
        all.recursive |= with.recursive;
        all.cte_tables.extend(with.cte_tables.iter().cloned());
    }
    if let SetExpr::Select(empty) = query.body.as_mut() {
        empty.projection = vec![item];
        empty.from = select.from.clone();
    }
    Some(query)
}

/// A visitor that replaces the first `*` that must be expanded.
struct Expansion<'a>(&'a [Column]);

impl VisitorMut for Expansion<'_> {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let at = select.projection.iter().position(is_wildcard);
        let Some(at) = at.filter(|_| must_expand(select)) else {
            return ControlFlow::Continue(());
        };
        let quoted = |name: &str| Ident::with_quote('"', name);
        let columns = self.0.iter().map(|column| {
            let name = quoted(&column.name);
            SelectItem::UnnamedExpr(match &column.relation {
                Some(table) => Expr::CompoundIdentifier(vec![quoted(table.table()), name]),
                None => Expr::Identifier(name),
            })
        });
        select.projection.splice(at..=at, columns);
        ControlFlow::Break(())
    }
}
