//! Comparisons of rows, such as `(error, pid) = ('ENOENT', 1)`. DataFusion compares structures, for which null is a value
//! like others. A comparison is replaced by comparisons of the columns, as the SQL standard defines it: `(a, b) < (x, y)`
//! is `a < x or (a = x and b < y)`.

use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, Select, SelectItem, SetExpr, Statement, TableAlias,
    TableAliasColumnDef, TableFactor, UnaryOperator, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// The most columns of a row. The comparison that replaces `<` is as deep as the row is long.
const MAX_COLUMNS: usize = 100;

/// Replaces the comparisons of rows in a statement.
///
/// # Errors
/// The rows have different numbers of columns, or the comparison with a subquery stands where it cannot be replaced.
pub(super) fn correct(sql: &mut Statement) -> Result<()> {
    match VisitMut::visit(sql, &mut RowVisitor) {
        ControlFlow::Break(message) => plan_err!("{message}"),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// A visitor of all expressions of a statement.
struct RowVisitor;

impl VisitorMut for RowVisitor {
    type Break = String;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<String> {
        for condition in select.selection.iter_mut().chain(&mut select.having) {
            replace_tests(condition)?;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        match compared(expr) {
            Ok(Some(replacement)) => *expr = replacement,
            Ok(None) => {}
            Err(message) => return ControlFlow::Break(message),
        }
        ControlFlow::Continue(())
    }
}

/// Returns the columns of a row; `None`: the expression is no row.
fn row(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(columns) => Some(columns),
        Expr::Nested(inner) => row(inner),
        _ => None,
    }
}

fn pairs<'a>(left: &'a Expr, right: &'a Expr) -> Result<Option<Vec<(&'a Expr, &'a Expr)>>, String> {
    match (row(left), row(right)) {
        (Some(left), _) | (_, Some(left)) if left.len() > MAX_COLUMNS => Err(format!(
            "a row of {} columns cannot be compared: at most {MAX_COLUMNS} are possible",
            left.len()
        )),
        (Some(left), Some(right)) if left.len() == right.len() => {
            Ok(Some(left.iter().zip(right).collect()))
        }
        (Some(left), Some(right)) => Err(format!(
            "these rows cannot be compared: one has {} columns, the other {}",
            left.len(),
            right.len()
        )),
        (None, None) => Ok(None),
        _ => Err("a row, as in `(a, b)`, can only be compared with a row: compare the columns one by one".into()),
    }
}

/// Returns the comparison of columns that replaces a comparison of rows; `None`: the expression is no such comparison.
fn compared(expr: &Expr) -> Result<Option<Expr>, String> {
    Ok(match expr {
        Expr::BinaryOp { left, op, right } if is_comparison(op) => {
            let pairs = pairs(left, right)?;
            pairs.map(|pairs| of_pairs(&pairs, op))
        }
        Expr::IsDistinctFrom(left, right) => pairs(left, right)?.map(|pairs| {
            let distinct =
                |(left, right): &(&Expr, &Expr)| Expr::IsDistinctFrom(boxed(left), boxed(right));
            all(pairs.iter().map(distinct), BinaryOperator::Or)
        }),
        Expr::IsNotDistinctFrom(left, right) => pairs(left, right)?.map(|pairs| {
            let same =
                |(left, right): &(&Expr, &Expr)| Expr::IsNotDistinctFrom(boxed(left), boxed(right));
            all(pairs.iter().map(same), BinaryOperator::And)
        }),
        Expr::InList {
            expr,
            list,
            negated,
        } if row(expr).is_some() => {
            let mut equal = Vec::new();
            for member in list {
                if let Some(pairs) = pairs(expr, member)? {
                    equal.push(of_pairs(&pairs, &BinaryOperator::Eq));
                }
            }
            let any = all(equal.into_iter(), BinaryOperator::Or);
            Some(match negated {
                true => not(any),
                false => any,
            })
        }
        Expr::Between {
            expr,
            negated,
            low,
            high,
        } if row(expr).is_some() => match (pairs(expr, low)?, pairs(expr, high)?) {
            (Some(low), Some(high)) => {
                let within = all(
                    [
                        of_pairs(&low, &BinaryOperator::GtEq),
                        of_pairs(&high, &BinaryOperator::LtEq),
                    ]
                    .into_iter(),
                    BinaryOperator::And,
                );
                Some(if *negated { not(within) } else { within })
            }
            _ => None,
        },
        Expr::InSubquery { expr, .. } if row(expr).is_some() => {
            return Err("`(a, b) in (select ...)` is possible in `where` alone: write `exists (select 1 from t where t.x = a and t.y = b)`".into());
        }
        Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } if row(left).is_some() => {
            return Err("a row, as in `(a, b)`, cannot be compared with `any` or `all` rows: write `exists (select 1 from t where ...)`".into());
        }
        _ => None,
    })
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Returns the comparison of the columns of two rows.
fn of_pairs(pairs: &[(&Expr, &Expr)], op: &BinaryOperator) -> Expr {
    use BinaryOperator::{And, Eq, Gt, Lt, LtEq, NotEq, Or};
    let each = |op: &BinaryOperator| {
        let op = op.clone();
        pairs
            .iter()
            .map(move |(left, right)| binary(left, op.clone(), right))
    };
    let strict = match op {
        Eq => return all(each(&Eq), And),
        NotEq => return all(each(&NotEq), Or),
        Lt | LtEq => Lt,
        _ => Gt,
    };
    let Some(((left, right), rest)) = pairs.split_first() else {
        return binary_of(true_value(), Eq, true_value());
    };
    if rest.is_empty() {
        return binary(left, op.clone(), right);
    }
    let of_rest = of_pairs(rest, op);
    let same = binary_of(binary(left, Eq, right), And, of_rest);
    nested(binary_of(binary(left, strict, right), Or, nested(same)))
}

/// Returns the conjunction or the disjunction of conditions, as a balanced tree: plans are visited recursively.
fn all(conditions: impl Iterator<Item = Expr>, op: BinaryOperator) -> Expr {
    let mut conditions: Vec<Expr> = conditions.collect();
    while conditions.len() > 1 {
        let mut rest = conditions.into_iter();
        let mut joined = Vec::new();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                Some(right) => binary_of(left, op.clone(), right),
                None => left,
            });
        }
        conditions = joined;
    }
    nested(conditions.pop().unwrap_or_else(true_value))
}

fn true_value() -> Expr {
    Expr::value(datafusion::sql::sqlparser::ast::Value::Boolean(true))
}

fn boxed(expr: &Expr) -> Box<Expr> {
    Box::new(expr.clone())
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn not(expr: Expr) -> Expr {
    nested(Expr::UnaryOp {
        op: UnaryOperator::Not,
        expr: Box::new(expr),
    })
}

fn binary(left: &Expr, op: BinaryOperator, right: &Expr) -> Expr {
    binary_of(left.clone(), op, right.clone())
}

fn binary_of(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

/// Replaces `(a, b) [not] in (select ...)` in a condition that passes the same rows if the test is false instead of null.
fn replace_tests(condition: &mut Expr) -> ControlFlow<String> {
    match condition {
        Expr::Nested(inner) => replace_tests(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And | BinaryOperator::Or,
            right,
        } => {
            replace_tests(left)?;
            replace_tests(right)
        }
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => {
            let mut test = without_parentheses(expr).clone();
            if let Expr::InSubquery { negated, .. } = &mut test {
                *negated = !*negated;
                replace_tests(&mut test)?;
                *condition = test;
            }
            ControlFlow::Continue(())
        }
        Expr::InSubquery {
            expr,
            subquery,
            negated,
        } => {
            let Some(columns) = row(expr) else {
                return ControlFlow::Continue(());
            };
            match as_exists(columns, subquery, *negated) {
                Some(exists) => *condition = exists,
                None => {
                    return ControlFlow::Break(format!(
                        "the subquery after `in` must have {} columns, as the row before `in`",
                        columns.len()
                    ));
                }
            }
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Continue(()),
    }
}

fn without_parentheses(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => without_parentheses(inner),
        other => other,
    }
}

/// Returns `exists (select 1 from (subquery) as __rows (__row_0, ...) where __row_0 = a and ...)`. For `not in`, a row of
/// the subquery counts as well if the comparison is null.
fn as_exists(columns: &[Expr], subquery: &Query, negated: bool) -> Option<Expr> {
    if number_of_columns(subquery).is_some_and(|number| number != columns.len()) {
        return None;
    }
    let parser = Parser::new(&GenericDialect {}).try_with_sql("select 1 from t where true");
    let mut query = parser.ok()?.parse_query().ok()?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let name = |index: usize| Ident::new(format!("__row_{index}"));
    let table = Ident::new("__rows");
    let names = (0..columns.len()).map(|index| TableAliasColumnDef {
        name: name(index),
        data_type: None,
    });
    select.from.first_mut()?.relation = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery.clone()),
        alias: Some(TableAlias {
            explicit: true,
            name: table.clone(),
            columns: names.collect(),
            at: None,
        }),
        sample: None,
    };
    let equal = columns.iter().enumerate().map(|(index, column)| {
        let member = Expr::CompoundIdentifier(vec![table.clone(), name(index)]);
        binary_of(member, BinaryOperator::Eq, column.clone())
    });
    select.selection = Some(match negated {
        true => {
            let possible = equal.map(|equal| nested(Expr::IsNotFalse(Box::new(nested(equal)))));
            all(possible, BinaryOperator::And)
        }
        false => all(equal, BinaryOperator::And),
    });
    Some(Expr::Exists {
        subquery: query,
        negated,
    })
}

/// Returns the number of columns of a query; `None`: it is not known from the text.
fn number_of_columns(query: &Query) -> Option<usize> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let is_one = |item: &SelectItem| {
        matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    };
    let items = &select.projection;
    items.iter().all(is_one).then_some(items.len())
}
