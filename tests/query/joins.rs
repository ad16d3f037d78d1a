//! Joins with `using` and `natural`, set operations with `all`, comparisons of rows, and frames: answers that DataFusion
//! alone gives wrongly.

use crate::ask;
use crate::statements::{calls, check_counts, rows};

/// Checks the rows of answers.
fn check(cases: &[(&str, &str)]) {
    let dir = calls();
    for (sql, want) in cases {
        assert_eq!(rows(dir.path(), sql), *want, "{sql}");
    }
}

/// Checks the rows of answers over the tables `a` (`c`, `x`), `b` (`c`, `y`) and `d` (`c`, `z`).
fn check_joins(cases: &[(&str, &str)]) {
    let tables = "with a(c, x) as (values (1, 'l1'), (2, 'l2')), \
                  b(c, y) as (values (2, 'r2'), (3, 'r3')), \
                  d(c, z) as (values (3, 'd3'), (4, 'd4'))";
    let dir = calls();
    for (sql, want) in cases {
        let sql = format!("{tables} {sql}");
        assert_eq!(rows(dir.path(), &sql), *want, "{sql}");
    }
}

#[test]
fn merged_columns_have_the_value_of_either_side() {
    check_joins(&[
        (
            "select c, x, y from a full join b using (c) order by c",
            "1,l1,; 2,l2,r2; 3,,r3",
        ),
        (
            "select * from a natural full join b order by c",
            "1,l1,; 2,l2,r2; 3,,r3",
        ),
        (
            "select * from a right join b using (c) order by c",
            "2,l2,r2; 3,,r3",
        ),
        ("select c from a natural right join b order by 1", "2; 3"),
        (
            "select c, a.c as l, b.c as r from a full join b using (c) order by c",
            "1,1,; 2,2,2; 3,,3",
        ),
        (
            "select y from a full join b using (c) order by c desc limit 1",
            "r3",
        ),
        (
            "select sum(c), count(c), count(a.c) from a full join b using (c)",
            "6,3,2",
        ),
        (
            "select c, count(*) from a full join b using (c) group by c having c > 1 order by c",
            "2,1; 3,1",
        ),
        (
            "select c + 1 as n, row_number() over (order by c desc) as r from a full join b using (c) order by n",
            "2,3; 3,2; 4,1",
        ),
        (
            "select * exclude (x) from a full join b using (c) where c = 3",
            "3,r3",
        ),
        (
            "select * replace (upper(y) as y) from a full join b using (c) where c >= 2 order by c",
            "2,l2,R2; 3,,R3",
        ),
        (
            "select distinct c from a full join b using (c) order by c",
            "1; 2; 3",
        ),
    ]);
}

#[test]
fn merged_columns_are_found_in_conditions() {
    check_joins(&[
        ("select c from a join b using (c) where c = 2", "2"),
        ("select c, y from a left join b using (c) where c < 2", "1,"),
        ("select y from a full join b using (c) where c = 3", "r3"),
        ("select count(*) from a natural join b where c > 2", "0"),
        (
            "select c, y from a join b using (c) join (values (1)) as e(k) on c > k",
            "2,r2",
        ),
    ]);
    check(&[
        (
            "select count(*) from events e join events f using (pid) where pid = 100",
            "576",
        ),
        (
            "select pid, count(*) from events join (select distinct pid from events) as p using (pid) where pid > 100 group by pid",
            "101,24",
        ),
    ]);
}

#[test]
fn more_than_two_tables_share_a_merged_column() {
    check_joins(&[
        (
            "select * from a full join b using (c) full join d using (c) order by c",
            "1,l1,,; 2,l2,r2,; 3,,r3,d3; 4,,,d4",
        ),
        (
            "select c, z from a natural full join b natural right join d order by c",
            "3,d3; 4,d4",
        ),
        (
            "select c, x, z from a full join (b full join d using (c)) using (c) order by c",
            "1,l1,; 2,l2,; 3,,d3; 4,,d4",
        ),
        (
            "select j.c from (a full join b using (c)) as j where j.c = 3",
            "3",
        ),
        (
            "select count(*) from a join b using (c) join d using (c) where c > 0",
            "0",
        ),
    ]);
}

#[test]
fn merged_columns_of_subqueries() {
    check_joins(&[
        (
            "select count(*) from (select * from a full join b using (c)) where c = 3",
            "1",
        ),
        (
            "select c from a full join b using (c) union all select c from a right join b using (c) order by c",
            "1; 2; 2; 3; 3",
        ),
        (
            "select c from d where c in (select c from a full join b using (c))",
            "3",
        ),
        (
            "select (select max(c) from a full join b using (c)) as m, c from a join b using (c)",
            "3,2",
        ),
    ]);
    check(&[(
        "with a(c) as (values (1)), b(c) as (values (2)), j as (select * from a full join b using (c) where c > 1) select c from j full join a using (c) order by c",
        "1; 2",
    )]);
}

#[test]
fn a_join_that_cannot_merge_says_why() {
    let dir = calls();
    for (sql, want) in [
        (
            "select * from (values (1)) a(x) natural join (values (1)) b(y)",
            "no column in common",
        ),
        (
            "select 1 from (values (1)) a(x) join (values (1)) b(y) using (x)",
            "needs a column `x` on both sides",
        ),
        (
            "select 1 from (values (1)) a(x) cross join (values (1)) b(x) join (values (1)) d(x) using (x)",
            "`using (x)` is ambiguous",
        ),
        (
            "select c, a.c from (values (1)) a(c) full join (values (2)) b(c) using (c)",
            "name one of them, as in `a.c as other`",
        ),
    ] {
        let said = ask(dir.path(), &[sql]);
        assert!(said.starts_with("exit code 2"), "{said}");
        assert!(said.contains(want), "{said}");
    }
}

#[test]
fn set_operations_with_all_count_rows() {
    let left = "select x from (values (1), (1), (1), (2), (null), (null)) t(x)";
    let right = "select x from (values (1), (1), (null), (3)) u(x)";
    check(&[
        (
            &format!("{left} intersect all {right} order by x nulls last"),
            "1; 1; \"\"",
        ),
        (
            &format!("{left} except all {right} order by x nulls last"),
            "1; 2; \"\"",
        ),
        (
            &format!("{left} intersect {right} order by x nulls last"),
            "1; \"\"",
        ),
        (&format!("{left} except {right} order by x"), "2"),
        (
            "select pid from events where bytes < 4 intersect all select pid from events where bytes < 2 order by 1",
            "100; 101",
        ),
        (
            "select pid, error from events where bytes < 9 except all select pid, error from events where bytes between 1 and 8 order by 1",
            "100,",
        ),
    ]);
}

#[test]
fn rows_are_compared_with_regard_to_nulls() {
    check(&[
        ("select (null, 1) = (1, 1)", "\"\""),
        ("select (null, 1) = (1, 2), (1, 2) <> (1, 3)", "false,true"),
        ("select (1, 2) < (1, 3), (1, 2) >= (1, 3)", "true,false"),
        ("select (1, null) < (2, 1), (1, null) < (1, 1)", "true,"),
        ("select (1, 2) <= (1, 2), (1, 2) < (1, 2)", "true,false"),
        ("select (1, 2, 3) > (1, 2, 2)", "true"),
        (
            "select (1, 2) in ((3, 4), (1, 2)), (1, null) in ((1, 2))",
            "true,",
        ),
        (
            "select (2, 2) not in ((1, null)), (1, 2) not in ((1, null))",
            "true,",
        ),
        ("select (1, 2) between (1, 1) and (1, 3)", "true"),
        (
            "select (1, null) is not distinct from (1, null), (1, null) is distinct from (1, 2)",
            "true,true",
        ),
    ]);
    check_counts(&[
        ("(error, pid) = ('ENOENT', 101)", 12),
        ("(error, pid) <> ('ENOENT', 101)", 36),
        ("(error, pid) <> ('ENOENT', 100)", 36),
        ("not ((error, pid) = ('ENOENT', 100))", 36),
        ("(pid, bytes) > (100, 40 + 1)", 27),
    ]);
    let members = "(select error, pid from events where bytes < 2)";
    check(&[
        (
            &format!("select count(*) from events where (error, pid) in {members}"),
            "12",
        ),
        (
            &format!(
                "select count(*) from events where bytes > 3 and (error, pid) not in {members}"
            ),
            "11",
        ),
    ]);
}

#[test]
fn frames_of_doubles_keep_no_rounding_errors() {
    let table = "(values (1, 1e20), (2, 1.0), (3, 2.0), (4, cast('inf' as double)), (5, 1.0), (6, 3.0)) t(i, x)";
    check(&[
        (
            &format!(
                "select sum(x) over (order by i rows 1 preceding) as s from {table} order by i limit 3"
            ),
            "1e20; 1e20; 3.0",
        ),
        (
            &format!(
                "select i, avg(x) over (order by i rows 1 preceding) as s from {table} where i > 4 order by i"
            ),
            "5,1.0; 6,2.0",
        ),
        (
            &format!(
                "select i, avg(x) over (order by i rows 1 preceding) as s from {table} where i > 2 order by i desc limit 1"
            ),
            "6,2.0",
        ),
    ]);
}

#[test]
fn frames_beyond_a_type_have_no_nulls() {
    check(&[(
        "select x, count(*) over (order by x range between 1 preceding and 1 following) as n from (values (cast(2147483647 as int)), (null)) t(x) order by x nulls last",
        "2147483647,1; ,1",
    )]);
}
