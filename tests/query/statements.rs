//! Statements that the SQL parser and DataFusion alone understand wrongly, refuse, or answer with wrapped numbers.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::ask;
use crate::support::story::{Story, footer};

/// Number of calls in [`calls`].
const CALLS: i64 = 48;

/// Writes a recording of three row groups: a quarter of the calls succeeds, and a quarter each fails with ENOENT, EBADF
/// and EAGAIN. Every fifth call has no path. `denied` is null in every sixth call, otherwise false. Durations fall by
/// 1000 ns per call, from 48,000 ns.
pub(crate) fn calls() -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut story = Story::default();
    footer(&mut story);
    for i in 0..CALLS {
        let who = json!({ "container": "web", "pid": 100 + i % 2, "tid": 100, "comm": "nginx" });
        let error = [None, Some("ENOENT"), Some("EBADF"), Some("EAGAIN")][i as usize % 4];
        let path = (i % 5 != 0).then(|| format!("/tmp/{i}"));
        let denied = (i % 6 != 0).then_some(false);
        let syscall = ["read", "openat", "close"][i as usize % 3];
        story.call(
            i,
            &who,
            syscall,
            if error.is_some() { -1 } else { i },
            json!({ "class": "file", "error": error, "path": path, "denied": denied, "compat": i % 2 == 0,
                "duration": (CALLS - i) * 1000, "bytes": i }),
        );
    }
    story.write(dir.path(), "run.parquet");
    dir
}

/// Returns the rows of an answer as CSV, without the header.
pub(crate) fn rows(dir: &Path, sql: &str) -> String {
    let answer = ask(dir, &["--format", "csv", sql]);
    let rows = answer.strip_prefix("exit code 0\n--- stdout\n");
    let rows = rows.unwrap_or_else(|| panic!("{sql}\n{answer}"));
    let (_, rows) = rows.split_once('\n').unwrap();
    rows.trim_end().replace('\n', "; ")
}

/// Checks the number of rows that pass a condition, and that it is the same without rollups.
pub(crate) fn check_counts(cases: &[(&str, i64)]) {
    let dir = calls();
    for (condition, want) in cases {
        let sql = format!("select count(*) from events where {condition}");
        assert_eq!(rows(dir.path(), &sql), want.to_string(), "{condition}");
        // The value of the condition, not only the rows of which the condition is true.
        let sql = format!("select count(case when {condition} then 1 end) from events");
        assert_eq!(rows(dir.path(), &sql), want.to_string(), "{condition}");
    }
}

#[test]
fn lists_are_combined_with_regard_to_nulls() {
    check_counts(&[
        (
            "error not in ('ENOENT', 'EPERM') or error not in ('EAGAIN', 'EACCES')",
            36,
        ),
        (
            "not (error in ('ENOENT', 'EBADF', 'EPERM', 'EACCES') and error not in ('ENOENT', 'EBADF', 'EPERM', 'EACCES'))",
            36,
        ),
        (
            "error in ('ENOENT', 'EBADF') and error not in ('ENOENT', null)",
            0,
        ),
        (
            "not (error in ('ENOENT', 'EPERM') and error in ('EBADF', 'EACCES'))",
            36,
        ),
        (
            "(error in ('ENOENT', 'EPERM') and error in ('EBADF', 'EACCES')) is null",
            12,
        ),
        (
            "not ((error = 'ENOENT' or error = 'EPERM') and (error = 'EBADF' or error = 'EACCES'))",
            36,
        ),
        ("(error <> 'ENOENT' or error <> 'EBADF') is not true", 12),
        (
            "error in ('ENOENT', 'EBADF') or error in ('EBADF', 'EAGAIN')",
            36,
        ),
        ("ret in (0, 4, 8) and ret not in (4, 12)", 2),
    ]);
}

#[test]
fn a_literal_on_the_left_contradicts_nothing() {
    check_counts(&[
        ("error = 'EBADF' and 'EBADF' = error", 12),
        (
            "error = 'EBADF' and 'EBADF' <= error and error >= 'EBADF'",
            12,
        ),
        ("10 < bytes and bytes < 20 and 12 <= bytes", 8),
    ]);
}

#[test]
fn distinct_from_binds_more_than_and() {
    check_counts(&[
        (
            "denied is not distinct from compat and error is not null",
            24,
        ),
        (
            "error is not null and denied is not distinct from compat",
            24,
        ),
        (
            "denied is distinct from compat and error is null or bytes = 1",
            13,
        ),
        (
            "not denied is distinct from false and error is not null",
            32,
        ),
        (
            "error is distinct from 'ENOENT' and error is distinct from null",
            24,
        ),
    ]);
}

#[test]
fn comparisons_with_any_and_all() {
    check_counts(&[
        (
            "syscall = any (select syscall from events where bytes = 1)",
            16,
        ),
        (
            "syscall <> all (select syscall from events where bytes = 1)",
            32,
        ),
        ("bytes > all (select bytes from events where bytes < 40)", 8),
        (
            "bytes < any (select bytes from events where bytes < 40)",
            39,
        ),
        ("error = any (select error from events where bytes < 2)", 12),
        ("error <> all (select error from events where bytes < 2)", 0),
    ]);
}

#[test]
fn membership_knows_nulls() {
    let with_null = "(select path from events where bytes in (0, 1))";
    let without = "(select path from events where bytes in (1, 2))";
    let none = "(select path from events where bytes = 1000)";
    check_counts(&[
        (&format!("path in {with_null}"), 1),
        (&format!("path not in {with_null}"), 0),
        (&format!("bytes = 7 or path not in {with_null}"), 1),
        (&format!("path not in {without}"), 36),
        (&format!("not (path in {without}) or bytes = 0"), 37),
        (&format!("(path in {without}) is null"), 10),
        (&format!("(path in {with_null}) is null"), 47),
        (&format!("path not in {none}"), 48),
        (&format!("(path in {none}) is not null"), 48),
        (&format!("'/tmp/1' not in {without}"), 0),
        (&format!("'/tmp/7' not in {with_null}"), 0),
        (&format!("'/tmp/7' not in {without}"), 48),
        // With a condition on the outer row.
        (
            "path not in (select path from events as e where e.bytes = events.bytes + 1)",
            29,
        ),
        (
            "exists (select 1 from events as e where e.bytes = events.bytes + 1) and bytes > 40",
            6,
        ),
        (
            "not exists (select 1 from events as e where e.bytes = events.bytes + 1) or bytes = 3",
            2,
        ),
    ]);
}

#[test]
fn subqueries_stand_anywhere() {
    let dir = calls();
    let one = "(select error from events where bytes = 1)";
    for (sql, want) in [
        (
            format!("select error in {one} as found, count(*) from events group by 1 order by 1 nulls last"),
            "false,24; true,12; ,12",
        ),
        (
            format!("select count(*) from events group by error not in {one} order by 1"),
            "12; 12; 24",
        ),
        (
            format!("select count(*) filter (where error in {one}) from events"),
            "12",
        ),
        (
            format!("select sum(case when error in {one} then 1 else 0 end) from events"),
            "12",
        ),
        (
            format!("select bytes from events where bytes < 3 order by error in {one} desc nulls last, bytes"),
            "1; 2; 0",
        ),
        (
            format!(
                "select bytes, row_number() over (partition by error in {one} order by bytes) from events where bytes < 6 order by bytes"
            ),
            "0,1; 1,1; 2,1; 3,2; 4,2; 5,2",
        ),
        (
            "select exists (select 1 from events where bytes = 5), exists (select 1 from events where bytes = 500), not exists (select 1 from events where bytes = 500)".into(),
            "true,false,true",
        ),
        (
            "select bytes, exists (select 1 from events as e where e.bytes = events.bytes * 2) as twice from events where bytes in (3, 30) order by 1".into(),
            "3,true; 30,false",
        ),
        (
            "select count(*) from events a join events b on a.bytes = b.bytes and a.error in (select error from events where bytes = 1)".into(),
            "12",
        ),
        (
            "select error from events group by error having error in (select error from events where bytes < 3) order by 1".into(),
            "EBADF; ENOENT",
        ),
    ] {
        assert_eq!(rows(dir.path(), &sql), want, "{sql}");
    }
}

#[test]
fn sums_are_exact() {
    let dir = calls();
    for (sql, want) in [
        (
            "select sum(d) from (select 9000000000000000000 as d from events limit 2)",
            "18000000000000000000",
        ),
        (
            "select sum(9000000000000000000) from events",
            "432000000000000000000",
        ),
        (
            "select pid, sum(9000000000000000000) from events group by pid order by pid",
            "100,216000000000000000000; 101,216000000000000000000",
        ),
        (
            "select sum(distinct 9000000000000000000 + bytes), count(distinct error) from events where bytes < 2",
            "18000000000000000001,1",
        ),
        (
            "select sum(9000000000000000000 + bytes) over (order by bytes rows between 1 preceding and current row) from events where bytes < 3 order by bytes",
            "9000000000000000000; 18000000000000000001; 18000000000000000003",
        ),
        (
            "select sum(-9223372036854775807 - 1) from events",
            "-442721857769029238784",
        ),
        (
            "select sum(cast(18446744073709551615 as bigint unsigned)) from events",
            "885443715538058477520",
        ),
        (
            "select sum(ret), avg(ret), sum(bytes) from events where error is null",
            "264,22.0,264",
        ),
        (
            "select avg(9223372036854775807) from events",
            "9.223372036854776e18",
        ),
        ("select sum(bytes) from events where false", "\"\""),
        (
            "select avg(x) from (select sum(bytes) as x from events group by pid)",
            "564.0",
        ),
        (
            "select sum(d) > 18000000000000000000 from (select 9000000000000000000 as d from events limit 3)",
            "true",
        ),
    ] {
        assert_eq!(rows(dir.path(), sql), want, "{sql}");
    }
    let json = ask(
        dir.path(),
        &["--format", "ndjson", "select sum(bytes) as s from events"],
    );
    assert!(json.ends_with("{\"s\":1128}\n"), "{json}");
}

#[test]
fn a_sum_that_no_type_holds_is_an_error() {
    let dir = calls();
    let said = ask(
        dir.path(),
        &[
            "select sum(cast('90000000000000000000000000000000000000' as decimal(38, 0))) from events",
        ],
    );
    assert!(said.starts_with("exit code 2"), "{said}");
    assert!(said.contains("is too large for decimal(38, 0)"), "{said}");
    let said = ask(
        dir.path(),
        &["select cast(sum(9000000000000000000) as bigint) as total from events"],
    );
    assert!(said.starts_with("exit code 2"), "{said}");
    assert!(said.contains("432000000000000000000"), "{said}");
}

#[test]
fn minima_and_maxima_together() {
    let dir = calls();
    for _ in 0..5 {
        let sql = "select min(bytes), max(duration / 1000000.0), min(-duration) from events";
        assert_eq!(rows(dir.path(), sql), "0,0.048,-48000");
        let sql = "select min(time) = min(cast(time as timestamp)), min(cast(time as bigint)) - min(cast(time as bigint)) from events";
        assert_eq!(rows(dir.path(), sql), "true,0");
        let sql = "select min(cast(time as bigint)) from events where time = (select min(time) from events)";
        assert_eq!(rows(dir.path(), sql), "1795230720000000000");
        let sql = "select cast(min(time) as bigint) as a, min(cast(time as bigint)) as b, min(time) = min(time) from events";
        assert_eq!(
            rows(dir.path(), sql),
            "1795230720000000000,1795230720000000000,true"
        );
        let sql = "select min(time), min(cast(time as bigint)) from events";
        assert_eq!(
            rows(dir.path(), sql),
            "2026-11-21 03:12:00.000000000,1795230720000000000"
        );
    }
}

#[test]
fn booleans_that_are_never_null_are_grouped() {
    let dir = calls();
    for (sql, want) in [
        (
            "select distinct compat is not true as x from events order by 1",
            "false; true",
        ),
        (
            "select compat is not true as x, count(distinct error) from events group by 1 order by 1",
            "false,1; true,2",
        ),
        (
            "select denied is not distinct from compat as x, count(distinct pid), sum(bytes) from events group by 1 order by 1",
            "false,1,552; true,1,576",
        ),
    ] {
        assert_eq!(rows(dir.path(), sql), want, "{sql}");
    }
}

#[test]
fn sort_keys_may_repeat() {
    let dir = calls();
    for (sql, want) in [
        (
            "select distinct on (pid) pid, bytes from events order by pid, bytes desc, pid, bytes",
            "100,46; 101,47",
        ),
        (
            "select first_value(bytes order by duration, duration desc) from events",
            "47",
        ),
        (
            "select last_value(bytes order by duration, bytes, duration) from events",
            "0",
        ),
        (
            "select bytes from events order by bytes desc, bytes limit 2",
            "47; 46",
        ),
        (
            "select row_number() over (order by bytes, bytes desc) as n from events order by n limit 1",
            "1",
        ),
        (
            "select array_agg(bytes order by bytes desc, bytes) from events where bytes < 3",
            "\"[2, 1, 0]\"",
        ),
    ] {
        assert_eq!(rows(dir.path(), sql), want, "{sql}");
    }
}

#[test]
fn times_are_compared_with_text_as_since_takes_it() {
    check_counts(&[
        ("time > '2026-11-21 03:12'", 47),
        ("time >= '2026-11-21'", 48),
        ("time >= '2026-11-21T03:12:00.040Z'", 8),
        ("time >= '2026-11-21T04:12:00.040+01:00'", 8),
        (
            "time between '2026-11-21 03:12' and '2026-11-21 03:12:00.009'",
            10,
        ),
        ("'2026-11-21 03:12:00.040' <= time", 8),
        ("time >= '03:12'", 48),
        ("time > '03:13'", 0),
        ("time in ('2026-11-21 03:12', '2026-11-22')", 1),
        ("time < '9999-12-31'", 48),
        ("time > '1600-01-01'", 48),
        ("time < timestamp '9999-12-31 00:00:00'", 48),
        ("time < date '9999-12-31' and time > date '1600-01-01'", 48),
        ("time > '9999-12-31'", 0),
        ("time < date '2026-11-22'", 48),
        ("time is distinct from '9999-12-31'", 48),
        ("time < cast('9999-12-31' as timestamp)", 48),
    ]);
    let dir = calls();
    let said = ask(
        dir.path(),
        &["select count(*) from events where time > '10m'"],
    );
    assert!(said.contains("write ago("), "{said}");
    let said = ask(
        dir.path(),
        &["select count(*) from events where time > 'noon'"],
    );
    assert!(said.contains("`noon` is not a time"), "{said}");
}

#[test]
fn windows_may_begin_and_end_outside_of_64_bits() {
    let dir = calls();
    let count = |args: &[&str]| {
        let answer = ask(dir.path(), &[args, &["--format", "tsv"]].concat());
        assert!(answer.starts_with("exit code 0"), "{answer}");
        answer
            .lines()
            .take_while(|line| !line.starts_with("---") || line.contains("stdout"))
            .count()
            - 3
    };
    let all = count(&["files"]);
    assert!(all > 30);
    assert_eq!(count(&["files", "--until", "9999-12-31"]), all);
    assert_eq!(count(&["files", "--since", "1600-01-01"]), all);
    assert_eq!(
        count(&[
            "files",
            "--since",
            "1600-01-01",
            "--until",
            "9999-12-31T23:59:59Z"
        ]),
        all
    );
    let said = ask(dir.path(), &["files", "--since", "10M"]);
    assert_eq!(
        said,
        "exit code 2\n--- stderr\nerror: --since: `10M` can be months or minutes: write 10m for minutes, or 10months for months\n"
    );
    let said = ask(
        dir.path(),
        &["select count(*) from events where time > ago('10M')"],
    );
    assert!(said.contains("write 10m for minutes"), "{said}");
}

#[test]
fn names_that_were_copied_from_an_answer_are_found() {
    let dir = TempDir::new().unwrap();
    let mut story = Story::default();
    footer(&mut story);
    let who = json!({ "container": "web", "pid": 1, "tid": 1 });
    for path in [r"/tmp/a\x0ab", r"/tmp/a\\b", "/tmp/ax0ab", "/tmp/100%_"] {
        story.call(
            0,
            &who,
            "openat",
            3,
            json!({ "class": "file", "path": path }),
        );
    }
    story.write(dir.path(), "run.parquet");
    for (condition, want) in [
        (r"path like '/tmp/a\x0a%'", 1),
        (r"path like '%a\x0ab'", 1),
        (r"path not like '/tmp/a\x0a%'", 3),
        (r"path ilike '/TMP/A\X0A%'", 1),
        (r"path like '/tmp/a\\b'", 1),
        (r"path like path", 4),
        (r"path like '/tmp/100!%!_' escape '!'", 1),
        (r"path like '/tmp/100\%\_' escape '\'", 1),
        (r"path like '/tmp/a!\x0a%' escape '!'", 1),
        (r"glob(path, '/tmp/a\x0a*')", 1),
        (r"glob(path, '/tmp/a\\b')", 1),
        (r"glob(path, path)", 4),
        (r"path = '/tmp/a\x0ab'", 1),
    ] {
        let sql = format!("select count(*) from events where {condition}");
        assert_eq!(rows(dir.path(), &sql), want.to_string(), "{condition}");
    }
}

#[test]
fn functions_that_the_documentation_promises() {
    let dir = calls();
    for (sql, want) in [
        ("select md5('a')", "0cc175b9c0f1b6a831c399e269772661"),
        (
            "select encode(sha256('a'), 'hex')",
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        ),
        ("select mod(17, 5), mod(-17, 5), mod(7.5, 2)", "2,-2,1.5"),
        (
            "select count(*) from events where mod(bytes + 1, 2) = 0",
            "24",
        ),
        (
            "select glob('é', '?'), glob('日本', '??'), glob('é', '[é]')",
            "true,true,true",
        ),
        (
            "select cidr_contains('::ffff:10.0.0.0/104', '10.0.0.1'), cidr_contains('::ffff:10.0.0.0/104', '11.0.0.1')",
            "true,false",
        ),
    ] {
        assert_eq!(rows(dir.path(), sql), want, "{sql}");
    }
    let said = ask(dir.path(), &["select mod(1)"]);
    assert!(said.contains("write two numbers"), "{said}");
}

#[test]
fn formats_say_what_they_cannot_express() {
    let dir = calls();
    let lists = "select pid, array_agg(bytes order by bytes) as every from events where bytes < 4 group by pid order by pid";
    let csv = ask(dir.path(), &["--format", "csv", lists]);
    assert_eq!(
        csv,
        "exit code 0\n--- stdout\npid,every\n100,\"[0, 2]\"\n101,\"[1, 3]\"\n"
    );
}

/// Checks that each row of the left side is compared with one row of the right side, not with all that have the same
/// key.
#[test]
fn the_right_side_of_semi_joins_is_distinct() {
    let dir = calls();
    for condition in [
        "container in (select container from events where bytes > 1)",
        "exists (select 1 from events as e where e.container = events.container)",
        "not exists (select 1 from events as e where e.error = events.error)",
    ] {
        let sql = format!("explain select count(*) from events where {condition}");
        let plan = rows(dir.path(), &sql);
        let logical = plan.split("physical_plan").next().unwrap();
        let (_, right) = logical.split_once("Join").unwrap();
        assert!(right.contains("Aggregate: groupBy="), "{plan}");
    }
}

#[test]
fn keys_of_distinct_on_may_be_repeated() {
    let dir = calls();
    for (sql, want) in [
        (
            "select distinct on (syscall, syscall) syscall, bytes from events order by syscall, seq limit 2",
            "close,2; openat,1",
        ),
        (
            "select distinct on (syscall, pid, syscall) syscall, pid from events order by syscall, pid limit 2",
            "close,100; close,101",
        ),
    ] {
        assert_eq!(rows(dir.path(), sql), want, "{sql}");
    }
}
