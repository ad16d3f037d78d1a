//! The precedence of `is [not] distinct from`. The parser takes all that follows into the right operand: `a is distinct
//! from b and c` as `a is distinct from (b and c)` (apache/datafusion#23692).

use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// Returns the tokens of a statement, with parentheses around each `is [not] distinct from` and its operands; `None` if
/// the statement has no such operator, or is not SQL.
pub(super) fn with_parentheses(sql: &str) -> Option<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let mut tokens = tokens.ok()?;
    let count = operators(&tokens).len();
    // Starts at the first operator: the left operand of the next operator may contain the parentheses of this one.
    for i in 0..count {
        let (operator, right) = *operators(&tokens).get(i)?;
        let end = right + operand_length(&tokens[right..])?;
        let start = left_operand(&tokens, operator)?;
        let parenthesis = |token, at: usize| TokenWithSpan {
            token,
            span: tokens[at].span,
        };
        let (open, close) = (
            parenthesis(Token::LParen, start),
            parenthesis(Token::RParen, operator),
        );
        tokens.insert(end, close);
        tokens.insert(start, open);
    }
    (count > 0).then_some(tokens)
}

/// Returns for each `is [not] distinct from` the positions of its first token and of the token after it.
fn operators(tokens: &[TokenWithSpan]) -> Vec<(usize, usize)> {
    let is_word = |token: &Token| !matches!(token, Token::Whitespace(_));
    let words = tokens.iter().enumerate();
    let words = words.filter(|(_, token)| is_word(&token.token));
    let words: Vec<(usize, Option<Keyword>)> = words
        .map(|(at, token)| (at, keyword(&token.token)))
        .collect();
    let operator = [Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
    let negated = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
    let begins = |words: &[(usize, Option<Keyword>)], operator: &[Keyword]| {
        words.len() > operator.len()
            && operator
                .iter()
                .zip(words)
                .all(|(keyword, (_, word))| *word == Some(*keyword))
    };
    let found = (0..words.len()).filter_map(|i| {
        let words = &words[i..];
        let length = [&operator[..], &negated[..]]
            .iter()
            .find(|operator| begins(words, operator))?
            .len();
        Some((words[0].0, words[length].0))
    });
    found.collect()
}

fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) => Some(word.keyword),
        _ => None,
    }
}

/// Keywords that begin no operand, but that the parser takes for names of functions before a parenthesis.
const NO_OPERANDS: [Keyword; 17] = [
    Keyword::ALL,
    Keyword::AND,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::DISTINCT,
    Keyword::ELSE,
    Keyword::FROM,
    Keyword::HAVING,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::LIKE,
    Keyword::ON,
    Keyword::OR,
    Keyword::SELECT,
    Keyword::THEN,
    Keyword::WHEN,
    Keyword::WHERE,
];

/// Returns the position of the first token of the left operand of the operator at `operator`; `None` if there is no
/// operand. The operand is the longest expression that ends before the operator and binds more than the operator.
fn left_operand(tokens: &[TokenWithSpan], operator: usize) -> Option<usize> {
    let is_space = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let may_begin = |start: &usize| {
        let token = &tokens[*start];
        !is_space(token) && !keyword(&token.token).is_some_and(|word| NO_OPERANDS.contains(&word))
    };
    let ends_before_operator = |start: &usize| {
        let length = operand_length(&tokens[*start..]);
        length.is_some_and(|length| {
            let rest = &tokens[start + length..operator.max(start + length)];
            start + length <= operator && rest.iter().all(is_space)
        })
    };
    (0..operator).filter(may_begin).find(ends_before_operator)
}

/// Returns the number of tokens of the operand at the start of `tokens`, without white space after it; `None` if there
/// is no operand.
fn operand_length(tokens: &[TokenWithSpan]) -> Option<usize> {
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens.to_vec());
    parser
        .parse_subexpr(dialect.prec_value(Precedence::Is))
        .ok()?;
    let mut length = parser.index();
    // The parser may have read white space before the next token.
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

    /// Returns the statement with the parentheses as text; spaces between tokens are kept.
    fn text(sql: &str) -> Option<String> {
        let tokens = with_parentheses(sql)?;
        Some(tokens.iter().map(|token| token.token.to_string()).collect())
    }

    #[test]
    fn operands_end_before_operators_that_bind_less() {
        for (sql, want) in [
            (
                "select a is distinct from b and c",
                "select (a is distinct from b) and c",
            ),
            (
                "select not a and b is not distinct from c + 1 or d is distinct from lower(e) and f",
                "select not a and (b is not distinct from c + 1) or (d is distinct from lower(e)) and f",
            ),
            (
                "select not a = b is distinct from c = d is distinct from e",
                "select not ((a = b is distinct from c = d) is distinct from e)",
            ),
            (
                "select f(a, -b is distinct from c) from t where a in (1) is distinct from true and b",
                "select f(a, (-b is distinct from c)) from t where (a in (1) is distinct from true) and b",
            ),
            (
                "select 1 from t where a and (b) is distinct from c or f(distinct (d) is distinct from e)",
                "select 1 from t where a and ((b) is distinct from c) or f(distinct ((d) is distinct from e))",
            ),
            (
                "select a is distinct from (select b is distinct from c and d) and e",
                "select (a is distinct from (select (b is distinct from c) and d)) and e",
            ),
            (
                "select case when a is distinct from b and c then 1 end is not distinct from d or e",
                "select (case when (a is distinct from b) and c then 1 end is not distinct from d) or e",
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
