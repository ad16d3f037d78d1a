//! The calls of the page by time, container and class.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::commands::report::counts::Counts;
use crate::commands::report::rows::AnswerRows;
use crate::commands::report::table::SectionTable;
use crate::engine::Engine;
use crate::questions::{FAILED_CALL, TimeBuckets};

/// Containers with a series of their own; the others share one.
const MAX_CONTAINERS: usize = 11;

/// The calls of one container and one class.
struct Series {
    /// The name of the container; `None`: several, or none.
    container: Option<String>,
    class: String,
    calls: Counts,
    /// The failed calls, as in the ready question `errors`.
    failed: Counts,
}

/// The calls of the page by time.
pub(crate) struct Timeline {
    pub(crate) calls: i64,
    pub(crate) failed: i64,
    series: Vec<Series>,
    /// The events that were lost.
    lost: Counts,
    /// The calls and the errors of each container, by host, id and name, as in the table of containers.
    containers: HashMap<Vec<Option<String>>, Vec<Counts>>,
}

impl Timeline {
    /// Counts the calls, failed calls and lost events. `condition` selects the events, and `host` is the column with the name of the
    /// host, if recordings are of several.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn new(
        engine: &Engine,
        buckets: TimeBuckets,
        condition: &str,
        host: Option<&str>,
    ) -> anyhow::Result<Timeline> {
        let host = host.unwrap_or("cast(null as varchar)");
        let bucket = buckets.sql("time");
        let sql = format!(
            "select {host} as host, container, substr(container_id, 1, 12) as id, coalesce(class, 'other') as class, {bucket} as bucket,
                cast(coalesce(sum(case when kind = 'syscall' then 1 else calls end), 0) as bigint) as calls,
                cast(count(case when {FAILED_CALL} then 1 end) + coalesce(sum(errors), 0) as bigint) as failed,
                cast(count(case when kind = 'syscall' then error end) + coalesce(sum(errors), 0) as bigint) as errors,
                cast(coalesce(sum(lost), 0) as bigint) as lost
            from events
            where {condition}
            group by 1, 2, 3, 4, 5"
        );
        let (_, batches) = engine.collect(&sql).await?;
        Ok(Timeline::of_rows(
            &AnswerRows::new(&batches, usize::MAX)?,
            buckets,
        ))
    }

    fn of_rows(rows: &AnswerRows, buckets: TimeBuckets) -> Timeline {
        let mut all: BTreeMap<(Option<String>, String), (Counts, Counts)> = BTreeMap::new();
        let mut containers: HashMap<_, Vec<Counts>> = HashMap::new();
        let mut lost = Counts::default();
        for row in 0..rows.count {
            let count = |column| rows.number::<i64>(column, row).unwrap_or(0);
            let bucket = buckets.clamped(count("bucket"));
            lost.add(bucket, count("lost"));
            if count("calls") == 0 {
                continue;
            }
            let class = rows.text("class", row).unwrap_or_default().to_string();
            let name = rows.container("host", "container", row);
            let series = all.entry((name, class)).or_default();
            series.0.add(bucket, count("calls"));
            series.1.add(bucket, count("failed"));
            let key = rows.key(&["host", "id", "container"], row);
            let container = containers
                .entry(key)
                .or_insert_with(|| vec![Counts::default(); 2]);
            container[0].add(bucket, count("calls"));
            container[1].add(bucket, count("errors"));
        }
        let series = all
            .into_iter()
            .map(|((container, class), (calls, failed))| Series {
                container,
                class,
                calls,
                failed,
            });
        let series: Vec<_> = series.collect();
        Timeline {
            calls: series.iter().map(|series| series.calls.total()).sum(),
            failed: series.iter().map(|series| series.failed.total()).sum(),
            series: fewer(series),
            lost,
            containers,
        }
    }

    /// Gives the rows of the table of containers their counts by time.
    pub(crate) fn count(&self, table: &mut SectionTable) {
        let rows = &table.rows;
        let none = vec![Counts::default(); 2];
        let counts = (0..rows.count).map(|row| {
            let key = rows.key(&["host", "id", "container"], row);
            self.containers.get(&key).unwrap_or(&none).clone()
        });
        table.counts = counts.collect();
    }

    /// Joins pairs of buckets.
    pub(crate) fn halve(&mut self) {
        self.lost.halve();
        for series in &mut self.series {
            series.calls.halve();
            series.failed.halve();
        }
    }

    /// Returns the names of the containers with calls, the busiest first.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
        for series in &self.series {
            if let Some(name) = &series.container {
                *totals.entry(name).or_default() += series.calls.total();
            }
        }
        let mut names: Vec<_> = totals.into_iter().collect();
        names.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        names
            .into_iter()
            .map(|(name, _)| name.to_string())
            .collect()
    }

    /// Returns the timeline for the page's script. `names` are the containers of the page.
    pub(crate) fn json(&self, names: &[String]) -> Value {
        let series = self.series.iter().map(|series| {
            let container = series.container.as_ref();
            json!({
                "container": container.and_then(|name| names.iter().position(|other| other == name)),
                "class": series.class,
                "calls": series.calls.runs(),
                "failed": series.failed.runs(),
            })
        });
        json!({ "series": series.collect::<Vec<_>>(), "lost": self.lost.runs() })
    }
}

/// Joins the series of all containers but the busiest ones.
fn fewer(series: Vec<Series>) -> Vec<Series> {
    let mut totals: HashMap<Option<String>, i64> = HashMap::new();
    for one in &series {
        *totals.entry(one.container.clone()).or_default() += one.calls.total();
    }
    let mut busiest: Vec<_> = totals
        .into_iter()
        .filter(|(name, _)| name.is_some())
        .collect();
    busiest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    busiest.truncate(MAX_CONTAINERS);
    let mut kept: Vec<Series> = vec![];
    let mut others: BTreeMap<String, Series> = BTreeMap::new();
    for one in series {
        if busiest.iter().any(|(name, _)| *name == one.container) {
            kept.push(one);
            continue;
        }
        match others.get_mut(&one.class) {
            Some(sum) => {
                sum.calls.add_all(&one.calls);
                sum.failed.add_all(&one.failed);
            }
            None => {
                let class = one.class.clone();
                let container = None;
                others.insert(class, Series { container, ..one });
            }
        }
    }
    kept.extend(others.into_values());
    kept
}
