//! Clauses that the parser knows and DataFusion's planner ignores, or refuses with a syntax tree for a message. Each is
//! refused with a sentence that says what to write instead.

use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, GroupByExpr, JoinConstraint, JoinOperator, LimitClause, PipeOperator, Query,
    Select, SelectItem, Statement as Sql, TableFactor, Value, VisitMut, VisitorMut,
    visit_expressions,
};

use crate::engine::statement::joins::{Kind, is_merging, kind};

/// Checks a statement. `is_scalar` returns whether a function takes the values of one row.
///
/// # Errors
/// The statement has a clause that is not supported.
pub(super) fn check(sql: &mut Sql, is_scalar: &dyn Fn(&str) -> bool) -> Result<()> {
    match VisitMut::visit(sql, &mut Check { is_scalar }) {
        ControlFlow::Break(refusal) => {
            plan_err!("`{}` is not supported: {}", refusal.clause, refusal.instead)
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// A clause, and the advice for those who want its effect.
struct Refusal {
    clause: String,
    instead: &'static str,
}

/// Refuses the clause if it is there.
fn refuse_if(is_there: bool, clause: &str, instead: &'static str) -> ControlFlow<Refusal> {
    match is_there {
        true => ControlFlow::Break(Refusal {
            clause: clause.to_string(),
            instead,
        }),
        false => ControlFlow::Continue(()),
    }
}

const LIMIT: &str = "write `order by ... limit n` at the end";
const ORDER: &str = "write `order by`";
const LEAVE_OUT: &str = "leave it out";
const SAMPLE: &str = "write a condition, such as `where random() < 0.1`";
const JOIN: &str = "write `join ... on` with a condition";
const UNNEST: &str = "write `unnest(...)` in the select list";

/// A visitor of all places where a clause may stand.
struct Check<'a> {
    is_scalar: &'a dyn Fn(&str) -> bool,
}

impl VisitorMut for Check<'_> {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refusal> {
        check_query(query)
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Refusal> {
        check_select(select)
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Refusal> {
        check_table(table)
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refusal> {
        match expr {
            Expr::Function(function) => self.check_function(function),
            expr => check_expr(expr),
        }
    }
}

fn check_query(query: &Query) -> ControlFlow<Refusal> {
    let Query {
        with,
        body: _,
        order_by: _,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    let ctes = with.iter().flat_map(|with| &with.cte_tables);
    refuse_if(
        ctes.clone().any(|cte| cte.from.is_some()),
        "from",
        LEAVE_OUT,
    )?;
    let is_constant = |expr: &Expr| !has_subquery(expr);
    let limits_are_constant = match limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            let offset = offset.as_ref().map(|offset| &offset.value);
            limit.iter().chain(offset).all(is_constant)
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            is_constant(offset) && is_constant(limit)
        }
        None => true,
    };
    let instead = "write a number, or compare row_number() with the subquery";
    refuse_if(!limits_are_constant, "limit (select ...)", instead)?;
    if let Some(LimitClause::LimitOffset { limit_by, .. }) = limit_clause {
        let instead = "number the rows with `row_number() over (partition by ...)` in a subquery";
        refuse_if(!limit_by.is_empty(), "limit by", instead)?;
    }
    if let Some(fetch) = fetch {
        let instead = "compare `rank() over (order by ...)` with a number in a subquery";
        refuse_if(fetch.with_ties, "with ties", instead)?;
        refuse_if(fetch.percent, "percent", "write a number of rows")?;
        let has_limit = matches!(
            limit_clause,
            Some(
                LimitClause::LimitOffset { limit: Some(_), .. }
                    | LimitClause::OffsetCommaLimit { .. }
            )
        );
        refuse_if(has_limit, "fetch", "`limit` is there already")?;
    }
    let instead = "recordings do not change while they are read";
    refuse_if(!locks.is_empty(), "for update", instead)?;
    let instead = "write `--format json`";
    refuse_if(for_clause.is_some(), "for json", instead)?;
    refuse_if(settings.is_some(), "settings", LEAVE_OUT)?;
    let instead = "write `--format` with the name of a format";
    refuse_if(format_clause.is_some(), "format", instead)?;
    for operator in pipe_operators {
        if let PipeOperator::Join(join) = operator {
            let merges = match kind(&join.join_operator) {
                Some((Kind::Left | Kind::Right | Kind::Full, constraint)) => is_merging(constraint),
                _ => false,
            };
            refuse_if(merges, "|> join", JOIN)?;
        }
    }
    ControlFlow::Continue(())
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |expr: &Expr| match expr {
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    visit_expressions(expr, is_subquery).is_break()
}

fn check_select(select: &Select) -> ControlFlow<Refusal> {
    let Select {
        select_token: _,
        // A hint in a comment does not change the answer.
        optimizer_hints: _,
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    if let Some(modifiers) = select_modifiers {
        let name = modifiers.to_string().trim().to_lowercase();
        refuse_if(modifiers.is_any_set(), &name, LEAVE_OUT)?;
    }
    refuse_if(top.is_some(), "top", LIMIT)?;
    let instead = "write it after the `*`, as in `select * exclude (pid)`";
    refuse_if(exclude.is_some(), "exclude", instead)?;
    let instead = "ctrace-query only reads; `--output FILE` saves an answer";
    refuse_if(into.is_some(), "into", instead)?;
    refuse_if(!lateral_views.is_empty(), "lateral view", UNNEST)?;
    refuse_if(prewhere.is_some(), "prewhere", "write `where`")?;
    let instead = "write `with recursive`";
    refuse_if(!connect_by.is_empty(), "connect by", instead)?;
    refuse_if(!cluster_by.is_empty(), "cluster by", ORDER)?;
    refuse_if(!distribute_by.is_empty(), "distribute by", LEAVE_OUT)?;
    refuse_if(!sort_by.is_empty(), "sort by", ORDER)?;
    refuse_if(value_table_mode.is_some(), "select as", LEAVE_OUT)?;
    for item in projection {
        check_item(item)?;
    }
    let (keys, modifiers) = match group_by {
        GroupByExpr::All(modifiers) => (&[][..], modifiers),
        GroupByExpr::Expressions(keys, modifiers) => (keys.as_slice(), modifiers),
    };
    let instead = "write `group by rollup (...)`, `cube (...)` or `grouping sets (...)`";
    refuse_if(!modifiers.is_empty(), "group by ... with", instead)?;
    let is_empty = |key: &Expr| matches!(key, Expr::Tuple(values) if values.is_empty());
    let instead = "leave it out: without `group by`, all rows are one group";
    refuse_if(keys.iter().any(is_empty), "group by ()", instead)?;
    for join in from.iter().flat_map(|from| &from.joins) {
        refuse_if(join.global, "global", LEAVE_OUT)?;
        check_join(&join.join_operator)?;
    }
    ControlFlow::Continue(())
}

fn check_item(item: &SelectItem) -> ControlFlow<Refusal> {
    match item {
        SelectItem::ExprWithAliases { .. } => refuse_if(true, "as (...)", "write one name"),
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
            let instead = "name the columns";
            refuse_if(options.opt_ilike.is_some(), "* ilike", instead)?;
            refuse_if(options.opt_rename.is_some(), "* rename", instead)?;
            refuse_if(options.opt_alias.is_some(), "* as", instead)
        }
        _ => ControlFlow::Continue(()),
    }
}

fn check_join(operator: &JoinOperator) -> ControlFlow<Refusal> {
    match operator {
        JoinOperator::Semi(_) => refuse_if(true, "semi join", "write `left semi join`"),
        JoinOperator::Anti(_) => refuse_if(true, "anti join", "write `left anti join`"),
        JoinOperator::CrossJoin(constraint) => {
            let is_plain = matches!(constraint, JoinConstraint::None);
            refuse_if(!is_plain, "cross join", JOIN)
        }
        JoinOperator::CrossApply => refuse_if(true, "cross apply", "write `cross join lateral`"),
        JoinOperator::OuterApply => refuse_if(true, "outer apply", "write `left join lateral`"),
        JoinOperator::AsOf { .. } => {
            let instead = "join with `<=`, and keep the latest row with row_number()";
            refuse_if(true, "asof", instead)
        }
        JoinOperator::StraightJoin(_) => refuse_if(true, "straight_join", JOIN),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            refuse_if(true, "array join", UNNEST)
        }
        _ => ControlFlow::Continue(()),
    }
}

fn check_table(table: &TableFactor) -> ControlFlow<Refusal> {
    match table {
        TableFactor::Table {
            name: _,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            let has_settings = args.as_ref().is_some_and(|args| args.settings.is_some());
            refuse_if(has_settings, "settings", LEAVE_OUT)?;
            refuse_if(!with_hints.is_empty(), "with", LEAVE_OUT)?;
            let instead = "write a condition on `time`";
            refuse_if(version.is_some(), "as of", instead)?;
            refuse_if(
                *with_ordinality,
                "with ordinality",
                "number the rows with row_number()",
            )?;
            refuse_if(!partitions.is_empty(), "partition", "write a condition")?;
            refuse_if(json_path.is_some(), "[...]", LEAVE_OUT)?;
            refuse_if(sample.is_some(), "tablesample", SAMPLE)?;
            refuse_if(!index_hints.is_empty(), "index", LEAVE_OUT)?;
            let has_at = alias.as_ref().is_some_and(|alias| alias.at.is_some());
            refuse_if(has_at, "at", LEAVE_OUT)
        }
        TableFactor::Derived { sample, .. } => refuse_if(sample.is_some(), "tablesample", SAMPLE),
        TableFactor::Function {
            with_ordinality, ..
        }
        | TableFactor::UNNEST {
            with_ordinality, ..
        } => refuse_if(
            *with_ordinality,
            "with ordinality",
            "number the rows with row_number()",
        ),
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => {
            for join in &table_with_joins.joins {
                check_join(&join.join_operator)?;
            }
            ControlFlow::Continue(())
        }
        TableFactor::Pivot { .. } => {
            let instead = "write an aggregate for each column, as in `count(*) filter (where error = 'ENOENT')`";
            refuse_if(true, "pivot", instead)
        }
        TableFactor::Unpivot { .. } => refuse_if(
            true,
            "unpivot",
            "write a `union all` of one `select` for each column",
        ),
        TableFactor::MatchRecognize { .. } => {
            let instead = "compare neighbouring rows with lag() and lead()";
            refuse_if(true, "match_recognize", instead)
        }
        TableFactor::TableFunction { .. } => refuse_if(true, "table(...)", UNNEST),
        TableFactor::JsonTable { .. } => refuse_if(true, "json_table", UNNEST),
        TableFactor::OpenJsonTable { .. } => refuse_if(true, "openjson", UNNEST),
        TableFactor::XmlTable { .. } => refuse_if(true, "xmltable", UNNEST),
        TableFactor::SemanticView { .. } => refuse_if(true, "semantic_view", "name a table"),
    }
}

fn check_expr(expr: &Expr) -> ControlFlow<Refusal> {
    match expr {
        Expr::Collate { .. } => {
            let instead = "texts are compared by their bytes; lower(x) ignores the case";
            refuse_if(true, "collate", instead)
        }
        Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => {
            let instead = "write `x like 'a%' or x like 'b%'`";
            refuse_if(true, "like any", instead)
        }
        Expr::RLike { regexp, .. } => {
            let name = if *regexp { "regexp" } else { "rlike" };
            refuse_if(true, name, "write `x ~ 'pattern'`")
        }
        Expr::GroupingSets(sets) => {
            let is_nested = |key: &Expr| match key {
                Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => true,
                Expr::Function(function) => {
                    let name = function.name.to_string().to_lowercase();
                    matches!(name.as_str(), "rollup" | "cube")
                }
                _ => false,
            };
            let instead = "write out the sets, as in `grouping sets ((a, b), (a), ())`";
            let has_nested = sets.iter().flatten().any(is_nested);
            refuse_if(has_nested, "grouping sets (rollup ...)", instead)
        }
        Expr::AtTimeZone { time_zone, .. } => {
            let is_text = matches!(time_zone.as_ref(), Expr::Value(value)
                if matches!(value.value, Value::SingleQuotedString(_)));
            let instead =
                "write the name of the zone as a text, as in `time at time zone 'Europe/Berlin'`";
            refuse_if(!is_text, "at time zone", instead)
        }
        Expr::MatchAgainst { .. } => refuse_if(true, "match", "write `like`"),
        Expr::InUnnest { .. } => refuse_if(true, "in unnest", "write `array_has(list, x)`"),
        Expr::MemberOf(_) => refuse_if(true, "member of", "write `array_has(list, x)`"),
        Expr::IsNormalized { .. } => refuse_if(true, "is normalized", LEAVE_OUT),
        Expr::Convert { .. } => refuse_if(true, "convert", "write `cast(x as type)`"),
        Expr::OuterJoin(_) => refuse_if(true, "(+)", "write `left join`"),
        Expr::Prior(_) => refuse_if(true, "prior", "write `with recursive`"),
        _ => ControlFlow::Continue(()),
    }
}

impl Check<'_> {
    fn check_function(&self, function: &Function) -> ControlFlow<Refusal> {
        let Function {
            name,
            uses_odbc_syntax: _,
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = function;
        let name = name.to_string().to_lowercase();
        let has_parameters = *parameters != FunctionArguments::None;
        let instead = "write all arguments in one pair of parentheses";
        refuse_if(has_parameters, &format!("{name}(...)(...)"), instead)?;
        let is_scalar = (self.is_scalar)(&name);
        let of_rows = "it is for functions of several rows, such as count()";
        refuse_if(is_scalar && filter.is_some(), "filter", of_rows)?;
        refuse_if(is_scalar && over.is_some(), "over", of_rows)?;
        refuse_if(is_scalar && null_treatment.is_some(), "nulls", of_rows)?;
        refuse_if(
            is_scalar && !within_group.is_empty(),
            "within group",
            of_rows,
        )?;
        match args {
            FunctionArguments::Subquery(_) => {
                return refuse_if(
                    true,
                    &format!("{name}(select ...)"),
                    "write parentheses around the subquery",
                );
            }
            FunctionArguments::None => return ControlFlow::Continue(()),
            FunctionArguments::List(list) => {
                let is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                let is_wildcard = |arg: &FunctionArg| {
                    matches!(
                        arg,
                        FunctionArg::Unnamed(
                            FunctionArgExpr::Wildcard
                                | FunctionArgExpr::QualifiedWildcard(_)
                                | FunctionArgExpr::WildcardWithOptions(_)
                        )
                    )
                };
                let has_wildcard = list.args.iter().any(is_wildcard);
                refuse_if(
                    is_distinct && has_wildcard,
                    &format!("{name}(distinct *)"),
                    "count the rows of a subquery, as in `select count(*) from (select distinct * from t)`",
                )?;
                refuse_if(is_scalar && is_distinct, "distinct", of_rows)?;
                let orders = |clause: &FunctionArgumentClause| {
                    matches!(clause, FunctionArgumentClause::OrderBy(_))
                };
                let has_order = list.clauses.iter().any(orders);
                refuse_if(is_scalar && has_order, "order by", of_rows)?;
                let instead = "write it in `over (...)`, with `rows between unbounded preceding and unbounded following` for all rows";
                refuse_if(has_order && over.is_some(), "order by", instead)?;
            }
        }
        ControlFlow::Continue(())
    }
}
