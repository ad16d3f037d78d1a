//! Ready questions: SQL templates with conditions for containers and a time window.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use crate::cli::Scope;
use crate::source::{GivenTime, TimeSpan, WindowEnd, clamped_ns, parse_time, resolve_time};

/// A ready question.
#[derive(Debug)]
pub(crate) struct ReadyQuestion {
    /// The name of the subcommand.
    pub(crate) name: &'static str,
    /// The query. Lines with a name in braces are placeholders: `{limit}`, those of [`INCLUDES`], and those of
    /// [`PLACEHOLDERS`]. `{failed}` and `{not_runc}` within lines are [`FAILED_CALL`] and [`NOT_RUNC`]. `{host}`, also as
    /// `{c.host}`, is one more column, which only recordings of several hosts need, `{name}` the name of a container,
    /// `{rank}` and `{routine}` are [`FAILURE_RANK`] and [`FAILURE_ROUTINE`], and `{all}` the value of `--all`.
    template: &'static str,
    /// The query of recordings of counts (`ctrace-rec --mode counts`); `None`: they cannot answer the question.
    counts_template: Option<&'static str>,
}

/// Common table expressions of several queries, and their placeholders.
const INCLUDES: &[(&str, &str)] = &[
    // The metadata of the recordings, over another expression, `scope`.
    ("{recording}", include_str!("sql/recording.sql")),
    // Failed calls by their subject, with a name for routine ones.
    ("{failures}", include_str!("sql/failures.sql")),
    // Questions to name servers by their outcome, with a name for routine failures.
    ("{lookups}", include_str!("sql/lookups.sql")),
];

macro_rules! not_runc {
    () => {
        "coalesce(comm, '') not like 'runc:[%'"
    };
}

/// A condition that excludes the calls of runc while it sets a container up.
const NOT_RUNC: &str = not_runc!();

/// The condition for a failed call, as in the ready question `errors`.
pub(crate) const FAILED_CALL: &str = concat!(
    "kind = 'syscall' and error not in ('EAGAIN', 'EINPROGRESS') and error not like 'ERESTART%'\n    and ",
    not_runc!()
);

/// The rank of a failed call: disks, connections and rights first, then missing files, then all others.
const FAILURE_RANK: &str = "case
        when error in ('EACCES', 'ECONNREFUSED', 'ECONNRESET', 'EDQUOT', 'EHOSTUNREACH', 'EIO', 'EMFILE', 'ENETUNREACH',
            'ENFILE', 'ENOMEM', 'ENOSPC', 'EPERM', 'EROFS', 'ETIMEDOUT') then 1
        when error in ('ENOENT', 'ENOEXEC', 'ENOTDIR', 'ELOOP') then 2
        else 3
    end";

/// The name of a failure that is part of normal work, as its call and its error tell, or null.
const FAILURE_ROUTINE: &str = "case
        when syscall = 'ioctl' and error = 'ENOTTY' then 'no terminal'
        when error = 'ECHILD' then 'no child left'
        when error = 'ESPIPE' then 'not seekable'
        when error = 'ETIMEDOUT' and class <> 'network' then 'end of a wait'
    end";

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
    question!("containers", counts),
    question!("syscalls", counts),
    question!("strace"),
    question!("files"),
    question!("peers"),
    question!("links"),
    question!("dns"),
    question!("processes"),
    question!("errors", counts),
    question!("denied"),
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

/// A [`Scope`] with parsed times.
#[derive(Debug)]
pub(crate) struct ParsedScope {
    containers: Vec<String>,
    pods: Vec<String>,
    namespaces: Vec<String>,
    labels: Vec<String>,
    pub(crate) since: Option<GivenTime>,
    pub(crate) until: Option<GivenTime>,
    limit: Option<u64>,
    /// True if routine rows are listed one by one too.
    all: bool,
}

impl ParsedScope {
    /// Parses the times of a scope.
    ///
    /// # Errors
    /// A time cannot be parsed.
    pub(crate) fn parse(scope: &Scope) -> Result<Self, String> {
        let time = |text: &Option<String>| text.as_deref().map(parse_time).transpose();
        Ok(ParsedScope {
            containers: scope.containers.clone(),
            pods: scope.pods.clone(),
            namespaces: scope.namespaces.clone(),
            labels: scope.labels.clone(),
            since: time(&scope.since).map_err(|e| format!("--since: {e}"))?,
            until: time(&scope.until).map_err(|e| format!("--until: {e}"))?,
            limit: scope.limit,
            all: scope.all,
        })
    }

    /// Checks that the time window is not empty.
    ///
    /// # Errors
    /// `--until` is before `--since`.
    pub(crate) fn check_window(&self, span: TimeSpan) -> Result<(), String> {
        let (Some(since), Some(until)) = (self.since, self.until) else {
            return Ok(());
        };
        let since = resolve_time(since, WindowEnd::Since, span);
        let until = resolve_time(until, WindowEnd::Until, span);
        match until < since {
            true => Err(format!(
                "--until ({}) is before --since ({}): swap them",
                to_second(until),
                to_second(since)
            )),
            false => Ok(()),
        }
    }

    /// Returns the warning for a time window without any part of the recording.
    pub(crate) fn outside_warning(&self, span: TimeSpan) -> Option<String> {
        let resolved =
            |time: Option<GivenTime>, end| time.map(|time| resolve_time(time, end, span));
        let before = resolved(self.until, WindowEnd::Until).is_some_and(|until| until < span.start);
        let after = resolved(self.since, WindowEnd::Since).is_some_and(|since| since > span.end);
        (before || after).then(|| {
            let (start, end) = (to_second(span.start), to_second(span.end));
            format!("the recording covers {start} to {end} UTC, and nothing in the given time")
        })
    }

    pub(crate) fn containers(&self) -> &[String] {
        &self.containers
    }

    /// Returns the conditions of `--pod`, `--namespace` and `--label` on a row of the view `containers`: for each, the flag,
    /// its values, and the condition.
    pub(crate) fn descriptions(&self) -> Vec<(&'static str, String, String)> {
        let any = |column: &str, patterns: &[String]| {
            let conditions = patterns.iter().map(|p| pattern_condition(p, column));
            format!("({})", conditions.collect::<Vec<_>>().join(" or "))
        };
        let all = |labels: &[String]| {
            let conditions = labels.iter().map(|label| label_condition(label));
            conditions.collect::<Vec<_>>().join(" and ")
        };
        let given = [
            ("pod", &self.pods, any("pod", &self.pods)),
            (
                "namespace",
                &self.namespaces,
                any("namespace", &self.namespaces),
            ),
            ("label", &self.labels, all(&self.labels)),
        ];
        let given = given
            .into_iter()
            .filter(|(_, values, _)| !values.is_empty());
        given
            .map(|(flag, values, condition)| (flag, values.join(","), condition))
            .collect()
    }

    /// Returns the condition that the container whose id is in the column `id` has what `--pod`, `--namespace` and `--label`
    /// say; `None`: these options are not given.
    pub(crate) fn described(&self, id: &str) -> Option<String> {
        let conditions = self.descriptions().into_iter();
        let conditions: Vec<_> = conditions.map(|(_, _, condition)| condition).collect();
        let all = conditions.join(" and ");
        let select = format!("{id} in (select container_id from containers where {all})");
        (!conditions.is_empty()).then_some(select)
    }

    /// Returns whether a time is relative to the span of the recordings.
    pub(crate) fn needs_span(&self) -> bool {
        let relative =
            |time: &Option<GivenTime>| !matches!(time, None | Some(GivenTime::Instant(_)));
        relative(&self.since) || relative(&self.until)
    }
}

fn to_second(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A placeholder of the templates, which becomes conditions on the time and the containers of rows.
struct Placeholder {
    /// The line in the template.
    text: &'static str,
    /// The column that must not be before `--since`.
    last: &'static str,
    /// The column that must not be after `--until`.
    first: &'static str,
    /// Columns with the name and the id of a container. A row matches if any pair matches.
    containers: &'static [(&'static str, &'static str)],
    /// A condition for rows without an end, which match any `--since`.
    open: Option<&'static str>,
}

const CONTAINER: &[(&str, &str)] = &[("container", "container_id")];
const PLACEHOLDERS: &[Placeholder] = &[
    // Rows with one time.
    Placeholder {
        text: "{events}",
        last: "time",
        first: "time",
        containers: CONTAINER,
        open: None,
    },
    // Rows with a span, which must overlap the window.
    Placeholder {
        text: "{spans}",
        last: "last_seen",
        first: "first_seen",
        containers: CONTAINER,
        open: None,
    },
    Placeholder {
        text: "{links}",
        last: "last_seen",
        first: "first_seen",
        containers: &[("source", "source_id"), ("target", "target_id")],
        open: None,
    },
    Placeholder {
        text: "{lives}",
        last: "exited",
        first: "first_seen",
        containers: CONTAINER,
        open: Some("exited is null"),
    },
    // A loss without a container may belong to any container.
    Placeholder {
        text: "{gaps}",
        last: "to_timestamp_nanos(cast(time as bigint) + coalesce(duration, 0))",
        first: "time",
        containers: CONTAINER,
        open: None,
    },
];

impl ReadyQuestion {
    /// Returns whether recordings of counts can answer the question.
    pub(crate) fn supports_counts(&self) -> bool {
        // Rows about gaps and containers are the same in both kinds of recordings.
        self.counts_template.is_some() || ["gaps", "powers"].contains(&self.name)
    }
}

/// Facts about the recordings that the SQL of a ready question depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordingContents {
    /// True if all recordings are recordings of counts.
    pub(crate) only_counts: bool,
    /// True if the recordings have events of more than one host.
    pub(crate) several_hosts: bool,
}

/// Replaces the placeholders within a line.
fn replaced(line: &str, several_hosts: bool, all: bool) -> String {
    let name = match several_hosts {
        true => "host || '/' || coalesce(container, '?')",
        false => "coalesce(container, '?')",
    };
    let mut line = line
        .replace("{failed}", FAILED_CALL)
        .replace("{not_runc}", NOT_RUNC)
        .replace("{rank}", FAILURE_RANK)
        .replace("{routine}", FAILURE_ROUTINE)
        .replace("{name}", name)
        .replace("{all}", if all { "true" } else { "false" });
    for column in ["host", "c.host", "p.host", "source_host, target_host"] {
        let more = match several_hosts {
            true => format!(", {column}"),
            false => String::new(),
        };
        line = line.replace(&format!("{{{column}}}"), &more);
    }
    line
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
            let _ = writeln!(sql, "{}", replaced(line, contents.several_hosts, scope.all));
        }
    }
    sql
}

fn conditions(placeholder: &Placeholder, scope: &ParsedScope, span: TimeSpan) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(since) = scope.since {
        let since = timestamp(resolve_time(since, WindowEnd::Since, span));
        conditions.push(match placeholder.open {
            Some(open) => format!("({open} or {} >= {since})", placeholder.last),
            None => format!("{} >= {since}", placeholder.last),
        });
    }
    if let Some(until) = scope.until {
        let until = timestamp(resolve_time(until, WindowEnd::Until, span));
        conditions.push(format!("{} <= {until}", placeholder.first));
    }
    let mut any = Vec::new();
    for (name, id) in placeholder.containers {
        let containers = scope.containers.iter();
        any.extend(containers.flat_map(|wanted| container_conditions(wanted, name, id)));
    }
    if !any.is_empty() && placeholder.text == "{gaps}" {
        any.push("container is null".into());
    }
    if !any.is_empty() {
        conditions.push(format!("({})", any.join(" or ")));
    }
    let ids = placeholder.containers.iter().map(|(_, id)| *id);
    let mut any: Vec<_> = ids.filter_map(|id| scope.described(id)).collect();
    if !any.is_empty() {
        if placeholder.text == "{gaps}" {
            any.push("container is null".into());
        }
        conditions.push(format!("({})", any.join(" or ")));
    }
    conditions
}

/// Returns the condition that a column is a text, or matches a pattern.
fn pattern_condition(wanted: &str, column: &str) -> String {
    match wanted.contains(['*', '?']) {
        true => like_condition(wanted, column),
        false => format!("{column} = {}", literal(wanted)),
    }
}

/// Returns the condition that the labels, a JSON object, have a label: `KEY=VALUE`, or `KEY` for any value.
fn label_condition(wanted: &str) -> String {
    let json = |text: &str| serde_json::json!(text).to_string();
    let text = match wanted.split_once('=') {
        Some((key, value)) => format!("{}:{}", json(key), json(value)),
        None => format!("{}:", json(wanted)),
    };
    format!("strpos(labels, {}) > 0", literal(&text))
}

/// Returns the literal of a time. Times that 64 bits cannot express become the first or the last one that they can.
fn timestamp(time: DateTime<Utc>) -> String {
    let time = DateTime::from_timestamp_nanos(clamped_ns(time));
    format!("timestamp '{}'", time.format("%Y-%m-%d %H:%M:%S%.9f"))
}

/// Returns conditions on the columns `name` and `id`: a pattern, or a name, which may also be the first digits of an id.
fn container_conditions(wanted: &str, name: &str, id: &str) -> Vec<String> {
    if wanted.contains(['*', '?']) {
        return vec![like_condition(wanted, name)];
    }
    let mut conditions = vec![format!("{name} = {}", literal(wanted))];
    // Fewer digits are more likely a name.
    if wanted.len() >= 4 && wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        conditions.push(format!(
            "{id} like {}",
            literal(&format!("{}%", wanted.to_lowercase()))
        ));
    }
    conditions
}

/// Returns the condition that a column matches a pattern with `*` and `?`.
fn like_condition(wanted: &str, column: &str) -> String {
    let mut like = String::new();
    for c in wanted.chars() {
        match c {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '\\' => like.extend(['\\', c]),
            c => like.push(c),
        }
    }
    let escape = if like.contains('\\') {
        r" escape '\'"
    } else {
        ""
    };
    format!("{column} like {}{escape}", literal(&like))
}

/// Returns a condition for the rows of any of some containers.
pub(crate) fn container_condition(wanted: &[String]) -> String {
    let conditions = wanted
        .iter()
        .flat_map(|wanted| container_conditions(wanted, "container", "container_id"));
    conditions.collect::<Vec<_>>().join(" or ")
}

/// Returns a condition that excludes the calls of a container runtime while it sets a container up.
pub(crate) fn not_runtime_condition() -> &'static str {
    "coalesce(comm, '') not like 'runc:[%' and coalesce(comm, '') not in ('runc', 'crun')\n    \
     and coalesce(exe, '') not like '%/runc' and coalesce(exe, '') not like '%/crun'"
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

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
            for (only_counts, several_hosts) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let contents = RecordingContents {
                    only_counts,
                    several_hosts,
                };
                let sql = sql(question, &scope(&["web"]), TimeSpan::EPOCH, contents);
                assert!(!sql.contains('{'), "{}: {sql}", question.name);
                assert!(
                    sql.contains("2026-11-21 03:10") && sql.contains("limit 3"),
                    "{sql}"
                );
                assert!(sql.contains("= 'web'"), "{sql}");
            }
        }
    }

    #[test]
    fn a_window_that_ends_before_its_start_is_an_error() {
        let mut wanted = scope(&[]);
        assert_eq!(wanted.check_window(TimeSpan::EPOCH), Ok(()));
        std::mem::swap(&mut wanted.since, &mut wanted.until);
        let error = wanted.check_window(TimeSpan::EPOCH).unwrap_err();
        assert!(
            error.contains("03:10:00) is before --since (2026-11-21 03:20:00)"),
            "{error}"
        );
    }

    #[test]
    fn a_window_outside_the_recording_gets_a_warning() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let warning = |start, end| {
            let (start, end) = (at(start), at(end));
            scope(&[]).outside_warning(TimeSpan { start, end })
        };
        assert_eq!(
            warning("2026-11-21T03:00:00Z", "2026-11-21T03:10:00Z"),
            None
        );
        assert_eq!(
            warning("2026-11-21T03:20:00Z", "2026-11-21T04:00:00Z"),
            None
        );
        assert!(warning("2026-11-21T03:00:00Z", "2026-11-21T03:09:00Z").is_some());
        assert!(warning("2026-11-21T03:21:00Z", "2026-11-21T04:00:00Z").is_some());
    }

    #[test]
    fn containers_are_selected_by_pod_namespace_and_label() {
        let scope = ParsedScope::parse(&Scope {
            pods: vec!["pay-*".into(), "web".into()],
            namespaces: vec!["shop".into()],
            labels: vec!["tier=o'neil".into(), "team".into()],
            ..Scope::default()
        })
        .unwrap();
        let links = PLACEHOLDERS.iter().find(|p| p.text == "{links}").unwrap();
        let described = "(pod like 'pay-%' or pod = 'web') and (namespace = 'shop') \
                         and strpos(labels, '\"tier\":\"o''neil\"') > 0 and strpos(labels, '\"team\":') > 0";
        let select = format!("in (select container_id from containers where {described})");
        assert_eq!(
            conditions(links, &scope, TimeSpan::EPOCH),
            [format!("(source_id {select} or target_id {select})")]
        );
    }

    #[test]
    fn containers_are_selected_by_name_id_and_pattern() {
        assert_eq!(container_conditions("web", "c", "i"), ["c = 'web'"]);
        assert_eq!(
            container_conditions("4F5b", "c", "i"),
            ["c = '4F5b'", "i like '4f5b%'"]
        );
        assert_eq!(container_conditions("db", "c", "i"), ["c = 'db'"]);
        assert_eq!(
            container_conditions("pay*_?", "c", "i"),
            [r"c like 'pay%\__' escape '\'"]
        );
        assert_eq!(container_conditions("o'neil", "c", "i"), ["c = 'o''neil'"]);
    }
}
