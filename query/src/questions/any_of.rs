//! A condition that is met if any of several conditions is, for many conditions with the same beginnings.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value, ValueWithSpan};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::questions::conditions::literal;

/// Returns a condition that is met if any of `conditions` is, and by some other rows, so that the conditions are tested again.
///
/// What several conditions require first is tested once, and the rest of these conditions only for rows that meet it: of the
/// rows at which the rules look, few meet `ret >= 0 and (flags & 3) > 0`, with which the patterns of many rules begin.
pub(super) fn any_of<'a>(conditions: impl IntoIterator<Item = &'a str>) -> String {
    let required: Vec<_> = conditions.into_iter().map(conjuncts).collect();
    joined(&required.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Returns the conditions that `condition` joins by `and`, each in parentheses. SQL that cannot be parsed is one condition.
fn conjuncts(condition: &str) -> Vec<String> {
    let mut all = vec![];
    match parsed(condition) {
        Some(expression) => split(expression, &mut all),
        None => all.push(format!("({condition}\n)")),
    }
    all
}

fn parsed(condition: &str) -> Option<Expr> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(condition);
    let mut parser = parser.ok()?;
    let parsed = parser.parse_expr().ok()?;
    parser.expect_token(&Token::EOF).ok()?;
    Some(parsed)
}

fn split(expression: Expr, all: &mut Vec<String>) {
    match expression {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            split(*left, all);
            split(*right, all);
        }
        Expr::Nested(inner) => split(*inner, all),
        mut other => {
            relax(&mut other);
            all.push(format!("({other})"));
        }
    }
}

/// Replaces patterns that need a regular expression, which is compiled for each batch of rows, by the texts that they begin with,
/// contain and end with. Patterns under `not` are kept: with others, rows would be missing.
fn relax(expression: &mut Expr) {
    match expression {
        Expr::Nested(inner) => relax(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And | BinaryOperator::Or,
            right,
        } => {
            relax(left);
            relax(right);
        }
        Expr::Like {
            negated: false,
            any: false,
            expr,
            pattern,
            escape_char,
        } => {
            let escape = escape_char.as_ref().and_then(text);
            let escape = escape.and_then(|escape| escape.chars().next());
            let texts = match pattern.as_ref() {
                Expr::Value(pattern) => text(pattern).and_then(|text| texts_of(text, escape)),
                _ => None,
            };
            let calls = texts.into_iter().flatten();
            let calls =
                calls.map(|(function, text)| format!("{function}({expr}, {})", literal(&text)));
            let calls = calls.collect::<Vec<_>>().join(" and ");
            if let Some(relaxed) = parsed(&format!("({calls})")) {
                *expression = relaxed;
            }
        }
        _ => {}
    }
}

/// Returns the text of a literal.
fn text(value: &ValueWithSpan) -> Option<&str> {
    match &value.value {
        Value::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// Returns the texts that a value contains if it matches a pattern, each with the function that tests it; `None`: the pattern has
/// wildcards at its ends only, which need no regular expression, or a backslash, which may escape or not.
fn texts_of(pattern: &str, escape: Option<char>) -> Option<Vec<(&'static str, String)>> {
    if escape.is_none() && pattern.contains('\\') {
        return None;
    }
    let inner = pattern.strip_prefix('%').unwrap_or(pattern);
    let inner = inner.strip_suffix('%').unwrap_or(inner);
    if !inner.contains(['%', '_']) && !escape.is_some_and(|escape| inner.contains(escape)) {
        return None;
    }
    let mut texts = vec![String::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => texts.last_mut()?.extend(chars.next()),
            '%' | '_' => texts.push(String::new()),
            c => texts.last_mut()?.push(c),
        }
    }
    let last = texts.len() - 1;
    let function = |n| match n {
        0 => "starts_with",
        n if n == last => "ends_with",
        _ => "contains",
    };
    let texts = texts.into_iter().enumerate();
    let texts = texts.map(|(n, text)| (function(n), text));
    Some(texts.filter(|(_, text)| !text.is_empty()).collect())
}

/// Joins conditions, each of which is all of a list.
fn joined(required: &[&[String]]) -> String {
    let mut groups: Vec<(&str, Vec<&[String]>)> = vec![];
    for conjuncts in required {
        let Some((first, rest)) = conjuncts.split_first() else {
            return "true".into();
        };
        match groups.iter_mut().find(|(other, _)| other == first) {
            Some((_, rests)) => rests.push(rest),
            None => groups.push((first, vec![rest])),
        }
    }
    let texts = groups.into_iter().map(|(first, rests)| {
        if rests.iter().any(|rest| rest.is_empty()) {
            return first.to_string();
        }
        match joined(&rests) {
            // `and` binds more tightly than `or`.
            rest if rests.len() > 1 => format!("{first} and ({rest})"),
            rest => format!("{first} and {rest}"),
        }
    });
    texts.collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_beginnings_are_tested_once() {
        let condition = any_of([
            "ret >= 0 and (flags & 3) > 0 and path like '/etc/%'",
            "(ret >= 0) and (flags & 3) > 0\n and (path = '/x' or path2 = '/y') and not coalesce((comm = 'a'), false)",
            "ret = 0 -- a comment",
            "ret >= 0 and path like '%\\_x' escape '\\'",
        ]);
        assert_eq!(
            condition,
            "(ret >= 0) and (((flags & 3) > 0) and ((path LIKE '/etc/%') or (path = '/x' OR path2 = '/y') and \
             (NOT coalesce((comm = 'a'), false))) or ((ends_with(path, '_x')))) or (ret = 0)"
        );
    }

    #[test]
    fn patterns_that_need_a_regular_expression_are_relaxed() {
        for (condition, expected) in [
            ("path like '/etc/%'", "(path LIKE '/etc/%')"),
            ("path like '%/.ssh/%'", "(path LIKE '%/.ssh/%')"),
            (
                "path like '%/a/%b'",
                "((contains(path, '/a/') AND ends_with(path, 'b')))",
            ),
            (
                "path like 'a''%_b%'",
                "((starts_with(path, 'a''') AND contains(path, 'b')))",
            ),
            ("path like '%!%_%' escape '!'", "((contains(path, '%')))"),
            ("path like '%\\_'", "(path LIKE '%\\_')"),
            ("path like '_'", "(path LIKE '_')"),
            ("path like comm", "(path LIKE comm)"),
            ("path not like '%a%b'", "(path NOT LIKE '%a%b')"),
            ("not (path like '%a%b')", "(NOT (path LIKE '%a%b'))"),
            (
                "(path like 'a%b' or ret = 1)",
                "((starts_with(path, 'a') AND ends_with(path, 'b')) OR ret = 1)",
            ),
        ] {
            assert_eq!(any_of([condition]), expected, "{condition}");
        }
    }

    #[test]
    fn a_condition_that_others_refine_is_enough() {
        assert_eq!(any_of(["a and b", "a", "c or d"]), "(a) or (c OR d)");
        assert_eq!(any_of([]), "");
    }

    #[test]
    fn what_cannot_be_parsed_is_kept() {
        assert_eq!(any_of(["a and", "b c"]), "(a and\n) or (b c\n)");
    }
}
