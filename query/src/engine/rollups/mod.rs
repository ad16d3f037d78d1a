//! Answers aggregates from the rollups of recordings, where these tell exactly what the events would.
//!
//! An optimizer rule. It looks at each aggregate over nothing but events, filters and projections, takes the first rollup
//! of which the keys and measures are all that is used, and puts its rows in the place of the events: `count(*)` becomes
//! `sum(n)`, `min(time)` `min(min_time)`, and so on. A file without that rollup is read itself, beside the rollups of the
//! others, as is what is in no file that was closed, and so is one of which a condition on `time` takes a part, unless the
//! rollup knows slices of time.

mod below;
mod embedded;
mod keys;
mod make;
mod sums;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, FieldRef, Schema};
use ctrace_schema::rollups::{N, ROLLUPS, Rollup};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::prelude::col;

use crate::engine::EVENTS;
use crate::source::parquet::segments::{RECORDING, Segment, recording_field};
use crate::source::union::Union;
use below::{Below, Events};
pub use embedded::Embedded;
use embedded::Rows;
use keys::Keys;
pub use make::make;
use sums::{Summed, of_event, summed};

/// The rule.
#[derive(Debug)]
pub struct UseRollups;

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
        let Some(question) = Question::of(aggregate) else {
            return Ok(Transformed::no(plan));
        };
        for rollup in ROLLUPS {
            // A plan that DataFusion does not take is none.
            if let Some(Ok(answer)) = question.answer(rollup)
                && answer
                    .schema()
                    .has_equivalent_names_and_types(plan.schema())
                    .is_ok()
            {
                return Ok(Transformed::yes(answer));
            }
        }
        Ok(Transformed::no(plan))
    }
}

/// An aggregate over events.
struct Question<'a> {
    aggregate: &'a Aggregate,
    /// What it groups by, in terms of the columns of the events.
    groups: Vec<Expr>,
    /// Likewise.
    sums: Vec<Expr>,
    /// All must be true.
    filters: Vec<Expr>,
    /// Those of them that are about `time`.
    bounds: Vec<Bound>,
    events: Events,
}

impl<'a> Question<'a> {
    fn of(aggregate: &'a Aggregate) -> Option<Question<'a>> {
        let below = Below::of(&aggregate.input)?;
        let exprs = |exprs: &[Expr]| {
            exprs
                .iter()
                .map(|e| below.expr(e))
                .collect::<Option<Vec<_>>>()
        };
        let filters = below.filters.iter().flat_map(split_conjunction);
        let filters: Vec<Expr> = filters.cloned().collect();
        Some(Question {
            groups: exprs(&aggregate.group_expr)?,
            sums: exprs(&aggregate.aggr_expr)?,
            bounds: filters.iter().filter_map(bound).collect(),
            filters,
            events: below.events.clone(),
            aggregate,
        })
    }

    /// The plan that answers it from `rollup`; None: that cannot be.
    fn answer(&self, rollup: &'static Rollup) -> Option<Result<LogicalPlan>> {
        // First whether it can be at all, which needs no file.
        Asked::of(self, rollup, 1)?;
        let segments = self.events.segments()?;
        let mut files = vec![];
        for segment in segments.all() {
            let span = segment.span().ok()?;
            if !matches!(part(&self.bounds, span), Part::None) {
                files.push((segment, span, segment.rollups.rows(rollup)));
            }
        }
        // Those with longer slices than the question can do with are read.
        let slices = files
            .iter()
            .filter_map(|(_, _, rows)| Some(rows.as_ref()?.slice));
        let slices: BTreeSet<i64> = slices.collect();
        let fits = |slice: &i64| Some((*slice, Asked::of(self, rollup, (*slice).max(1))?));
        let (slice, asked) = slices.iter().rev().find_map(fits)?;
        let (mut whole, mut parts) = (vec![], vec![]);
        for (segment, span, rows) in files {
            let rows = rows.filter(|rows| rows.slice == 0 || slice % rows.slice == 0);
            match (part(&asked.bounds, span), rows) {
                (Part::Whole, Some(rows)) => whole.push((segment, rows)),
                _ => parts.push(segment.clone()),
            }
        }
        let mut rest = self.events.others.clone();
        if !parts.is_empty() {
            rest.push(Arc::new(segments.only(parts)));
        }
        (!whole.is_empty()).then(|| self.plan(rollup, &asked, &whole, rest))
    }

    fn plan(
        &self,
        rollup: &Rollup,
        asked: &Asked,
        whole: &[(&Arc<Segment>, Arc<Rows>)],
        rest: Vec<Arc<dyn TableProvider>>,
    ) -> Result<LogicalPlan> {
        let needed = asked.columns();
        let table = Arc::new(table(rollup, &needed, whole)?);
        let scan = LogicalPlanBuilder::scan(
            format!("rollup_{}", rollup.name),
            provider_as_source(table),
            None,
        )?;
        let own = |name: &String| col(name).alias(name);
        let mut rows = narrowed(scan, &asked.filters)?.project(needed.iter().map(own))?;
        if !rest.is_empty() {
            let events = provider_as_source(Union::of(rest));
            let scan = LogicalPlanBuilder::scan(EVENTS, events, None)?;
            let own = |name: &String| of_event(rollup, name).alias(name);
            let events = narrowed(scan, &self.filters)?.project(needed.iter().map(own))?;
            rows = rows.union(events.build()?)?;
        }
        let mut columns = vec![];
        let mut groups = vec![];
        for (i, group) in asked.groups.iter().enumerate() {
            let name = format!("group{i}");
            groups.push(group.clone().alias(&name));
            columns.push(col(name));
        }
        let mut parts = vec![];
        for sum in &asked.sums {
            let names = sum.parts.iter().map(|part| {
                let name = format!("part{}", parts.len());
                parts.push(part.clone().alias(&name));
                name
            });
            let names: Vec<String> = names.collect();
            columns.push((sum.whole)(&names));
        }
        let named = columns.into_iter().zip(self.aggregate.schema.iter());
        let named = named
            .map(|(column, (table, field))| column.alias_qualified(table.cloned(), field.name()));
        rows.aggregate(groups, parts)?.project(named)?.build()
    }
}

fn narrowed(scan: LogicalPlanBuilder, filters: &[Expr]) -> Result<LogicalPlanBuilder> {
    match conjunction(filters.iter().cloned()) {
        Some(filter) => scan.filter(filter),
        None => Ok(scan),
    }
}

/// The rows of a rollup in several files as a table.
fn table(
    rollup: &Rollup,
    needed: &BTreeSet<String>,
    files: &[(&Arc<Segment>, Arc<Rows>)],
) -> Result<MemTable> {
    let all = rollup.schema(&DataType::Utf8View);
    let mut fields: Vec<_> = all.fields().iter().cloned().collect();
    fields.retain(|field| needed.contains(field.name()));
    if needed.contains(RECORDING) {
        fields.push(Arc::new(recording_field()));
    }
    let schema = Arc::new(Schema::new(fields));
    let one = |segment: &Segment, rows: &RecordBatch| {
        let column = |field: &FieldRef| match rows.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => {
                let name = std::iter::repeat_n(&segment.name, rows.num_rows());
                Arc::new(StringViewArray::from_iter_values(name)) as ArrayRef
            }
        };
        let columns = schema.fields().iter().map(column).collect();
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    };
    let batches = files.iter().flat_map(|(segment, rows)| {
        let batches = rows.batches.iter();
        batches.map(|batch| one(segment, batch))
    });
    let batches = batches.collect::<Result<Vec<_>>>()?;
    MemTable::try_new(schema.clone(), vec![batches])
}

/// Which events of a segment a question is about.
enum Part {
    Whole,
    Some,
    None,
}

/// Which events between two times, which may not be known, bounds on `time` leave.
fn part(bounds: &[Bound], span: Option<(i64, i64)>) -> Part {
    let holds = |(op, at): Bound, time: i64| match op {
        Operator::Lt => time < at,
        Operator::LtEq => time <= at,
        Operator::Gt => time > at,
        _ => time >= at,
    };
    let Some((start, end)) = span else {
        return if bounds.is_empty() {
            Part::Whole
        } else {
            Part::Some
        };
    };
    let mut part = Part::Whole;
    for bound in bounds {
        match (holds(*bound, start), holds(*bound, end)) {
            (false, false) => return Part::None,
            (true, true) => {}
            _ => part = Part::Some,
        }
    }
    part
}

/// A question over the rows of a rollup.
struct Asked {
    groups: Vec<Expr>,
    sums: Vec<Summed>,
    filters: Vec<Expr>,
    /// Those that no row can tell.
    bounds: Vec<Bound>,
}

impl Asked {
    /// `question`, if the keys and measures of `rollup` are all that it needs beside bounds on `time`.
    fn of(question: &Question<'_>, rollup: &'static Rollup, slice: i64) -> Option<Asked> {
        let keys = Keys::new(rollup, slice, &question.filters);
        if !keys.has_all(&question.filters) {
            return None;
        }
        let (mut filters, mut bounds) = (vec![], vec![]);
        for filter in &question.filters {
            match keys.expr(filter) {
                Some(filter) => filters.push(filter),
                None => bounds.push(bound(filter)?),
            }
        }
        let groups = question.groups.iter().map(|group| keys.expr(group));
        let sum = |sum: &Expr| match sum {
            Expr::AggregateFunction(aggregate) => summed(aggregate, rollup, &keys),
            _ => None,
        };
        Some(Asked {
            groups: groups.collect::<Option<_>>()?,
            sums: question.sums.iter().map(sum).collect::<Option<_>>()?,
            filters,
            bounds,
        })
    }

    /// The columns of the rollup that it needs.
    fn columns(&self) -> BTreeSet<String> {
        let parts = self.sums.iter().flat_map(|sum| &sum.parts);
        let exprs = parts.chain(&self.groups).chain(&self.filters);
        let refs = exprs.flat_map(|expr| expr.column_refs());
        let mut columns: BTreeSet<String> = refs.map(|column| column.name.clone()).collect();
        if columns.is_empty() {
            columns.insert(N.to_string());
        }
        columns
    }
}

/// How `time` compares with a time, ns since 1970 UTC: a condition that holds from then on, or until then.
type Bound = (Operator, i64);

fn bound(filter: &Expr) -> Option<Bound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
        return None;
    };
    let (column, op, at) = match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(at, _)) => (column, *op, at),
        (Expr::Literal(at, _), Expr::Column(column)) => (column, op.swap()?, at),
        _ => return None,
    };
    let ordered = matches!(
        op,
        Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    );
    match at {
        ScalarValue::TimestampNanosecond(Some(at), _) if ordered && column.name == "time" => {
            Some((op, *at))
        }
        _ => None,
    }
}
