//! Bounds of what a statement may consist of. A statement may come from anyone: a chain of many operators becomes a deep
//! syntax tree, and `with` queries that read one another several times become a plan of any size.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Statement, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Maximum number of operators and keywords that follow each other without a comma between them.
const MAX_CHAIN: usize = 2000;
/// Maximum number of characters of a name.
const MAX_NAME: usize = 4096;
/// Maximum number of times that a statement reads tables.
const MAX_READS: u64 = 500;

/// Checks the text of a statement. Texts that are not SQL are left to the parser.
///
/// # Errors
/// A chain of operators or a name is too long.
pub(super) fn check_text(sql: &str) -> Result<()> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Ok(());
    };
    let mut levels = vec![Level::default()];
    for token in &tokens {
        let Some(level) = levels.last_mut() else {
            return Ok(());
        };
        match token {
            Token::Whitespace(_) | Token::Period | Token::Number(..) => {}
            Token::LParen => levels.push(Level::default()),
            Token::LBracket => {
                // Each subscript of `x[1][2]` contains the one before.
                level.chain += 1;
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket => {
                let inside = level.deepest();
                levels.pop();
                match levels.last_mut() {
                    Some(outside) => outside.below = outside.below.max(inside + 1),
                    None => return Ok(()),
                }
            }
            Token::Comma | Token::SemiColon => level.end_item(),
            Token::Word(word) if word.value.len() > MAX_NAME => {
                return plan_err!("a name of {} characters is too long", word.value.len());
            }
            Token::Word(word) => match word.keyword {
                Keyword::NoKeyword => {}
                // A comma does not end the chain of these.
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => {
                    level.queries += 1;
                }
                _ => level.chain += 1,
            },
            literal if is_literal(literal) => {}
            _ => level.chain += 1,
        }
        if levels
            .last()
            .is_some_and(|level| level.deepest() > MAX_CHAIN)
        {
            return plan_err!(
                "this is a chain of more than {MAX_CHAIN} operators: write `x in (1, 2, ...)` instead of `x = 1 or x = 2 ...`, or several statements"
            );
        }
    }
    Ok(())
}

fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
    )
}

/// The tokens between two parentheses.
#[derive(Default)]
struct Level {
    /// Number of operators since the last comma.
    chain: usize,
    /// Depth inside the parentheses since the last comma.
    below: usize,
    /// Number of joins and set operations.
    queries: usize,
    /// The greatest depth between two commas so far.
    greatest: usize,
}

impl Level {
    fn deepest(&self) -> usize {
        self.greatest.max(self.chain + self.below) + self.queries
    }

    fn end_item(&mut self) {
        self.greatest = self.greatest.max(self.chain + self.below);
        (self.chain, self.below) = (0, 0);
    }
}

/// Checks how often a statement reads tables. Each mention of a `with` query counts as often as the query reads tables.
///
/// # Errors
/// The statement reads tables too often.
pub(super) fn check_reads(statement: &Statement) -> Result<()> {
    let mut counter = ReadCounter::default();
    let _ = statement.visit(&mut counter);
    match counter.reads > MAX_READS {
        true => plan_err!(
            "this reads tables more than {MAX_READS} times, if each mention of a `with` query counts: join fewer tables, or save a part with --output and read that file"
        ),
        false => Ok(()),
    }
}

/// A visitor that counts the reads of tables.
#[derive(Default)]
struct ReadCounter {
    reads: u64,
    /// The reads of the `with` queries so far.
    named: HashMap<String, u64>,
    /// The queries that contain the present place, from the outermost.
    entered: Vec<EnteredQuery>,
}

/// A query whose parts are visited: first its `with` queries, each once, then the others.
struct EnteredQuery {
    /// The name of the query, if it is a `with` query.
    name: Option<String>,
    /// The reads before the query.
    reads_before: u64,
    /// The names of its `with` queries that were not visited yet, the last first.
    with: Vec<String>,
}

impl Visitor for ReadCounter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = with.map(|named| named.alias.name.value.to_lowercase());
        let mut with: Vec<String> = names.collect();
        with.reverse();
        let outer = self.entered.last_mut();
        let name = outer.and_then(|outer| outer.with.pop());
        self.entered.push(EnteredQuery {
            name,
            reads_before: self.reads,
            with,
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        if let Some(query) = self.entered.pop()
            && let Some(name) = query.name
        {
            let reads = self.reads - query.reads_before;
            self.named.insert(name, reads.max(1));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = relation.0.last().and_then(|part| part.as_ident());
        let name = name.map(|ident| ident.value.to_lowercase());
        let reads = name.and_then(|name| self.named.get(&name).copied());
        self.reads = self.reads.saturating_add(reads.unwrap_or(1));
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn chains_are_bounded() {
        for chain in [
            vec!["1"; 3000].join(" + "),
            vec!["pid = 1"; 1500].join(" or "),
            format!("1{}", "::bigint".repeat(3000)),
            vec!["select 1, 2"; 3000].join(" union all "),
            vec!["select 1"; 3000].join(" except "),
            format!("a {}", "join b using (x, y) ".repeat(3000)),
            format!("x{}", "[1]".repeat(3000)),
            format!("{}1", "- ".repeat(3000)),
            format!("x{}", " is null".repeat(1500)),
            vec!["(1 + 1)"; 3000].join(" * "),
            format!("case {} end", "when 1 then 2 ".repeat(1500)),
        ] {
            assert!(
                check_text(&format!("select {chain}")).is_err(),
                "{chain:.60}"
            );
        }
        let list = (0..100_000).map(|n| format!("-{n}")).collect::<Vec<_>>();
        for fine in [
            format!("pid in ({})", list.join(", ")),
            vec!["a + b is distinct from c"; 1000].join(", "),
            vec!["pid = 1"; 500].join(" or "),
            "'".to_string() + &"+".repeat(10_000) + "'",
        ] {
            assert!(check_text(&format!("select {fine}")).is_ok(), "{fine:.60}");
        }
    }

    #[test]
    fn reads_are_counted_in_one_visit() {
        let reads = |sql: &str| {
            let statement = Parser::parse_sql(&GenericDialect {}, sql)
                .unwrap()
                .remove(0);
            let mut counter = ReadCounter::default();
            let _ = statement.visit(&mut counter);
            counter.reads
        };
        assert_eq!(reads("select * from a join b using (c)"), 2);
        let twice =
            "with x as (select 1 from a, b) select 1 from x, x where exists (select 1 from c)";
        assert_eq!(reads(twice), 2 + 2 * 2 + 1);
        // Twenty levels would take a million visits, if each level were visited twice.
        let nested = (0..20).fold("select 1 from a".to_string(), |query, _| {
            format!("with x as ({query}) select 1 from x")
        });
        assert!(reads(&nested) > MAX_READS);
    }

    #[test]
    fn names_are_bounded() {
        assert!(check_text(&format!("select {}", "a".repeat(5000))).is_err());
        assert!(check_text(&format!("select \"{}\"", "a".repeat(5000))).is_err());
        assert!(check_text(&format!("select '{}'", "a".repeat(5000))).is_ok());
    }
}
