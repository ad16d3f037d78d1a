//! A condition that is met if any of several conditions is, for many conditions with the same beginnings.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

/// Returns a condition that is met if any of `conditions` is.
///
/// What several conditions require first is tested once, and the rest of these conditions only for rows that meet it: of the
/// rows at which the rules look, few meet `ret >= 0 and (flags & 3) > 0`, with which the patterns of many rules begin.
pub(super) fn any_of<'a>(conditions: impl IntoIterator<Item = &'a str>) -> String {
    let required: Vec<_> = conditions.into_iter().map(conjuncts).collect();
    joined(&required.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Returns the conditions that `condition` joins by `and`, each in parentheses. SQL that cannot be parsed is one condition.
fn conjuncts(condition: &str) -> Vec<String> {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(condition);
    let parsed = parsed.and_then(|mut parser| {
        let parsed = parser.parse_expr();
        parser.expect_token(&Token::EOF)?;
        parsed
    });
    let mut all = vec![];
    match parsed {
        Ok(expression) => split(expression, &mut all),
        Err(_) => all.push(format!("({condition}\n)")),
    }
    all
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
        other => all.push(format!("({other})")),
    }
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
             (NOT coalesce((comm = 'a'), false))) or (path LIKE '%\\_x' ESCAPE '\\')) or (ret = 0)"
        );
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
