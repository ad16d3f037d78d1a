//! Whether an answer may lack events that were lost: which gaps lie in the rows that it was made from.

use std::collections::BTreeSet;
use std::fmt;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use chrono::DateTime;
use ctrace_schema::human;
use ctrace_schema::text::printable;
use ctrace_schema::views::view;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::{conjunction, disjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, cast, lit};
use datafusion::prelude::{coalesce, col};

use crate::engine::Engine;

/// Events that were lost.
#[derive(Debug, Default)]
pub struct Losses {
    lost: u64,
    start: Option<i64>,
    end: Option<i64>,
    containers: BTreeSet<String>,
    classes: BTreeSet<String>,
}

/// The losses that touch the rows which the answer of `frame` is made from; `None`: there are none.
///
/// # Errors
/// That the recording cannot be read.
pub async fn of(engine: &Engine, frame: &DataFrame) -> Result<Option<Losses>, DataFusionError> {
    let recordings = engine.opened();
    // The metadata says cheaply that there is nothing to look for.
    if recordings.is_none_or(|r| r.lost() == Some(0))
        || matches!(frame.logical_plan(), LogicalPlan::Explain(_))
    {
        return Ok(None);
    }
    let plan = engine.optimized(frame.logical_plan())?;
    let mut scans = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            match scan.table_name.table() {
                "events" => scans.extend(reach(&scan.filters)),
                // A view that is kept: what it is made from does not show here.
                name if view(name).is_some() => scans.push(lit(true)),
                _ => {}
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Some(anywhere) = disjunction(scans) else {
        return Ok(None);
    };
    let gaps = engine
        .session()
        .table("events")
        .await?
        .filter(col("kind").eq(lit("gap")).and(anywhere))?
        .select_columns(&["time", "duration", "container", "class", "lost"])?;
    let mut losses = Losses::default();
    for batch in gaps.collect().await? {
        losses.add(&batch);
    }
    Ok((losses.lost > 0).then_some(losses))
}

/// The condition for a gap to lie in what a scan with `filters` reads; `None`: the scan reads nothing that can be lost.
fn reach(filters: &[Expr]) -> Option<Expr> {
    let mut conditions = Vec::new();
    for filter in filters.iter().flat_map(split_conjunction) {
        let columns = filter.column_refs();
        let only = |names: &[&str]| columns.iter().all(|c| names.contains(&c.name.as_str()));
        if only(&["kind"]) && reads_no_calls(filter) {
            return None;
        } else if only(&["host"]) {
            conditions.push(unqualified(filter)?);
        } else if only(&["time"]) {
            conditions.extend(overlap(filter));
        } else if only(&["container", "container_id"]) {
            // A loss whose container is not known may be that of any.
            conditions.push(col("container").is_null().or(unqualified(filter)?));
        } else if only(&["class"]) {
            conditions.push(col("class").is_null().or(unqualified(filter)?));
        }
    }
    Some(conjunction(conditions).unwrap_or_else(|| lit(true)))
}

/// `kind = 'gap'` and `kind = 'container'`.
fn reads_no_calls(filter: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = filter
    else {
        return false;
    };
    let ((Expr::Literal(value, _), _) | (_, Expr::Literal(value, _))) =
        (left.as_ref(), right.as_ref())
    else {
        return false;
    };
    matches!(value.try_as_str(), Some(Some("gap" | "container")))
}

/// A bound on `time`, as a bound on the span of a gap: its end for a lower bound, its start for an upper one.
fn overlap(filter: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
        return None;
    };
    let (op, bound) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(_), Expr::Literal(value, _)) => (*op, value),
        (Expr::Literal(value, _), Expr::Column(_)) => (op.swap()?, value),
        _ => return None,
    };
    let ScalarValue::TimestampNanosecond(Some(bound), _) = bound else {
        return None;
    };
    let start = cast(col("time"), arrow::datatypes::DataType::Int64);
    let end = start.clone() + coalesce(vec![col("duration"), lit(0i64)]);
    match op {
        Operator::Gt | Operator::GtEq => Some(end.gt_eq(lit(*bound))),
        Operator::Lt | Operator::LtEq => Some(start.lt_eq(lit(*bound))),
        Operator::Eq => Some(start.lt_eq(lit(*bound)).and(end.gt_eq(lit(*bound)))),
        _ => None,
    }
}

/// The same condition over columns without the name of their table.
fn unqualified(filter: &Expr) -> Option<Expr> {
    let strip = |expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    };
    filter.clone().transform(strip).map(|t| t.data).ok()
}

impl Losses {
    fn add(&mut self, batch: &RecordBatch) {
        let time = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let duration = batch.column(1).as_primitive::<Int64Type>();

        let lost = batch.column(4).as_primitive::<Int64Type>();
        let lost = lost.iter().flatten().filter_map(|n| u64::try_from(n).ok());
        self.lost = lost.fold(self.lost, u64::saturating_add);
        for (start, duration) in time.iter().zip(duration) {
            let end = start.map(|s| s.saturating_add(duration.unwrap_or(0)));
            self.start = self.start.into_iter().chain(start).min();
            self.end = self.end.into_iter().chain(end).max();
        }
        let name = |value: Option<&str>| value.unwrap_or("unknown").to_string();
        self.containers
            .extend(batch.column(2).as_string_view().iter().map(name));
        self.classes
            .extend(batch.column(3).as_string_view().iter().map(name));
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |ns: Option<i64>| {
            DateTime::from_timestamp_nanos(ns.unwrap_or(0)).format("%Y-%m-%d %H:%M:%S%.3f")
        };
        let (events, were) = if self.lost == 1 {
            ("event", "was")
        } else {
            ("events", "were")
        };
        write!(
            f,
            "{} {events} {were} lost between {} and {} ({}, {}): this answer may be incomplete",
            human::count(self.lost),
            time(self.start),
            time(self.end),
            some("container", "containers", &self.containers),
            some("class", "classes", &self.classes),
        )
    }
}

/// `container web`, `containers a, b, c and 4 more`.
fn some(one: &str, many: &str, names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 3;
    // A name may hold what would make a line of its own.
    let shown: Vec<_> = names.iter().take(SHOWN).map(|n| printable(n)).collect();
    let what = if names.len() == 1 { one } else { many };
    match names.len().saturating_sub(SHOWN) {
        0 => format!("{what} {}", shown.join(", ")),
        more => format!("{what} {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable() {
        let names = |n: u8| {
            (b'a'..b'a' + n)
                .map(|c| char::from(c).to_string())
                .collect()
        };
        assert_eq!(some("class", "classes", &names(1)), "class a");
        assert_eq!(
            some("class", "classes", &names(5)),
            "classes a, b, c and 2 more"
        );
    }
}
