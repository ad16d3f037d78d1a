//! Sets of rules: the default set, and those of files.

use std::path::{Path, PathBuf};

use ctrace_common::nearest::suggest;
use ctrace_schema::text::escape;

use crate::file::{FileError, RuleFile, error};
use crate::rule::Rule;

/// The files of the default set: their names, and their texts.
pub const DEFAULT_SET: &[(&str, &str)] = &[
    ("execution.toml", include_str!("../default/execution.toml")),
    ("files.toml", include_str!("../default/files.toml")),
    ("secrets.toml", include_str!("../default/secrets.toml")),
    ("network.toml", include_str!("../default/network.toml")),
    ("escape.toml", include_str!("../default/escape.toml")),
    ("health.toml", include_str!("../default/health.toml")),
];

/// Rules with different names.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
}

/// The choice of rules.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Files whose rules are added. A rule of a later file replaces an earlier one of the same name.
    pub files: Vec<PathBuf>,
    /// True if the default set is left out.
    pub without_default: bool,
    /// The names of the only rules; empty: all.
    pub only: Vec<String>,
    /// The names of rules that are left out.
    pub disabled: Vec<String>,
}

/// An error in a choice of rules.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// A file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// No rule has a given name.
    #[error("there is no rule `{0}`{1}")]
    NoRule(String, String),
    /// No rule is left.
    #[error("no rule is left: name rules with --rules FILE, or omit --no-default-rules")]
    Empty,
}

impl RuleSet {
    /// Returns the rules that a choice leaves.
    ///
    /// # Errors
    /// A file is wrong, there is no rule of a name, or no rule is left.
    pub fn choose(choice: &Choice) -> Result<RuleSet, ChoiceError> {
        let mut set = match choice.without_default {
            true => RuleSet::default(),
            false => RuleSet::default_set()?,
        };
        for path in &choice.files {
            set.add(RuleFile::read(path)?, path)?;
        }
        for name in choice.only.iter().chain(&choice.disabled) {
            if set.position(name).is_none() {
                return Err(ChoiceError::NoRule(name.clone(), set.suggestion(name)));
            }
        }
        set.rules.retain(|rule| {
            let is_wanted = choice.only.is_empty() || choice.only.contains(&rule.name);
            is_wanted && !choice.disabled.contains(&rule.name)
        });
        match set.rules.is_empty() {
            true => Err(ChoiceError::Empty),
            false => Ok(set),
        }
    }

    /// Returns the default set.
    ///
    /// # Errors
    /// A file of the set is wrong, which a test rules out.
    pub fn default_set() -> Result<RuleSet, FileError> {
        let mut set = RuleSet::default();
        for (name, text) in DEFAULT_SET {
            let path = Path::new(name);
            set.add(RuleFile::parse(text, path)?, path)?;
        }
        Ok(set)
    }

    /// Returns the rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the same set without the rules for which `is_wanted` is false.
    pub fn only(mut self, is_wanted: impl FnMut(&Rule) -> bool) -> RuleSet {
        self.rules.retain(is_wanted);
        self
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.rules.iter().position(|rule| rule.name == name)
    }

    fn suggestion(&self, name: &str) -> String {
        suggest(name, self.rules.iter().map(|rule| rule.name.as_str()))
    }

    /// Adds the rules and exceptions of a file.
    fn add(&mut self, file: RuleFile, path: &Path) -> Result<(), FileError> {
        for rule in file.rules {
            match self.position(&rule.name) {
                Some(at) => self.rules[at] = rule,
                None => self.rules.push(rule),
            }
        }
        for (name, exception) in file.exceptions {
            let Some(at) = self.position(&name) else {
                let suggestion = self.suggestion(&name);
                let name = escape(name.as_bytes());
                let what =
                    format!("an exception is for `{name}`, but there is no such rule{suggestion}");
                return Err(error(path, what));
            };
            let rule = &mut self.rules[at];
            if rule.condition.is_none() {
                let what =
                    format!("`{name}` is a query, which has no exceptions: write them into it");
                return Err(error(path, what));
            }
            rule.exceptions.push(exception);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// Returns the set with the rules of a file, or the error.
    fn with(text: &str) -> Result<RuleSet, FileError> {
        let mut set = RuleSet::default_set()?;
        let path = Path::new("mine.toml");
        set.add(RuleFile::parse(text, path)?, path)?;
        Ok(set)
    }

    #[test]
    fn the_default_set_has_each_name_once() {
        let parsed = DEFAULT_SET.iter();
        let parsed = parsed.map(|(name, text)| RuleFile::parse(text, Path::new(name)).unwrap());
        let rules: usize = parsed.map(|file| file.rules.len()).sum();
        assert_eq!(RuleSet::default_set().unwrap().rules().len(), rules);
    }

    #[test]
    fn the_documentation_lists_the_default_set() {
        let page = include_str!("../../docs/rules.md");
        let table = page.lines().skip_while(|line| *line != "|---|---|---|---|");
        let table: Vec<_> = table.skip(1).take_while(|line| !line.is_empty()).collect();
        let set = RuleSet::default_set().unwrap();
        let line = |rule: &Rule| {
            let page = |reference: &String| Rule::page(reference).unwrap();
            let references = rule
                .references
                .iter()
                .map(|r| format!("[{r}]({})", page(r)));
            let references = references.collect::<Vec<_>>().join(", ");
            let (name, level) = (&rule.name, rule.level);
            format!(
                "| `{name}` | {level} | {} | {references} |",
                rule.description
            )
        };
        assert_eq!(table, set.rules().iter().map(line).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_replaces_rules_and_adds_exceptions() {
        let before = RuleSet::default_set().unwrap().rules().len();
        let set = with(
            "[[rule]]\nname = 'setns'\nlevel = 'event'\ndescription = 'd'\nwhere = 'ret = 0'\n\
             [[exception]]\nrule = 'setns'\nname = 'ours'\nwhere = \"comm = 'cni'\"",
        )
        .unwrap();
        assert_eq!(set.rules().len(), before);
        let rule = &set.rules()[set.position("setns").unwrap()];
        assert_eq!(rule.rows(), None);
        assert_eq!(
            rule.finding().unwrap(),
            "(ret = 0\n) and not coalesce((comm = 'cni'\n), false)"
        );
    }

    #[test]
    fn errors_name_the_file_and_the_rule() {
        let rule = |more: &str| {
            format!("[[rule]]\nname = 'x'\nlevel = 'event'\ndescription = 'd'\n{more}")
        };
        let cases = [
            ("[[rule]\n", "mine.toml: line 1: "),
            (
                &rule("where = 'true'\ncall = []"),
                "there is no key `call`: did you mean `calls`?",
            ),
            (&rule(""), "rule `x`: write either `where`"),
            (
                &rule("where = 'true'\ncalls = ['opennat']"),
                "there is no call `opennat`: did you mean `openat`?",
            ),
            (
                &rule("where = 'true'\nkind = 'sycall'"),
                "there is no kind `sycall`: did you mean `syscall`?",
            ),
            (
                &rule("where = 'true'\nreferences = ['1611']"),
                "`1611` is no reference",
            ),
            (
                &rule("where = 'true'\nthreshold = { count = 3, within = '10 parsecs' }"),
                "a threshold has a `count`",
            ),
            (
                "[[exception]]\nrule = 'setn'\nname = 'n'\nwhere = 'true'",
                "there is no such rule: did you mean `setns`?",
            ),
        ];
        for (text, message) in cases {
            let error = with(text).unwrap_err().to_string();
            assert!(
                error.starts_with("mine.toml: ") && error.contains(message),
                "{error}"
            );
        }
    }

    #[test]
    fn a_choice_names_rules_that_exist() {
        let choice = |only: &[&str], disabled: &[&str]| {
            RuleSet::choose(&Choice {
                only: only.iter().map(|name| name.to_string()).collect(),
                disabled: disabled.iter().map(|name| name.to_string()).collect(),
                ..Choice::default()
            })
        };
        let names = |set: RuleSet| {
            set.rules
                .into_iter()
                .map(|rule| rule.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(choice(&["bpf", "setns"], &["setns"]).unwrap()),
            ["bpf"]
        );
        let error = choice(&[], &["set-ns"]).unwrap_err().to_string();
        assert_eq!(error, "there is no rule `set-ns`: did you mean `setns`?");
        assert!(choice(&["bpf"], &["bpf"]).is_err());
    }

    #[test]
    fn rules_about_one_event_are_triggers() {
        let set = RuleSet::default_set().unwrap();
        let trigger = |name| set.rules()[set.position(name).unwrap()].trigger();
        assert_eq!(
            trigger("kernel-module").unwrap(),
            "syscall in ('init_module', 'finit_module') and (true\n) and container_id is not null"
        );
        assert!(trigger("reverse-shell").unwrap().contains("ret = 0"));
        assert_eq!(trigger("crash"), Err(crate::NotATrigger::Event));
        assert_eq!(
            trigger("crash-loop"),
            Err(crate::NotATrigger::SeveralEvents)
        );
    }
}
