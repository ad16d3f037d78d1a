//! The earlier rows to which the events of a part refer: those about containers, processes, connections, open files, and
//! losses that had begun before. With them, a part of a recording is complete in itself.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::logical_expr::lit;
use datafusion::prelude::col;

use crate::engine::alive::{EventKey, lives};
use crate::engine::error::QueryError;
use crate::engine::selection::EventSelection;
use crate::engine::session::Engine;

/// Number of generations of ancestors that are looked up.
const MAX_GENERATIONS: usize = 64;

/// Query for the losses that began before `{start}` and had not ended.
const GAPS: &str = "
select host, seq, cast(time as bigint)
from events
where kind = 'gap' and time < to_timestamp_nanos({start})
    and cast(time as bigint) + coalesce(duration, 0) >= {start} and (({containers}) or container is null)";

/// Query for the rows that tell when the connections of the selected events were established.
const CONNECTIONS: &str = "
select host, seq, time
from (
    select e.host, e.seq, cast(e.time as bigint) as time,
        row_number() over (partition by e.host, e.boot_id, e.container_id, e.local_port, e.peer_addr, e.peer_port
            order by e.time desc, e.seq desc) as rank
    from (
        select distinct host, boot_id, coalesce(container_id, '') as container_id, local_port, peer_addr, peer_port
        from events
        where {own} and local_port is not null and peer_port is not null
    ) as used
    join (
        select host, boot_id, container_id, local_port, peer_addr, peer_port, time, seq
        from events
        where kind = 'connection' and action = 'established' and time < to_timestamp_nanos({start}) and ({containers})
    ) as e on e.host = used.host and coalesce(e.boot_id, '') = coalesce(used.boot_id, '')
        and coalesce(e.container_id, '') = used.container_id and e.local_port = used.local_port
        and e.peer_addr = used.peer_addr and e.peer_port = used.peer_port
) as found
where rank = 1";

/// Query for the calls that opened the files, and connected or accepted the sockets, of the selected events.
const OPENS: &str = "
select host, seq, time
from (
    select e.host, e.seq, cast(e.time as bigint) as time,
        row_number() over (partition by e.host, e.boot_id, e.pid, e.fd, e.inode
            order by e.time desc, e.seq desc) as rank
    from (
        select distinct host, boot_id, pid, fd, inode
        from events
        where {own} and kind = 'syscall' and fd is not null and inode is not null
    ) as used
    join (
        select host, boot_id, pid, fd, inode, time, seq
        from events
        where syscall in ('open', 'openat', 'openat2', 'creat', 'connect', 'accept', 'accept4', 'io_uring:openat',
                'io_uring:openat2', 'io_uring:connect', 'io_uring:accept')
            and (error is null or error = 'EINPROGRESS') and time < to_timestamp_nanos({start}) and ({containers})
    ) as e on e.host = used.host and coalesce(e.boot_id, '') = coalesce(used.boot_id, '')
        and e.pid = used.pid and e.fd = used.fd and e.inode = used.inode
) as found
where rank = 1";

/// Query for how the processes `{pids}` came to be, and what they executed, before `{start}`. 65536 is CLONE_THREAD.
const ORIGINS: &str = "
select host, seq, cast(time as bigint), coalesce(boot_id, ''),
    case when kind = 'process' or child_pid is not null then 'fork' else 'exec' end,
    coalesce(child_pid, pid), pid
from events
where time < to_timestamp_nanos({start}) and ({containers})
    and ((kind = 'process' and action = 'found' and pid in ({pids}))
        or (kind = 'syscall' and child_pid in ({pids}) and ret > 0 and (coalesce(flags, 0) & 65536) = 0)
        or (kind = 'syscall' and syscall in ('execve', 'execveat') and ret = 0 and pid in ({pids})))";

/// The host, the boot and the pid of a process.
type Pid = (String, String, i64);

/// A row that tells how a process came to be, or what it executed.
struct Origin {
    key: EventKey,
    is_fork: bool,
    process: Pid,
    /// The pid of the row: for a fork, the parent.
    by: i64,
}

impl Engine {
    /// Returns the rows before a selection to which its events refer, with all columns of events.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn referred_rows(
        &self,
        selection: &EventSelection,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let start = selection.span.0;
        let own = format!("{} and ({})", selection.in_span(), selection.story());
        let filled = |sql: &str| {
            let sql = sql.replace("{start}", &start.to_string());
            let sql = sql.replace("{own}", &own);
            sql.replace("{containers}", selection.containers())
        };
        let mut wanted = HashSet::new();
        for sql in [GAPS, CONNECTIONS, OPENS] {
            let rows = self.texts(&filled(sql)).await?;
            wanted.extend(rows.iter().map(|row| key(row, [0, 1, 2])));
        }
        let before = (start, start.saturating_sub(1));
        let alive = self.texts(&lives(before, selection.containers())).await?;
        wanted.extend(alive.iter().map(|row| key(row, [0, 3, 4])));
        self.add_ancestors(&alive, &filled(ORIGINS), &mut wanted)
            .await?;
        if wanted.is_empty() {
            return Ok(vec![]);
        }
        let numbers = wanted.iter().map(|key| lit(key.1)).collect();
        let all = self.plan("select * from events").await?;
        self.events(&all, &wanted, col("seq").in_list(numbers, false))
            .await
    }

    /// Adds the rows about ended ancestors of the processes in `alive`, rows of [`lives`].
    async fn add_ancestors(
        &self,
        alive: &[Vec<String>],
        sql: &str,
        wanted: &mut HashSet<EventKey>,
    ) -> Result<(), QueryError> {
        let mut known: HashMap<Pid, i64> = HashMap::new();
        let mut missing: Vec<(Pid, i64)> = vec![];
        for row in alive
            .iter()
            .filter(|row| ["fork", "exec"].contains(&row[6].as_str()))
        {
            let process = |pid: &str| (row[0].clone(), row[5].clone(), number(pid));
            let time = number(&row[4]);
            let first = known.entry(process(&row[7])).or_insert(time);
            *first = time.min(*first);
            if row[6] == "fork" {
                missing.push((process(&row[8]), time));
            }
        }
        for _ in 0..MAX_GENERATIONS {
            missing.retain(|(process, time)| known.get(process).is_none_or(|first| first > time));
            let pids: HashSet<i64> = missing.iter().map(|((.., pid), _)| *pid).collect();
            if pids.is_empty() {
                break;
            }
            let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
            let rows = self.texts(&sql.replace("{pids}", &pids.join(", "))).await?;
            let origins: Vec<_> = rows.iter().map(|row| origin(row)).collect();
            let mut parents = vec![];
            for (process, time) in missing {
                let of_process =
                    |origin: &&Origin| origin.process == process && origin.key.2 <= time;
                let last = |is_fork| {
                    let rows = origins.iter().filter(of_process);
                    let rows = rows.filter(|origin| origin.is_fork == is_fork);
                    rows.max_by_key(|origin| origin.key.2)
                };
                let fork = last(true);
                let began = fork.map_or(i64::MIN, |fork| fork.key.2);
                let exec = last(false).filter(|exec| exec.key.2 >= began);
                wanted.extend(
                    fork.into_iter()
                        .chain(exec)
                        .map(|origin| origin.key.clone()),
                );
                known.insert(process.clone(), began);
                let parent = fork.filter(|fork| fork.by != process.2);
                parents.extend(parent.map(|fork| ((process.0, process.1, fork.by), fork.key.2)));
            }
            missing = parents;
        }
        Ok(())
    }

    /// Returns the rows of an answer as texts; null is an empty text.
    async fn texts(&self, sql: &str) -> Result<Vec<Vec<String>>, QueryError> {
        let mut rows = vec![];
        for batch in self.plan(sql).await?.collect().await? {
            let columns = batch.columns().iter();
            let columns: Vec<_> = columns
                .map(|column| cast(column, &DataType::Utf8))
                .collect::<Result<_, _>>()
                .map_err(datafusion::error::DataFusionError::from)?;
            rows.extend((0..batch.num_rows()).map(|row| {
                let text = |column: &arrow::array::ArrayRef| match column.is_null(row) {
                    true => String::new(),
                    false => column.as_string::<i32>().value(row).to_string(),
                };
                columns.iter().map(text).collect()
            }));
        }
        Ok(rows)
    }
}

/// Reads an integer; 0 if the text is none, which no column of integers contains.
fn number(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

fn key(row: &[String], columns: [usize; 3]) -> EventKey {
    let [host, seq, time] = columns.map(|column| &row[column]);
    (host.clone(), number(seq), number(time))
}

/// Reads a row of [`ORIGINS`].
fn origin(row: &[String]) -> Origin {
    Origin {
        key: key(row, [0, 1, 2]),
        is_fork: row[4] == "fork",
        process: (row[0].clone(), row[3].clone(), number(&row[5])),
        by: number(&row[6]),
    }
}
