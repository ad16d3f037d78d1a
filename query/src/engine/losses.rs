//! Lost events that may be missing in an answer: the gaps that overlap the rows which the answer is computed from.

use std::collections::BTreeSet;
use std::fmt;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use chrono::DateTime;
use ctrace_schema::human;
use ctrace_schema::text::printable;
use ctrace_schema::views::view;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::{conjunction, disjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, cast, lit};
use datafusion::prelude::{coalesce, col};

use crate::engine::session::Engine;
use crate::source::{EVENTS, TimeComparison};

/// Lost events, summed up.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    lost: u64,
    start: Option<i64>,
    end: Option<i64>,
    containers: BTreeSet<String>,
    classes: BTreeSet<String>,
}

impl Engine {
    /// Returns the losses that overlap the rows which the answer of `frame` is computed from; `None`: there are none.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub(crate) async fn losses(
        &self,
        frame: &DataFrame,
    ) -> Result<Option<Losses>, DataFusionError> {
        // Without losses in the metadata, there is no need to read events.
        if self.opened().is_none_or(|r| r.lost() == Some(0))
            || matches!(frame.logical_plan(), LogicalPlan::Explain(_))
        {
            return Ok(None);
        }
        let plan = self.optimized(frame.logical_plan())?;
        let mut scans = Vec::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                match scan.table_name.table() {
                    EVENTS => scans.extend(overlap_condition(&scan.filters)),
                    // A materialized view, whose sources are not in the plan.
                    name if view(name).is_some() => scans.push(lit(true)),
                    _ => {}
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let Some(in_any_scan) = disjunction(scans) else {
            return Ok(None);
        };
        let gaps = self
            .session()
            .table(EVENTS)
            .await?
            .filter(col("kind").eq(lit("gap")).and(in_any_scan))?
            .select_columns(&["time", "duration", "container", "class", "lost"])?;
        let mut losses = Losses::default();
        for batch in gaps.collect().await? {
            losses.add(&batch);
        }
        Ok((losses.lost > 0).then_some(losses))
    }
}

/// Returns the condition for a gap to overlap the rows of a scan with `filters`; `None`: the scan reads no rows that
/// can be lost.
fn overlap_condition(filters: &[Expr]) -> Option<Expr> {
    let mut conditions = Vec::new();
    for filter in filters.iter().flat_map(split_conjunction) {
        let columns = filter.column_refs();
        let only = |names: &[&str]| columns.iter().all(|c| names.contains(&c.name.as_str()));
        if only(&["kind"]) && reads_no_calls(filter) {
            return None;
        } else if only(&["host"]) {
            conditions.push(unqualified(filter)?);
        } else if only(&["time"]) {
            conditions.extend(gap_overlaps(filter));
        } else if only(&["container", "container_id"]) {
            // A loss without a container may belong to any container.
            conditions.push(col("container").is_null().or(unqualified(filter)?));
        } else if only(&["class"]) {
            conditions.push(col("class").is_null().or(unqualified(filter)?));
        }
    }
    Some(conjunction(conditions).unwrap_or_else(|| lit(true)))
}

/// Returns whether a filter is `kind = 'gap'` or `kind = 'container'`.
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

/// Returns a comparison of `time` as a condition on the span of a gap: on its end for a lower bound, on its start for
/// an upper one.
fn gap_overlaps(filter: &Expr) -> Option<Expr> {
    let TimeComparison { op, ns } = TimeComparison::from_expr(filter)?;
    let start = cast(col("time"), arrow::datatypes::DataType::Int64);
    let end = start.clone() + coalesce(vec![col("duration"), lit(0i64)]);
    match op {
        Operator::Gt | Operator::GtEq => Some(end.gt_eq(lit(ns))),
        Operator::Lt | Operator::LtEq => Some(start.lt_eq(lit(ns))),
        Operator::Eq => Some(start.lt_eq(lit(ns)).and(end.gt_eq(lit(ns)))),
        _ => None,
    }
}

/// Returns the same condition with unqualified columns.
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
            names_of("container", "containers", &self.containers),
            names_of("class", "classes", &self.classes),
        )
    }
}

/// Returns a text such as `container web`, or `containers a, b, c and 4 more`.
fn names_of(singular: &str, plural: &str, names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 3;
    // A name may contain a newline.
    let shown: Vec<_> = names.iter().take(SHOWN).map(|n| printable(n)).collect();
    let noun = if names.len() == 1 { singular } else { plural };
    match names.len().saturating_sub(SHOWN) {
        0 => format!("{noun} {}", shown.join(", ")),
        more => format!("{noun} {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_up_to_three() {
        let names = |n: u8| {
            (b'a'..b'a' + n)
                .map(|c| char::from(c).to_string())
                .collect()
        };
        assert_eq!(names_of("class", "classes", &names(1)), "class a");
        assert_eq!(
            names_of("class", "classes", &names(5)),
            "classes a, b, c and 2 more"
        );
    }
}
