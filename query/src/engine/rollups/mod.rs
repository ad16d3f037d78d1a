//! Answers aggregates from the rollups of recordings, if the result is exactly the same as from the events.
//!
//! An optimizer rule. For each aggregate over only events, filters and projections, the rule takes the first rollup whose keys
//! and measures are sufficient, and replaces the events by its rows: `count(*)` becomes `sum(n)`, `min(time)` becomes
//! `min(min_time)`, and so on. Some events are still read, beside the rollups of the other files: those of a file without that
//! rollup, those outside closed files, and those of a file of which a condition on `time` selects a part, unless the rollup has
//! time slices.

mod aggregates;
mod event_scan;
mod keys;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use ctrace_schema::rollups::{N, ROLLUPS, Rollup};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::prelude::col;

use crate::source::{
    BOOT_ID, Coverage, EVENTS, FileRows, ParquetFile, RECORDING, RollupRows, TimeComparison,
    UnionTable, recording_field,
};
use aggregates::{RollupExpr, of_single_event};
use event_scan::{EventScan, EventTables};
use keys::RollupKeys;

/// The optimizer rule.
#[derive(Debug)]
pub(crate) struct UseRollups;

impl OptimizerRule for UseRollups {
    fn name(&self) -> &str {
        "use_rollups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else {
            return Ok(Transformed::no(plan));
        };
        let Some(events) = EventAggregate::new(aggregate) else {
            return Ok(Transformed::no(plan));
        };
        for rollup in ROLLUPS {
            // A plan that DataFusion rejects is not used.
            if let Some(Ok(rewritten)) = events.rewritten(rollup)
                && rewritten
                    .schema()
                    .has_equivalent_names_and_types(plan.schema())
                    .is_ok()
            {
                return Ok(Transformed::yes(rewritten));
            }
        }
        Ok(Transformed::no(plan))
    }
}

/// An aggregate over events.
struct EventAggregate<'a> {
    aggregate: &'a Aggregate,
    /// The grouping expressions, over columns of the events.
    groups: Vec<Expr>,
    /// The aggregate functions, over columns of the events.
    aggregates: Vec<Expr>,
    filters: Vec<Expr>,
    /// The ordered comparisons of `time` among the filters.
    time_filters: Vec<TimeComparison>,
    tables: EventTables,
}

impl<'a> EventAggregate<'a> {
    fn new(aggregate: &'a Aggregate) -> Option<EventAggregate<'a>> {
        let scan = EventScan::from_plan(&aggregate.input)?;
        let exprs = |exprs: &[Expr]| {
            exprs
                .iter()
                .map(|e| scan.expr(e))
                .collect::<Option<Vec<_>>>()
        };
        let filters = scan.filters.iter().flat_map(split_conjunction);
        let filters: Vec<Expr> = filters.cloned().collect();
        Some(EventAggregate {
            groups: exprs(&aggregate.group_expr)?,
            aggregates: exprs(&aggregate.aggr_expr)?,
            time_filters: filters.iter().filter_map(time_filter).collect(),
            filters,
            tables: scan.events.clone(),
            aggregate,
        })
    }

    /// Creates the plan that uses `rollup`; `None`: the rollup is not sufficient.
    fn rewritten(&self, rollup: &'static Rollup) -> Option<Result<LogicalPlan>> {
        // A first check that reads no file.
        RollupAggregate::new(self, rollup, 1)?;
        let parquet = self.tables.parquet()?;
        let mut files = vec![];
        let (mut from_rollups, mut from_events) = (vec![], vec![]);
        for rows in parquet.files() {
            // Rollups do not count the rows that are older than the file.
            from_events.extend(rows.alive_rows());
            let Some(own) = rows.own_rows() else {
                continue;
            };
            let span = own.file.own_span().ok()?;
            if !matches!(Coverage::of_span(&self.time_filters, span), Coverage::None) {
                let rollup = own.file.rollups.rows(rollup).filter(|_| own.has_own_rows);
                files.push((own, span, rollup));
            }
        }
        // The events of files with longer slices than the query allows are read.
        let slices = files
            .iter()
            .filter_map(|(_, _, rows)| Some(rows.as_ref()?.slice_ns));
        let slices: BTreeSet<i64> = slices.collect();
        let with_slice = |slice: &i64| {
            let aggregate = RollupAggregate::new(self, rollup, (*slice).max(1))?;
            Some((*slice, aggregate))
        };
        let (slice, aggregate) = slices.iter().rev().find_map(with_slice)?;
        for (own, span, rows) in files {
            let rows = rows.filter(|rows| rows.slice_ns == 0 || slice % rows.slice_ns == 0);
            match (Coverage::of_span(&aggregate.time_filters, span), rows) {
                (Coverage::All, Some(rows)) => from_rollups.push((own.file, rows)),
                _ => FileRows::add(&mut from_events, own),
            }
        }
        let mut tables = self.tables.others.clone();
        if !from_events.is_empty() {
            tables.push(Arc::new(parquet.with_files(from_events)));
        }
        (!from_rollups.is_empty()).then(|| self.plan(rollup, &aggregate, &from_rollups, tables))
    }

    /// Aggregates the rows of the rollup in `files`, and the events in `tables`.
    fn plan(
        &self,
        rollup: &Rollup,
        aggregate: &RollupAggregate,
        files: &[(Arc<ParquetFile>, Arc<RollupRows>)],
        tables: Vec<Arc<dyn TableProvider>>,
    ) -> Result<LogicalPlan> {
        let columns = aggregate.columns();
        let table = Arc::new(rollup_table(rollup, &columns, files)?);
        let scan = LogicalPlanBuilder::scan(
            format!("rollup_{}", rollup.name),
            provider_as_source(table),
            None,
        )?;
        let own = |name: &String| col(name).alias(name);
        let mut rows = filtered(scan, &aggregate.filters)?.project(columns.iter().map(own))?;
        if !tables.is_empty() {
            let events = provider_as_source(UnionTable::combine(tables));
            let scan = LogicalPlanBuilder::scan(EVENTS, events, None)?;
            let own = |name: &String| of_single_event(rollup, name).alias(name);
            let events = filtered(scan, &self.filters)?.project(columns.iter().map(own))?;
            rows = rows.union(events.build()?)?;
        }
        let mut results = vec![];
        let mut groups = vec![];
        for (i, group) in aggregate.groups.iter().enumerate() {
            let name = format!("group{i}");
            groups.push(group.clone().alias(&name));
            results.push(col(name));
        }
        let mut aggregates = vec![];
        for expr in &aggregate.aggregates {
            let names = expr.aggregates.iter().map(|part| {
                let name = format!("part{}", aggregates.len());
                aggregates.push(part.clone().alias(&name));
                name
            });
            let names: Vec<String> = names.collect();
            results.push((expr.result)(&names));
        }
        let named = results.into_iter().zip(self.aggregate.schema.iter());
        let named = named
            .map(|(column, (table, field))| column.alias_qualified(table.cloned(), field.name()));
        rows.aggregate(groups, aggregates)?.project(named)?.build()
    }
}

/// Returns an ordered comparison of `time`, if the filter is one.
fn time_filter(filter: &Expr) -> Option<TimeComparison> {
    TimeComparison::from_expr(filter).filter(|comparison| comparison.is_ordered())
}

fn filtered(scan: LogicalPlanBuilder, filters: &[Expr]) -> Result<LogicalPlanBuilder> {
    match conjunction(filters.iter().cloned()) {
        Some(filter) => scan.filter(filter),
        None => Ok(scan),
    }
}

/// Creates a table of some columns from the rows of a rollup in several files.
fn rollup_table(
    rollup: &Rollup,
    columns: &BTreeSet<String>,
    files: &[(Arc<ParquetFile>, Arc<RollupRows>)],
) -> Result<MemTable> {
    let all = rollup.schema(&DataType::Utf8View);
    let mut fields: Vec<_> = all.fields().iter().cloned().collect();
    fields.retain(|field| columns.contains(field.name()));
    if columns.contains(BOOT_ID) {
        fields.push(Arc::new(Field::new(BOOT_ID, DataType::Utf8View, true)));
    }
    if columns.contains(RECORDING) {
        fields.push(Arc::new(recording_field()));
    }
    let schema = Arc::new(Schema::new(fields));
    let projected = |file: &ParquetFile, rows: &RecordBatch| {
        let column = |field: &FieldRef| match rows.column_by_name(field.name()) {
            Some(column) => Ok(column.clone()),
            None => file
                .constant(field.name())
                .to_array_of_size(rows.num_rows()),
        };
        let columns = schema.fields().iter().map(column);
        Ok(RecordBatch::try_new(
            schema.clone(),
            columns.collect::<Result<_>>()?,
        )?)
    };
    let batches = files.iter().flat_map(|(file, rows)| {
        let batches = rows.batches.iter();
        batches.map(|batch| projected(file, batch))
    });
    let batches = batches.collect::<Result<Vec<_>>>()?;
    MemTable::try_new(schema.clone(), vec![batches])
}

/// An aggregate over the rows of a rollup.
struct RollupAggregate {
    groups: Vec<Expr>,
    aggregates: Vec<RollupExpr>,
    filters: Vec<Expr>,
    /// The comparisons of `time` that the rows of the rollup cannot decide.
    time_filters: Vec<TimeComparison>,
}

impl RollupAggregate {
    /// Rewrites an aggregate of events. `None`: it needs more than the keys and measures of `rollup` and comparisons of
    /// `time`.
    fn new(
        events: &EventAggregate<'_>,
        rollup: &'static Rollup,
        slice_ns: i64,
    ) -> Option<RollupAggregate> {
        let keys = RollupKeys::new(rollup, slice_ns, &events.filters);
        if !keys.covers(&events.filters) {
            return None;
        }
        let (mut filters, mut time_filters) = (vec![], vec![]);
        for filter in &events.filters {
            match keys.expr(filter) {
                Some(filter) => filters.push(filter),
                None => time_filters.push(time_filter(filter)?),
            }
        }
        let groups = events.groups.iter().map(|group| keys.expr(group));
        let rewrite = |expr: &Expr| match expr {
            Expr::AggregateFunction(function) => aggregates::rewrite(function, rollup, &keys),
            _ => None,
        };
        Some(RollupAggregate {
            groups: groups.collect::<Option<_>>()?,
            aggregates: events
                .aggregates
                .iter()
                .map(rewrite)
                .collect::<Option<_>>()?,
            filters,
            time_filters,
        })
    }

    /// Returns the columns of the rollup that the aggregate uses.
    fn columns(&self) -> BTreeSet<String> {
        let aggregates = self.aggregates.iter().flat_map(|expr| &expr.aggregates);
        let exprs = aggregates.chain(&self.groups).chain(&self.filters);
        let refs = exprs.flat_map(|expr| expr.column_refs());
        let mut columns: BTreeSet<String> = refs.map(|column| column.name.clone()).collect();
        if columns.is_empty() {
            columns.insert(N.to_string());
        }
        columns
    }
}
