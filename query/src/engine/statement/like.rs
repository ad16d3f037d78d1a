//! Escapes in patterns of `like`. Without `escape`, SQLite and DuckDB know none, so that a text with backslashes, as
//! the texts of recordings have for control characters, can be copied into a pattern. DataFusion always takes a
//! backslash as an escape, and accepts no other.

use datafusion::sql::sqlparser::ast::{Expr, Value, ValueWithSpan};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Rewrites the pattern of a `like` or `ilike` to one in which a backslash is the escape.
pub(super) fn correct(expr: &mut Expr) {
    let (pattern, escape) = match expr {
        Expr::Like {
            pattern,
            escape_char,
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char,
            ..
        } => (pattern, escape_char),
        _ => return,
    };
    let Some(character) = escape_character(escape) else {
        return;
    };
    if character == Some('\\') {
        return;
    }
    match pattern.as_mut() {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => *text = with_backslashes(text, character),
        other if character.is_none() => match doubled(other) {
            Some(call) => *other = call,
            None => return,
        },
        // DataFusion names the escape that it does not know.
        _ => return,
    }
    *escape = None;
}

/// Returns the escape character: `Some(None)` if there is no `escape`, `None` if the clause is not a text of one
/// character.
fn escape_character(escape: &Option<ValueWithSpan>) -> Option<Option<char>> {
    let Some(escape) = escape else {
        return Some(None);
    };
    let Value::SingleQuotedString(text) = &escape.value else {
        return None;
    };
    let mut characters = text.chars();
    let first = characters.next();
    characters.next().is_none().then_some(first)
}

/// Rewrites a pattern with another escape character, or none, to one with backslashes as escapes.
fn with_backslashes(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        let literal = match Some(c) == escape {
            true => characters.next().unwrap_or(c),
            false if c == '\\' => c,
            false => {
                out.push(c);
                continue;
            }
        };
        if matches!(literal, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(literal);
    }
    out
}

/// Rewrites a pattern that is not a constant so that each backslash is doubled.
fn doubled(pattern: &Expr) -> Option<Expr> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(r"replace(x, '\', '\\')");
    let mut call = parser.ok()?.parse_expr().ok()?;
    let Expr::Function(function) = &mut call else {
        return None;
    };
    let datafusion::sql::sqlparser::ast::FunctionArguments::List(list) = &mut function.args else {
        return None;
    };
    *list.args.first_mut()? = datafusion::sql::sqlparser::ast::FunctionArg::Unnamed(
        datafusion::sql::sqlparser::ast::FunctionArgExpr::Expr(pattern.clone()),
    );
    Some(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_get_backslashes_as_escapes() {
        for (pattern, escape, want) in [
            (r"/tmp/a\x0a%", None, r"/tmp/a\\x0a%"),
            (r"100!%_!!", Some('!'), r"100\%_!"),
            (r"a!\b\", Some('!'), r"a\\b\\"),
            ("!", Some('!'), "!"),
            ("_é%", None, "_é%"),
        ] {
            assert_eq!(with_backslashes(pattern, escape), want, "{pattern}");
        }
    }
}
