//! Rules: parsed, checked and compiled.

use std::ops::Range;

use ctrace_schema::columns::COLUMNS;
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::columns::{UID, is_redactable};
use crate::file::{RuleText, RulesFile};
use crate::key::hex;

/// The rules that run without a file, as text.
pub const DEFAULT_RULES: &str = include_str!("default.toml");

/// Limits of the number of rules, and of the memory of a compiled pattern.
const MAX_RULES: usize = 256;
const MAX_PATTERN_BYTES: usize = 4 << 20;

/// An error in rules. The text is for the user.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct RuleError(pub(crate) String);

/// Rules that are switched on or off by name, in addition to what a file of rules says.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    /// The names of rules that run.
    pub on: Vec<String>,
    /// The names of rules that do not run.
    pub off: Vec<String>,
}

/// A rule that runs.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    columns: Option<Vec<String>>,
    patterns: Vec<Regex>,
    except: Option<Regex>,
    pub(crate) numbers: bool,
}

/// A part of a text that a rule replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) bytes: Range<usize>,
    /// The index of the rule.
    pub(crate) rule: usize,
}

/// The rules that run.
#[derive(Debug)]
pub struct Rules {
    pub(crate) rules: Vec<Rule>,
    /// The SHA-256 of the rules, as hexadecimal digits.
    pub(crate) sha256: String,
}

impl Rules {
    /// Parses the default rules and those of `file`, a text in TOML.
    ///
    /// # Errors
    /// The file is not TOML, or a rule, a column, a pattern or a name of it is wrong. The error tells where.
    pub fn new(file: Option<&str>, switches: &Switches) -> Result<Rules, RuleError> {
        let own = RulesFile::parse(file.unwrap_or_default())?;
        let mut texts: Vec<(String, RuleText)> = own.rules;
        if own.defaults {
            for (name, text) in RulesFile::parse(DEFAULT_RULES)?.rules {
                if texts.iter().all(|(own, _)| *own != name) {
                    texts.push((name, text));
                }
            }
        }
        for (names, on) in [
            (&own.on, true),
            (&own.off, false),
            (&switches.on, true),
            (&switches.off, false),
        ] {
            for name in names {
                let known = texts.iter_mut().find(|(known, _)| known == name);
                match known {
                    Some((_, text)) => text.on = on,
                    None => return Err(unknown_rule(name, &texts)),
                }
            }
        }
        texts.retain(|(_, text)| text.on);
        if texts.is_empty() {
            return Err(RuleError("no rule is switched on".into()));
        }
        if texts.len() > MAX_RULES {
            return Err(RuleError(format!("there are more than {MAX_RULES} rules")));
        }
        let written = format!("{texts:?}");
        let rules = texts
            .into_iter()
            .map(|(name, text)| Rule::new(name, text))
            .collect::<Result<_, _>>()?;
        Ok(Rules {
            rules,
            sha256: hex(&Sha256::digest(written)),
        })
    }

    /// Returns the indices of the rules for a column.
    pub(crate) fn of_column(&self, column: &str) -> Vec<usize> {
        let applies = |rule: &Rule| match &rule.columns {
            Some(columns) => columns.iter().any(|name| name == column),
            None => is_redactable(column),
        };
        let rules = self.rules.iter().enumerate();
        let rules = rules.filter(|(_, rule)| applies(rule));
        rules.map(|(i, _)| i).collect()
    }
}

/// The rules that apply to a column.
#[derive(Debug)]
pub(crate) struct ColumnRules {
    /// The patterns, each with the index of its rule.
    patterns: Vec<(usize, Regex)>,
    /// All patterns, to find those that match.
    any: Option<RegexSet>,
}

impl ColumnRules {
    /// Compiles the rules with these indices.
    pub(crate) fn new(rules: &Rules, indices: &[usize]) -> ColumnRules {
        let patterns = indices.iter().flat_map(|i| {
            let patterns = rules.rules[*i].patterns.iter();
            patterns.map(|pattern| (*i, pattern.clone()))
        });
        let patterns: Vec<(usize, Regex)> = patterns.collect();
        let texts = patterns.iter().map(|(_, pattern)| pattern.as_str());
        // Each of the patterns is valid; together they may be too large for a set, which only saves time.
        let any = RegexSetBuilder::new(texts)
            .size_limit(MAX_PATTERN_BYTES * 16)
            .build();
        ColumnRules {
            patterns,
            any: any.ok(),
        }
    }

    /// Finds the parts of a text that are replaced, in their order. Parts that overlap are one part.
    pub(crate) fn spans(&self, rules: &Rules, text: &str) -> Vec<Span> {
        let matching: Vec<usize> = match &self.any {
            Some(any) => any.matches(text).into_iter().collect(),
            None => (0..self.patterns.len()).collect(),
        };
        let mut spans = vec![];
        for (rule, pattern) in matching.into_iter().map(|i| &self.patterns[i]) {
            let except = rules.rules[*rule].except.as_ref();
            for captures in pattern.captures_iter(text) {
                let first = usize::from(pattern.captures_len() > 1);
                let groups = captures.iter().skip(first).flatten();
                let groups = groups.filter(|group| !group.is_empty());
                let groups =
                    groups.filter(|group| !except.is_some_and(|e| e.is_match(group.as_str())));
                spans.extend(groups.map(|group| Span {
                    bytes: group.range(),
                    rule: *rule,
                }));
            }
        }
        spans.sort_by_key(|span| (span.bytes.start, span.rule));
        let mut joined: Vec<Span> = vec![];
        for span in spans {
            match joined.last_mut() {
                Some(last) if span.bytes.start < last.bytes.end => {
                    last.bytes.end = last.bytes.end.max(span.bytes.end);
                }
                _ => joined.push(span),
            }
        }
        joined
    }
}

impl Rule {
    fn new(name: String, text: RuleText) -> Result<Rule, RuleError> {
        let wrong = |what: String| RuleError(format!("rule `{name}`: {what}"));
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(is_name) {
            return Err(wrong(
                "a name has at most 32 lower-case letters, digits and hyphens".into(),
            ));
        }
        if text.patterns.is_empty() && text.prefixes.is_empty() {
            return Err(wrong("`patterns` or `prefixes` is missing".into()));
        }
        for column in text.columns.iter().flatten() {
            check_column(column).map_err(&wrong)?;
            if column == UID && !text.numbers {
                return Err(wrong(
                    "`uid` holds numbers: add `numbers = true`, or omit it".into(),
                ));
            }
        }
        let mut patterns = vec![];
        for pattern in &text.patterns {
            patterns.push(compiled(pattern).map_err(&wrong)?);
        }
        for prefix in &text.prefixes {
            patterns.push(below(prefix).map_err(&wrong)?);
        }
        let except = text.except.as_deref();
        let except = except.map(|pattern| compiled(&format!("^(?:{pattern})$")));
        let except = except.transpose().map_err(&wrong)?;
        Ok(Rule {
            columns: text.columns,
            patterns,
            except,
            numbers: text.numbers,
            name,
        })
    }
}

fn unknown_rule(name: &str, texts: &[(String, RuleText)]) -> RuleError {
    let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
    RuleError(format!(
        "there is no rule `{name}`, but: {}",
        names.join(", ")
    ))
}

/// Checks that rules may name a column.
fn check_column(column: &str) -> Result<(), String> {
    if is_redactable(column) || column == UID {
        return Ok(());
    }
    Err(match COLUMNS.iter().any(|known| known.name == column) {
        true => format!("the column `{column}` has no texts from outside"),
        false => format!("there is no column `{column}`"),
    })
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(pattern)
        .size_limit(MAX_PATTERN_BYTES)
        .build();
    compiled.map_err(|e| format!("the pattern is wrong: {e}"))
}

/// Returns the pattern of what is below a directory: up to the end of a path, and in a script up to the end of the word.
fn below(prefix: &str) -> Result<Regex, String> {
    let directory = prefix.strip_suffix('/').unwrap_or(prefix);
    if !directory.starts_with('/') {
        return Err(format!(
            "the prefix `{prefix}` is not a directory with an absolute path, such as /srv/customers/"
        ));
    }
    let directory = regex::escape(directory);
    compiled(&format!(
        r#"(?m)(?:^|^[^\s/]*[=:]){directory}/(?<path>.+)$|[\s=:,"'(<>]{directory}/(?<word>[^\s"',:;|&<>()]+)"#
    ))
}
