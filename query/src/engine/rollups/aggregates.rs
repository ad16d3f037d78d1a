//! Rewrites aggregates of events into aggregates of the rows of a rollup.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use ctrace_schema::rollups::{N, Rollup, Stat};
use datafusion::common::DFSchema;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, Cast};
use datafusion::logical_expr::{AggregateUDF, Case, Expr, ExprSchemable, cast, lit, when};
use datafusion::prelude::{coalesce, col};

use crate::engine::functions;
use crate::engine::rollups::keys::RollupKeys;

/// An aggregate over rows of a rollup.
pub(crate) struct RollupExpr {
    pub(crate) aggregates: Vec<Expr>,
    /// Makes the result from the names of the columns with the aggregates.
    pub(crate) result: fn(&[String]) -> Expr,
}

/// The type of sums.
const SUM_TYPE: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// Aggregates whose result does not change if a value is repeated.
const IDEMPOTENT: [&str; 4] = ["min", "max", "bool_and", "bool_or"];

/// Rewrites `aggregate`; `None`: `rollup` does not contain its result.
pub(crate) fn rewrite(
    aggregate: &AggregateFunction,
    rollup: &Rollup,
    keys: &RollupKeys,
) -> Option<RollupExpr> {
    let AggregateFunctionParams {
        args,
        distinct,
        filter,
        order_by,
        null_treatment,
    } = &aggregate.params;
    let [arg] = args.as_slice() else {
        return None;
    };
    if !order_by.is_empty() || null_treatment.is_some() {
        return None;
    }
    let filter = match filter {
        Some(filter) => Some(keys.expr(filter)?),
        None => None,
    };
    let name = aggregate.func.name();
    let is_idempotent = IDEMPOTENT.contains(&name) || name == "count" && *distinct;
    if let Some(arg) = keys.expr(arg).filter(|_| is_idempotent) {
        return Some(single(call(
            aggregate.func.clone(),
            arg,
            *distinct,
            filter.as_ref(),
        )));
    }
    let measures = Measures { rollup, keys };
    let column = |func, arg, stat| {
        let measure = measures.column(arg, stat)?;
        Some(call(func, measure, false, filter.as_ref()))
    };
    let exact_sum = || Arc::new(functions::exact_sum());
    match name {
        "min" => Some(single(column(min_udaf(), arg, Stat::Min)?)),
        "max" => Some(single(column(max_udaf(), arg, Stat::Max)?)),
        _ if *distinct => None,
        "count" => Some(RollupExpr {
            aggregates: vec![column(exact_sum(), arg, Stat::Count)?],
            result: |names| coalesce(vec![cast(col(&names[0]), DataType::Int64), lit(0i64)]),
        }),
        "sum" => Some(single(column(exact_sum(), arg, Stat::Sum)?)),
        "avg" => {
            let sum = column(exact_sum(), arg, Stat::Sum)?;
            let count = column(exact_sum(), arg, Stat::Count)?;
            Some(average(sum, count))
        }
        name => {
            let merge = functions::percentile_of_histograms(name)?;
            Some(single(column(merge, as_double(arg)?, Stat::Histogram)?))
        }
    }
}

/// Creates a result that is one aggregate.
fn single(aggregate: Expr) -> RollupExpr {
    RollupExpr {
        aggregates: vec![aggregate],
        result: |names| col(&names[0]),
    }
}

/// Creates the quotient of two aggregates. Without values the sum is null, and so is the average.
fn average(sum: Expr, count: Expr) -> RollupExpr {
    RollupExpr {
        aggregates: vec![sum, count],
        result: |names| {
            let double = |name: &String| cast(col(name), DataType::Float64);
            double(&names[0]) / double(&names[1])
        },
    }
}

fn call(func: Arc<AggregateUDF>, arg: Expr, distinct: bool, filter: Option<&Expr>) -> Expr {
    let filter = filter.cloned().map(Box::new);
    Expr::AggregateFunction(AggregateFunction::new_udf(
        func,
        vec![arg],
        distinct,
        filter,
        vec![],
        None,
    ))
}

/// Returns the operand of a cast to double.
fn as_double(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type() == &DataType::Float64 => Some(expr),
        _ => None,
    }
}

struct Measures<'a> {
    rollup: &'a Rollup,
    keys: &'a RollupKeys,
}

impl Measures<'_> {
    /// Returns the column of the rollup with a statistic of the values of `expr`.
    fn column(&self, expr: &Expr, stat: Stat) -> Option<Expr> {
        if let Some(key) = self.keys.expr(expr) {
            return self.key_statistic(key, stat);
        }
        match expr {
            Expr::Column(column) if column.name == "time" && stat == Stat::Count => Some(col(N)),
            Expr::Column(column) => {
                let mut measures = self.rollup.measures.iter();
                let measure = measures.find(|measure| measure.column == column.name)?;
                let has = measure.stats.contains(&stat);
                has.then(|| match (col(stat.name(&column.name)), stat) {
                    // The same type as the sums of keys, so that both can be branches of a `case`.
                    (sum, Stat::Sum) => cast(sum, SUM_TYPE),
                    (other, _) => other,
                })
            }
            Expr::Case(case) => self.case(case, stat),
            _ => None,
        }
    }

    /// Returns the statistic of an expression that has one value in all events of a row.
    fn key_statistic(&self, key: Expr, stat: Stat) -> Option<Expr> {
        match stat {
            Stat::Count => match &key {
                Expr::Literal(value, _) if !value.is_null() => Some(col(N)),
                _ => when(key.is_not_null(), col(N)).otherwise(lit(0i64)).ok(),
            },
            Stat::Sum => {
                let schema = self.rollup.schema(&DataType::Utf8View);
                let ty = key.get_type(&DFSchema::try_from(schema).ok()?).ok()?;
                // The product of two numbers of 64 bits has at most 38 digits.
                let whole = |expr| cast(expr, DataType::Decimal128(20, 0));
                ty.is_integer().then(|| whole(key) * whole(col(N)))
            }
            Stat::Min | Stat::Max => Some(key),
            Stat::Histogram => None,
        }
    }

    /// Returns the statistic of a `case` whose conditions use keys only, so that all events of a row take the same
    /// branch.
    fn case(&self, case: &Case, stat: Stat) -> Option<Expr> {
        let expr = match &case.expr {
            Some(expr) => Some(Box::new(self.keys.expr(expr)?)),
            None => None,
        };
        let branch = |(when, then): &(Box<Expr>, Box<Expr>)| {
            let when = self.keys.expr(when)?;
            Some((Box::new(when), Box::new(self.column(then, stat)?)))
        };
        let branches = case.when_then_expr.iter().map(branch);
        let otherwise = match (&case.else_expr, stat) {
            (Some(otherwise), _) => Some(self.column(otherwise, stat)?),
            (None, Stat::Count) => Some(lit(0i64)),
            (None, _) => None,
        };
        Some(Expr::Case(Case {
            expr,
            when_then_expr: branches.collect::<Option<_>>()?,
            else_expr: otherwise.map(Box::new),
        }))
    }
}

/// Returns the value of the column `name` of a rollup for a single event.
pub(crate) fn of_single_event(rollup: &Rollup, name: &str) -> Expr {
    if name == N {
        return lit(1i64);
    }
    for measure in rollup.measures {
        for stat in measure.stats {
            if stat.name(measure.column) == name {
                let value = col(measure.column);
                return match stat {
                    Stat::Count => cast(value.is_not_null(), DataType::Int64),
                    Stat::Sum | Stat::Min | Stat::Max => value,
                    Stat::Histogram => functions::histogram(cast(value, DataType::Float64)),
                };
            }
        }
    }
    col(name)
}
