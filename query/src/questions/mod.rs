//! Ready questions: SQL templates with conditions for containers and a time window.

mod any_of;
mod buckets;
mod conditions;
mod findings;
mod scope;

use std::fmt::Write;

use ctrace_rules::RuleSet;

use crate::source::TimeSpan;
pub(crate) use buckets::TimeBuckets;
pub(crate) use conditions::{FAILED_CALL, RecordingContents, failure, literal, not_setup};
use conditions::{FAILURE_RANK, FAILURE_ROUTINE, optional_file};
use findings::findings_tables;
pub(crate) use findings::one_rule_sql;
use scope::{PLACEHOLDERS, conditions};
pub(crate) use scope::{ParsedScope, container_condition};

/// A ready question.
#[derive(Debug)]
pub(crate) struct ReadyQuestion {
    /// The name of the subcommand.
    pub(crate) name: &'static str,
    /// The query. Lines with a name in braces are placeholders: `{limit}`, `{findings}` for [`findings_tables`], those of [`INCLUDES`], and those of
    /// [`PLACEHOLDERS`]. Within lines, `{not_setup}` and `{failed}` are the conditions [`not_setup`] and [`FAILED_CALL`], `{rank}`, `{routine}` and `{optional}` are [`FAILURE_RANK`], [`FAILURE_ROUTINE`] and [`optional_file`], `{name}` is the name of a container, `{all}` the
    /// value of `--all`, those of [`bucket_columns`] are for counts by time, and the columns of [`HOST_COLUMNS`] and [`ID_COLUMNS`] are there where the recordings need them.
    template: &'static str,
    /// The query of recordings of counts (`ctrace-rec --mode counts`); `None`: they cannot answer the question.
    counts_template: Option<&'static str>,
}

/// Common table expressions of several queries, and their placeholders. They read another expression, `scope`.
const INCLUDES: &[(&str, &str)] = &[
    // The metadata of the recordings.
    ("{recording}", include_str!("sql/recording.sql")),
    // Failed calls by their subject, with a name for routine ones.
    ("{failures}", include_str!("sql/failures.sql")),
    // Questions to name servers by their outcome, with a name for routine failures.
    ("{lookups}", include_str!("sql/lookups.sql")),
    // Calls that have not returned or took long, by what they wait for.
    ("{waits}", include_str!("sql/waits.sql")),
    // The calls at which the set-up of a container, or of a process that enters one, ended.
    ("{setup_failures}", include_str!("sql/setup_failures.sql")),
];

/// Columns that tell the hosts apart, which only recordings of several hosts need.
const HOST_COLUMNS: &[&str] = &["host", "c.host", "p.host", "source_host, target_host"];

/// Columns that tell containers of one name apart: the placeholder, and for each container the column with its id, and the prefix
/// of the new columns.
const ID_COLUMNS: &[(&str, &[(&str, &str)])] = &[
    ("{id}", &[("container_id", "")]),
    ("{p.id}", &[("p.container_id", "")]),
    (
        "{source_id, target_id}",
        &[("source_id", "source_"), ("target_id", "target_")],
    ),
];

macro_rules! question {
    ($name:literal) => {
        ReadyQuestion {
            name: $name,
            template: include_str!(concat!("sql/", $name, ".sql")),
            counts_template: None,
        }
    };
    ($name:literal, counts) => {
        ReadyQuestion {
            counts_template: Some(include_str!(concat!("sql/counts/", $name, ".sql"))),
            ..question!($name)
        }
    };
}

/// Every ready question, in the order of the help.
pub(crate) const QUESTIONS: &[ReadyQuestion] = &[
    question!("summary", counts),
    question!("why"),
    question!("containers", counts),
    question!("syscalls", counts),
    question!("strace"),
    question!("stuck"),
    question!("files"),
    question!("peers"),
    question!("links"),
    question!("dns"),
    question!("processes"),
    question!("errors", counts),
    question!("denied"),
    question!("drift"),
    question!("powers"),
    question!("capabilities"),
    question!("gaps"),
    question!("rules"),
];

/// The queries of `diff` about one side. They have two placeholders more: `{slice}` is the number of a slice of time, `{in_span}` the
/// condition for the time of the side, and `{subject}` the subject of a file.
pub(crate) struct SideQueries {
    pub(crate) containers: ReadyQuestion,
    pub(crate) executables: ReadyQuestion,
    pub(crate) files: ReadyQuestion,
    pub(crate) peers: ReadyQuestion,
    pub(crate) names: ReadyQuestion,
    pub(crate) errors: ReadyQuestion,
    pub(crate) exits: ReadyQuestion,
    pub(crate) calls: ReadyQuestion,
}

pub(crate) const SIDE_QUERIES: SideQueries = SideQueries {
    containers: question!("diff/containers"),
    executables: question!("diff/executables"),
    files: question!("diff/files"),
    peers: question!("diff/peers"),
    names: question!("diff/names"),
    errors: question!("diff/errors"),
    exits: question!("diff/exits"),
    calls: question!("diff/calls"),
};

/// Finds a ready question by its name.
///
/// # Errors
/// There is no such question.
pub(crate) fn ready_question(name: &str) -> anyhow::Result<&'static ReadyQuestion> {
    let question = QUESTIONS.iter().find(|question| question.name == name);
    question.ok_or_else(|| anyhow::anyhow!("there is no ready question `{name}`"))
}

impl ReadyQuestion {
    /// Returns whether recordings of counts can answer the question.
    pub(crate) fn supports_counts(&self) -> bool {
        // Rows about gaps and containers are the same in both kinds of recordings.
        self.counts_template.is_some() || ["gaps", "powers"].contains(&self.name)
    }

    /// Returns whether the answer can count by time, as [`ParsedScope::buckets`] says.
    pub(crate) fn counts_by_time(&self, contents: &RecordingContents) -> bool {
        let counts = self.counts_template.filter(|_| contents.only_counts);
        counts.unwrap_or(self.template).contains("bucket}")
    }

    /// Returns whether the answer leaves the set-up of containers out.
    pub(crate) fn leaves_setup_out(&self) -> bool {
        [
            "{not_setup}",
            "{failures}",
            "{lookups}",
            "{waits}",
            "{findings}",
        ]
        .iter()
        .any(|rule| self.template.contains(rule))
    }
}

/// Returns the placeholders for counts by time, and their columns: the bucket of `time`, that of `first_seen`, and the bucket as a
/// group. Without buckets in the scope, there are no columns.
fn bucket_columns(scope: &ParsedScope) -> [(&'static str, String); 3] {
    let of = |column| {
        scope
            .buckets
            .map(|buckets| format!(", {} as bucket", buckets.sql(column)))
            .unwrap_or_default()
    };
    let group = scope.buckets.map_or("", |_| ", bucket");
    [
        ("{bucket}", of("time")),
        ("{first_bucket}", of("first_seen")),
        ("{by_bucket}", group.to_string()),
    ]
}

/// Replaces the placeholders within a line.
fn replaced(line: &str, scope: &ParsedScope, contents: &RecordingContents) -> String {
    let not_setup = scope.not_setup(contents);
    let name = contents.name();
    let mut line = line
        .replace("{failed}", FAILED_CALL)
        .replace("{not_setup}", not_setup)
        .replace("{rank}", FAILURE_RANK)
        .replace("{routine}", FAILURE_ROUTINE)
        .replace("{optional}", &optional_file("subject", "subject"))
        .replace("{name}", &name)
        .replace("{all}", if scope.all { "true" } else { "false" });
    for (placeholder, columns) in bucket_columns(scope) {
        line = line.replace(placeholder, &columns);
    }
    for column in HOST_COLUMNS {
        let more = match contents.several_hosts {
            true => format!(", {column}"),
            false => String::new(),
        };
        line = line.replace(&format!("{{{column}}}"), &more);
    }
    for (placeholder, columns) in ID_COLUMNS {
        if line.contains(placeholder) {
            let columns = columns
                .iter()
                .map(|(id, prefix)| contents.id_columns(id, prefix));
            line = line.replace(placeholder, &columns.collect::<String>());
        }
    }
    line
}

/// Returns the SQL that counts the calls of set-up that an answer leaves out, with the same scope.
pub(crate) fn setup_calls_sql(
    scope: &ParsedScope,
    span: TimeSpan,
    contents: &RecordingContents,
) -> String {
    let setup = format!("not ({})", not_setup(contents));
    let mut sql = format!(
        "select coalesce(sum(case when kind = 'syscall' then 1 else calls end), 0)\nfrom events\nwhere kind in ('syscall', 'counts') and {setup}\n"
    );
    for condition in scope.event_conditions(span) {
        let _ = writeln!(sql, "    and {condition}");
    }
    sql
}

/// Returns the SQL of a question. Findings are those of the default set of rules.
pub(crate) fn sql(
    question: &ReadyQuestion,
    scope: &ParsedScope,
    span: TimeSpan,
    contents: &RecordingContents,
) -> String {
    // A test rules out that the default set is wrong.
    let rules = RuleSet::default_set().unwrap_or_default();
    sql_with_rules(question, &rules, scope, span, contents)
}

/// Returns the SQL of a question, with the findings of some rules.
pub(crate) fn sql_with_rules(
    question: &ReadyQuestion,
    rules: &RuleSet,
    scope: &ParsedScope,
    span: TimeSpan,
    contents: &RecordingContents,
) -> String {
    let template = question
        .counts_template
        .filter(|_| contents.only_counts)
        .unwrap_or(question.template);
    let include = |line| INCLUDES.iter().find(|(name, _)| *name == line);
    let lines = template
        .lines()
        .flat_map(|line| include(line).map_or(line, |(_, text)| text).lines());
    let mut sql = String::new();
    for line in lines {
        let text = line.trim();
        let indent = &line[..line.len() - line.trim_start().len()];
        if text == "{limit}" {
            if let Some(limit) = scope.limit {
                let _ = writeln!(sql, "limit {limit}");
            }
        } else if text == "{findings}" {
            sql += &findings_tables(rules, scope, span, contents);
        } else if let Some(placeholder) = PLACEHOLDERS.iter().find(|p| p.text == text) {
            for condition in conditions(placeholder, scope, span) {
                let _ = writeln!(sql, "{indent}and {condition}");
            }
        } else {
            let _ = writeln!(sql, "{}", replaced(line, scope, contents));
        }
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::scope::tests::scope;
    use super::*;

    #[test]
    fn every_placeholder_is_replaced() {
        for question in QUESTIONS {
            for bits in 0..32 {
                let contents = &RecordingContents {
                    only_counts: bits & 1 > 0,
                    several_hosts: bits & 2 > 0,
                    same_names: bits & 4 > 0,
                    tells_setup: bits & 8 > 0,
                    pods: (0..bits & 16)
                        .map(|i| (i.to_string(), "shop/pay".into()))
                        .collect(),
                };
                let sql = sql(question, &scope(&["web"]), TimeSpan::EPOCH, contents);
                // Braces in texts are those of JSON.
                let mut names = sql.split('{').skip(1);
                let is_replaced =
                    names.all(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()));
                assert!(is_replaced, "{}: {sql}", question.name);
                assert!(
                    sql.contains("2026-11-21 03:10") && sql.contains("limit 3"),
                    "{sql}"
                );
                assert!(sql.contains("= 'web'"), "{sql}");
            }
        }
    }
}
