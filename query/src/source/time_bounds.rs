//! Between which times the rows lie that a statement asks for.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// Two times, both included, ns since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub start: i64,
    pub end: i64,
}

impl Bounds {
    /// All time.
    pub const ALL: Bounds = Bounds {
        start: i64::MIN,
        end: i64::MAX,
    };

    /// What a row must lie between to pass all of `filters`; it may be less that passes.
    pub fn of(filters: &[Expr]) -> Bounds {
        let one = |filter: &Expr| match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right),
            Expr::Between(between) if !between.negated => {
                let low = comparison(&between.expr, Operator::GtEq, &between.low);
                low.and(comparison(&between.expr, Operator::LtEq, &between.high))
            }
            _ => Bounds::ALL,
        };
        let filters = filters.iter().flat_map(split_conjunction);
        filters.map(one).fold(Bounds::ALL, Bounds::and)
    }

    fn and(self, other: Bounds) -> Bounds {
        Bounds {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }

    /// Whether they have something in common with a stretch of time, an end of which may not be known.
    pub fn meets(self, start: Option<i64>, end: Option<i64>) -> bool {
        start.is_none_or(|start| start <= self.end) && end.is_none_or(|end| self.start <= end)
    }
}

fn comparison(left: &Expr, op: Operator, right: &Expr) -> Bounds {
    let (op, at) = match (left, right) {
        (Expr::Column(column), Expr::Literal(at, _)) if column.name == "time" => (Some(op), at),
        (Expr::Literal(at, _), Expr::Column(column)) if column.name == "time" => (op.swap(), at),
        _ => return Bounds::ALL,
    };
    let (Some(op), ScalarValue::TimestampNanosecond(Some(at), _)) = (op, at) else {
        return Bounds::ALL;
    };
    let (mut start, mut end) = (i64::MIN, i64::MAX);
    if matches!(op, Operator::Eq | Operator::Gt | Operator::GtEq) {
        start = *at;
    }
    if matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq) {
        end = *at;
    }
    Bounds { start, end }
}
