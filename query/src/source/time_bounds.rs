//! Conditions on the column `time`, and the rows that can pass them.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// A comparison `time <op> literal`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeComparison {
    pub(crate) op: Operator,
    /// Nanoseconds since 1970 UTC.
    pub(crate) ns: i64,
}

impl TimeComparison {
    /// Reads a comparison of `time` with a literal, on either side.
    pub(crate) fn from_expr(filter: &Expr) -> Option<TimeComparison> {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                TimeComparison::new(left, *op, right)
            }
            _ => None,
        }
    }

    fn new(left: &Expr, op: Operator, right: &Expr) -> Option<TimeComparison> {
        let (column, op, literal) = match (left, right) {
            (Expr::Column(column), Expr::Literal(literal, _)) => (column, op, literal),
            (Expr::Literal(literal, _), Expr::Column(column)) => (column, op.swap()?, literal),
            _ => return None,
        };
        match literal {
            ScalarValue::TimestampNanosecond(Some(ns), _) if column.name == "time" => {
                Some(TimeComparison { op, ns: *ns })
            }
            _ => None,
        }
    }

    /// Returns whether the comparison is true from an instant on, or up to an instant.
    pub(crate) fn is_ordered(self) -> bool {
        matches!(
            self.op,
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
        )
    }

    fn range(self) -> TimeRange {
        let mut range = TimeRange::ALL;
        if matches!(self.op, Operator::Eq | Operator::Gt | Operator::GtEq) {
            range.start = self.ns;
        }
        if matches!(self.op, Operator::Eq | Operator::Lt | Operator::LtEq) {
            range.end = self.ns;
        }
        range
    }

    /// Returns whether an ordered comparison is true of `time`.
    fn is_true_of(self, time: i64) -> bool {
        match self.op {
            Operator::Lt => time < self.ns,
            Operator::LtEq => time <= self.ns,
            Operator::Gt => time > self.ns,
            _ => time >= self.ns,
        }
    }
}

/// A time range, both ends included, ns since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl TimeRange {
    pub(crate) const ALL: TimeRange = TimeRange {
        start: i64::MIN,
        end: i64::MAX,
    };

    /// Returns the time range outside which no row can pass `filters`. Rows inside may still be filtered out.
    pub(crate) fn of_filters(filters: &[Expr]) -> TimeRange {
        let range = |comparison: Option<TimeComparison>| {
            comparison.map_or(TimeRange::ALL, TimeComparison::range)
        };
        let one = |filter: &Expr| match filter {
            Expr::Between(between) if !between.negated => {
                let bound = |op, bound| range(TimeComparison::new(&between.expr, op, bound));
                let low = bound(Operator::GtEq, &between.low);
                low.and(bound(Operator::LtEq, &between.high))
            }
            other => range(TimeComparison::from_expr(other)),
        };
        let filters = filters.iter().flat_map(split_conjunction);
        filters.map(one).fold(TimeRange::ALL, TimeRange::and)
    }

    fn and(self, other: TimeRange) -> TimeRange {
        TimeRange {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }

    /// Returns whether the range overlaps a span, of which an end may be unknown.
    pub(crate) fn overlaps(self, start: Option<i64>, end: Option<i64>) -> bool {
        start.is_none_or(|start| start <= self.end) && end.is_none_or(|end| self.start <= end)
    }
}

/// The share of some rows that passes a condition.
pub(crate) enum Coverage {
    All,
    Some,
    None,
}

impl Coverage {
    /// Returns the share of the rows in `span`, which may be unknown, that passes all of some ordered comparisons.
    pub(crate) fn of_span(comparisons: &[TimeComparison], span: Option<(i64, i64)>) -> Coverage {
        let Some((start, end)) = span else {
            return match comparisons.is_empty() {
                true => Coverage::All,
                false => Coverage::Some,
            };
        };
        let mut coverage = Coverage::All;
        for comparison in comparisons {
            match (comparison.is_true_of(start), comparison.is_true_of(end)) {
                (false, false) => return Coverage::None,
                (true, true) => {}
                _ => coverage = Coverage::Some,
            }
        }
        coverage
    }
}
