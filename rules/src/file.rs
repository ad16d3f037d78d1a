//! A file of rules.

use std::path::{Path, PathBuf};

use ctrace_common::nearest::suggest;
use ctrace_schema::syscalls;
use ctrace_schema::text::escape;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rule::{Exception, GROUPS, Level, Rule, Threshold, TriggerUse, is_technique};

/// The kinds of rows.
const KINDS: [&str; 7] = [
    "syscall",
    "process",
    "connection",
    "dns",
    "signal",
    "container",
    "gap",
];

/// An error in a file of rules. The message names the file, and the rule or the line.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", .path.display())]
pub struct FileError {
    path: PathBuf,
    what: String,
}

/// The contents of a file: rules, and more exceptions for rules of other files.
#[derive(Debug, Default)]
pub(crate) struct RuleFile {
    pub(crate) rules: Vec<Rule>,
    /// The names of rules, and an exception for each.
    pub(crate) exceptions: Vec<(String, Exception)>,
}

impl RuleFile {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<RuleFile, FileError> {
        match std::fs::read_to_string(path) {
            Ok(text) => RuleFile::parse(&text, path),
            Err(e) => Err(error(path, format!("cannot read the rules: {e}"))),
        }
    }

    /// Parses the text of a file. `path` is its name in errors.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<RuleFile, FileError> {
        let file = parsed(text).map_err(|(at, what)| {
            let before = &text[..text.floor_char_boundary(at)];
            let line = before.matches('\n').count() + 1;
            error(path, format!("line {line}: {what}"))
        })?;
        for (n, rule) in file.rules.iter().enumerate() {
            if file.rules[..n].iter().any(|other| other.name == rule.name) {
                return Err(error(path, format!("there are two rules `{}`", rule.name)));
            }
        }
        Ok(file)
    }
}

/// An error at an offset in the file, in bytes.
type Wrong = (usize, String);

fn parsed(text: &str) -> Result<RuleFile, Wrong> {
    let table = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        (at, escape(e.message().as_bytes()).into_owned())
    })?;
    let keys = Keys::new(table.get_ref(), 0, &["rule", "exception"])?;
    let mut file = RuleFile::default();
    for (table, at) in keys.tables("rule")? {
        let rule = rule(table, at)?;
        if let Some(what) = wrong(&rule) {
            let name = escape(rule.name.as_bytes());
            return Err((at, format!("rule `{name}`: {what}")));
        }
        file.rules.push(rule);
    }
    for (table, at) in keys.tables("exception")? {
        let keys = Keys::new(table, at, &["rule", "name", "where"])?;
        let name = keys.required("rule")?;
        file.exceptions.push((name, exception(&keys)?));
    }
    Ok(file)
}

fn rule(table: &DeTable<'_>, at: usize) -> Result<Rule, Wrong> {
    let keys = [
        "name",
        "level",
        "description",
        "references",
        "calls",
        "kind",
        "host",
        "where",
        "sql",
        "subject",
        "threshold",
        "exception",
        "trigger",
    ];
    let keys = Keys::new(table, at, &keys)?;
    let exceptions = keys.tables("exception")?.into_iter().map(|(table, at)| {
        let keys = Keys::new(table, at, &["name", "where"])?;
        exception(&keys)
    });
    Ok(Rule {
        name: keys.required("name")?,
        level: level(&keys)?,
        description: keys.required("description")?,
        references: keys.texts("references")?,
        calls: keys.texts("calls")?,
        kind: keys.text("kind")?,
        host: match keys.value("host") {
            None => false,
            Some((DeValue::Boolean(host), _)) => *host,
            Some((_, at)) => return Err((at, "write true or false".into())),
        },
        condition: keys.text("where")?,
        sql: keys.text("sql")?,
        subject: keys.text("subject")?,
        threshold: threshold(&keys)?,
        exceptions: exceptions.collect::<Result<_, _>>()?,
        trigger: match keys.value("trigger") {
            None => TriggerUse::ByLevel,
            Some((DeValue::Boolean(is_wanted), _)) => TriggerUse::Given(*is_wanted),
            Some((DeValue::String(condition), _)) => TriggerUse::Condition(condition.to_string()),
            Some((_, at)) => return Err((at, "write true, false or a condition".into())),
        },
    })
}

fn level(keys: &Keys<'_>) -> Result<Level, Wrong> {
    let name = keys.required("level")?;
    let names = || Level::ALL.iter().map(|level| level.as_str());
    let level = Level::ALL.into_iter().find(|level| level.as_str() == name);
    level.ok_or_else(|| {
        let at = keys.value("level").map_or(keys.at, |(_, at)| at);
        let suggestion = suggest(&name, names());
        (
            at,
            format!(
                "there is no level `{}`{suggestion}",
                escape(name.as_bytes())
            ),
        )
    })
}

fn exception(keys: &Keys<'_>) -> Result<Exception, Wrong> {
    Ok(Exception {
        name: keys.required("name")?,
        condition: keys.required("where")?,
    })
}

fn threshold(keys: &Keys<'_>) -> Result<Option<Threshold>, Wrong> {
    let (table, at) = match keys.value("threshold") {
        None => return Ok(None),
        Some((DeValue::Table(table), at)) => (table, at),
        Some((_, at)) => return Err((at, "write { count = NUMBER, within = \"TIME\" }".into())),
    };
    let keys = Keys::new(table, at, &["count", "distinct", "per", "within"])?;
    let count = match keys.value("count") {
        Some((DeValue::Integer(number), _)) => number.to_string().parse().ok(),
        _ => None,
    };
    let within = humantime::parse_duration(&keys.required("within")?).ok();
    let (Some(count), Some(within)) = (
        count.filter(|count| *count >= 2),
        within.filter(|within| !within.is_zero()),
    ) else {
        let what = "a threshold has a `count` of 2 or more, and `within` a duration such as \"60s\" or \"10m\"";
        return Err((at, what.into()));
    };
    Ok(Some(Threshold {
        count,
        distinct: keys.text("distinct")?,
        per: keys.text("per")?,
        within,
    }))
}

/// The keys of a table.
struct Keys<'a> {
    table: &'a DeTable<'a>,
    /// The offset of the table in the file, in bytes.
    at: usize,
}

impl<'a> Keys<'a> {
    /// Creates the keys of a table at the offset `at`, which are some of `known`.
    fn new(table: &'a DeTable<'a>, at: usize, known: &[&str]) -> Result<Keys<'a>, Wrong> {
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let suggestion = suggest(name, known.iter().copied());
                let name = escape(name.as_bytes());
                return Err((
                    key.span().start,
                    format!("there is no key `{name}`{suggestion}"),
                ));
            }
        }
        Ok(Keys { table, at })
    }

    /// Returns the value of a key, and its offset.
    fn value(&self, name: &str) -> Option<(&'a DeValue<'a>, usize)> {
        let value = self.table.get(name)?;
        Some((value.get_ref(), value.span().start))
    }

    fn text(&self, name: &str) -> Result<Option<String>, Wrong> {
        match self.value(name) {
            None => Ok(None),
            Some((DeValue::String(text), _)) => Ok(Some(text.to_string())),
            Some((_, at)) => Err((at, format!("`{name}` is a text"))),
        }
    }

    fn required(&self, name: &str) -> Result<String, Wrong> {
        self.text(name)?
            .ok_or_else(|| (self.at, format!("the key `{name}` is missing")))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Wrong> {
        let wrong = |at| (at, format!("`{name}` is a list of texts"));
        let list = match self.value(name) {
            None => return Ok(vec![]),
            Some((DeValue::Array(list), _)) => list,
            Some((_, at)) => return Err(wrong(at)),
        };
        let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(wrong(value.span().start)),
        };
        list.iter().map(text).collect()
    }

    /// Returns the tables `[[name]]`, and their offsets.
    fn tables(&self, name: &str) -> Result<Vec<(&'a DeTable<'a>, usize)>, Wrong> {
        let wrong = |at| {
            (
                at,
                format!("`{name}` is a list of tables: write [[{name}]]"),
            )
        };
        let list = match self.value(name) {
            None => return Ok(vec![]),
            Some((DeValue::Array(list), _)) => list,
            Some((_, at)) => return Err(wrong(at)),
        };
        let table = |value: &'a Spanned<DeValue<'a>>| match value.get_ref() {
            DeValue::Table(table) => Ok((table, value.span().start)),
            _ => Err(wrong(value.span().start)),
        };
        list.iter().map(table).collect()
    }
}

pub(crate) fn error(path: &Path, what: String) -> FileError {
    FileError {
        path: path.to_path_buf(),
        what,
    }
}

/// Returns what is wrong with a rule.
fn wrong(rule: &Rule) -> Option<String> {
    let is_part = |part: &str| {
        let mut bytes = part.bytes();
        !part.is_empty() && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if !rule.name.split('-').all(is_part) {
        return Some(
            "write the name in lower-case words with hyphens, such as `shell-in-container`".into(),
        );
    }
    if rule.condition.is_some() == rule.sql.is_some() {
        return Some("write either `where`, a condition over one event, or `sql`, a query".into());
    }
    if rule.sql.is_some()
        && !(rule.calls.is_empty()
            && rule.kind.is_none()
            && !rule.host
            && rule.exceptions.is_empty())
    {
        return Some(
            "`calls`, `kind`, `host` and exceptions belong to `where`; write them into the query"
                .into(),
        );
    }
    if rule.kind.is_some() && !rule.calls.is_empty() {
        return Some("write either `calls` or `kind`".into());
    }
    if let Some(kind) = rule.kind.as_deref().filter(|kind| !KINDS.contains(kind)) {
        let kind = escape(kind.as_bytes());
        let suggestion = suggest(&kind, KINDS.into_iter());
        return Some(format!("there is no kind `{kind}`{suggestion}"));
    }
    let calls = syscalls::events();
    if let Some(call) = rule
        .call_names()
        .into_iter()
        .find(|name| !calls.contains(name))
    {
        let call = escape(call.as_bytes());
        let groups = GROUPS.iter().map(|(name, _)| *name);
        let suggestion = suggest(&call, calls.iter().copied().chain(groups));
        return Some(format!("there is no call `{call}`{suggestion}"));
    }
    let is_reference = |text: &&String| text.starts_with("https://") || is_technique(text);
    let wrong = rule.references.iter().find(|text| !is_reference(text))?;
    let wrong = escape(wrong.as_bytes());
    Some(format!(
        "`{wrong}` is no reference: write the id of a technique of MITRE ATT&CK, such as T1611, or an address that begins with https://"
    ))
}
