//! What lies between an aggregate and the events that it is of.

use std::any::Any;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::source::parquet::segments::Segments;
use crate::source::union::Union;

/// Expressions larger than this are left alone: each projection may mention the one below several times.
const LARGEST: usize = 20_000;

/// A plan of nothing but projections, filters and aliases over events.
pub struct Below {
    /// The events.
    pub events: Events,
    /// All must be true of an event. Columns are those of the events, without a qualifier.
    pub filters: Vec<Expr>,
    /// The columns of the plan, in terms of those of the events.
    columns: Vec<(Column, Expr)>,
}

/// Events that a question is about.
#[derive(Clone)]
pub struct Events {
    /// A [`Segments`].
    segments: Arc<dyn TableProvider>,
    /// Those that are in no finished Parquet file.
    pub others: Vec<Arc<dyn TableProvider>>,
}

impl Events {
    /// Those of `table`, if it has a [`Segments`].
    fn of(table: Arc<dyn TableProvider>) -> Option<Events> {
        let is = |table: &Arc<dyn TableProvider>| segments(table).is_some();
        let all = match (table.as_ref() as &dyn Any).downcast_ref::<Union>() {
            Some(union) => union.tables(),
            None => std::slice::from_ref(&table),
        };
        let (own, others): (Vec<_>, _) = all.iter().cloned().partition(is);
        let segments = own.into_iter().next()?;
        Some(Events { segments, others })
    }

    /// Those that are in Parquet files.
    pub fn segments(&self) -> Option<&Segments> {
        segments(&self.segments)
    }
}

fn segments(table: &Arc<dyn TableProvider>) -> Option<&Segments> {
    (table.as_ref() as &dyn Any).downcast_ref()
}

impl Below {
    /// `plan`, if it is such a plan.
    pub fn of(plan: &LogicalPlan) -> Option<Below> {
        match plan {
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
                let events = Events::of(source_as_provider(&scan.source).ok()?)?;
                let own = |column: &Column| {
                    Some(Expr::Column(Column::new_unqualified(column.name.clone())))
                };
                // Filters may be of columns that are not in the projection.
                let filters = scan.filters.iter().map(|filter| rewritten(filter, own));
                let columns = scan.projected_schema.columns().into_iter();
                Some(Below {
                    events,
                    filters: filters.collect::<Option<_>>()?,
                    columns: columns
                        .filter_map(|c| Some((c.clone(), own(&c)?)))
                        .collect(),
                })
            }
            LogicalPlan::Filter(filter) => {
                let mut below = Below::of(&filter.input)?;
                let predicate = below.expr(&filter.predicate)?;
                below.filters.push(predicate);
                Some(below)
            }
            LogicalPlan::Projection(projection) => {
                let mut below = Below::of(&projection.input)?;
                let exprs = projection.expr.iter().map(|expr| below.expr(expr));
                let exprs = exprs.collect::<Option<Vec<_>>>()?;
                below.columns = projection.schema.columns().into_iter().zip(exprs).collect();
                Some(below)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let mut below = Below::of(&alias.input)?;
                let exprs = below.columns.into_iter().map(|(_, expr)| expr);
                below.columns = alias.schema.columns().into_iter().zip(exprs).collect();
                Some(below)
            }
            _ => None,
        }
    }

    /// An expression over the columns of the plan, in terms of those of the events.
    pub fn expr(&self, expr: &Expr) -> Option<Expr> {
        let find = |column: &Column| {
            let exact = self.columns.iter().find(|(own, _)| own == column);
            let named =
                |(own, _): &&(Column, Expr)| column.relation.is_none() && own.name == column.name;
            let found = exact.or_else(|| self.columns.iter().find(named));
            found.map(|(_, expr)| expr.clone())
        };
        rewritten(expr, find)
    }
}

/// `expr` with each column as `find` says, and without aliases.
fn rewritten(expr: &Expr, find: impl Fn(&Column) -> Option<Expr>) -> Option<Expr> {
    let mut size = 0;
    let replace = |node: Expr| match node {
        Expr::Column(column) => {
            let expr = find(&column).ok_or_else(not_such)?;
            size += nodes(&expr);
            match size > LARGEST {
                true => Err(not_such()),
                false => Ok(Transformed::yes(expr)),
            }
        }
        Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
        other => Ok(Transformed::no(other)),
    };
    // From below, so that what is put in is done.
    expr.clone().transform_up(replace).ok().map(|t| t.data)
}

/// Says that a plan is not such a plan; nobody sees it.
fn not_such() -> DataFusionError {
    DataFusionError::Plan(String::new())
}

fn nodes(expr: &Expr) -> usize {
    let mut nodes = 0;
    // It cannot fail.
    let _ = expr.apply(|_| {
        nodes += 1;
        Ok(TreeNodeRecursion::Continue)
    });
    nodes
}
