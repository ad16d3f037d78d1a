//! The rows about live containers and processes in a part that is cut out of recordings. A filter or a time range
//! leaves out the rows that describe containers and processes that started before the part.

use std::collections::HashSet;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::{Expr, cast as cast_to, lit};
use datafusion::prelude::col;

use crate::engine::error::QueryError;
use crate::engine::session::Engine;
use crate::source::EVENTS;

/// Query for the last row about each container and process that is alive at `{start}` or begins up to `{end}`, ns since
/// 1970 UTC, among the rows that pass `{containers}`. 65536 is CLONE_THREAD: the call created a thread.
const LIVES: &str = "
with lives as (
    select host, boot_id, seq, time, container, container_id, pid,
        case when kind = 'container' then case when action = 'changed' then 'changed' else 'container' end
            when kind = 'process' then case when action = 'found' then 'fork' else 'exit' end
            when child_pid is not null then 'fork' else 'exec' end as what,
        case when kind = 'container' then coalesce(container_id, container)
            else cast(coalesce(child_pid, pid) as varchar) end as who,
        kind = 'container' as is_container,
        coalesce(action, '') in ('exit', 'stopped') as is_end,
        cast(time as bigint) < {start} as is_before
    from events
    where time <= to_timestamp_nanos({end}) and ({containers}) and ((kind = 'container' and action not in ('left', 'entered'))
        or (kind = 'process' and action in ('exit', 'found'))
        or (kind = 'syscall' and child_pid is not null and ret > 0 and (coalesce(flags, 0) & 65536) = 0)
        or (kind = 'syscall' and syscall in ('execve', 'execveat') and ret = 0))
),
ranked as (
    select *,
        max(case when is_end and is_before then time end) over (partition by host, boot_id, is_container, who) as ended,
        row_number() over (partition by host, boot_id, what, who, is_before, is_end order by time desc, seq desc) as rank
    from lives
)
select host, container, container_id, seq, cast(time as bigint), boot_id, what, who, pid
from ranked
where rank = 1 and not is_end and (not is_before or ended is null or time > ended)";

/// The host, the number and the time of an event.
pub(super) type EventKey = (String, i64, i64);
/// The host, the name and the id of a container.
type ContainerKey = (String, Option<String>, Option<String>);

/// Returns the query for the last rows about containers and processes that are alive in a span of time. `containers` is a
/// condition in SQL. The columns are those of a container, `seq`, `time` in ns, and `boot_id`, `what`, `who` and `pid`.
pub(super) fn lives((start, end): (i64, i64), containers: &str) -> String {
    LIVES
        .replace("{start}", &start.to_string())
        .replace("{end}", &end.to_string())
        .replace("{containers}", containers)
}

impl Engine {
    /// Returns the rows about the containers and processes of the events in `part`, without the rows that are in
    /// `part`. They have the columns of `part`, whose rows are events.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn alive_rows(
        &self,
        part: &DataFrame,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let Some((start, end)) = span(part).await? else {
            return Ok(vec![]);
        };
        let lives = self.plan(&lives((start, end), "true")).await?;
        let lives = lives.collect().await?;
        let containers = containers(part).await?;
        let mut wanted = HashSet::new();
        for batch in &lives {
            let keys = keys(batch, [0, 3, 4])?;
            let of = containers_of(batch)?;
            let known = keys
                .into_iter()
                .zip(of)
                .filter(|(_, of)| containers.contains(of));
            wanted.extend(known.map(|(key, _)| key));
        }
        if wanted.is_empty() {
            return Ok(vec![]);
        }
        let numbers = col("seq").in_list(wanted.iter().map(|key| lit(key.1)).collect(), false);
        let present = part.clone().filter(numbers.clone())?;
        for batch in present
            .select_columns(&["host", "seq", "time"])?
            .collect()
            .await?
        {
            for key in keys(&batch, [0, 1, 2])? {
                wanted.remove(&key);
            }
        }
        self.events(part, &wanted, numbers).await
    }

    /// Returns the events that have one of the keys `wanted` and pass `filter`, with the columns of `part`.
    pub(super) async fn events(
        &self,
        part: &DataFrame,
        wanted: &HashSet<EventKey>,
        filter: Expr,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let events = self.session().table(EVENTS).await?;
        let has = |name: &str| events.schema().has_column_with_unqualified_name(name);
        let columns = part.schema().fields().iter().map(|field| {
            let value = match has(field.name()) {
                true => cast_to(
                    col(format!("\"{}\"", field.name())),
                    field.data_type().clone(),
                ),
                false => lit(ScalarValue::try_from(field.data_type())?),
            };
            Ok::<_, DataFusionError>(value.alias(field.name()))
        });
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        // The last three columns are the key. They are removed below.
        let width = columns.len();
        let key = ["host", "seq", "time"].iter().enumerate();
        columns.extend(key.map(|(i, name)| col(*name).alias(format!("ctrace key {i}"))));
        let order = vec![col("time").sort(true, false), col("seq").sort(true, false)];
        let rows = events
            .clone()
            .filter(filter)?
            .sort(order)?
            .select(columns)?;
        let mut batches = vec![];
        for batch in rows.collect().await? {
            let keys = keys(&batch, [width, width + 1, width + 2])?;
            let is_wanted: BooleanArray =
                keys.iter().map(|key| Some(wanted.contains(key))).collect();
            let own: Vec<usize> = (0..width).collect();
            let batch = batch.project(&own);
            let batch = batch.and_then(|batch| filter_record_batch(&batch, &is_wanted));
            let batch = batch.map_err(DataFusionError::from)?;
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        Ok(batches)
    }
}

/// Returns the first and the last time of some events, ns since 1970 UTC; `None`: there are no events.
async fn span(part: &DataFrame) -> Result<Option<(i64, i64)>, DataFusionError> {
    let ends = vec![
        min(col("time")).alias("first"),
        max(col("time")).alias("last"),
    ];
    let ends = part.clone().aggregate(vec![], ends)?.collect().await?;
    let end = |i: usize| {
        let column = cast(ends.first()?.column(i), &DataType::Int64).ok()?;
        column.as_primitive::<Int64Type>().iter().next().flatten()
    };
    Ok(end(0).zip(end(1)))
}

/// Returns the containers of some events.
async fn containers(part: &DataFrame) -> Result<HashSet<ContainerKey>, QueryError> {
    let columns = part
        .clone()
        .select_columns(&["host", "container", "container_id"])?;
    let mut all = HashSet::new();
    for batch in columns.distinct()?.collect().await? {
        all.extend(containers_of(&batch)?);
    }
    Ok(all)
}

/// Returns the containers that the columns `host`, `container` and `container_id` name. A container with an id is
/// identified without its name.
fn containers_of(batch: &RecordBatch) -> Result<Vec<ContainerKey>, DataFusionError> {
    let column = |i: usize| cast(batch.column(i), &DataType::Utf8);
    let (host, name, id) = (column(0)?, column(1)?, column(2)?);
    let text = |column: &dyn Array, row: usize| {
        let column = column.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_string())
    };
    let container = |row: usize| {
        let id = text(&id, row);
        let name = text(&name, row).filter(|_| id.is_none());
        (text(&host, row).unwrap_or_default(), name, id)
    };
    Ok((0..batch.num_rows()).map(container).collect())
}

/// Returns the keys of events, whose host, number and time are in `columns`.
fn keys(batch: &RecordBatch, columns: [usize; 3]) -> Result<Vec<EventKey>, DataFusionError> {
    let hosts = cast(batch.column(columns[0]), &DataType::Utf8)?;
    let numbers = cast(batch.column(columns[1]), &DataType::Int64)?;
    let times = cast(batch.column(columns[2]), &DataType::Int64)?;
    let (hosts, numbers) = (
        hosts.as_string::<i32>(),
        numbers.as_primitive::<Int64Type>(),
    );
    let times = times.as_primitive::<Int64Type>();
    let key = |row| {
        (
            hosts.value(row).to_string(),
            numbers.value(row),
            times.value(row),
        )
    };
    Ok((0..batch.num_rows()).map(key).collect())
}
