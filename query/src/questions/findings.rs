//! The SQL that finds what rules describe: common table expressions for any number of rules, which read the events once.

use std::collections::BTreeSet;
use std::fmt::Write;

use ctrace_rules::{Level, Rule, RuleSet};

use crate::questions::any_of::any_of;
use crate::questions::conditions::{RecordingContents, literal};
use crate::questions::scope::ParsedScope;
use crate::source::TimeSpan;

/// The subject of an event, for rules without `subject`.
const SUBJECT: &str = "coalesce(argv, path, peer_addr || coalesce(':' || cast(peer_port as varchar), ''), peer_path, dns_name, path_arg, syscall, comm)";

/// Returns the common table expressions of the findings, separated by commas. The last is called `findings`.
pub(super) fn findings_tables(
    rules: &RuleSet,
    scope: &ParsedScope,
    span: TimeSpan,
    contents: &RecordingContents,
) -> String {
    let events = Events {
        not_setup: scope.not_setup(contents),
        scope: scope.event_conditions(span),
    };
    let (about_events, queries): (Vec<_>, Vec<_>) =
        rules.rules().iter().partition(|rule| rule.sql.is_none());
    let mut sql = String::new();
    if !about_events.is_empty() {
        sql += &events.tested(&about_events);
        sql += &matches(&about_events);
    }
    sql += &events.hits(&about_events, &queries);
    sql += &counts(rules.rules());
    sql
}

/// Returns the SQL of one rule alone, with which an error in a rule is found.
pub(crate) fn one_rule_sql(rule: &Rule) -> String {
    let columns = HIT_COLUMNS;
    let subject = rule.subject.as_deref().unwrap_or(match rule.sql {
        Some(_) => "subject",
        None => SUBJECT,
    });
    let threshold = rule.threshold.as_ref();
    let value = threshold
        .and_then(|t| t.distinct.as_deref())
        .unwrap_or("time");
    let per = threshold.and_then(|t| t.per.as_deref()).unwrap_or("time");
    let (from, condition) = match (&rule.sql, rule.finding()) {
        (Some(sql), _) => (format!("({sql}\n)"), "true".into()),
        (None, finding) => ("events".into(), finding.unwrap_or_default()),
    };
    format!(
        "select {columns}, ({subject}\n), ({value}\n), ({per}\n)\nfrom {from}\nwhere {condition}"
    )
}

/// The columns of an event that its finding has.
const HIT_COLUMNS: &str = "time, host, container, container_id, comm, pid, exe";

/// The conditions for the events at which rules look.
struct Events {
    not_setup: &'static str,
    scope: Vec<String>,
}

impl Events {
    /// Returns the table of the events that a rule may be about, with a column for each rule that tells whether its condition is met.
    fn tested(&self, rules: &[&Rule]) -> String {
        let mut sql = String::from("rule_events as (\n    select *");
        for (n, rule) in rules.iter().enumerate() {
            let condition = rule.finding().unwrap_or_default();
            let _ = write!(
                sql,
                ",\n        -- {}\n        {condition} as is_{n}",
                rule.name
            );
        }
        let _ = write!(sql, "\n    from events\n    where {}", self.not_setup);
        for condition in &self.scope {
            let _ = write!(sql, "\n        and {condition}");
        }
        let _ = write!(sql, "\n        and ({})", candidates(rules));
        if rules.iter().all(|rule| !rule.host) {
            sql += "\n        and container_id is not null";
        }
        let _ = write!(sql, "\n        and ({})\n),\n", any_rule(rules));
        sql
    }

    /// Returns the table of the events with their rules: those that meet conditions, and the rows of queries.
    fn hits(&self, rules: &[&Rule], queries: &[&Rule]) -> String {
        let mut parts = vec![];
        if !rules.is_empty() {
            let subjects = cases(rules, |rule| rule.subject.clone());
            let keys = cases(rules, |rule| rule.threshold.as_ref()?.per.clone());
            let values = cases(rules, |rule| {
                let threshold = rule.threshold.as_ref()?;
                let distinct = threshold.distinct.clone();
                Some(distinct.unwrap_or_else(|| "seq".into()))
            });
            parts.push(format!(
                "    select rule, {HIT_COLUMNS},\n        case rule{subjects} when '' then '' else {SUBJECT} end as subject,\n        case rule{keys} when '' then '' end as per,\n        case rule{values} when '' then '' end as value\n    from rule_matches"
            ));
        }
        for rule in queries {
            let query = rule.sql.as_deref().unwrap_or_default().trim_end();
            let subject = rule.subject.as_deref().unwrap_or("subject");
            let threshold = rule.threshold.as_ref();
            let per = threshold.and_then(|t| t.per.as_deref()).unwrap_or("null");
            let value = threshold.map(|t| t.distinct.as_deref().unwrap_or("cast(time as bigint)"));
            let value = value.unwrap_or("null");
            let mut part = format!(
                "    select {} as rule, {HIT_COLUMNS}, cast(({subject}\n) as varchar) as subject,\n        cast(({per}\n) as varchar) as per, cast(({value}\n) as varchar) as value\n    from (\n{query}\n    ) where true",
                literal(&rule.name)
            );
            for condition in &self.scope {
                let _ = write!(part, " and {condition}");
            }
            parts.push(part);
        }
        format!("rule_hits as (\n{}\n),\n", parts.join("\n    union all\n"))
    }
}

/// Returns the condition for the rows at which any rule looks. The condition is short, because it is tested for each event: the
/// calls and kinds of all rules, and the conditions of those rules that look at all calls or at all rows.
fn candidates(rules: &[&Rule]) -> String {
    let is_broad = |rule: &&&Rule| {
        rule.calls.is_empty() && rule.kind.as_deref().is_none_or(|kind| kind == "syscall")
    };
    let (broad, narrow): (Vec<&&Rule>, Vec<&&Rule>) = rules.iter().partition(is_broad);
    let list = |names: BTreeSet<&str>| {
        let names: Vec<_> = names.into_iter().map(literal).collect();
        names.join(", ")
    };
    let calls: BTreeSet<&str> = narrow.iter().flat_map(|rule| rule.call_names()).collect();
    let kinds: BTreeSet<&str> = narrow
        .iter()
        .filter_map(|rule| rule.kind.as_deref())
        .collect();
    let mut any = vec![];
    for (column, names) in [("syscall", list(calls)), ("kind", list(kinds))] {
        if !names.is_empty() {
            any.push(format!("{column} in ({names})"));
        }
    }
    for rule in broad {
        let finding = rule.finding().unwrap_or_default();
        let rows = rule.rows().unwrap_or_else(|| "true".into());
        any.push(format!("{rows} and {finding}"));
    }
    any.join(" or ")
}

/// Returns the rules by the rows at which they look: the condition for the rows, and the positions of the rules.
fn groups(rules: &[&Rule]) -> Vec<(Option<String>, Vec<usize>)> {
    let mut groups: Vec<(Option<String>, Vec<usize>)> = vec![];
    for (n, rule) in rules.iter().enumerate() {
        let rows = rule.rows();
        match groups.iter_mut().find(|(other, _)| *other == rows) {
            Some((_, members)) => members.push(n),
            None => groups.push((rows, vec![n])),
        }
    }
    groups
}

/// Returns a condition that the events of each rule meet, and few others. The names of calls are compared once for all rules that
/// look at them.
fn any_rule(rules: &[&Rule]) -> String {
    let any = groups(rules).into_iter().map(|(rows, members)| {
        let findings = members.iter().filter_map(|n| rules[*n].finding());
        let findings: Vec<_> = findings.collect();
        let any = any_of(findings.iter().map(String::as_str));
        match rows {
            Some(rows) => format!("{rows} and ({any})"),
            None => format!("({any})"),
        }
    });
    any.collect::<Vec<_>>().join("\n        or ")
}

/// Returns the table of the events, one row for each rule of an event. The names of the rules are joined and split, because a list
/// has no function that only drops its nulls. An event of no rule has a row without a name, which no rule's level joins.
fn matches(rules: &[&Rule]) -> String {
    let any_host = rules.iter().any(|rule| rule.host);
    let names = rules.iter().enumerate().map(|(n, rule)| {
        let container = rule.in_container().filter(|_| any_host);
        let parts = rule.rows().into_iter().chain([format!("is_{n}")]);
        let parts: Vec<_> = parts.chain(container).collect();
        let name = literal(&rule.name);
        format!("case when {} then {name} end", parts.join(" and "))
    });
    format!(
        "rule_matches as (\n    select *, unnest(string_to_array(concat_ws(' ',\n        {}), ' ')) as rule\n    from rule_events\n),\n",
        names.collect::<Vec<_>>().join(",\n        ")
    )
}

/// Returns the branches of a `case` by rule, for rules with an expression.
fn cases(rules: &[&Rule], expression: impl Fn(&Rule) -> Option<String>) -> String {
    let mut sql = String::new();
    for rule in rules {
        if let Some(expression) = expression(rule) {
            let name = literal(&rule.name);
            let _ = write!(
                sql,
                "\n            when {name} then cast(({expression}\n) as varchar)"
            );
        }
    }
    sql
}

/// Returns the tables that count the events of each rule, container, process and subject, and compare them with the
/// thresholds. A threshold is about a container and a subject, or what it counts by, whichever processes they were.
fn counts(rules: &[Rule]) -> String {
    let levels = rules.iter().map(|rule| {
        let rank = Level::ALL
            .iter()
            .rev()
            .position(|level| *level == rule.level);
        let (least, within) = match &rule.threshold {
            Some(threshold) => (threshold.count, threshold.within.as_nanos()),
            None => (1, 1),
        };
        format!(
            "({}, {}, {}, {least}, {within}, {}, {})",
            literal(&rule.name),
            literal(rule.level.as_str()),
            rank.unwrap_or_default(),
            rule.threshold.is_some(),
            literal(&rule.description)
        )
    });
    let levels: Vec<_> = levels.collect();
    format!(
        "rule_levels as (
    select *
    from (values
        {}) as l (rule, level, rank, least, within, is_sum, description)
),
rule_values as (
    select h.rule, host, container, container_id, coalesce(per, subject) as about, value, case when is_sum then null else comm end as by_comm,
        case when is_sum then null else exe end as by_exe, min(subject) as subject, min(time) as first_time, max(time) as last_time, count(*) as events,
        first_value(comm order by time) as first_comm, first_value(pid order by time) as first_pid,
        first_value(exe order by time) as first_exe
    from rule_hits as h
    join rule_levels as l on l.rule = h.rule
    group by 1, 2, 3, 4, 5, 6, 7, 8
),
rule_windows as (
    -- Of each value, the first event counts, and those within the time before it.
    select v.*, level, rank, least, description,
        count(*) over (
            partition by v.rule, host, container_id, about, by_comm, by_exe order by cast(cast(first_time as bigint) as double) / within
            range between 1 preceding and current row) as seen
    from rule_values as v
    join rule_levels as l on l.rule = v.rule
),
findings as (
    select rule, level, rank, description, host, container, container_id, min(subject) as subject, min(first_time) as first_seen, max(last_time) as last_seen,
        first_value(first_comm order by first_time) as comm, first_value(first_pid order by first_time) as pid,
        first_value(first_exe order by first_time) as exe, sum(events) as count
    from rule_windows
    group by rule, level, rank, description, least, host, container, container_id, about, by_comm, by_exe
    having max(seen) >= least
)
",
        levels.join(",\n        ")
    )
}
