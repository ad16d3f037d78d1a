//! Ready questions: SQL that is written already, narrowed to containers and a time.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use crate::cli::{Ask, Command, Scope};
use crate::questions::window::{self, Bound, Given, Span};

/// A ready question.
#[derive(Debug)]
pub struct Question {
    /// Its name on the command line.
    pub name: &'static str,
    /// The query. `{limit}` stands for the limit, `{recording}` for [`RECORDING`], the other names in braces for what
    /// [`Filter`] says.
    template: &'static str,
    /// The query over recordings of counts (`ctrace-rec --mode counts`); none: they cannot answer it.
    counts: Option<&'static str>,
}

/// What recordings say of themselves, whatever they record: a common table expression over another, `scope`.
const RECORDING: &str = include_str!("questions/recording.sql");

macro_rules! question {
    ($name:literal) => {
        Question {
            name: $name,
            template: include_str!(concat!("questions/", $name, ".sql")),
            counts: None,
        }
    };
    ($name:literal, counts) => {
        Question {
            counts: Some(include_str!(concat!("questions/counts/", $name, ".sql"))),
            ..question!($name)
        }
    };
}

/// Every ready question, in the order of the help.
pub const QUESTIONS: &[Question] = &[
    question!("summary", counts),
    question!("containers", counts),
    question!("syscalls", counts),
    question!("strace"),
    question!("files"),
    question!("peers"),
    question!("links"),
    question!("processes"),
    question!("errors", counts),
    question!("denied"),
    question!("gaps"),
];

impl Command {
    /// The ready question that this is, and its options.
    pub fn ready(&self) -> Option<(&'static Question, &Ask)> {
        let (name, ask) = match self {
            Command::Summary(ask) => ("summary", ask),
            Command::Containers(ask) => ("containers", ask),
            Command::Syscalls(ask) => ("syscalls", ask),
            Command::Strace(ask) => ("strace", ask),
            Command::Files(ask) => ("files", ask),
            Command::Peers(ask) => ("peers", ask),
            Command::Links(ask) => ("links", ask),
            Command::Processes(ask) => ("processes", ask),
            Command::Errors(ask) => ("errors", ask),
            Command::Denied(ask) => ("denied", ask),
            Command::Gaps(ask) => ("gaps", ask),
            Command::Describe(_)
            | Command::Seccomp(_)
            | Command::Report(_)
            | Command::Convert(_)
            | Command::Recover(_)
            | Command::Help { .. }
            | Command::Man
            | Command::Completions { .. } => return None,
        };
        QUESTIONS.iter().find(|q| q.name == name).map(|q| (q, ask))
    }
}

/// [`Scope`] with its times read.
#[derive(Debug)]
pub struct Narrowed {
    containers: Vec<String>,
    /// From when.
    pub since: Option<Given>,
    /// Until when.
    pub until: Option<Given>,
    limit: Option<u64>,
}

impl Narrowed {
    /// # Errors
    /// A time that cannot be read.
    pub fn parse(scope: &Scope) -> Result<Self, String> {
        let time = |text: &Option<String>| text.as_deref().map(window::parse).transpose();
        Ok(Narrowed {
            containers: scope.containers.clone(),
            since: time(&scope.since).map_err(|e| format!("--since: {e}"))?,
            until: time(&scope.until).map_err(|e| format!("--until: {e}"))?,
            limit: scope.limit,
        })
    }

    /// Checks that some time lies between the two.
    ///
    /// # Errors
    /// A sentence that says that `--until` is before `--since`.
    pub fn check(&self, span: Span) -> Result<(), String> {
        let (Some(since), Some(until)) = (self.since, self.until) else {
            return Ok(());
        };
        let since = window::resolve(since, Bound::Since, span);
        let until = window::resolve(until, Bound::Until, span);
        match until < since {
            true => Err(format!(
                "--until ({}) is before --since ({}): turn them around",
                shown(until),
                shown(since)
            )),
            false => Ok(()),
        }
    }

    /// What is to be said where no part of the recording lies in that time.
    pub fn misses(&self, span: Span) -> Option<String> {
        let resolved = |given: Option<Given>, bound| given.map(|g| window::resolve(g, bound, span));
        let before = resolved(self.until, Bound::Until).is_some_and(|until| until < span.start);
        let after = resolved(self.since, Bound::Since).is_some_and(|since| since > span.end);
        (before || after).then(|| {
            let (start, end) = (shown(span.start), shown(span.end));
            format!("the recording is of {start} to {end} UTC: nothing of it lies in that time")
        })
    }

    /// The containers that were asked for.
    pub fn containers(&self) -> &[String] {
        &self.containers
    }

    /// Whether its times mean something only with the first and last instant of a recording.
    pub fn needs_span(&self) -> bool {
        let relative = |given: &Option<Given>| !matches!(given, None | Some(Given::Instant(_)));
        relative(&self.since) || relative(&self.until)
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Which rows a condition is written for.
struct Filter {
    /// Its place in the template.
    place: &'static str,
    /// A row is after `since` if this is.
    last: &'static str,
    /// A row is before `until` if this is.
    first: &'static str,
    /// Columns with the name and the id of a container; a row with any of them belongs.
    containers: &'static [(&'static str, &'static str)],
    /// What keeps a row that has no end yet.
    open: Option<&'static str>,
}

const CONTAINER: &[(&str, &str)] = &[("container", "container_id")];
const FILTERS: &[Filter] = &[
    // Rows of one instant.
    Filter {
        place: "{events}",
        last: "time",
        first: "time",
        containers: CONTAINER,
        open: None,
    },
    // Rows of a span: those that overlap the window.
    Filter {
        place: "{spans}",
        last: "last_seen",
        first: "first_seen",
        containers: CONTAINER,
        open: None,
    },
    Filter {
        place: "{links}",
        last: "last_seen",
        first: "first_seen",
        containers: &[("source", "source_id"), ("target", "target_id")],
        open: None,
    },
    Filter {
        place: "{lives}",
        last: "exited",
        first: "first_seen",
        containers: CONTAINER,
        open: Some("exited is null"),
    },
    // A loss whose container is not known may be that of any.
    Filter {
        place: "{gaps}",
        last: "to_timestamp_nanos(cast(time as bigint) + coalesce(duration, 0))",
        first: "time",
        containers: CONTAINER,
        open: None,
    },
];

impl Question {
    /// Whether recordings of counts can answer it.
    pub fn takes_counts(&self) -> bool {
        // Losses are told in the same rows.
        self.counts.is_some() || self.name == "gaps"
    }
}

/// The SQL of a question. `counts`: over recordings of counts alone.
pub fn sql(question: &Question, narrowed: &Narrowed, span: Span, counts: bool) -> String {
    let template = question
        .counts
        .filter(|_| counts)
        .unwrap_or(question.template);
    let mut sql = String::new();
    for line in template.lines() {
        let place = line.trim();
        let indent = &line[..line.len() - line.trim_start().len()];
        if place == "{limit}" {
            if let Some(limit) = narrowed.limit {
                let _ = writeln!(sql, "limit {limit}");
            }
        } else if place == "{recording}" {
            sql += RECORDING;
        } else if let Some(filter) = FILTERS.iter().find(|f| f.place == place) {
            for condition in conditions(filter, narrowed, span) {
                let _ = writeln!(sql, "{indent}and {condition}");
            }
        } else {
            let _ = writeln!(sql, "{line}");
        }
    }
    sql
}

fn conditions(filter: &Filter, narrowed: &Narrowed, span: Span) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(since) = narrowed.since {
        let since = timestamp(window::resolve(since, Bound::Since, span));
        conditions.push(match filter.open {
            Some(open) => format!("({open} or {} >= {since})", filter.last),
            None => format!("{} >= {since}", filter.last),
        });
    }
    if let Some(until) = narrowed.until {
        let until = timestamp(window::resolve(until, Bound::Until, span));
        conditions.push(format!("{} <= {until}", filter.first));
    }
    let mut any = Vec::new();
    for (name, id) in filter.containers {
        any.extend(
            narrowed
                .containers
                .iter()
                .flat_map(|c| container(c, name, id)),
        );
    }
    if !any.is_empty() && filter.place == "{gaps}" {
        any.push("container is null".into());
    }
    if !any.is_empty() {
        conditions.push(format!("({})", any.join(" or ")));
    }
    conditions
}

fn timestamp(time: DateTime<Utc>) -> String {
    format!("timestamp '{}'", time.format("%Y-%m-%d %H:%M:%S%.9f"))
}

/// `wanted` as conditions on the columns `name` and `id`: a pattern, else a name, and an id as well if it can be one.
fn container(wanted: &str, name: &str, id: &str) -> Vec<String> {
    if wanted.contains(['*', '?']) {
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
        return vec![format!("{name} like {}{escape}", literal(&like))];
    }
    let mut conditions = vec![format!("{name} = {}", literal(wanted))];
    // Fewer digits than docker prints on its own are as likely a name.
    if wanted.len() >= 4 && wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        conditions.push(format!(
            "{id} like {}",
            literal(&format!("{}%", wanted.to_lowercase()))
        ));
    }
    conditions
}

/// A condition that is true of the rows of any of these containers.
pub fn container_is(wanted: &[String]) -> String {
    let conditions = wanted
        .iter()
        .flat_map(|wanted| container(wanted, "container", "container_id"));
    conditions.collect::<Vec<_>>().join(" or ")
}

/// A condition that is false of what a runtime does while it sets a container up.
pub fn runtime_comms() -> &'static str {
    "coalesce(comm, '') not like 'runc:[%' and coalesce(comm, '') not in ('runc', 'crun')\n    \
     and coalesce(exe, '') not like '%/runc' and coalesce(exe, '') not like '%/crun'"
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn narrowed(containers: &[&str]) -> Narrowed {
        Narrowed::parse(&Scope {
            containers: containers.iter().map(|c| c.to_string()).collect(),
            since: Some("2026-11-21 03:10".into()),
            until: Some("2026-11-21 03:20".into()),
            limit: Some(3),
        })
        .unwrap()
    }

    fn span() -> Span {
        Span {
            start: DateTime::UNIX_EPOCH,
            end: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn every_place_is_filled() {
        for question in QUESTIONS {
            for counts in [false, true] {
                let sql = sql(question, &narrowed(&["web"]), span(), counts);
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
    fn a_time_that_ends_before_it_begins_is_none() {
        let mut wanted = narrowed(&[]);
        assert_eq!(wanted.check(span()), Ok(()));
        std::mem::swap(&mut wanted.since, &mut wanted.until);
        let said = wanted.check(span()).unwrap_err();
        assert!(
            said.contains("03:10:00) is before --since (2026-11-21 03:20:00)"),
            "{said}"
        );
    }

    #[test]
    fn a_time_may_miss_the_recording() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let of = |start, end| {
            let (start, end) = (at(start), at(end));
            narrowed(&[]).misses(Span { start, end })
        };
        assert_eq!(of("2026-11-21T03:00:00Z", "2026-11-21T03:10:00Z"), None);
        assert_eq!(of("2026-11-21T03:20:00Z", "2026-11-21T04:00:00Z"), None);
        assert!(of("2026-11-21T03:00:00Z", "2026-11-21T03:09:00Z").is_some());
        assert!(of("2026-11-21T03:21:00Z", "2026-11-21T04:00:00Z").is_some());
    }

    #[test]
    fn containers_by_name_id_and_pattern() {
        assert_eq!(container("web", "c", "i"), ["c = 'web'"]);
        assert_eq!(
            container("4F5b", "c", "i"),
            ["c = '4F5b'", "i like '4f5b%'"]
        );
        assert_eq!(container("db", "c", "i"), ["c = 'db'"]);
        assert_eq!(
            container("pay*_?", "c", "i"),
            [r"c like 'pay%\__' escape '\'"]
        );
        assert_eq!(container("o'neil", "c", "i"), ["c = 'o''neil'"]);
    }
}
