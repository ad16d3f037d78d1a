//! The redactor: rules and a key, applied to texts.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use ctrace_schema::columns::COLUMNS;
use regex::Regex;

use crate::columns::UID;
use crate::form::Form;
use crate::key::{Key, is_placeholder};
use crate::rules::{ColumnRules, Rules};

/// The form of what stands for a text.
static PLACEHOLDER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"<redacted:[a-z0-9-]+:[0-9a-f]{12}>").ok());

/// A text of which parts were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The new text.
    pub text: String,
    /// The indices of the rules that replaced a part, ascending.
    pub rules: Vec<usize>,
}

/// Replaces what rules find by hashes under a key.
#[derive(Debug)]
pub struct Redactor {
    pub(crate) rules: Rules,
    pub(crate) key: Key,
    /// The rules of each column to which any applies. Columns with the same rules share them.
    columns: BTreeMap<&'static str, Arc<ColumnRules>>,
}

impl Redactor {
    /// Creates a redactor.
    pub fn new(rules: Rules, key: Key) -> Redactor {
        let (mut compiled, mut columns) = (BTreeMap::new(), BTreeMap::new());
        for column in COLUMNS {
            let own = rules.of_column(column.name);
            if !own.is_empty() {
                let shared = compiled.entry(own);
                let shared =
                    shared.or_insert_with_key(|own| Arc::new(ColumnRules::new(&rules, own)));
                columns.insert(column.name, shared.clone());
            }
        }
        Redactor {
            rules,
            key,
            columns,
        }
    }

    /// Returns the number of rules.
    pub fn rules(&self) -> usize {
        self.rules.rules.len()
    }

    /// Returns whether a rule applies to a column.
    pub fn applies_to(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    /// Redacts a value of a text column. Returns `None` if the text stays as it is.
    pub fn text(&self, column: &str, text: &str) -> Option<Redacted> {
        let rules = self.columns.get(column)?;
        let mut used = vec![];
        let text = Form::of(column).replaced(text, &mut |text| {
            let (text, by) = self.replaced(rules, text)?;
            used.extend(by);
            Some(text)
        })?;
        used.sort_unstable();
        used.dedup();
        Some(Redacted { text, rules: used })
    }

    /// Replaces a whole text in the name of the rules that replaced a part of another text. Returns `None` if the text stands for
    /// one already.
    pub(crate) fn as_a_whole(&self, other: Redacted, text: &str) -> Option<Redacted> {
        let rule = *other.rules.first()?;
        (!is_whole_placeholder(text)).then(|| Redacted {
            text: self.placeholder(rule, text),
            rules: other.rules,
        })
    }

    /// Redacts a user id, or a group id. Returns the new number and the index of the rule, or `None` if the number stays as it is.
    pub fn id(&self, id: u32) -> Option<(u32, usize)> {
        if is_placeholder(id) || id == u32::MAX {
            return None;
        }
        let text = id.to_string();
        let spans = self.columns.get(UID)?.spans(&self.rules, &text);
        Some((self.key.number(&text), spans.first()?.rule))
    }

    /// Redacts an argument or a result of a call that is an id (see [`crate::is_id`]), as [`Redactor::id`] does.
    pub fn id_number(&self, number: i64) -> Option<(i64, usize)> {
        let (id, rule) = self.id(u32::try_from(number).ok()?)?;
        Some((id.into(), rule))
    }

    /// Returns what stands for a text of the metadata that is not redacted in parts.
    pub(crate) fn whole(&self, kind: &str, text: &str) -> String {
        match is_whole_placeholder(text) {
            true => text.to_string(),
            false => format!("<redacted:{kind}:{}>", self.key.hash(text)),
        }
    }

    fn placeholder(&self, rule: usize, text: &str) -> String {
        let rule = &self.rules.rules[rule];
        match rule.numbers && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            true => self.key.number(text).to_string(),
            false => format!("<redacted:{}:{}>", rule.name, self.key.hash(text)),
        }
    }

    /// Replaces parts of a text, and returns the rules that did.
    fn replaced(&self, rules: &ColumnRules, text: &str) -> Option<(String, Vec<usize>)> {
        let old: Vec<_> = match &*PLACEHOLDER {
            Some(pattern) if text.contains("<redacted:") => {
                pattern.find_iter(text).map(|found| found.range()).collect()
            }
            _ => vec![],
        };
        let (mut new, mut used, mut at) = (String::new(), vec![], 0);
        for span in rules.spans(&self.rules, text) {
            let part = &text[span.bytes.clone()];
            // What stands for a text already stays.
            let is_old = |old: &std::ops::Range<usize>| {
                old.start <= span.bytes.start && span.bytes.end <= old.end
            };
            let is_number = part.parse().is_ok_and(is_placeholder);
            if old.iter().any(is_old) || is_number && self.rules.rules[span.rule].numbers {
                continue;
            }
            new.push_str(&text[at..span.bytes.start]);
            // A part that goes over several words keeps their number.
            for (i, line) in part.split('\n').enumerate() {
                if i > 0 {
                    new.push('\n');
                }
                new.push_str(&self.placeholder(span.rule, line));
            }
            at = span.bytes.end;
            used.push(span.rule);
        }
        new.push_str(&text[at..]);
        (!used.is_empty()).then_some((new, used))
    }
}

fn is_whole_placeholder(text: &str) -> bool {
    let pattern = PLACEHOLDER.as_ref();
    let found = pattern.and_then(|pattern| pattern.find(text));
    found.is_some_and(|found| found.range() == (0..text.len()))
}

#[cfg(test)]
mod tests;
