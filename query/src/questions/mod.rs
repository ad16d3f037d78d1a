//! Ready questions: SQL templates with conditions for containers and a time window.

mod rules;
mod scope;

use std::fmt::Write;

use crate::source::TimeSpan;
pub(crate) use rules::{FAILED_CALL, RecordingContents, not_setup};
use rules::{FAILURE_RANK, FAILURE_ROUTINE};
use scope::{PLACEHOLDERS, conditions};
pub(crate) use scope::{ParsedScope, container_condition};

/// A ready question.
#[derive(Debug)]
pub(crate) struct ReadyQuestion {
    /// The name of the subcommand.
    pub(crate) name: &'static str,
    /// The query. Lines with a name in braces are placeholders: `{limit}`, those of [`INCLUDES`], and those of
    /// [`PLACEHOLDERS`]. Within lines, `{not_setup}` and `{failed}` are the conditions [`not_setup`] and [`FAILED_CALL`], `{rank}` and `{routine}` are [`FAILURE_RANK`] and [`FAILURE_ROUTINE`], `{name}` is the name of a container, `{all}` the
    /// value of `--all`, and the columns of [`HOST_COLUMNS`] and [`ID_COLUMNS`] are there where the recordings need them.
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
    // The calls at which the set-up of a container, or of a process that enters one, ended.
    ("{setup_failures}", include_str!("sql/setup_failures.sql")),
];

/// Columns that tell the hosts apart, which only recordings of several hosts need.
const HOST_COLUMNS: &[&str] = &["host", "c.host", "p.host", "source_host, target_host"];

/// Columns that tell containers of one name apart: the placeholder, and the columns.
const ID_COLUMNS: &[(&str, &str)] = &[
    ("{id}", ", substr(container_id, 1, 12) as id"),
    ("{p.id}", ", substr(p.container_id, 1, 12) as id"),
    (
        "{source_id, target_id}",
        ", substr(source_id, 1, 12) as source_id, substr(target_id, 1, 12) as target_id",
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
    question!("gaps"),
];

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

    /// Returns whether the answer leaves the set-up of containers out.
    pub(crate) fn leaves_setup_out(&self) -> bool {
        ["{not_setup}", "{failures}", "{lookups}"]
            .iter()
            .any(|rule| self.template.contains(rule))
    }
}

/// Replaces the placeholders within a line.
fn replaced(line: &str, scope: &ParsedScope, contents: RecordingContents) -> String {
    let not_setup = scope.not_setup(contents);
    let name = match (contents.several_hosts, contents.same_names) {
        (true, _) => "host || '/' || coalesce(container, '?')",
        (false, true) => {
            "coalesce(container || ' ' || substr(container_id, 1, 12), container, '?')"
        }
        (false, false) => "coalesce(container, '?')",
    };
    let mut line = line
        .replace("{failed}", FAILED_CALL)
        .replace("{not_setup}", not_setup)
        .replace("{rank}", FAILURE_RANK)
        .replace("{routine}", FAILURE_ROUTINE)
        .replace("{name}", name)
        .replace("{all}", if scope.all { "true" } else { "false" });
    for column in HOST_COLUMNS {
        let more = match contents.several_hosts {
            true => format!(", {column}"),
            false => String::new(),
        };
        line = line.replace(&format!("{{{column}}}"), &more);
    }
    for (placeholder, columns) in ID_COLUMNS {
        line = line.replace(placeholder, if contents.same_names { columns } else { "" });
    }
    line
}

/// Returns the SQL that counts the calls of set-up that an answer leaves out, with the same scope.
pub(crate) fn setup_calls_sql(
    scope: &ParsedScope,
    span: TimeSpan,
    contents: RecordingContents,
) -> String {
    let setup = format!("not ({})", not_setup(contents));
    let mut sql = format!(
        "select coalesce(sum(case when kind = 'syscall' then 1 else calls end), 0)\nfrom events\nwhere kind in ('syscall', 'counts') and {setup}\n"
    );
    for condition in PLACEHOLDERS
        .iter()
        .filter(|p| p.text == "{events}")
        .flat_map(|p| conditions(p, scope, span))
    {
        let _ = writeln!(sql, "    and {condition}");
    }
    sql
}

/// Returns the SQL of a question.
pub(crate) fn sql(
    question: &ReadyQuestion,
    scope: &ParsedScope,
    span: TimeSpan,
    contents: RecordingContents,
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
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::cli::Scope;

    fn scope(containers: &[&str]) -> ParsedScope {
        ParsedScope::parse(&Scope {
            containers: containers.iter().map(|c| c.to_string()).collect(),
            since: Some("2026-11-21 03:10".into()),
            until: Some("2026-11-21 03:20".into()),
            limit: Some(3),
            ..Scope::default()
        })
        .unwrap()
    }

    #[test]
    fn every_placeholder_is_replaced() {
        for question in QUESTIONS {
            for bits in 0..16 {
                let contents = RecordingContents {
                    only_counts: bits & 1 > 0,
                    several_hosts: bits & 2 > 0,
                    same_names: bits & 4 > 0,
                    tells_setup: bits & 8 > 0,
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
