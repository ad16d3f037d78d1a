//! Arithmetic that does not wrap around, and columns of one name.

use crate::ask;
use crate::statements::calls;

/// Returns the answer as CSV, with the header.
fn csv(dir: &std::path::Path, sql: &str) -> String {
    let answer = ask(dir, &["--format", "csv", sql]);
    let rows = answer.strip_prefix("exit code 0\n--- stdout\n");
    let rows = rows.unwrap_or_else(|| panic!("{sql}\n{answer}"));
    rows.trim_end().replace('\n', "; ")
}

#[test]
fn an_overflow_is_an_error_that_names_the_operation() {
    let dir = calls();
    let max = "9223372036854775807";
    for (sql, operation) in [
        (
            format!("select {max} + ret from events where ret > 0"),
            "addition",
        ),
        (format!("select {max} + 1"), "addition"),
        (
            format!("select -{max} - 1 - ret from events where ret = 4"),
            "subtraction",
        ),
        (
            "select bytes * 1000000000000000000 from events".into(),
            "multiplication",
        ),
        (format!("select -(-{max} - 1)"), "negation"),
        (
            format!("select -(-{max} - 1 + bytes) from events where bytes = 0"),
            "negation",
        ),
        // Everywhere in a statement.
        (
            format!("select count(*) from events where bytes + {max} > 5"),
            "addition",
        ),
        (
            format!("select sum(bytes * {max}) from events"),
            "multiplication",
        ),
        (
            format!("select bytes from events order by bytes * {max}"),
            "multiplication",
        ),
        (
            format!("select max(bytes) from events group by bytes + {max}"),
            "addition",
        ),
        (
            format!(
                "select pid from events group by pid having sum(tid) > 0 and max(bytes) * {max} > 1"
            ),
            "multiplication",
        ),
        (
            format!("select row_number() over (order by bytes + {max}) from events"),
            "addition",
        ),
        (
            format!("select sum(bytes + {max}) over (partition by pid) from events"),
            "addition",
        ),
        (
            format!("select a.bytes from events a join events b on a.bytes = b.bytes + {max}"),
            "addition",
        ),
        (
            format!("select bytes from events where bytes in (select bytes + {max} from events)"),
            "addition",
        ),
        (
            format!("with big as (select bytes + {max} as n from events) select max(n) from big"),
            "addition",
        ),
        (
            format!("select case when bytes > 3 then bytes * {max} end from events"),
            "multiplication",
        ),
        (
            "select cast(1 as bigint unsigned) - cast(2 as bigint unsigned)".into(),
            "subtraction",
        ),
        (
            "select cast(2147483647 as integer) + cast(1 as integer)".into(),
            "addition",
        ),
    ] {
        let said = ask(dir.path(), &[&sql]);
        assert!(
            said.starts_with("exit code 2\n--- stderr\n"),
            "{sql}\n{said}"
        );
        assert!(
            said.contains(&format!("this {operation} overflows")),
            "{sql}\n{said}"
        );
        assert!(said.contains("cast(x as double)"), "{sql}\n{said}");
    }
}

#[test]
fn arithmetic_within_the_range_is_unchanged() {
    let dir = calls();
    for (sql, want) in [
        (
            "select 9223372036854775807 - 1 as a, -9223372036854775807 - 1 as b, 3 * -4 as c",
            "a,b,c; 9223372036854775806,-9223372036854775808,-12",
        ),
        (
            "select sum(bytes * 2 + 1) as s, max(-bytes) as m from events where bytes < 3",
            "s,m; 9,0",
        ),
        (
            "select bytes + 1 as n, count(*) as c from events where bytes + 1 < 3 group by bytes + 1 order by bytes + 1",
            "n,c; 1,1; 2,1",
        ),
        (
            "select case when bytes < 2 then bytes * 9223372036854775807 end as x from events where bytes < 2 order by 1",
            "x; 0; 9223372036854775807",
        ),
        (
            "select cast(9223372036854775807 as double) * 2 as d, cast(9223372036854775807 as decimal(38, 0)) + 1 as e",
            "d,e; 1.8446744073709552e19,9223372036854775808",
        ),
        ("select bytes + null as n from events limit 1", "n; \"\""),
        (
            "select max(time) - min(time) as d, min(time) + interval '1 hour' > max(time) as later from events",
            "d,later; PT0.047S,true",
        ),
    ] {
        assert_eq!(csv(dir.path(), sql), want, "{sql}");
    }
}

#[test]
fn columns_may_have_one_name() {
    let dir = calls();
    for (sql, want) in [
        (
            "select bytes, bytes from events where bytes < 2 order by bytes",
            "bytes,bytes; 0,0; 1,1",
        ),
        (
            "select bytes, pid as bytes from events where bytes < 2 order by 1",
            "bytes,bytes; 0,100; 1,101",
        ),
        (
            "select count(*), count(*) from events",
            "count(*),count(*); 48,48",
        ),
        ("select 1 as a, 2 as a, 3 as a", "a,a,a; 1,2,3"),
        ("select 1, 1", "1,1; 1,1"),
        (
            "select pid, PID, cast(pid as bigint) from events where bytes = 1",
            "pid,pid,CAST(pid AS BIGINT); 101,101,101",
        ),
        (
            "select distinct pid, pid from events order by pid",
            "pid,pid; 100,100; 101,101",
        ),
        (
            "select pid, pid, count(*) from events group by pid order by pid",
            "pid,pid,count(*); 100,100,24; 101,101,24",
        ),
        (
            "select a.bytes, b.bytes from events a join events b on a.bytes = b.bytes + 1 where a.bytes < 3 order by a.bytes",
            "bytes,bytes; 1,0; 2,1",
        ),
        (
            "select pid, pid from events where bytes = 0 union all select tid, tid from events where bytes = 1",
            "pid,pid; 100,100; 100,100",
        ),
        // In subqueries, the second column has another name.
        (
            "select * from (select bytes, bytes from events where bytes = 3)",
            "bytes,bytes_1; 3,3",
        ),
        (
            "select bytes, bytes_1 from (select a.bytes, b.bytes from events a join events b on a.bytes = b.bytes + 1) where bytes = 3",
            "bytes,bytes_1; 3,2",
        ),
        (
            "with t as (select count(*), count(*) from events) select * from t",
            "count(*),count(*)_1; 48,48",
        ),
        (
            "select x, y from (select bytes, bytes from events where bytes = 3) as t (x, y)",
            "x,y; 3,3",
        ),
        (
            "with t as (select pid, bytes from events where bytes < 2) select *, * from t order by bytes",
            "pid,bytes,pid,bytes; 100,0,100,0; 101,1,101,1",
        ),
        (
            "with t as (select pid, bytes from events where bytes < 1) select *, pid, t.* from t",
            "pid,bytes,pid,pid,bytes; 100,0,100,100,0",
        ),
        (
            "with t as (select pid, bytes from events where bytes < 1) select a.*, b.* from t a, t b",
            "pid,bytes,pid,bytes; 100,0,100,0",
        ),
        (
            "select count(*) from (select *, * from events) as twice where pid_1 = 100",
            "count(*); 24",
        ),
    ] {
        assert_eq!(csv(dir.path(), sql), want, "{sql}");
    }
    let all = csv(dir.path(), "select *, * from events limit 1");
    let header = all.split("; ").next().unwrap();
    let names: Vec<_> = header.split(',').collect();
    let (first, second) = names.split_at(names.len() / 2);
    assert_eq!(first, second);
}

#[test]
fn formats_with_named_columns_number_the_names() {
    let dir = calls();
    let sql = "select bytes, pid as bytes from events where bytes = 1";
    for (format, want) in [
        ("json", "[{\"bytes\":1,\"bytes_1\":101}]"),
        ("ndjson", "{\"bytes\":1,\"bytes_1\":101}"),
    ] {
        let said = ask(dir.path(), &["--format", format, sql]);
        assert!(
            said.starts_with(&format!("exit code 0\n--- stdout\n{want}\n")),
            "{said}"
        );
        assert!(
            said.contains("warning: several columns are named `bytes`"),
            "{said}"
        );
    }
    for format in ["arrow", "parquet"] {
        let said = ask(dir.path(), &["--format", format, "--output", "out", sql]);
        assert!(
            said.contains("one of them is written as `bytes_1`"),
            "{said}"
        );
    }
    let read = csv(dir.path(), "select bytes, bytes_1 from './out'");
    assert!(
        read.is_empty() || read.starts_with("bytes,bytes_1"),
        "{read}"
    );
}

#[test]
fn an_answer_without_rows_has_columns() {
    let dir = calls();
    let empty = "select pid, count(*) as calls from events where false group by pid";
    let said = ask(
        dir.path(),
        &["--format", "parquet", "--output", "none.parquet", empty],
    );
    assert!(said.contains("wrote: none.parquet"), "{said}");
    assert_eq!(
        csv(dir.path(), "select pid, calls from 'none.parquet'"),
        "pid,calls"
    );
    let said = ask(
        dir.path(),
        &[
            "--format",
            "parquet",
            "--output",
            "cut.parquet",
            "select * from events where false",
        ],
    );
    assert!(said.starts_with("exit code 0"), "{said}");
    let report = ask(dir.path(), &["-r", "cut.parquet", "report"]);
    assert!(report.starts_with("exit code 0"), "{report}");
}

#[test]
fn an_unknown_column_of_a_view_names_its_columns() {
    let dir = calls();
    let said = ask(dir.path(), &["select nonsense from gaps"]);
    assert!(said.contains("`gaps` has "), "{said}");
    assert!(said.contains("reason"), "{said}");
    let said = ask(dir.path(), &["select nonsense from events"]);
    assert!(
        said.contains("`ctrace-query describe events` lists the columns"),
        "{said}"
    );
}
