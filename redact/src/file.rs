//! A file of rules as it is written: TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rules::RuleError;

/// The greatest size of a file, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A file of rules.
#[derive(Debug)]
pub(crate) struct RulesFile {
    /// Whether the default rules run too.
    pub(crate) defaults: bool,
    pub(crate) on: Vec<String>,
    pub(crate) off: Vec<String>,
    /// The rules by name, in their order.
    pub(crate) rules: Vec<(String, RuleText)>,
}

/// A rule as it is written.
#[derive(Debug)]
pub(crate) struct RuleText {
    /// Whether the rule runs unless it is switched.
    pub(crate) on: bool,
    /// The columns; `None`: all that hold text from outside.
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) patterns: Vec<String>,
    /// Directories. What is below them is replaced.
    pub(crate) prefixes: Vec<String>,
    /// A pattern: what it matches as a whole is not replaced.
    pub(crate) except: Option<String>,
    /// Whether texts of digits become numbers.
    pub(crate) numbers: bool,
}

/// An error at an offset in the file, in bytes.
type FileError = (usize, String);
type Value<'a> = Spanned<DeValue<'a>>;

impl RulesFile {
    /// Parses a file.
    ///
    /// # Errors
    /// The text is not TOML, or has a key that rules do not have, or a value of another type. The error tells the line.
    pub(crate) fn parse(text: &str) -> Result<RulesFile, RuleError> {
        if text.len() > MAX_BYTES {
            let what = format!("the file has more than {MAX_BYTES} bytes");
            return Err(RuleError(what));
        }
        let parsed = DeTable::parse(text);
        let parsed = parsed.map_err(|e| {
            let at = e.span().map_or(0, |span| span.start);
            (at, e.message().to_string())
        });
        let file = parsed.and_then(|table| RulesFile::new(table.get_ref()));
        file.map_err(|(at, what)| {
            let before = &text[..text.floor_char_boundary(at)];
            let line = before.matches('\n').count() + 1;
            RuleError(format!("line {line}: {what}"))
        })
    }

    fn new(table: &DeTable<'_>) -> Result<RulesFile, FileError> {
        let mut file = RulesFile {
            defaults: true,
            on: vec![],
            off: vec![],
            rules: vec![],
        };
        for (key, value) in table {
            match &**key.get_ref() {
                "defaults" => file.defaults = boolean(value)?,
                "on" => file.on = texts(value)?,
                "off" => file.off = texts(value)?,
                "rules" => {
                    for (name, rule) in self::table(value)? {
                        let rule = RuleText::new(self::table(rule)?)?;
                        file.rules.push((name.get_ref().to_string(), rule));
                    }
                }
                other => {
                    let keys = "defaults, on, off, rules";
                    return Err(unknown(key.span().start, other, keys));
                }
            }
        }
        Ok(file)
    }
}

impl RuleText {
    fn new(table: &DeTable<'_>) -> Result<RuleText, FileError> {
        let mut rule = RuleText {
            on: true,
            columns: None,
            patterns: vec![],
            prefixes: vec![],
            except: None,
            numbers: false,
        };
        for (key, value) in table {
            match &**key.get_ref() {
                "on" => rule.on = boolean(value)?,
                "columns" => rule.columns = Some(texts(value)?),
                "patterns" => rule.patterns = texts(value)?,
                "prefixes" => rule.prefixes = texts(value)?,
                "except" => rule.except = Some(text(value)?),
                "numbers" => rule.numbers = boolean(value)?,
                // For readers of the file.
                "about" => drop(text(value)?),
                other => {
                    let keys = "about, columns, patterns, prefixes, except, numbers, on";
                    return Err(unknown(key.span().start, other, keys));
                }
            }
        }
        Ok(rule)
    }
}

fn unknown(at: usize, key: &str, keys: &str) -> FileError {
    (at, format!("there is no key `{key}`, but: {keys}"))
}

fn wrong(value: &Value<'_>, wanted: &str) -> FileError {
    let given = value.get_ref().type_str();
    let what = format!("{wanted} is needed here, not a value of type {given}");
    (value.span().start, what)
}

fn boolean(value: &Value<'_>) -> Result<bool, FileError> {
    match value.get_ref() {
        DeValue::Boolean(yes) => Ok(*yes),
        _ => Err(wrong(value, "true or false")),
    }
}

fn text(value: &Value<'_>) -> Result<String, FileError> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(wrong(value, "a string")),
    }
}

fn texts(value: &Value<'_>) -> Result<Vec<String>, FileError> {
    match value.get_ref() {
        DeValue::Array(list) => list.iter().map(text).collect(),
        _ => Err(wrong(value, "a list of strings")),
    }
}

fn table<'a, 'b>(value: &'a Value<'b>) -> Result<&'a DeTable<'b>, FileError> {
    match value.get_ref() {
        DeValue::Table(table) => Ok(table),
        _ => Err(wrong(value, "a table such as [rules.NAME]")),
    }
}
