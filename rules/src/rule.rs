//! A rule, and the SQL conditions that follow from it.

use std::fmt;
use std::time::Duration;

/// A rule: what to look for in the events, and what it means.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name: lower-case words with hyphens.
    pub name: String,
    /// How much a finding matters.
    pub level: Level,
    /// A sentence about a finding.
    pub description: String,
    /// Ids of MITRE ATT&CK techniques, such as `T1611` or `T1059.004`, and addresses of pages.
    pub references: Vec<String>,
    /// The calls at which the rule looks; empty: any row.
    pub calls: Vec<String>,
    /// The kind of the rows at which the rule looks; `None`: any kind, or calls if `calls` names some.
    pub kind: Option<String>,
    /// True if the rule also looks at processes outside of containers.
    pub host: bool,
    /// The SQL condition over the columns of `events`.
    pub condition: Option<String>,
    /// A query that gives the events, for what one condition over one event cannot say.
    pub sql: Option<String>,
    /// The SQL expression for the thing that the event is about; `None`: the file, the peer or the command of the event.
    pub subject: Option<String>,
    /// How many events make a finding; `None`: one.
    pub threshold: Option<Threshold>,
    /// Events that are no findings.
    pub exceptions: Vec<Exception>,
    /// Whether, and at which events, the rule is a trigger of the recorder.
    pub trigger: TriggerUse,
}

/// Names for groups of calls in `calls`: each begins with `@`.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    ("@exec", &["execve", "execveat"]),
    (
        "@open",
        &[
            "open",
            "openat",
            "openat2",
            "creat",
            "io_uring:openat",
            "io_uring:openat2",
        ],
    ),
    (
        "@rename",
        &[
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
            "io_uring:renameat",
            "io_uring:linkat",
        ],
    ),
    ("@connect", &["connect", "io_uring:connect"]),
    (
        "@send",
        &[
            "sendto",
            "sendmsg",
            "sendmmsg",
            "io_uring:send",
            "io_uring:sendmsg",
        ],
    ),
];

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something worth knowing, which is often part of normal work.
    Event,
    /// Something that few containers do for good reasons.
    Warning,
    /// Something that hardly any container does for good reasons.
    Alert,
}

impl Level {
    /// Every level, the lowest first.
    pub const ALL: [Level; 3] = [Level::Event, Level::Warning, Level::Alert];

    /// Returns the name in files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Event => "event",
            Level::Warning => "warning",
            Level::Alert => "alert",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number of events of one container that make a finding, with the same subject unless `per` says otherwise.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// The least number of events, or of different values of `distinct`.
    pub count: u32,
    /// The SQL expression whose different values are counted, each at its first event; `None`: the events are counted.
    pub distinct: Option<String>,
    /// The SQL expression for what the events have in common; `None`: the subject.
    pub per: Option<String>,
    /// The longest time from the first of these events to the last.
    pub within: Duration,
}

/// Events that meet the condition of a rule and are no findings.
#[derive(Clone, Debug)]
pub struct Exception {
    /// The reason, in a few words.
    pub name: String,
    /// The SQL condition over the columns of `events`.
    pub condition: String,
}

/// The key `trigger` of a rule.
#[derive(Clone, Debug, Default)]
pub enum TriggerUse {
    /// The rule is a trigger unless its level is `event`.
    #[default]
    ByLevel,
    /// The rule is a trigger, or none.
    Given(bool),
    /// The rule is a trigger at the events that meet this condition.
    Condition(String),
}

/// The reason why a rule is not a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATrigger {
    /// The rule says so.
    #[error("they have `trigger = false`")]
    Off,
    /// The level is too low.
    #[error("their level is `event`; `trigger = true` in the rule makes it one")]
    Event,
    /// The recorder looks at one event at a time.
    #[error("they need several events; `trigger = \"CONDITION\"` in the rule names one of them")]
    SeveralEvents,
}

impl Rule {
    /// Returns the names of the calls at which the rule looks, without groups.
    pub fn call_names(&self) -> Vec<&str> {
        let group = |name: &str| GROUPS.iter().find(|(group, _)| *group == name);
        let names = self.calls.iter().map(String::as_str);
        let calls = |name| group(name).map_or_else(|| vec![name], |(_, calls)| calls.to_vec());
        names.flat_map(calls).collect()
    }

    /// Returns the condition for the rows at which the rule looks; `None`: all rows.
    pub fn rows(&self) -> Option<String> {
        let calls: Vec<_> = self.call_names().into_iter().map(literal).collect();
        match (&self.kind, calls.is_empty()) {
            (Some(kind), _) => Some(format!("kind = {}", literal(kind))),
            (None, false) => Some(format!("syscall in ({})", calls.join(", "))),
            (None, true) => None,
        }
    }

    /// Returns the condition for a finding among the rows of [`Self::rows`], without exceptions and without set-up; `None`: the rule
    /// is a query.
    pub fn finding(&self) -> Option<String> {
        self.condition.as_ref().map(|c| self.with_exceptions(c))
    }

    /// Returns the condition for an event that triggers a dump of the recorder's ring.
    ///
    /// # Errors
    /// The rule is not a trigger.
    pub fn trigger(&self) -> Result<String, NotATrigger> {
        let condition = match (&self.trigger, &self.condition) {
            (TriggerUse::Condition(condition), _) => condition,
            (TriggerUse::Given(false), _) => return Err(NotATrigger::Off),
            (TriggerUse::ByLevel, _) if self.level == Level::Event => {
                return Err(NotATrigger::Event);
            }
            (_, Some(condition)) if self.threshold.is_none() => condition,
            _ => return Err(NotATrigger::SeveralEvents),
        };
        let found = self.with_exceptions(condition);
        let rows = self.rows().into_iter().chain([found]);
        let rows: Vec<_> = rows.chain(self.in_container()).collect();
        Ok(rows.join(" and "))
    }

    /// Returns the condition for a row of a container; `None`: the rule looks at other rows too.
    pub fn in_container(&self) -> Option<String> {
        (!self.host).then(|| "container_id is not null".into())
    }

    fn with_exceptions(&self, condition: &str) -> String {
        // A condition may end with a comment.
        let mut all = format!("({}\n)", condition.trim_end());
        if !self.exceptions.is_empty() {
            let exceptions = self.exceptions.iter();
            let exceptions = exceptions.map(|e| format!("({}\n)", e.condition.trim_end()));
            let any = exceptions.collect::<Vec<_>>().join(" or ");
            all += &format!(" and not coalesce({any}, false)");
        }
        all
    }

    /// Returns the address of the page about a reference.
    pub fn page(reference: &str) -> Option<String> {
        if reference.starts_with("https://") {
            return Some(reference.to_string());
        }
        is_technique(reference).then(|| {
            let path = reference.replace('.', "/");
            format!("https://attack.mitre.org/techniques/{path}/")
        })
    }
}

/// Returns whether a reference is the id of a technique of MITRE ATT&CK.
pub(crate) fn is_technique(reference: &str) -> bool {
    let digits =
        |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    let Some(number) = reference.strip_prefix('T') else {
        return false;
    };
    match number.split_once('.') {
        Some((technique, part)) => digits(technique, 4) && digits(part, 3),
        None => digits(number, 4),
    }
}

/// Returns the literal of a text in SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
