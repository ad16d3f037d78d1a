//! Matches the part of a plan between an aggregate and the table of events: projections, filters and aliases only.

use std::any::Any;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::source::{ParquetTable, UnionTable};

/// Limit of the nodes of an expression: each projection may use an expression of the one below several times.
const MAX_NODES: usize = 20_000;

/// A plan of only projections, filters and aliases over events.
pub(crate) struct EventScan {
    pub(crate) events: EventTables,
    /// The filters, all of which an event must pass, over unqualified columns of the events.
    pub(crate) filters: Vec<Expr>,
    /// The columns of the plan, as expressions over columns of the events.
    columns: Vec<(Column, Expr)>,
}

/// The tables of a scan of events.
#[derive(Clone)]
pub(crate) struct EventTables {
    /// A [`ParquetTable`] of files with one boot each.
    parquet: Arc<dyn TableProvider>,
    /// The tables of events outside finished Parquet files.
    pub(crate) others: Vec<Arc<dyn TableProvider>>,
}

impl EventTables {
    /// Returns the tables of the table `events`, if one is a [`ParquetTable`].
    fn new(table: Arc<dyn TableProvider>) -> Option<EventTables> {
        // The rows of a rollup of several boots do not say which boot an event is from.
        let is_parquet = |table: &Arc<dyn TableProvider>| {
            parquet_table(table).is_some_and(ParquetTable::has_constant_boots)
        };
        let all = match (table.as_ref() as &dyn Any).downcast_ref::<UnionTable>() {
            Some(union) => union.tables(),
            None => std::slice::from_ref(&table),
        };
        let (parquet, others): (Vec<_>, _) = all.iter().cloned().partition(is_parquet);
        let parquet = parquet.into_iter().next()?;
        Some(EventTables { parquet, others })
    }

    /// Returns the events in Parquet files.
    pub(crate) fn parquet(&self) -> Option<&ParquetTable> {
        parquet_table(&self.parquet)
    }
}

fn parquet_table(table: &Arc<dyn TableProvider>) -> Option<&ParquetTable> {
    (table.as_ref() as &dyn Any).downcast_ref()
}

impl EventScan {
    /// Matches a plan; `None`: the plan has other nodes.
    pub(crate) fn from_plan(plan: &LogicalPlan) -> Option<EventScan> {
        match plan {
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
                let events = EventTables::new(source_as_provider(&scan.source).ok()?)?;
                let own = |column: &Column| {
                    Some(Expr::Column(Column::new_unqualified(column.name.clone())))
                };
                // Filters may use columns that are not in the projection.
                let filters = scan.filters.iter().map(|filter| rewritten(filter, own));
                let columns = scan.projected_schema.columns().into_iter();
                Some(EventScan {
                    events,
                    filters: filters.collect::<Option<_>>()?,
                    columns: columns
                        .filter_map(|c| Some((c.clone(), own(&c)?)))
                        .collect(),
                })
            }
            LogicalPlan::Filter(filter) => {
                let mut scan = EventScan::from_plan(&filter.input)?;
                let predicate = scan.expr(&filter.predicate)?;
                scan.filters.push(predicate);
                Some(scan)
            }
            LogicalPlan::Projection(projection) => {
                let mut scan = EventScan::from_plan(&projection.input)?;
                let exprs = projection.expr.iter().map(|expr| scan.expr(expr));
                let exprs = exprs.collect::<Option<Vec<_>>>()?;
                scan.columns = projection.schema.columns().into_iter().zip(exprs).collect();
                Some(scan)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let mut scan = EventScan::from_plan(&alias.input)?;
                let exprs = scan.columns.into_iter().map(|(_, expr)| expr);
                scan.columns = alias.schema.columns().into_iter().zip(exprs).collect();
                Some(scan)
            }
            _ => None,
        }
    }

    /// Rewrites an expression over columns of the plan into one over columns of the events.
    pub(crate) fn expr(&self, expr: &Expr) -> Option<Expr> {
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

/// Replaces each column of `expr` by the result of `find`, and removes aliases.
fn rewritten(expr: &Expr, find: impl Fn(&Column) -> Option<Expr>) -> Option<Expr> {
    let mut size = 0;
    let replace = |node: Expr| match node {
        Expr::Column(column) => {
            let expr = find(&column).ok_or_else(no_match)?;
            size += nodes(&expr);
            match size > MAX_NODES {
                true => Err(no_match()),
                false => Ok(Transformed::yes(expr)),
            }
        }
        Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
        other => Ok(Transformed::no(other)),
    };
    // Bottom-up, so that the inserted expressions are not visited.
    expr.clone().transform_up(replace).ok().map(|t| t.data)
}

/// Creates an error that stops the rewriting, and is never shown.
fn no_match() -> DataFusionError {
    DataFusionError::Plan(String::new())
}

fn nodes(expr: &Expr) -> usize {
    let mut nodes = 0;
    // The closure never fails.
    let _ = expr.apply(|_| {
        nodes += 1;
        Ok(TreeNodeRecursion::Continue)
    });
    nodes
}
