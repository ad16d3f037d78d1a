//! Aggregates of events as aggregates of the rows of a rollup.

use std::sync::Arc;

use arrow::datatypes::DataType;
use ctrace_schema::rollups::{N, Rollup, Stat};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, Cast};
use datafusion::logical_expr::{AggregateUDF, Case, Expr, cast, lit, when};
use datafusion::prelude::{coalesce, col};

use crate::engine::rollups::keys::Keys;
use crate::engine::functions;

/// An aggregate over rows of a rollup.
pub struct Summed {
    /// Aggregates.
    pub parts: Vec<Expr>,
    /// What comes of them, which stand for the columns with these names.
    pub whole: fn(&[String]) -> Expr,
}

/// What each aggregate comes to if several rows of one group have the same values.
const SAME_FOR_REPEATED: [&str; 4] = ["min", "max", "bool_and", "bool_or"];

/// `aggregate` over the rows of `rollup`; None: they do not tell it.
pub fn summed(aggregate: &AggregateFunction, rollup: &Rollup, keys: &Keys) -> Option<Summed> {
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
    let measures = Measures { rollup, keys };
    let make = |func: Arc<AggregateUDF>, arg, distinct| {
        let filter = filter.clone().map(Box::new);
        Expr::AggregateFunction(AggregateFunction::new_udf(
            func,
            vec![arg],
            distinct,
            filter,
            vec![],
            None,
        ))
    };
    let one = |part| Summed {
        parts: vec![part],
        whole: |names| col(&names[0]),
    };
    let name = aggregate.func.name();
    let repeated = SAME_FOR_REPEATED.contains(&name) || name == "count" && *distinct;
    if let Some(arg) = keys.expr(arg).filter(|_| repeated) {
        return Some(one(make(aggregate.func.clone(), arg, *distinct)));
    }
    match name {
        "min" => Some(one(make(min_udaf(), measures.of(arg, Stat::Min)?, false))),
        "max" => Some(one(make(max_udaf(), measures.of(arg, Stat::Max)?, false))),
        _ if *distinct => None,
        "count" => Some(Summed {
            parts: vec![make(sum_udaf(), measures.of(arg, Stat::Count)?, false)],
            whole: |names| coalesce(vec![col(&names[0]), lit(0i64)]),
        }),
        "sum" => Some(one(make(sum_udaf(), measures.of(arg, Stat::Sum)?, false))),
        "avg" => {
            let arg = as_double(arg)?;
            let sum = make(sum_udaf(), measures.of(arg, Stat::Sum)?, false);
            let count = make(sum_udaf(), measures.of(arg, Stat::Count)?, false);
            Some(Summed {
                parts: vec![sum, count],
                // Of no values it is null, as their sum is.
                whole: |names| {
                    let double = |name: &String| cast(col(name), DataType::Float64);
                    double(&names[0]) / double(&names[1])
                },
            })
        }
        name => {
            let merge = functions::of_histograms(name)?;
            let histograms = measures.of(as_double(arg)?, Stat::Histogram)?;
            Some(one(make(merge, histograms, false)))
        }
    }
}

/// What is cast to a double.
fn as_double(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type() == &DataType::Float64 => Some(expr),
        _ => None,
    }
}

struct Measures<'a> {
    rollup: &'a Rollup,
    keys: &'a Keys,
}

impl Measures<'_> {
    /// What a row tells of the values that `expr` has in its events: how many there are, their sum, minimum or maximum.
    fn of(&self, expr: &Expr, stat: Stat) -> Option<Expr> {
        if let Some(key) = self.keys.expr(expr) {
            return self.of_key(key, stat);
        }
        match expr {
            Expr::Column(column) if column.name == "time" && stat == Stat::Count => Some(col(N)),
            Expr::Column(column) => {
                let mut measures = self.rollup.measures.iter();
                let measure = measures.find(|measure| measure.column == column.name)?;
                let has = measure.stats.contains(&stat);
                has.then(|| col(stat.name(&column.name)))
            }
            Expr::Case(case) => self.of_case(case, stat),
            _ => None,
        }
    }

    /// Of an expression that has the same value in all of them.
    fn of_key(&self, key: Expr, stat: Stat) -> Option<Expr> {
        match stat {
            Stat::Count => match &key {
                Expr::Literal(value, _) if !value.is_null() => Some(col(N)),
                _ => when(key.is_not_null(), col(N)).otherwise(lit(0i64)).ok(),
            },
            Stat::Sum => Some(cast(key, DataType::Int64) * col(N)),
            Stat::Min | Stat::Max => Some(key),
            Stat::Histogram => None,
        }
    }

    /// Where the conditions are of keys, so that one branch holds for all events of a row.
    fn of_case(&self, case: &Case, stat: Stat) -> Option<Expr> {
        let expr = match &case.expr {
            Some(expr) => Some(Box::new(self.keys.expr(expr)?)),
            None => None,
        };
        let branch = |(when, then): &(Box<Expr>, Box<Expr>)| {
            let when = self.keys.expr(when)?;
            Some((Box::new(when), Box::new(self.of(then, stat)?)))
        };
        let branches = case.when_then_expr.iter().map(branch);
        let otherwise = match (&case.else_expr, stat) {
            (Some(otherwise), _) => Some(self.of(otherwise, stat)?),
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

/// What stands for `column` of a rollup in an event that stands for itself.
pub fn of_event(rollup: &Rollup, name: &str) -> Expr {
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
