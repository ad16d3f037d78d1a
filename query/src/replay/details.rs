//! Everything about one event: its columns, its process and the ancestors, and its container.

use arrow::array::RecordBatch;
use arrow::util::display::ArrayFormatter;
use ctrace_schema::text::printable;

use crate::engine::{Engine, QueryError, SliceEnd, SliceReader};
use crate::output::CELL_OPTIONS;
use crate::questions::literal;
use crate::replay::filters::value;

/// The most ancestors that are shown.
const MAX_ANCESTORS: usize = 8;
/// The most events of one time among which an event is looked for.
const MAX_SAME_TIME: usize = 4096;

/// Columns that the line of an event, or another section, has already.
const NOT_SHOWN: [&str; 2] = ["kind", "boot_id"];

/// The columns of a row about a container that describe it.
const CONTAINER: &str = "image, image_digest, runtime, namespace, pod, pod_container, labels, command, run_as, started,
    privileged, capabilities, host_namespaces, seccomp_profile, apparmor_profile, mounts, limits, addresses, restarts";

/// Names and values, all printable.
pub(super) type Pairs = Vec<(String, String)>;

/// The details of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Details {
    /// All columns that are not null.
    pub(super) columns: Pairs,
    /// The program of the process, and those of its ancestors: their pid and their command.
    pub(super) processes: Pairs,
    /// The description and the powers of the container.
    pub(super) container: Pairs,
}

/// Reads the columns of an event, of which `event` has one row with `time`, `seq` and `host`. `events` reads all columns.
///
/// # Errors
/// A recording cannot be read.
pub(super) async fn columns(
    events: SliceReader,
    event: &RecordBatch,
) -> Result<Option<RecordBatch>, QueryError> {
    let key = |batch: &RecordBatch| ["seq", "host"].map(|name| value(batch, name));
    let Some(time) = time_of(event) else {
        return Ok(None);
    };
    let same_time = events
        .read((time, time), SliceEnd::First, MAX_SAME_TIME)
        .await?;
    let mut rows = (0..same_time.num_rows()).map(|row| same_time.slice(row, 1));
    Ok(rows.find(|row| key(row) == key(event)))
}

/// Returns the time of an event, ns since 1970 UTC.
pub(super) fn time_of(event: &RecordBatch) -> Option<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Int64Type};
    let time = arrow::compute::cast(event.column_by_name("time")?, &DataType::Int64).ok()?;
    time.as_primitive::<Int64Type>().iter().next().flatten()
}

/// Returns the columns of a batch of one row that are not null, as text.
pub(super) fn pairs(row: &RecordBatch) -> Pairs {
    let schema = row.schema();
    let pair = |(field, column): (&arrow::datatypes::FieldRef, _)| {
        let column: &arrow::array::ArrayRef = column;
        let is_shown = !column.is_empty() && column.is_valid(0);
        let formatter = ArrayFormatter::try_new(column, &CELL_OPTIONS).ok()?;
        let text = is_shown.then(|| formatter.value(0).to_string())?;
        Some((field.name().clone(), printable(&text).into_owned()))
    };
    let columns = schema.fields().iter().zip(row.columns()).filter_map(pair);
    columns
        .filter(|(name, _)| !NOT_SHOWN.contains(&name.as_str()))
        .collect()
}

/// Finds the program of the process of an event, and those of its ancestors, as far as the recording tells.
///
/// # Errors
/// A recording cannot be read.
pub(super) async fn processes(engine: &Engine, event: &RecordBatch) -> Result<Pairs, QueryError> {
    let (Some(time), Some(host)) = (time_of(event), value(event, "host")) else {
        return Ok(vec![]);
    };
    let boot = match value(event, "boot_id") {
        Some(boot) => format!("boot_id = {}", literal(&boot)),
        None => "boot_id is null".into(),
    };
    let boot = format!("host = {} and {boot}", literal(&host));
    let mut found = vec![];
    let mut pid = value(event, "pid");
    let mut parent = value(event, "ppid");
    let mut before = time;
    while let Some(of) = pid.take()
        && found.len() <= MAX_ANCESTORS
    {
        // The last program of the process, and the fork that made the process.
        let sql = format!(
            "select coalesce(argv, path, comm) as command, comm, ppid, pid, child_pid, cast(time as bigint) as at
            from events
            where {boot} and time <= to_timestamp_nanos({before})
                and ((pid = {of} and (kind = 'process' and action = 'found' or kind = 'syscall' and ret = 0 and syscall in ('execve', 'execveat')))
                    or (child_pid = {of} and kind = 'syscall' and ret > 0))
            order by time desc, seq desc limit 1"
        );
        let rows = engine.collect_apart(&sql).await?;
        let row = rows.iter().find(|batch| batch.num_rows() > 0);
        let of_row = |name: &str| row.and_then(|row| value(row, name));
        let is_fork = of_row("child_pid").is_some();
        let command = match row {
            // A child runs the program of its parent.
            Some(_) if is_fork => of_row("comm").map(|comm| format!("({comm})")),
            Some(_) => of_row("command"),
            None if found.is_empty() => value(event, "exe").or(value(event, "comm")),
            None => None,
        };
        let Some(command) = command else { break };
        found.push((of.clone(), printable(&command).into_owned()));
        let next = match is_fork {
            true => of_row("pid"),
            false => of_row("ppid").or(parent.take()),
        };
        parent = None;
        before = of_row("at")
            .and_then(|at| at.parse().ok())
            .unwrap_or(before);
        pid = next.filter(|next| *next != of && next != "0");
    }
    Ok(found)
}

/// Reads what the container of an event is, at the time of the event.
///
/// # Errors
/// A recording cannot be read.
pub(super) async fn container(engine: &Engine, event: &RecordBatch) -> Result<Pairs, QueryError> {
    let (Some(id), Some(host)) = (value(event, "container_id"), value(event, "host")) else {
        return Ok(vec![]);
    };
    // The last row before the event or, if the container was found later, the first one.
    let time = time_of(event).unwrap_or(i64::MAX);
    let sql = format!(
        "select {CONTAINER} from events
        where kind = 'container' and action in ('found', 'started', 'changed') and container_id = {} and host = {}
        order by time <= to_timestamp_nanos({time}) desc, abs(cast(time as bigint) - {time}) limit 1",
        literal(&id),
        literal(&host)
    );
    let rows = engine.collect_apart(&sql).await?;
    let row = rows.iter().find(|batch| batch.num_rows() > 0);
    Ok(row.map(pairs).unwrap_or_default())
}
