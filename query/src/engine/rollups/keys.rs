//! What of an expression over events a rollup can tell, from its keys alone.

use ctrace_schema::rollups::{Facet, Only, POSITIVE, Rollup, SLASHES, directory};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use crate::source::parquet::segments::RECORDING;

/// The keys of a rollup, for one question.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    rollup: &'static Rollup,
    /// Nanoseconds of a slice that those of all its segments divide.
    slice: i64,
    /// No event has a positive result, so that `ret` is as exact as in the events.
    no_positive: bool,
}

impl Keys {
    /// Of `rollup`, for events that pass `filters`.
    pub fn new(rollup: &'static Rollup, slice: i64, filters: &[Expr]) -> Keys {
        Keys {
            rollup,
            slice,
            no_positive: filters.iter().any(rules_out_positive),
        }
    }

    /// The same expression over the rows of the rollup; None: it needs something else than keys. What it says of a row is
    /// what the one over events says of each event that the row stands for.
    pub fn expr(&self, expr: &Expr) -> Option<Expr> {
        if let Expr::Column(column) = expr {
            return self.column(column).then(|| expr.clone());
        }
        if self.is_same_over_a_row(expr) {
            return Some(expr.clone());
        }
        if !is_plain(expr) {
            return None;
        }
        let child = |child: Expr| match self.expr(&child) {
            Some(child) => Ok(Transformed::yes(child)),
            None => Err(DataFusionError::Plan(String::new())),
        };
        expr.clone().map_children(child).ok().map(|t| t.data)
    }

    /// Whether a column has the same value in all events of a row, and the row says which.
    fn column(&self, column: &Column) -> bool {
        match column.name.as_str() {
            RECORDING => true,
            "time" => false,
            "path" if self.has(Facet::Directory) => false,
            "ret" => self.no_positive && self.has(Facet::Result),
            name => self.rollup.keys().any(|key| key == name),
        }
    }

    fn has(&self, facet: Facet) -> bool {
        self.rollup.facets.contains(&facet)
    }

    /// Whether an expression is the same for all positive results, all times of a slice, or all paths of a directory.
    fn is_same_over_a_row(&self, expr: &Expr) -> bool {
        match expr {
            Expr::IsNull(of) | Expr::IsNotNull(of) => self.is_cut(of),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
                (Expr::Column(_), Expr::Literal(value, _)) => self.compares(left, *op, value),
                (Expr::Literal(value, _), Expr::Column(_)) => {
                    let swapped = op.swap();
                    swapped.is_some_and(|op| self.compares(right, op, value))
                }
                _ => false,
            },
            Expr::InList(InList { expr, list, .. }) => {
                let known = |value: &Expr| match value {
                    Expr::Literal(value, _) => self.compares(expr, Operator::Eq, value),
                    _ => false,
                };
                list.iter().all(known)
            }
            Expr::ScalarFunction(function) => {
                self.has(Facet::Slice) && self.cuts_time(function)
                    || self.has(Facet::Directory) && names_directory(function)
            }
            Expr::Like(like) if self.has(Facet::Directory) && named(&like.expr, "path") => {
                begins(like).is_some_and(|begin| directory(begin) == begin)
            }
            _ => false,
        }
    }

    /// Whether it is the column of which a row tells a range.
    fn is_cut(&self, expr: &Expr) -> bool {
        named(expr, "ret") && self.has(Facet::Result)
            || named(expr, "time") && self.has(Facet::Slice)
            || named(expr, "path") && self.has(Facet::Directory)
    }

    fn compares(&self, column: &Expr, op: Operator, value: &ScalarValue) -> bool {
        if named(column, "ret") && self.has(Facet::Result) {
            return integer(value).is_some_and(|value| same_for_positive(op, value));
        }
        if named(column, "time") && self.has(Facet::Slice) {
            // What lies at or after the beginning of a slice, the whole slice does.
            let whole = matches!(op, Operator::GtEq | Operator::Lt);
            let at = |value: &ScalarValue| match value {
                ScalarValue::TimestampNanosecond(Some(at), _) => Some(*at),
                _ => None,
            };
            return whole && at(value).is_some_and(|at| at.rem_euclid(self.slice) == 0);
        }
        if named(column, "path") && self.has(Facet::Directory) {
            let text = value.try_as_str().flatten();
            return text.is_some_and(|text| same_for_directory(op, text));
        }
        false
    }

    /// `date_bin` and `date_trunc` that cut time where slices end, if not everywhere.
    fn cuts_time(&self, function: &ScalarFunction) -> bool {
        let length = match (function.name(), function.args.as_slice()) {
            ("date_bin", [Expr::Literal(length, _), time]) if named(time, "time") => {
                interval(length)
            }
            ("date_trunc", [Expr::Literal(unit, _), time]) if named(time, "time") => {
                unit.try_as_str().flatten().and_then(unit_length)
            }
            _ => None,
        };
        length.is_some_and(|length| length > 0 && length % self.slice == 0)
    }

    /// Whether events that pass `filters` are all events of the rollup.
    pub fn has_all(&self, filters: &[Expr]) -> bool {
        match self.rollup.only {
            Only::All => true,
            Only::OneOf(column, names) => filters.iter().any(|f| is_one_of(f, column, names)),
            Only::Present(column) => filters.iter().any(|f| needs(f, column)),
        }
    }
}

/// Whether it is this column.
fn named(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// Whether an expression depends on nothing but its children, the same each time.
fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => {
            function.func.signature().volatility == Volatility::Immutable
        }
        Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_) => true,
        _ => false,
    }
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}

/// Whether a comparison with `value` says the same of [`POSITIVE`] and of all that is greater.
fn same_for_positive(op: Operator, value: i64) -> bool {
    match op {
        Operator::Lt | Operator::GtEq => value <= POSITIVE,
        Operator::Gt | Operator::LtEq | Operator::Eq | Operator::NotEq => value < POSITIVE,
        _ => false,
    }
}

/// Whether a comparison with `text` says the same of all paths that a directory stands for.
fn same_for_directory(op: Operator, text: &str) -> bool {
    let slashes = text.matches('/').count();
    match op {
        // Those of `/usr/lib/` come at or after it, and before what comes after it.
        Operator::Lt | Operator::GtEq => directory(text) == text,
        Operator::Gt | Operator::LtEq | Operator::Eq | Operator::NotEq => slashes < SLASHES,
        _ => false,
    }
}

/// `split_part` of a path that takes a part of its directory.
fn names_directory(function: &ScalarFunction) -> bool {
    let ("split_part", [path, Expr::Literal(by, _), Expr::Literal(part, _)]) =
        (function.name(), function.args.as_slice())
    else {
        return false;
    };
    let parts = 1..=SLASHES as i64;
    named(path, "path")
        && by.try_as_str().flatten() == Some("/")
        && integer(part).is_some_and(|part| parts.contains(&part))
}

/// How a text begins that is like a pattern which says no more than that.
fn begins(like: &Like) -> Option<&str> {
    let Expr::Literal(pattern, _) = &*like.pattern else {
        return None;
    };
    let begin = pattern.try_as_str()??.strip_suffix('%')?;
    let plain = !like.case_insensitive && like.escape_char.is_none();
    (plain && !begin.contains(['%', '_', '\\'])).then_some(begin)
}

/// Whether a condition holds for no positive result.
fn rules_out_positive(filter: &Expr) -> bool {
    let none = |op, value: &ScalarValue| {
        let Some(value) = integer(value) else {
            return false;
        };
        match op {
            Operator::Lt => value <= POSITIVE,
            Operator::LtEq | Operator::Eq => value < POSITIVE,
            _ => false,
        }
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (op, &**left, &**right) {
            (Operator::And, _, _) => rules_out_positive(left) || rules_out_positive(right),
            (Operator::Or, _, _) => rules_out_positive(left) && rules_out_positive(right),
            (op, column, Expr::Literal(value, _)) if named(column, "ret") => none(*op, value),
            (op, Expr::Literal(value, _), column) if named(column, "ret") => {
                op.swap().is_some_and(|op| none(op, value))
            }
            _ => false,
        },
        Expr::InList(list) if !list.negated && named(&list.expr, "ret") => {
            let low = |value: &Expr| match value {
                Expr::Literal(value, _) => none(Operator::Eq, value),
                _ => false,
            };
            list.list.iter().all(low)
        }
        _ => false,
    }
}

/// Whether a condition holds only where a column has one of these values.
fn is_one_of(filter: &Expr, column: &str, names: &[&str]) -> bool {
    let is = |value: &Expr| match value {
        Expr::Literal(value, _) => {
            let text = value.try_as_str().flatten();
            text.is_some_and(|text| names.contains(&text))
        }
        _ => false,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => is_one_of(left, column, names) || is_one_of(right, column, names),
            Operator::Or => is_one_of(left, column, names) && is_one_of(right, column, names),
            Operator::Eq => named(left, column) && is(right) || named(right, column) && is(left),
            _ => false,
        },
        Expr::InList(list) if !list.negated && named(&list.expr, column) => {
            list.list.iter().all(is)
        }
        _ => false,
    }
}

/// Whether a condition does not hold where a column is null: it comes to false or null when null stands for the column.
fn needs(filter: &Expr, column: &str) -> bool {
    let null = |node: Expr| {
        Ok(match named(&node, column) {
            true => Transformed::yes(Expr::Literal(ScalarValue::Utf8View(None), None)),
            false => Transformed::no(node),
        })
    };
    let Ok(with_null) = filter.clone().transform_up(null) else {
        return false;
    };
    if !with_null.transformed {
        return false;
    }
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    match simplifier.simplify(with_null.data) {
        Ok(Expr::Literal(value, _)) => {
            value.is_null() || value == ScalarValue::Boolean(Some(false))
        }
        _ => false,
    }
}

/// Nanoseconds of an interval without months.
fn interval(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(span)) if span.months == 0 => {
            let days = i64::from(span.days).checked_mul(86_400_000_000_000)?;
            days.checked_add(span.nanoseconds)
        }
        ScalarValue::IntervalDayTime(Some(span)) => {
            let days = i64::from(span.days).checked_mul(86_400_000_000_000)?;
            days.checked_add(i64::from(span.milliseconds).checked_mul(1_000_000)?)
        }
        _ => None,
    }
}

/// Nanoseconds of a unit of `date_trunc`, counted from 1970: longer ones begin elsewhere.
fn unit_length(unit: &str) -> Option<i64> {
    let seconds = match unit.to_lowercase().as_str() {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        _ => return None,
    };
    Some(seconds * 1_000_000_000)
}
