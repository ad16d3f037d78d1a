//! The scope of a question, containers and a time window, as conditions on rows.

use chrono::{DateTime, Utc};

use crate::cli::Scope;
use crate::questions::buckets::TimeBuckets;
use crate::questions::conditions::{RecordingContents, literal, not_setup};
use crate::source::{GivenTime, TimeSpan, WindowEnd, clamped_ns, parse_time, resolve_time};

/// A [`Scope`] with parsed times.
#[derive(Debug)]
pub(crate) struct ParsedScope {
    containers: Vec<String>,
    /// The id of the only container; `None`: as `containers` says.
    container_id: Option<String>,
    pods: Vec<String>,
    namespaces: Vec<String>,
    labels: Vec<String>,
    pub(crate) since: Option<GivenTime>,
    pub(crate) until: Option<GivenTime>,
    /// A condition in SQL for the events.
    rows: Option<String>,
    pub(super) limit: Option<u64>,
    /// True if routine rows are listed one by one too.
    pub(super) all: bool,
    /// True if the set-up of containers by their runtime is part of the answer.
    pub(crate) setup: bool,
    /// The buckets by which the answer counts, in a column `bucket`; `None`: the answer has no such column.
    pub(crate) buckets: Option<TimeBuckets>,
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
            container_id: None,
            pods: scope.pods.clone(),
            namespaces: scope.namespaces.clone(),
            labels: scope.labels.clone(),
            since: time(&scope.since).map_err(|e| format!("--since: {e}"))?,
            until: time(&scope.until).map_err(|e| format!("--until: {e}"))?,
            rows: None,
            limit: scope.limit,
            all: scope.all,
            setup: scope.setup,
            buckets: None,
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

    /// Returns the scope of the container whose id is `id`, from `since` to `until` unless the scope has a time window.
    pub(crate) fn of_container(
        self,
        id: &str,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> ParsedScope {
        let has_window = self.since.or(self.until).is_some();
        let window = |time| Some(GivenTime::Instant(time)).filter(|_| !has_window);
        ParsedScope {
            containers: vec![],
            container_id: Some(id.to_string()),
            since: self.since.or(window(since)),
            until: self.until.or(window(until)),
            ..self
        }
    }

    /// Returns the scope of those of the events that pass a condition in SQL.
    pub(crate) fn with_rows(self, rows: Option<String>) -> ParsedScope {
        ParsedScope { rows, ..self }
    }

    /// Returns the condition for the rows of the answer: without set-up by the container runtime, unless it is wanted.
    pub(crate) fn not_setup(&self, contents: &RecordingContents) -> &'static str {
        match self.setup {
            true => "true",
            false => not_setup(contents),
        }
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

    /// Returns the condition for the rows of the containers of the scope, at any time; `None`: of all rows. `described` are the
    /// ids of the containers that have what `--pod`, `--namespace` and `--label` say, if these options are given.
    pub(crate) fn containers_condition(&self, described: Option<&[String]>) -> Option<String> {
        let mut conditions = vec![];
        if !self.containers.is_empty() {
            conditions.push(format!("({})", container_condition(&self.containers)));
        }
        if let Some(ids) = described {
            let ids: Vec<_> = ids.iter().map(|id| literal(id)).collect();
            conditions.push(format!("container_id in ({})", ids.join(", ")));
        }
        (!conditions.is_empty()).then(|| conditions.join(" and "))
    }

    /// Returns the first and the last instant of the scope in the recordings, ns since 1970 UTC.
    pub(crate) fn window(&self, span: TimeSpan) -> (i64, i64) {
        let (start, end) = (clamped_ns(span.start), clamped_ns(span.end));
        let resolved = |time: Option<GivenTime>, end| {
            time.map(|time| clamped_ns(resolve_time(time, end, span)))
        };
        let since = resolved(self.since, WindowEnd::Since);
        let until = resolved(self.until, WindowEnd::Until);
        (
            since.map_or(start, |since| since.max(start)),
            until.map_or(end, |until| until.min(end)),
        )
    }

    /// Returns the conditions for the events of the scope in the recordings.
    pub(super) fn event_conditions(&self, span: TimeSpan) -> Vec<String> {
        let events = PLACEHOLDERS.iter().filter(|p| p.text == "{events}");
        events.flat_map(|p| conditions(p, self, span)).collect()
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
pub(super) struct Placeholder {
    /// The line in the template.
    pub(super) text: &'static str,
    /// The column that must not be before `--since`, and the one that must not be after `--until`; `None`: at any time.
    times: Option<(&'static str, &'static str)>,
    /// Columns with the name and the id of a container. A row matches if any pair matches.
    containers: &'static [(&'static str, &'static str)],
    /// A condition for rows without an end, which match any `--since`.
    open: Option<&'static str>,
}

const CONTAINER: &[(&str, &str)] = &[("container", "container_id")];
pub(super) const PLACEHOLDERS: &[Placeholder] = &[
    // Rows with one time.
    Placeholder {
        text: "{events}",
        times: Some(("time", "time")),
        containers: CONTAINER,
        open: None,
    },
    // Rows about a container as a whole.
    Placeholder {
        text: "{container}",
        times: None,
        containers: CONTAINER,
        open: None,
    },
    // Rows with a span, which must overlap the window.
    Placeholder {
        text: "{spans}",
        times: Some(("last_seen", "first_seen")),
        containers: CONTAINER,
        open: None,
    },
    Placeholder {
        text: "{links}",
        times: Some(("last_seen", "first_seen")),
        containers: &[("source", "source_id"), ("target", "target_id")],
        open: None,
    },
    Placeholder {
        text: "{lives}",
        times: Some(("exited", "first_seen")),
        containers: CONTAINER,
        open: Some("exited is null"),
    },
    // A loss without a container may belong to any container.
    Placeholder {
        text: "{gaps}",
        times: Some((
            "to_timestamp_nanos(cast(time as bigint) + coalesce(duration, 0))",
            "time",
        )),
        containers: CONTAINER,
        open: None,
    },
];

/// Returns the conditions of a placeholder.
pub(super) fn conditions(
    placeholder: &Placeholder,
    scope: &ParsedScope,
    span: TimeSpan,
) -> Vec<String> {
    let mut conditions = Vec::new();
    if let (Some(since), Some((last, _))) = (scope.since, placeholder.times) {
        let since = timestamp(resolve_time(since, WindowEnd::Since, span));
        conditions.push(match placeholder.open {
            Some(open) => format!("({open} or {last} >= {since})"),
            None => format!("{last} >= {since}"),
        });
    }
    if let (Some(until), Some((_, first))) = (scope.until, placeholder.times) {
        let until = timestamp(resolve_time(until, WindowEnd::Until, span));
        conditions.push(format!("{first} <= {until}"));
    }
    let mut any = Vec::new();
    for (name, id) in placeholder.containers {
        let containers = scope.containers.iter();
        any.extend(containers.flat_map(|wanted| container_conditions(wanted, name, id)));
        let exact = scope.container_id.as_ref();
        any.extend(exact.map(|wanted| format!("{id} = {}", literal(wanted))));
    }
    if !any.is_empty() && placeholder.text == "{gaps}" {
        any.push("container is null".into());
    }
    if !any.is_empty() {
        conditions.push(format!("({})", any.join(" or ")));
    }
    if let (Some(rows), "{events}") = (&scope.rows, placeholder.text) {
        conditions.push(format!("({rows})"));
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

#[cfg(test)]
pub(super) mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// Creates a scope of containers with a time window and a limit.
    pub(in crate::questions) fn scope(containers: &[&str]) -> ParsedScope {
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
