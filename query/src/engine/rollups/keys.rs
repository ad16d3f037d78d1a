//! Rewrites expressions over events into expressions over the keys of a rollup.

use ctrace_schema::rollups::{EventCondition, Facet, POSITIVE, Rollup, SLASHES, directory};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use crate::source::{BOOT_ID, RECORDING};

/// The keys of a rollup, for one query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollupKeys {
    rollup: &'static Rollup,
    /// Length of a time slice, a multiple of the slices of all files.
    slice_ns: i64,
    /// True if filters exclude positive results, so that `ret` of the rollup is exact.
    no_positive: bool,
}

impl RollupKeys {
    /// Creates the keys of `rollup`, for events that pass `filters`.
    pub(crate) fn new(rollup: &'static Rollup, slice_ns: i64, filters: &[Expr]) -> RollupKeys {
        RollupKeys {
            rollup,
            slice_ns,
            no_positive: filters.iter().any(excludes_positive),
        }
    }

    /// Rewrites an expression over events into one over rows of the rollup, which has the same value for a row as the
    /// original for each event of the row. `None`: the expression needs other columns than keys.
    pub(crate) fn expr(&self, expr: &Expr) -> Option<Expr> {
        if let Expr::Column(column) = expr {
            return self.is_key(column).then(|| expr.clone());
        }
        if self.is_constant_in_a_row(expr) {
            return Some(expr.clone());
        }
        if !depends_on_children_only(expr) {
            return None;
        }
        let child = |child: Expr| match self.expr(&child) {
            Some(child) => Ok(Transformed::yes(child)),
            None => Err(DataFusionError::Plan(String::new())),
        };
        expr.clone().map_children(child).ok().map(|t| t.data)
    }

    /// Returns whether a column has one value for all events of a row, and the row contains that value.
    fn is_key(&self, column: &Column) -> bool {
        match column.name.as_str() {
            RECORDING | BOOT_ID => true,
            "time" => false,
            "path" if self.has(Facet::Directory) => false,
            "ret" => self.no_positive && self.has(Facet::Result),
            name => self.rollup.keys().any(|key| key == name),
        }
    }

    fn has(&self, facet: Facet) -> bool {
        self.rollup.facets.contains(&facet)
    }

    /// Returns whether an expression has one value for all positive results, all times of a slice, or all paths of a
    /// directory.
    fn is_constant_in_a_row(&self, expr: &Expr) -> bool {
        match expr {
            Expr::IsNull(operand) | Expr::IsNotNull(operand) => self.is_coarse(operand),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
                (Expr::Column(_), Expr::Literal(value, _)) => {
                    self.comparison_is_constant(left, *op, value)
                }
                (Expr::Literal(value, _), Expr::Column(_)) => {
                    let swapped = op.swap();
                    swapped.is_some_and(|op| self.comparison_is_constant(right, op, value))
                }
                _ => false,
            },
            Expr::InList(InList { expr, list, .. }) => {
                let known = |value: &Expr| match value {
                    Expr::Literal(value, _) => {
                        self.comparison_is_constant(expr, Operator::Eq, value)
                    }
                    _ => false,
                };
                list.iter().all(known)
            }
            Expr::ScalarFunction(function) => {
                self.has(Facet::Slice) && self.bins_whole_slices(function)
                    || self.has(Facet::Directory) && splits_directory(function)
            }
            Expr::Like(like) if self.has(Facet::Directory) && is_column(&like.expr, "path") => {
                prefix(like).is_some_and(|prefix| directory(prefix) == prefix)
            }
            _ => false,
        }
    }

    /// Returns whether the expression is a column of which rows of the rollup contain a range instead of a value.
    fn is_coarse(&self, expr: &Expr) -> bool {
        is_column(expr, "ret") && self.has(Facet::Result)
            || is_column(expr, "time") && self.has(Facet::Slice)
            || is_column(expr, "path") && self.has(Facet::Directory)
    }

    fn comparison_is_constant(&self, column: &Expr, op: Operator, value: &ScalarValue) -> bool {
        if is_column(column, "ret") && self.has(Facet::Result) {
            return integer(value).is_some_and(|value| same_for_positive(op, value));
        }
        if is_column(column, "time") && self.has(Facet::Slice) {
            // Only comparisons with the start of a slice have one value for the whole slice.
            let splits_slices = matches!(op, Operator::GtEq | Operator::Lt);
            let at = |value: &ScalarValue| match value {
                ScalarValue::TimestampNanosecond(Some(at), _) => Some(*at),
                _ => None,
            };
            return splits_slices && at(value).is_some_and(|at| at.rem_euclid(self.slice_ns) == 0);
        }
        if is_column(column, "path") && self.has(Facet::Directory) {
            let text = value.try_as_str().flatten();
            return text.is_some_and(|text| same_for_directory(op, text));
        }
        false
    }

    /// Returns whether a call of `date_bin` or `date_trunc` has bins that consist of whole slices.
    fn bins_whole_slices(&self, function: &ScalarFunction) -> bool {
        let length_ns = match (function.name(), function.args.as_slice()) {
            ("date_bin", [Expr::Literal(length, _), time]) if is_column(time, "time") => {
                interval_ns(length)
            }
            ("date_trunc", [Expr::Literal(unit, _), time]) if is_column(time, "time") => {
                unit.try_as_str().flatten().and_then(unit_ns)
            }
            _ => None,
        };
        length_ns.is_some_and(|length| length > 0 && length % self.slice_ns == 0)
    }

    /// Returns whether the rollup contains all events that pass `filters`.
    pub(crate) fn covers(&self, filters: &[Expr]) -> bool {
        match self.rollup.condition {
            EventCondition::All => true,
            EventCondition::OneOf(column, names) => {
                filters.iter().any(|f| is_one_of(f, column, names))
            }
            EventCondition::Present(column) => filters.iter().any(|f| rejects_null(f, column)),
        }
    }
}

fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// Returns whether the value of an expression depends on its children only.
fn depends_on_children_only(expr: &Expr) -> bool {
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

/// Returns whether a comparison with `value` has one result for [`POSITIVE`] and all greater numbers.
fn same_for_positive(op: Operator, value: i64) -> bool {
    match op {
        Operator::Lt | Operator::GtEq => value <= POSITIVE,
        Operator::Gt | Operator::LtEq | Operator::Eq | Operator::NotEq => value < POSITIVE,
        _ => false,
    }
}

/// Returns whether a comparison with `text` has one result for all paths of a directory.
fn same_for_directory(op: Operator, text: &str) -> bool {
    let slashes = text.matches('/').count();
    match op {
        // The paths of `/usr/lib/` sort at or after that text, and before the next directory.
        Operator::Lt | Operator::GtEq => directory(text) == text,
        Operator::Gt | Operator::LtEq | Operator::Eq | Operator::NotEq => slashes < SLASHES,
        _ => false,
    }
}

/// Returns whether a call of `split_part` returns a component of the directory of a path.
fn splits_directory(function: &ScalarFunction) -> bool {
    let (
        "split_part",
        [
            path,
            Expr::Literal(delimiter, _),
            Expr::Literal(position, _),
        ],
    ) = (function.name(), function.args.as_slice())
    else {
        return false;
    };
    let components = 1..=SLASHES as i64;
    is_column(path, "path")
        && delimiter.try_as_str().flatten() == Some("/")
        && integer(position).is_some_and(|position| components.contains(&position))
}

/// Returns the prefix that a `LIKE` pattern requires, if it requires nothing else.
fn prefix(like: &Like) -> Option<&str> {
    let Expr::Literal(pattern, _) = &*like.pattern else {
        return None;
    };
    let prefix = pattern.try_as_str()??.strip_suffix('%')?;
    let is_plain = !like.case_insensitive && like.escape_char.is_none();
    (is_plain && !prefix.contains(['%', '_', '\\'])).then_some(prefix)
}

/// Returns whether a condition is true of no positive result.
fn excludes_positive(filter: &Expr) -> bool {
    let excludes = |op, value: &ScalarValue| {
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
            (Operator::And, _, _) => excludes_positive(left) || excludes_positive(right),
            (Operator::Or, _, _) => excludes_positive(left) && excludes_positive(right),
            (op, column, Expr::Literal(value, _)) if is_column(column, "ret") => {
                excludes(*op, value)
            }
            (op, Expr::Literal(value, _), column) if is_column(column, "ret") => {
                op.swap().is_some_and(|op| excludes(op, value))
            }
            _ => false,
        },
        Expr::InList(list) if !list.negated && is_column(&list.expr, "ret") => {
            let excluded = |value: &Expr| match value {
                Expr::Literal(value, _) => excludes(Operator::Eq, value),
                _ => false,
            };
            list.list.iter().all(excluded)
        }
        _ => false,
    }
}

/// Returns whether a condition is true only if a column has one of these values.
fn is_one_of(filter: &Expr, column: &str, names: &[&str]) -> bool {
    let is_name = |value: &Expr| match value {
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
            Operator::Eq => {
                is_column(left, column) && is_name(right)
                    || is_column(right, column) && is_name(left)
            }
            _ => false,
        },
        Expr::InList(list) if !list.negated && is_column(&list.expr, column) => {
            list.list.iter().all(is_name)
        }
        _ => false,
    }
}

/// Returns whether a condition is never true if a column is null: with null for the column, it simplifies to false or
/// null.
fn rejects_null(filter: &Expr, column: &str) -> bool {
    let null = |node: Expr| {
        Ok(match is_column(&node, column) {
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

/// Returns the length of an interval without months.
fn interval_ns(value: &ScalarValue) -> Option<i64> {
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

/// Returns the length of a unit of `date_trunc`, if its bins count from 1970. The bins of longer units do not.
fn unit_ns(unit: &str) -> Option<i64> {
    let seconds = match unit.to_lowercase().as_str() {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        _ => return None,
    };
    Some(seconds * 1_000_000_000)
}
