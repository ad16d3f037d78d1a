//! Statements, times and types that are refused, with a sentence that says what to write instead.

use crate::ask;
use crate::statements::{calls, rows};

#[test]
fn clauses_that_would_be_ignored_are_refused() {
    let dir = calls();
    for (sql, clause) in [
        ("select 1 from events tablesample (10)", "tablesample"),
        (
            "select 1 from (select 1) as t tablesample bernoulli (10)",
            "tablesample",
        ),
        (
            "select 1 from events start with pid = 1 connect by prior pid = ppid",
            "connect by",
        ),
        ("select pid from events for update", "for update"),
        ("select count(distinct *) from events", "count(distinct *)"),
        ("select top 3 pid from events", "top"),
        ("select pid into other from events", "into"),
        ("select pid from events sort by pid", "sort by"),
        ("select pid from events cluster by pid", "cluster by"),
        ("select pid from events distribute by pid", "distribute by"),
        (
            "select pid from events order by pid fetch first 3 rows with ties",
            "with ties",
        ),
        (
            "select pid from events fetch first 10 percent rows only",
            "percent",
        ),
        (
            "select pid from events limit (select 2)",
            "limit (select ...)",
        ),
        ("select pid from events settings a = 1", "settings"),
        ("select pid from events format json", "format"),
        ("select upper(distinct comm) from events", "distinct"),
        ("select upper(comm) over () from events", "over"),
        (
            "select upper(comm) filter (where pid = 1) from events",
            "filter",
        ),
        (
            "select array_agg(pid order by bytes) over () from events",
            "order by",
        ),
        ("select pid from events group by ()", "group by ()"),
        (
            "select pid, count(*) from events group by grouping sets (rollup (pid))",
            "grouping sets (rollup ...)",
        ),
        (
            "select pid, count(*) from events group by pid with rollup",
            "group by ... with",
        ),
        (
            "select 1 from events a semi join events b using (pid)",
            "semi join",
        ),
        ("select comm collate \"C\" from events", "collate"),
        (
            "select 1 from events where comm like any ('a', 'b')",
            "like any",
        ),
        (
            "select * from events pivot (count(*) for error in ('ENOENT'))",
            "pivot",
        ),
        (
            "select * from events unpivot (v for n in (pid, tid))",
            "unpivot",
        ),
        (
            "select * from events lateral view explode(args) t as x",
            "lateral view",
        ),
        ("select time at time zone comm from events", "at time zone"),
    ] {
        let said = ask(dir.path(), &[sql]);
        assert!(said.starts_with("exit code 2"), "{sql}\n{said}");
        let want = format!("`{clause}` is not supported: ");
        assert!(said.contains(&want), "{sql}\n{said}");
    }
}

#[test]
fn fetch_is_limit() {
    let dir = calls();
    for (sql, want) in [
        (
            "select bytes from events order by bytes fetch first 2 rows only",
            "0; 1",
        ),
        (
            "select bytes from events order by bytes fetch next row only",
            "0",
        ),
        (
            "select bytes from events order by bytes offset 3 rows fetch next 2 rows only",
            "3; 4",
        ),
    ] {
        assert_eq!(rows(dir.path(), sql), want, "{sql}");
    }
}

#[test]
fn messages_show_no_syntax_trees() {
    let dir = calls();
    for (sql, want) in [
        (
            "select count(*) from events where comm similar to '('",
            "not a regular expression",
        ),
        (
            "select count(*) from events where comm ~ '['",
            "not a regular expression",
        ),
        ("select regexp_like('a', '(')", "not a regular expression"),
        (
            "select bool_or(compat) over (order by bytes rows 1 preceding) from events",
            "frames that begin after the first row",
        ),
        (
            "select (select max(e.bytes) from events e where e.bytes < events.bytes) as before from events",
            "with `=` only",
        ),
    ] {
        let said = ask(dir.path(), &[sql]);
        assert!(said.starts_with("exit code 2"), "{sql}\n{said}");
        assert!(said.contains(want), "{sql}\n{said}");
        assert!(!said.contains("Ident {"), "{sql}\n{said}");
    }
}

#[test]
fn times_beyond_text_are_an_error_before_anything_is_written() {
    let dir = calls();
    for format in ["table", "csv", "json", "ndjson", "vertical"] {
        for (sql, want) in [
            (
                "select from_unixtime(99999999999999) as t",
                "the column `t` has a time beyond the years",
            ),
            (
                "select time at time zone 'Mars/X' as t from events",
                "Mars/X",
            ),
        ] {
            let said = ask(dir.path(), &["--format", format, sql]);
            assert!(
                said.starts_with("exit code 2\n--- stderr"),
                "{format}: {said}"
            );
            assert!(
                said.contains(want) || said.contains("unknown time zone"),
                "{format}: {said}"
            );
        }
    }
}

#[test]
fn parquet_has_no_intervals() {
    let dir = calls();
    let said = ask(
        dir.path(),
        &["--format", "parquet", "select interval '1 day' as span"],
    );
    assert!(said.starts_with("exit code 2"), "{said}");
    assert!(
        said.contains("cast the column `span` to text, or to a number"),
        "{said}"
    );
}

#[test]
fn a_statement_may_begin_with_a_comment() {
    let dir = calls();
    for sql in ["-- a comment\nselect 1 as one", "--\nselect 1 as one"] {
        assert_eq!(rows(dir.path(), sql), "1", "{sql}");
    }
}
