//! Joins with `using` and `natural`. DataFusion takes a merged column for that of the left table, which is null in rows
//! that only the right table has, and does not find it in `where`. Such a join is replaced by one with `on`, and each
//! merged column by its value: `a.c` after inner and left joins, `b.c` after right joins, `coalesce(a.c, b.c)` after full
//! joins.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinConstraint,
    JoinOperator, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Statement as Sql,
    TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions, With,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::engine::statement::{normalized, wildcards};

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

/// A table of a `from` clause.
struct Table {
    qualifier: Ident,
    /// The names of the columns; `None`: they are not known, because the table depends on others.
    columns: Option<Vec<String>>,
}

/// The column that a join has made of two or more.
#[derive(Clone)]
struct Merged {
    name: String,
    /// The columns of which the first that is not null is the value.
    values: Vec<Expr>,
    tables: Vec<usize>,
}

/// The tables that are joined, and their merged columns.
#[derive(Clone, Default)]
struct Joined {
    tables: Vec<usize>,
    merged: Vec<Merged>,
}

/// The `with` queries that can be named at a place.
#[derive(Default)]
struct Scope(Vec<ScopeOfQuery>);

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
    fn enter(&mut self, query: &Query) {
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

    fn leave(&mut self) {
        self.0.pop();
        if let Some(outer) = self.0.last_mut() {
            outer.visible = outer.entered;
        }
    }

    /// Returns whether the `select` that was left last is a part of a set operation.
    fn is_part(&self) -> bool {
        self.0.last().is_some_and(|query| !query.is_select)
    }

    /// Returns whether a name is that of a recursive query inside of this query.
    fn is_recursion(&self, name: &str) -> bool {
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
    fn columns_query(&self, table: &TableFactor) -> Option<Query> {
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

/// Returns whether any of the joins merges columns.
fn has_merging(from: &TableWithJoins) -> bool {
    let nested = |table: &TableFactor| match table {
        TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } => has_merging(table_with_joins),
        _ => false,
    };
    nested(&from.relation)
        || from.joins.iter().any(|join| {
            let kind = kind(&join.join_operator);
            let merges = kind.is_some_and(|(_, constraint)| {
                matches!(
                    constraint,
                    JoinConstraint::Using(_) | JoinConstraint::Natural
                )
            });
            merges || nested(&join.relation)
        })
}

/// The rows and columns that a join preserves.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Inner and left joins.
    Left,
    Right,
    Full,
    /// Joins whose answer has the columns of the left table alone.
    OnlyLeft,
    OnlyRight,
}

fn kind(operator: &JoinOperator) -> Option<(Kind, &JoinConstraint)> {
    Some(match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => (Kind::Left, constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (Kind::Right, constraint)
        }
        JoinOperator::FullOuter(constraint) => (Kind::Full, constraint),
        JoinOperator::LeftSemi(constraint) | JoinOperator::LeftAnti(constraint) => {
            (Kind::OnlyLeft, constraint)
        }
        JoinOperator::RightSemi(constraint) | JoinOperator::RightAnti(constraint) => {
            (Kind::OnlyRight, constraint)
        }
        _ => return None,
    })
}

fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
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
    wildcards::with_options(items, options, item_of)
}

/// Joins the tables of a `from` clause one by one.
struct Joiner<'a> {
    tables: &'a [Table],
    /// Index of the next table.
    next: usize,
}

impl Joiner<'_> {
    fn join_all(&mut self, from: &mut TableWithJoins) -> Result<Joined> {
        let mut left = self.joined(&mut from.relation)?;
        for join in &mut from.joins {
            let right = self.joined(&mut join.relation)?;
            let kind = kind(&join.join_operator).map(|(kind, _)| kind);
            let (Some(kind), Some(constraint)) = (kind, constraint_of(&mut join.join_operator))
            else {
                left.append(right);
                continue;
            };
            left = self.join(left, right, kind, constraint)?;
        }
        Ok(left)
    }

    fn joined(&mut self, table: &mut TableFactor) -> Result<Joined> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } = table
        {
            return self.join_all(table_with_joins);
        }
        let index = self.next;
        self.next += 1;
        Ok(Joined {
            tables: vec![index],
            merged: Vec::new(),
        })
    }

    fn join(
        &self,
        left: Joined,
        right: Joined,
        kind: Kind,
        constraint: &mut JoinConstraint,
    ) -> Result<Joined> {
        let names = match constraint {
            JoinConstraint::Using(names) => {
                let names = names.iter().map(|name| match name.0.as_slice() {
                    [part] => part.as_ident().map(normalized),
                    _ => None,
                });
                match names.collect::<Option<Vec<String>>>() {
                    Some(names) if !names.is_empty() => names,
                    _ => {
                        return plan_err!(
                            "`using` takes names of columns, as in `join t using (pid)`"
                        );
                    }
                }
            }
            JoinConstraint::Natural => self.common(&left, &right)?,
            JoinConstraint::On(condition) => {
                let mut both = left.clone();
                both.append(right.clone());
                let mut naming = Naming {
                    tables: self.tables,
                    joined: &both,
                    depth: 0,
                };
                let _ = VisitMut::visit(condition, &mut naming);
                Vec::new()
            }
            JoinConstraint::None => Vec::new(),
        };
        let mut merged = Vec::new();
        for name in names {
            let (of_left, of_right) = (
                left.merging(self.tables, &name)?,
                right.merging(self.tables, &name)?,
            );
            merged.push((of_left, of_right));
        }
        if let Some(condition) = condition(&merged) {
            *constraint = JoinConstraint::On(condition);
        }
        let mut joined = match kind {
            Kind::OnlyLeft => return Ok(left),
            Kind::OnlyRight => return Ok(right),
            _ => left,
        };
        joined.append(right);
        for (left, right) in merged {
            joined.merged.retain(|merged| {
                let is_same =
                    |other: &Merged| merged.name == other.name && merged.tables == other.tables;
                !is_same(&left) && !is_same(&right)
            });
            let values = match kind {
                Kind::Right => right.values,
                Kind::Full => [left.values, right.values].concat(),
                _ => left.values,
            };
            joined.merged.push(Merged {
                name: left.name,
                values,
                tables: [left.tables, right.tables].concat(),
            });
        }
        Ok(joined)
    }

    /// Returns the names that columns of both sides have.
    fn common(&self, left: &Joined, right: &Joined) -> Result<Vec<String>> {
        let names = |side: &Joined| {
            let columns = side.tables.iter().map(|index| {
                let table = &self.tables[*index];
                table.columns.clone()
            });
            let columns: Option<Vec<Vec<String>>> = columns.collect();
            columns.map(|columns| columns.concat())
        };
        let (Some(left), Some(right)) = (names(left), names(right)) else {
            return plan_err!(
                "`natural join` is not possible here, because the columns of a table depend on other tables: name the common columns, as in `join t using (pid)`"
            );
        };
        let mut common: Vec<String> = Vec::new();
        for name in left {
            if right.contains(&name) && !common.contains(&name) {
                common.push(name);
            }
        }
        if common.is_empty() {
            return plan_err!(
                "the tables of this `natural join` have no column in common: write `cross join`, or `join t on` with a condition"
            );
        }
        Ok(common)
    }
}

/// Returns the condition that the columns of each pair are equal.
fn condition(merged: &[(Merged, Merged)]) -> Option<Expr> {
    let equal = merged.iter().map(|(left, right)| Expr::BinaryOp {
        left: Box::new(coalesced(&left.values)),
        op: BinaryOperator::Eq,
        right: Box::new(coalesced(&right.values)),
    });
    equal.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

impl Joined {
    fn append(&mut self, other: Joined) {
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
    fn merging(&self, tables: &[Table], name: &str) -> Result<Merged> {
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
    fn value(&self, tables: &[Table], name: &str) -> Option<Expr> {
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
struct Naming<'a> {
    tables: &'a [Table],
    joined: &'a Joined,
    depth: usize,
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

fn column(table: &Table, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![table.qualifier.clone(), Ident::with_quote('"', name)])
}

/// Returns the first of the values that is not null.
fn coalesced(values: &[Expr]) -> Expr {
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
