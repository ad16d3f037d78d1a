//! Translates filters into SQL conditions that SQLite evaluates exactly as DataFusion would.

use ctrace_format::sqlite::{EVENT_COLUMNS, SIDES};
use ctrace_schema::columns::{self, COLUMNS, Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use rusqlite::types::Value;

/// A condition on the table `event`, with its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Condition {
    /// SQL with a `?` for each parameter.
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Value>,
}

impl Condition {
    fn new(sql: impl Into<String>, parameters: Vec<Value>) -> Condition {
        Condition {
            sql: sql.into(),
            parameters,
        }
    }

    fn join(self, word: &str, other: Condition) -> Condition {
        let parameters = [self.parameters, other.parameters].concat();
        Condition::new(format!("({} {word} {})", self.sql, other.sql), parameters)
    }

    /// Returns the conjunction of `conditions`.
    pub(crate) fn all(conditions: Vec<Condition>) -> Condition {
        let all = conditions.into_iter().reduce(|a, b| a.join("and", b));
        all.unwrap_or_else(|| Condition::new("true", vec![]))
    }
}

/// Translates a filter. `None`: SQLite might evaluate it differently.
pub(crate) fn condition(filter: &Expr) -> Option<Condition> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => Some(condition(left)?.join("and", condition(right)?)),
            Operator::Or => Some(condition(left)?.join("or", condition(right)?)),
            _ => comparison(left, *op, right),
        },
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => {
            let low = comparison(expr, Operator::GtEq, low)?;
            Some(low.join("and", comparison(expr, Operator::LtEq, high)?))
        }
        Expr::InList(list) => {
            let name = column(&list.expr)?;
            let values = list.list.iter().map(|value| literal(name, value));
            let values: Vec<Value> = values.collect::<Option<_>>()?;
            let not = if list.negated { "not " } else { "" };
            let marks = vec!["?"; values.len()].join(", ");
            on_column(name, &format!("{not}in ({marks})"), values)
        }
        Expr::IsNotNull(expr) => on_column(column(expr)?, "is not null", vec![]),
        Expr::IsNull(expr) => {
            let name = column(expr)?;
            let null = on_column(name, "is null", vec![])?;
            let Some(side) = SIDES
                .iter()
                .find(|s| s.columns.iter().any(|c| c.name == name))
            else {
                return Some(null);
            };
            let none = Condition::new(format!("{} is null", side.reference()), vec![]);
            Some(none.join("or", null))
        }
        Expr::Column(_) => flag(filter, true),
        Expr::Not(expr) => flag(expr, false),
        _ => None,
    }
}

fn comparison(left: &Expr, op: Operator, right: &Expr) -> Option<Condition> {
    let (name, op, value) = match (column(left), column(right)) {
        (Some(name), None) => (name, op, right),
        (None, Some(name)) => (name, op.swap()?, left),
        _ => return None,
    };
    let sign = match op {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    };
    on_column(name, &format!("{sign} ?"), vec![literal(name, value)?])
}

/// Returns a boolean column as a condition.
fn flag(expr: &Expr, value: bool) -> Option<Condition> {
    let name = column(expr)?;
    let is_flag = COLUMNS[columns::index(name)?].ty == Type::Bool;
    is_flag.then_some(())?;
    on_column(name, "= ?", vec![Value::Integer(value.into())])
}

/// Returns a condition `predicate` on a column. A condition on a column of a side table selects the ids of that table.
fn on_column(name: &str, predicate: &str, parameters: Vec<Value>) -> Option<Condition> {
    if name == "seq" {
        return Some(Condition::new(
            format!("(id + seq) {predicate}"),
            parameters,
        ));
    }
    if EVENT_COLUMNS.contains(&name) {
        return Some(Condition::new(format!("{name} {predicate}"), parameters));
    }
    let side = SIDES
        .iter()
        .find(|s| s.columns.iter().any(|c| c.name == name))?;
    let (reference, table) = (side.reference(), side.table);
    let sql = format!("{reference} in (select id from {table} where {name} {predicate})");
    Some(Condition::new(sql, parameters))
}

fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => columns::index(&column.name).map(|i| COLUMNS[i].name),
        _ => None,
    }
}

/// Returns a literal of the type of the column. Literals of other types may compare differently in SQLite.
fn literal(column: &str, expr: &Expr) -> Option<Value> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    let ty = COLUMNS[columns::index(column)?].ty;
    Some(match (ty, value) {
        (Type::Time, ScalarValue::TimestampNanosecond(Some(value), _)) => Value::Integer(*value),
        (Type::Int64, ScalarValue::Int64(Some(value))) => Value::Integer(*value),
        (Type::Int32, ScalarValue::Int32(Some(value))) => Value::Integer((*value).into()),
        (Type::UInt32, ScalarValue::UInt32(Some(value))) => Value::Integer((*value).into()),
        (Type::Bool, ScalarValue::Boolean(Some(value))) => Value::Integer((*value).into()),
        (Type::Text, value) => Value::Text(value.try_as_str()??.to_string()),
        _ => return None,
    })
}
