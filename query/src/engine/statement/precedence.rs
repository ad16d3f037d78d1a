//! The precedence of `is [not] distinct from`. The parser takes all that follows into the right operand: `a is distinct from b
//! and c` as `a is distinct from (b and c)` (apache/datafusion#23692).

use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// The tokens of a statement, with parentheses around the right operand of each `is [not] distinct from`. `None`: the
/// statement has no such operator, or is not SQL.
pub(super) fn with_parentheses(sql: &str) -> Option<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let mut tokens = tokens.ok()?;
    let operators = operators(&tokens);
    // From the end, so that the positions of the operators before stay valid, and an operand contains its own parentheses.
    for start in operators.iter().rev() {
        let end = start + operand_length(&tokens[*start..])?;
        let span = tokens[*start].span;
        let parenthesis = |token| TokenWithSpan { token, span };
        tokens.insert(end, parenthesis(Token::RParen));
        tokens.insert(*start, parenthesis(Token::LParen));
    }
    (!operators.is_empty()).then_some(tokens)
}

/// The positions of the tokens after `is [not] distinct from`.
fn operators(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let is_word = |token: &Token| !matches!(token, Token::Whitespace(_));
    let words = tokens.iter().enumerate();
    let words = words.filter(|(_, token)| is_word(&token.token));
    let words: Vec<(usize, Option<Keyword>)> = words
        .map(|(at, token)| (at, keyword(&token.token)))
        .collect();
    let mut found = vec![];
    for window in words.windows(4) {
        let [before, first, second, after] = window else {
            continue;
        };
        let is_operator = (first.1, second.1) == (Some(Keyword::DISTINCT), Some(Keyword::FROM))
            && matches!(before.1, Some(Keyword::IS | Keyword::NOT));
        if is_operator {
            found.push(after.0);
        }
    }
    found
}

fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) => Some(word.keyword),
        _ => None,
    }
}

/// The number of tokens of the operand at the start of `tokens`. `None`: there is no operand.
fn operand_length(tokens: &[TokenWithSpan]) -> Option<usize> {
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens.to_vec());
    parser
        .parse_subexpr(dialect.prec_value(Precedence::Is))
        .ok()?;
    let mut length = parser.index();
    // The parser may have looked at white space before the next token.
    while length > 0 && matches!(tokens[length - 1].token, Token::Whitespace(_)) {
        length -= 1;
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The statement with the parentheses as text; spaces between tokens are kept.
    fn text(sql: &str) -> Option<String> {
        let tokens = with_parentheses(sql)?;
        Some(tokens.iter().map(|token| token.token.to_string()).collect())
    }

    #[test]
    fn operands_end_before_operators_that_bind_less() {
        for (sql, want) in [
            (
                "select a is distinct from b and c",
                "select a is distinct from (b) and c",
            ),
            (
                "select a is not distinct from b + 1 or c is distinct from lower(d) and e",
                "select a is not distinct from (b + 1) or c is distinct from (lower(d)) and e",
            ),
            (
                "select a is distinct from b = c is distinct from d",
                "select a is distinct from (b = c) is distinct from (d)",
            ),
            (
                "select a is distinct from (select b is distinct from c and d) and e",
                "select a is distinct from ((select b is distinct from (c) and d)) and e",
            ),
        ] {
            assert_eq!(text(sql).unwrap(), want);
        }
        assert_eq!(text("select distinct a from b"), None);
        assert_eq!(text("select 'is distinct from b and c'"), None);
    }

    /// Fails when the parser has been corrected, so that this module can be deleted.
    #[test]
    fn the_parser_takes_a_conjunction_into_the_operand() {
        let dialect = GenericDialect {};
        let parse = |sql| {
            let parser = Parser::new(&dialect).try_with_sql(sql);
            parser.unwrap().parse_expr().unwrap()
        };
        let wrong = parse("a is distinct from b and c");
        assert_ne!(wrong, parse("(a is distinct from b) and c"));
        assert!(matches!(
            wrong,
            datafusion::sql::sqlparser::ast::Expr::IsDistinctFrom(..)
        ));
    }
}
