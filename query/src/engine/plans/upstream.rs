//! Answers of DataFusion without the corrections of this program. Each test fails when DataFusion has been corrected,
//! so that the correction that it names can be deleted.

// A test that cannot unwrap its own constants should fail there.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::error::DataFusionError;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;

/// Returns the table `t` with the columns `x` (1, 2, 3, null), `s` ('a', 'b', 'c', null) and `b` (true, false, null,
/// true).
fn batch() -> RecordBatch {
    let x: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), None]));
    let s: ArrayRef = Arc::new(StringArray::from(vec![
        Some("a"),
        Some("b"),
        Some("c"),
        None,
    ]));
    let b: ArrayRef = Arc::new(BooleanArray::from(vec![
        Some(true),
        Some(false),
        None,
        Some(true),
    ]));
    RecordBatch::try_from_iter_with_nullable([("x", x, true), ("s", s, true), ("b", b, true)])
        .unwrap()
}

async fn answer(sql: &str) -> Result<String, DataFusionError> {
    let ctx = SessionContext::new();
    ctx.register_batch("t", batch()).unwrap();
    let rows = ctx.sql(sql).await?.collect().await?;
    let table = pretty_format_batches(&rows).unwrap().to_string();
    // The cells of the rows, without the header.
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(1);
    let cells = rows.map(|row| row.trim_matches('|').trim().to_string());
    Ok(cells.collect::<Vec<_>>().join("; "))
}

async fn count(condition: &str) -> String {
    let sql = format!("select count(*) from t where {condition}");
    answer(&sql).await.unwrap()
}

/// Checks apache/datafusion#24246, which `membership` corrects.
#[tokio::test]
async fn lists_are_combined_without_regard_to_nulls() {
    // Right: 3, because the condition is null for null.
    let condition = "x not in (1, 11, 12, 13) or x not in (2, 21, 22, 23)";
    assert_eq!(count(condition).await, "4");
    // Right: 0.
    let condition = "x in (1, 2, 3, 4) and x not in (1, 2, 5, null)";
    assert_eq!(count(condition).await, "1");
}

/// Checks apache/datafusion#24763, which `membership` corrects.
#[tokio::test]
async fn a_literal_on_the_left_is_a_contradiction() {
    let ctx = SessionContext::new();
    ctx.register_batch("t", batch()).unwrap();
    let views = "create view v as select arrow_cast(s, 'Utf8View') as s from t";
    ctx.sql(views).await.unwrap().collect().await.unwrap();
    let sql = "select count(*) from v where s = 'a' and 'a' = s";
    let rows = ctx.sql(sql).await.unwrap().collect().await.unwrap();
    let rows = pretty_format_batches(&rows).unwrap().to_string();
    // Right: 1.
    assert!(rows.contains("| 0 "), "{rows}");
}

/// Checks apache/datafusion#8241 and #25347, which `subqueries` corrects.
#[tokio::test]
async fn membership_does_not_know_nulls() {
    // Right: 0, because the subquery of each row that has rows has a null: `3 not in (null)` is null.
    let condition = "x is not null and 3 not in (select i.x + cast(null as bigint) from t as i where i.x = t.x)";
    assert_ne!(count(condition).await, "0");
}

/// Checks an error that `subqueries` corrects.
#[tokio::test]
async fn tests_outside_of_conditions_are_refused() {
    for sql in [
        "select x in (select x from t where x = 1) as is, count(*) from t group by 1",
        "select count(*) from t group by exists (select 1 from t)",
    ] {
        assert!(answer(sql).await.is_err(), "{sql}");
    }
}

/// Checks an answer that `subqueries` corrects.
#[tokio::test]
async fn the_column_of_a_compared_subquery_is_compared_with_itself() {
    // Right: 1.
    let condition = "x = any (select x from t where x = 1)";
    assert_ne!(count(condition).await, "1");
}

/// Checks an answer that `functions::exact` corrects.
#[tokio::test]
async fn sums_wrap() {
    let sql = "select sum(9000000000000000000) from (values (1), (2)) as t (x)";
    assert_eq!(answer(sql).await.unwrap(), "-446744073709551616");
}

/// Checks a panic that `sort_keys` prevents.
#[tokio::test]
async fn repeated_sort_keys_panic() {
    let sql = "select distinct on (s) x from t order by s, s desc";
    let planned = tokio::spawn(answer(sql)).await;
    assert!(!matches!(planned, Ok(Ok(_))));
}

/// Checks an error that the option `skip_physical_aggregate_schema_check` prevents.
#[tokio::test]
async fn groups_that_are_never_null_are_an_internal_error() {
    let sql = "select b is not true as g, count(distinct x) from t group by 1";
    assert!(answer(sql).await.is_err());
}

/// Checks apache/datafusion#24816, which the option `enable_aggregate_dynamic_filter_pushdown` prevents.
#[tokio::test]
async fn minima_of_expressions_do_not_prevent_a_filter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let mut writer = ArrowWriter::try_new(
        std::fs::File::create(&path).unwrap(),
        batch().schema(),
        None,
    )
    .unwrap();
    writer.write(&batch()).unwrap();
    writer.close().unwrap();
    let ctx = SessionContext::new();
    let path = path.display().to_string();
    ctx.register_parquet("p", &path, ParquetReadOptions::default())
        .await
        .unwrap();
    let sql = "explain select min(x), min(x + 1) from p where s is not null";
    let plan = ctx.sql(sql).await.unwrap().collect().await.unwrap();
    let plan = pretty_format_batches(&plan).unwrap().to_string();
    assert!(plan.contains("DynamicFilter"), "{plan}");
}

/// Checks an error that `times` prevents.
#[tokio::test]
async fn times_beyond_64_bits_are_an_error() {
    let condition = "arrow_cast(x, 'Timestamp(Nanosecond, None)') < '9999-12-31'";
    let sql = format!("select count(*) from t where {condition}");
    assert!(answer(&sql).await.is_err());
}

/// Checks answers that `statement::joins` corrects.
#[tokio::test]
async fn merged_columns_are_those_of_the_left_side() {
    let tables = "(select 1 as c) as a full join (select 2 as c) as b using (c)";
    // Right: 3.
    let sql = format!("select sum(c) from {tables}");
    assert_eq!(answer(&sql).await.unwrap(), "1");
    let sql = format!("select 1 from {tables} where c = 2");
    assert!(answer(&sql).await.is_err());
}

/// Checks an answer that `set_operations` corrects.
#[tokio::test]
async fn occurrences_are_not_counted() {
    let sql = "select count(*) from (select 1 from t intersect all select 1)";
    // Right: 1.
    assert_eq!(answer(sql).await.unwrap(), "4");
}

/// Checks an answer that `statement::rows` corrects.
#[tokio::test]
async fn null_is_a_value_in_rows() {
    // Right: null for the row of nulls, which does not pass.
    assert_eq!(count("not ((x, s) = (1, 'a'))").await, "3");
}

/// Checks an answer that `range_frames` corrects.
#[tokio::test]
async fn frames_beyond_a_type_have_nulls() {
    let sql = "select min(n) from (select x, count(*) over (order by x range between 1 preceding and 1 following) as n \
               from (values (cast(2147483647 as int)), (null)) as v (x)) where x is not null";
    // Right: 1.
    assert_eq!(answer(sql).await.unwrap(), "2");
}

/// Checks an answer that `functions::exact` corrects.
#[tokio::test]
async fn sliding_sums_of_doubles_keep_rounding_errors() {
    let sql = "select sum(y) over (order by i rows 1 preceding) as s from (values (1, 1e20), (2, 1.0), (3, 2.0)) as v (i, y) \
               order by i desc limit 1";
    // Right: 3.
    assert_ne!(answer(sql).await.unwrap(), "3.0");
}
