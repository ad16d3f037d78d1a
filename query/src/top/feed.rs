//! The events of recordings in steps of time: while the recordings grow, or in a replay.

use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use ctrace_schema::text::printable;

use crate::cli::Speed;
use crate::engine::{CHECK_INTERVAL, Engine, QueryError, RecordingWatcher};
use crate::questions::{FAILED_CALL, failure};
use crate::source::SeenFiles;
use crate::top::counts::{ContainerKey, Counted, Happening, Life, SECOND_NS, Step, Sums};

/// The length of the past whose happenings are told, and whose calls are counted for each second.
const RECENT_NS: i64 = 60 * SECOND_NS;

/// Calls that wait by their nature: their duration says nothing about how fast something is.
const WAITS: &str = "(class in ('poll', 'time') or syscall like 'futex%' or syscall like 'accept%' or syscall like 'wait%'
    or syscall in ('pause', 'restart_syscall', 'rt_sigsuspend', 'rt_sigtimedwait', 'io_uring_enter', 'recvmsg', 'recvfrom', 'recvmmsg')
    or syscall = 'read' and path not like '/%')";

/// The calls of a program on its terminal.
const TERMINAL: &str = "(kind = 'syscall' and (syscall = 'ioctl' and error = 'ENOTTY'
    or syscall in ('ioctl', 'read', 'readv', 'write', 'writev', 'poll', 'ppoll', 'select', 'pselect6')
        and (path like '/dev/pts/%' or path like '/dev/tty%' or path in ('/dev/console', '/dev/ptmx'))))";

/// Which events count.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    /// The condition for the containers and the events, in SQL.
    pub(crate) condition: String,
    /// The condition for rows that are not set-up by the container runtime.
    pub(crate) not_setup: &'static str,
    pub(crate) setup: bool,
    pub(crate) terminal: bool,
    /// The first and the last time, ns since 1970 UTC; `None`: all times.
    pub(crate) span: Option<(i64, i64)>,
}

impl Selected {
    fn condition(&self) -> String {
        let mut condition = format!("({})", self.condition);
        if !self.setup {
            condition += &format!(" and {}", self.not_setup);
        }
        if !self.terminal {
            condition += &format!(" and {TERMINAL} is not true");
        }
        condition
    }
}

/// Reads steps.
pub(crate) enum Feed {
    Growing(Growing),
    Replay(Replay),
}

/// The news of recordings.
pub(crate) struct Growing {
    watcher: RecordingWatcher,
    seen: SeenFiles,
    /// The time that is reached, and when it was.
    reached: Option<(i64, Instant)>,
}

/// A part of recordings, as it happened.
pub(crate) struct Replay {
    engine: Engine,
    span: (i64, i64),
    speed: Speed,
    /// The first time that has not been read.
    next: i64,
    /// The time that is reached; `None`: none yet.
    reached: Option<i64>,
    /// When the last step was read.
    stepped: Option<Instant>,
}

impl Feed {
    pub(crate) fn growing(engine: Engine) -> Feed {
        Feed::Growing(Growing {
            watcher: RecordingWatcher::new(engine, CHECK_INTERVAL),
            seen: SeenFiles::default(),
            reached: None,
        })
    }

    pub(crate) fn replay(engine: Engine, span: (i64, i64), speed: Speed) -> Feed {
        Feed::Replay(Replay {
            engine,
            span,
            speed,
            next: span.0,
            reached: None,
            stepped: None,
        })
    }

    /// Reads what has happened since the last step.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(crate) async fn step(&mut self, selected: &Selected) -> anyhow::Result<Step> {
        match self {
            Feed::Growing(growing) => growing.step(selected).await,
            Feed::Replay(replay) => replay.step(selected).await,
        }
    }

    /// Reads all that has happened so far again, with another selection.
    pub(crate) fn begin_again(&mut self) {
        match self {
            Feed::Growing(growing) => {
                growing.seen = SeenFiles::default();
                growing.watcher.forget();
            }
            Feed::Replay(replay) => replay.next = replay.span.0,
        }
    }

    /// Sets the speed of a replay.
    pub(crate) fn set_speed(&mut self, speed: Speed) {
        if let Feed::Replay(replay) = self {
            replay.speed = speed;
        }
    }

    /// Goes back to the first event of a replay.
    pub(crate) fn rewind(&mut self) {
        if let Feed::Replay(replay) = self {
            replay.next = replay.span.0;
            replay.reached = None;
            replay.stepped = None;
        }
    }

    /// Lets no time pass between this step and the next, because a replay was paused.
    pub(crate) fn resume(&mut self) {
        if let Feed::Replay(replay) = self {
            replay.stepped = Some(Instant::now());
        }
    }
}

impl Growing {
    async fn step(&mut self, selected: &Selected) -> anyhow::Result<Step> {
        let Some(engine) = self.watcher.check().await? else {
            let now_ns = self.reached.map_or(0, |(ns, at)| {
                let passed = i64::try_from(at.elapsed().as_nanos()).unwrap_or(i64::MAX);
                ns.saturating_add(passed)
            });
            return Ok(Step {
                now_ns,
                ..Step::default()
            });
        };
        let engine = engine.with_news(&mut self.seen).await?;
        let mut condition = selected.condition();
        if let Some((from, to)) = selected.span {
            condition += &format!(
                " and time >= to_timestamp_nanos({from}) and time <= to_timestamp_nanos({to})"
            );
        }
        let last = last_time(&engine, &condition).await?;
        let reached = last.or(self.reached.map(|(ns, _)| ns)).unwrap_or(0);
        self.reached = Some((reached, Instant::now()));
        Ok(read(&engine, &condition, reached).await?)
    }
}

impl Replay {
    async fn step(&mut self, selected: &Selected) -> anyhow::Result<Step> {
        let passed = self.stepped.map_or(0.0, |at| at.elapsed().as_secs_f64());
        self.stepped = Some(Instant::now());
        let (first, last) = self.span;
        let from = self.next;
        let to = match (self.reached, self.speed) {
            (_, Speed::Max) => last,
            (None, _) => first,
            (Some(reached), Speed::Times(factor)) => {
                // A number that is too large becomes the greatest one.
                reached
                    .saturating_add((passed * factor * SECOND_NS as f64) as i64)
                    .min(last)
            }
        };
        self.reached = Some(to);
        self.next = to.saturating_add(1);
        let condition = format!(
            "{} and time >= to_timestamp_nanos({from}) and time <= to_timestamp_nanos({to})",
            selected.condition()
        );
        let step = match from <= to {
            true => read(&self.engine, &condition, to).await?,
            false => Step::default(),
        };
        Ok(Step {
            now_ns: to,
            is_last: to >= last,
            ..step
        })
    }
}

async fn last_time(engine: &Engine, condition: &str) -> Result<Option<i64>, QueryError> {
    let sql = format!("select cast(max(time) as bigint) as last from events where {condition}");
    let batches = engine.collect_apart(&sql).await?;
    let rows = batches
        .iter()
        .flat_map(|batch| Rows(batch).all(|row| row.number("last")));
    Ok(rows.flatten().max())
}

/// Reads what happened among the events that pass `condition`, up to `now_ns`.
async fn read(engine: &Engine, condition: &str, now_ns: i64) -> Result<Step, QueryError> {
    let recent = now_ns.saturating_sub(RECENT_NS);
    let recent_second = recent.div_euclid(SECOND_NS);
    let counts = format!(
        "select host, container, container_id, pid, comm, syscall,
            case when cast(time as bigint) >= {recent_second} * {SECOND_NS} then cast(time as bigint) / {SECOND_NS} end as second,
            cast(coalesce(sum(case when kind = 'syscall' then 1 else calls end), 0) as bigint) as calls,
            cast(count(case when {FAILED_CALL} then 1 end) + coalesce(sum(errors), 0) as bigint) as errors,
            cast(coalesce(sum(bytes), 0) as bigint) as bytes,
            count(case when not {WAITS} then duration end) as timed,
            cast(coalesce(sum(case when not {WAITS} then duration end), 0) as bigint) as took,
            max(case when not {WAITS} and kind = 'syscall' then duration end) as slowest,
            cast(max(time) as bigint) as last
        from events
        where kind in ('syscall', 'counts') and {condition}
        group by 1, 2, 3, 4, 5, 6, 7"
    );
    let happened = format!(
        "with happenings as (
            select host, container, container_id, cast(time as bigint) as at, seq, ({failure}) as rank,
                case kind
                    when 'syscall' then case when syscall like 'exec%' and error is null then 'runs ' || coalesce(argv, path) else strace() end
                    when 'process' then comm || case when exit_signal is not null then ' was killed by signal ' || cast(exit_signal as varchar)
                        else ' exited with ' || cast(exit_code as varchar) end
                    when 'container' then 'container ' || action || coalesce(': ' || reason, '')
                    when 'signal' then comm || ' got signal ' || cast(signal as varchar) || ' (' || action || ')'
                    when 'connection' then 'connection to ' || coalesce(dns_name, peer_addr) || ':' || cast(peer_port as varchar) || ' ' || action
                    when 'dns' then 'name ' || dns_name || ' ' || coalesce(dns_code, action)
                    when 'gap' then cast(lost as varchar) || ' events were lost'
                end as text
            from events
            where container is not null and time >= to_timestamp_nanos({recent}) and {condition}
                and (kind in ('container', 'signal', 'gap') or kind = 'process' and action = 'exit'
                    or syscall in ('execve', 'execveat') and ret = 0
                    or ((error is not null or kind in ('connection', 'dns')) and ({failure}) <= 2))
        )
        select host, container, container_id, at, rank, text
        from (select *, row_number() over (
            partition by host, coalesce(container_id, container) order by at desc, seq desc) as number from happenings where text is not null)
        where number = 1",
        failure = failure()
    );
    let lives = format!(
        "select host, container, container_id, cast(time as bigint) as at, image, action, lost
        from events
        where (kind = 'gap' or kind = 'container' and action in ('found', 'started', 'changed', 'stopped')) and {condition}
        order by time, seq"
    );
    let mut step = Step {
        now_ns,
        ..Step::default()
    };
    for batch in engine.collect_apart(&counts).await? {
        step.counted.extend(Rows(&batch).all(counted));
    }
    for batch in engine.collect_apart(&happened).await? {
        step.happenings
            .extend(Rows(&batch).all(happening).into_iter().flatten());
    }
    for batch in engine.collect_apart(&lives).await? {
        step.lives
            .extend(Rows(&batch).all(life).into_iter().flatten());
        let lost = Rows(&batch).all(|row| row.count("lost"));
        step.lost += lost.iter().sum::<u64>();
    }
    Ok(step)
}

fn counted(row: &Row<'_>) -> Counted {
    Counted {
        container: row.container(),
        name: row.name(),
        pid: row.number("pid"),
        comm: row.text("comm").unwrap_or_default(),
        call: row.text("syscall").unwrap_or_default(),
        second: row.number("second"),
        sums: Sums {
            calls: row.count("calls"),
            errors: row.count("errors"),
            bytes: row.count("bytes"),
            timed: row.count("timed"),
            took_ns: row.count("took"),
            slowest_ns: row.count("slowest"),
        },
        last_ns: row.number("last").unwrap_or(0),
    }
}

fn happening(row: &Row<'_>) -> Option<Happening> {
    Some(Happening {
        container: row.container(),
        name: row.name(),
        time_ns: row.number("at")?,
        text: row.text("text")?,
        is_failure: row.number("rank").is_some_and(|rank| rank <= 2),
    })
}

fn life(row: &Row<'_>) -> Option<Life> {
    let action = row
        .text("action")
        .filter(|_| row.text("container").is_some())?;
    row.number("lost").is_none().then_some(())?;
    Some(Life {
        container: row.container(),
        name: row.name(),
        image: row.text("image"),
        time_ns: row.number("at")?,
        is_end: action == "stopped",
    })
}

/// The rows of an answer.
struct Rows<'a>(&'a RecordBatch);

/// One row of an answer.
struct Row<'a> {
    columns: &'a [(String, ArrayRef)],
    row: usize,
}

impl Rows<'_> {
    fn all<T>(&self, value: impl Fn(&Row<'_>) -> T) -> Vec<T> {
        let schema = self.0.schema();
        let columns = schema
            .fields()
            .iter()
            .zip(self.0.columns())
            .map(|(field, column)| {
                let ty = match field.data_type().is_integer() {
                    true => DataType::Int64,
                    false => DataType::Utf8,
                };
                let column = cast(column, &ty).unwrap_or_else(|_| column.clone());
                (field.name().clone(), column)
            });
        let columns: Vec<_> = columns.collect();
        let row = |row| Row {
            columns: &columns,
            row,
        };
        (0..self.0.num_rows()).map(|i| value(&row(i))).collect()
    }
}

impl Row<'_> {
    fn column(&self, name: &str) -> Option<&ArrayRef> {
        let (_, column) = self.columns.iter().find(|(other, _)| other == name)?;
        column.is_valid(self.row).then_some(column)
    }

    /// Returns a text, which is printable.
    fn text(&self, name: &str) -> Option<String> {
        let column = self.column(name)?.as_string_opt::<i32>()?;
        Some(printable(column.value(self.row)).into_owned())
    }

    fn number(&self, name: &str) -> Option<i64> {
        let column = self.column(name)?.as_primitive_opt::<Int64Type>()?;
        Some(column.value(self.row))
    }

    fn count(&self, name: &str) -> u64 {
        self.number(name)
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0)
    }

    fn name(&self) -> String {
        self.text("container").unwrap_or_else(|| "?".into())
    }

    fn container(&self) -> ContainerKey {
        ContainerKey {
            host: self.text("host").unwrap_or_default(),
            id: self.text("container_id").unwrap_or_else(|| self.name()),
        }
    }
}
