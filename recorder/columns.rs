//! From a batch to Arrow columns, one at a time, so that no more than one is in memory.
//!
//! Rows of a thread and a syscall stand together, and most columns are the same or absent over such a run: these cost
//! a run, not a row.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, TimestampNanosecondType, UInt32Type,
};
use ctrace_schema::columns::{COLUMNS, Type};

use crate::batch::{
    Batch, Counted, Description, Ends, Kind, NONE, Names, Note, Object, Row, Task, Text,
};
use crate::calls::{CallInfo, Calls};
use crate::events::Events;
use crate::order::order;
use crate::series::Series;
use crate::wire::types::sys_flag;

/// What the encoder needs to know of a container when it writes a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerName {
    /// The value of the column `container`.
    pub name: Option<String>,
    /// The value of `container_id`.
    pub id: Option<String>,
    /// Whether its rows are kept.
    pub keep: bool,
}

/// The Arrow schema of encoded batches: that of `events`, with dictionaries for text.
pub fn encoded_schema() -> Schema {
    let field = |c: &ctrace_schema::columns::Column| {
        let ty = match c.ty {
            Type::Text => {
                DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
            }
            other => other.arrow(),
        };
        Field::new(c.name, ty, c.nullable)
    };
    Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>())
}

/// The kept rows of a batch, in the order of the file.
pub struct Columns {
    batch: Batch,
    calls: Arc<Calls>,
    /// Index in the batch of each kept row.
    order: Vec<u32>,
    rows: Vec<Row>,
    /// A row without a thread is a run of its own.
    runs: Vec<Run>,
    /// Neighbours of one object: its index, and how many.
    objects: Vec<(u32, usize)>,
    host: Text,
    /// Name and id by container.
    containers: Vec<(Text, Text)>,
    /// Errno names by number.
    errors: Vec<Text>,
    kinds: [Text; 5],
}

/// Rows of one thread and one call.
struct Run {
    rows: Range<usize>,
    /// Whether some of them have what only some calls have.
    named: bool,
}

/// Above every errno: MAX_ERRNO of linux/err.h. Results that are addresses come near only where they are errors.
const ERRORS: usize = 4096;

impl Columns {
    /// Takes those rows whose containers are kept. With `cluster`, rows of a thread and a syscall stand together, which
    /// makes the file smaller and questions faster; `time` and `seq` give the order back.
    pub fn new(
        mut batch: Batch,
        calls: &Arc<Calls>,
        containers: &[ContainerName],
        host: &str,
        cluster: bool,
    ) -> Columns {
        let order = order(&batch, containers, cluster);
        let rows = in_order(&mut batch, &order);
        let strings = &mut batch.strings;
        let host = strings.intern(host);
        let containers = containers
            .iter()
            .map(|c| {
                let name = strings.intern_opt(c.name.as_deref());
                (name, strings.intern_opt(c.id.as_deref()))
            })
            .collect();
        let kinds = [
            Kind::Syscall,
            Kind::Process,
            Kind::Container,
            Kind::Gap,
            Kind::Counts,
        ]
        .map(|kind| strings.intern(kind.as_str()));
        let mut columns = Columns {
            runs: runs(&rows),
            objects: objects(&rows),
            errors: errors(&mut batch, &rows),
            batch,
            calls: calls.clone(),
            order,
            rows,
            host,
            containers,
            kinds,
        };
        columns.intern_words();
        columns
    }

    /// The batch, with rows and arguments in another order and some words more.
    pub fn into_batch(self) -> Batch {
        self.batch
    }

    fn text_series(&self, name: &str) -> Series {
        let container = |r: &Row| {
            let index = self.batch.container(r) as usize;
            self.containers.get(index).copied().unwrap_or((NONE, NONE))
        };
        match name {
            "container" => self.by_run(|r| some(container(r).0)),
            "container_id" => self.by_run(|r| some(container(r).1)),
            "host" => self.by_run(|_| some(self.host)),
            "comm" => self.by_run(|r| match self.task_of(r) {
                Some(task) => some(task.comm),
                None => some(self.counted(r)?.comm),
            }),
            "exe" => self.by_run(|r| some(self.task_of(r)?.exe)),
            "kind" => self.by_run(|r| some(self.kinds[r.kind as usize])),
            "action" => self.by_run(|r| self.word(self.batch.note(r)?.action)),
            "class" => self.by_run(|r| match self.call(r) {
                Some(call) => self.word(call.class),
                None => self.word(self.batch.note(r)?.class),
            }),
            "syscall" => self.by_run(|r| self.word(&self.call(r)?.name)),
            "error" => self.by_row(|r| {
                let number = ret(r).filter(|ret| *ret < 0)?.checked_neg()?;
                some(*self.errors.get(usize::try_from(number).ok()?)?)
            }),
            "path" => self.by_row(|r| match self.object(r) {
                Some(object) if object.path != NONE => some(object.path),
                _ => some(self.names(r)?.path),
            }),
            "path_arg" => self.by_names(|n| some(n.path_arg)),
            "path2" => self.by_names(|n| some(n.path2)),
            "argv" => self.by_names(|n| some(n.argv)),
            "latency" => self.by_note(|n| some(n.counted.as_ref()?.latency)),
            "dev" => self.by_object(|o| some(o.dev)),
            "family" => self.by_ends(|e| some(e.family)),
            "protocol" => self.by_ends(|e| some(e.protocol)),
            "local_addr" => self.by_ends(|e| some(e.local_addr)),
            "peer_addr" => self.by_ends(|e| some(e.peer_addr)),
            "peer_path" => self.by_ends(|e| some(e.peer_path)),
            "dns_name" => self.by_ends(|e| some(e.dns_name)),
            "image" => self.described(|d| &d.image),
            "runtime" => self.described(|d| &d.runtime),
            "pod" => self.described(|d| &d.pod),
            "namespace" => self.described(|d| &d.namespace),
            "labels" => self.described(|d| &d.labels),
            // A column that is forgotten here is null, and a test fails.
            _ => self.by_run(|_| None),
        }
    }

    fn call(&self, row: &Row) -> Option<&CallInfo> {
        self.calls.get(compat(row)?, row.call)
    }

    fn counted(&self, row: &Row) -> Option<&Counted> {
        self.batch.note(row)?.counted.as_deref()
    }

    fn task_of(&self, row: &Row) -> Option<&Task> {
        self.batch.tasks.get(row.task as usize)
    }

    fn object(&self, row: &Row) -> Option<&Object> {
        self.batch.objects.get(row.object as usize)
    }

    fn names(&self, row: &Row) -> Option<&Names> {
        match row.kind {
            Kind::Syscall => self.batch.names.get(row.detail as usize),
            _ => None,
        }
    }

    /// Argument `i` of a call.
    fn value(&self, call: &CallInfo, i: usize, row: &Row) -> Option<i64> {
        let from = row.args as usize;
        let args = self.batch.args.get(from..from + usize::from(row.nargs))?;
        call.arg(i, args)
    }

    fn fd(&self, call: &CallInfo, row: &Row) -> Option<i32> {
        if row.flags & sys_flag::SYS_RET_KEY.0 as u8 != 0 {
            return Some(row.ret as i32);
        }
        if row.flags & sys_flag::SYS_NO_FD.0 as u8 != 0 {
            return None;
        }
        Some(self.value(call, call.fd?, row)? as i32)
    }

    fn word(&self, word: &str) -> Option<i64> {
        self.batch.strings.get(word).and_then(some)
    }

    /// Interns the few fixed words that are not kept as indices.
    fn intern_words(&mut self) {
        for run in &self.runs {
            let row = &self.rows[run.rows.start];
            let strings = &mut self.batch.strings;
            if let Some(compat) = compat(row)
                && let Some(call) = self.calls.get(compat, row.call)
            {
                strings.intern_shared(&call.name);
                strings.intern(call.class);
            }
        }
        let Batch { notes, strings, .. } = &mut self.batch;
        for Note {
            action,
            class,
            description,
            ..
        } in notes.iter()
        {
            strings.intern(action);
            strings.intern(class);
            if let Some(d) = description {
                for text in [&d.image, &d.runtime, &d.pod, &d.namespace, &d.labels] {
                    strings.intern_opt(text.as_deref());
                }
            }
        }
    }

    /// A column that is the same over a run.
    fn by_run(&self, get: impl Fn(&Row) -> Option<i64>) -> Series {
        let mut series = Series::default();
        for run in &self.runs {
            series.push(get(&self.rows[run.rows.start]), run.rows.len());
        }
        series
    }

    /// A column of its own for each row.
    fn by_row(&self, get: impl Fn(&Row) -> Option<i64>) -> Series {
        self.rows.iter().map(get).collect()
    }

    /// A column of its own for each row of some runs.
    fn by_some(&self, has: impl Fn(&Run) -> bool, get: impl Fn(&Row) -> Option<i64>) -> Series {
        let mut series = Series::default();
        for run in &self.runs {
            if has(run) {
                let rows = &self.rows[run.rows.clone()];
                rows.iter().for_each(|row| series.push(get(row), 1));
            } else {
                series.push(None, run.rows.len());
            }
        }
        series
    }

    /// A column of what only some calls have.
    fn by_names(&self, get: impl Fn(&Names) -> Option<i64>) -> Series {
        self.by_some(|run| run.named, |r| get(self.names(r)?))
    }

    /// A column of what rows say that are not about calls.
    fn by_note(&self, get: impl Fn(&Note) -> Option<i64>) -> Series {
        let has = |run: &Run| self.rows[run.rows.start].kind != Kind::Syscall;
        self.by_some(has, |r| get(self.batch.note(r)?))
    }

    /// A column of what an object is.
    fn by_object(&self, get: impl Fn(&Object) -> Option<i64>) -> Series {
        let mut series = Series::default();
        for &(object, rows) in &self.objects {
            series.push(self.batch.objects.get(object as usize).and_then(&get), rows);
        }
        series
    }

    /// A column of what a socket is.
    fn by_ends(&self, get: impl Fn(&Ends) -> Option<i64>) -> Series {
        self.by_object(|object| get(self.batch.ends.get(object.ends as usize)?))
    }

    /// A column of calls, of which only some have it.
    fn by_call(
        &self,
        has: impl Fn(&CallInfo, &Run) -> bool,
        get: impl Fn(&CallInfo, &Row) -> Option<i64>,
    ) -> Series {
        let mut series = Series::default();
        for run in &self.runs {
            let rows = &self.rows[run.rows.clone()];
            match self.call(&rows[0]).filter(|call| has(call, run)) {
                Some(call) => rows.iter().for_each(|r| series.push(get(call, r), 1)),
                None => series.push(None, rows.len()),
            }
        }
        series
    }

    fn arg(&self, i: usize) -> Series {
        self.by_call(|call, _| call.has_arg(i), |call, r| self.value(call, i, r))
    }

    fn task(&self, get: impl Fn(&Task) -> u32) -> Series {
        self.by_run(|r| Some(get(self.task_of(r)?).into()))
    }

    fn described(&self, get: impl Fn(&Description) -> &Option<String>) -> Series {
        self.by_run(|r| {
            let description = self.batch.note(r)?.description.as_deref()?;
            self.word(get(description).as_deref()?)
        })
    }
}

impl Events for Columns {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn texts(&self) -> &[Arc<str>] {
        &self.batch.strings.list
    }

    fn series(&self, name: &str) -> Series {
        match name {
            "time" => self.by_row(|r| Some(r.time)),
            "seq" => {
                let seq = |i: &u32| Some((self.batch.first_seq + u64::from(*i)) as i64);
                self.order.iter().map(seq).collect()
            }
            "duration" => self.by_row(duration),
            "ret" => self.by_row(ret),
            "compat" => self.by_run(|r| Some(compat(r)?.into())),
            "denied" => self.by_row(|r| Some(flag(r, sys_flag::SYS_DENIED)?.into())),
            "arg0" => self.arg(0),
            "arg1" => self.arg(1),
            "arg2" => self.arg(2),
            "arg3" => self.arg(3),
            "arg4" => self.arg(4),
            "arg5" => self.arg(5),
            "flags" => self.by_call(
                |call, run| call.flags.is_some() || run.named,
                |call, r| match call.flags {
                    Some(i) => self.value(call, i, r),
                    None => self.names(r)?.flags,
                },
            ),
            "mode" => self.by_call(
                |call, run| call.mode.is_some() || run.named,
                |call, r| match call.mode {
                    Some(i) => Some(self.value(call, i, r)? & 0o7777),
                    None => self.names(r)?.mode.map(Into::into),
                },
            ),
            "bytes" => self.by_call(
                |call, run| call.moves_bytes || call.moves_messages && run.named,
                |call, r| match (self.counted(r), call.moves_bytes) {
                    (Some(counted), _) => Some(counted.bytes),
                    (None, true) => Some(ret(r)?.max(0)),
                    (None, false) => self.names(r)?.bytes,
                },
            ),
            "fd" => self.by_call(|_, _| true, |call, r| self.fd(call, r).map(Into::into)),
            "inode" => self.by_object(|o| Some(o.inode? as i64)),
            "lost" => self.by_note(|n| n.lost),
            "calls" => self.by_note(|n| Some(n.counted.as_ref()?.calls)),
            "errors" => self.by_note(|n| Some(n.counted.as_ref()?.errors)),
            "pid" => self.task(|t| t.pid),
            "tid" => self.task(|t| t.tid),
            "ppid" => self.task(|t| t.ppid),
            "ns_pid" => self.task(|t| t.ns_pid),
            "uid" => self.task(|t| t.uid),
            "local_port" => self.by_ends(|e| e.local_port.map(Into::into)),
            "peer_port" => self.by_ends(|e| e.peer_port.map(Into::into)),
            "child_pid" => self.by_names(|n| n.child_pid.map(Into::into)),
            "exit_code" => self.by_note(|n| n.exit_code.map(Into::into)),
            "exit_signal" => self.by_note(|n| n.exit_signal.map(Into::into)),
            _ => self.text_series(name),
        }
    }
}

/// The values of a column that is not text.
pub fn array(ty: Type, values: impl Iterator<Item = Option<i64>>) -> Option<ArrayRef> {
    Some(match ty {
        Type::Time => {
            let times: PrimitiveArray<TimestampNanosecondType> = values.collect();
            Arc::new(times.with_timezone("UTC"))
        }
        Type::Int64 => Arc::new(values.collect::<PrimitiveArray<Int64Type>>()),
        Type::Int32 => {
            let values = values.map(|v| v.map(|v| v as i32));
            Arc::new(values.collect::<PrimitiveArray<Int32Type>>())
        }
        Type::UInt32 => Arc::new(unsigned(values)),
        Type::Bool => Arc::new(values.map(|v| v.map(|v| v != 0)).collect::<BooleanArray>()),
        Type::Text => return None,
    })
}

/// The value of a text that may not be there.
fn some(text: Text) -> Option<i64> {
    (text != NONE).then_some(text.into())
}

/// Numbers that are not negative.
pub fn unsigned(values: impl Iterator<Item = Option<i64>>) -> PrimitiveArray<UInt32Type> {
    values
        .map(|value| value.map(|value| value as u32))
        .collect()
}

/// Whether it is about a 32-bit call, or such calls; None: it is not about calls.
fn compat(row: &Row) -> Option<bool> {
    let calls = matches!(row.kind, Kind::Syscall | Kind::Counts);
    calls.then_some(u32::from(row.flags) & sys_flag::SYS_COMPAT.0 != 0)
}

/// A flag of a call; None: the row is not about one.
fn flag(row: &Row, flag: sys_flag) -> Option<bool> {
    (row.kind == Kind::Syscall).then_some(u32::from(row.flags) & flag.0 != 0)
}

/// The result of a call that has returned.
fn ret(row: &Row) -> Option<i64> {
    // A seccomp filter that kills or traps leaves the call's number where its result would be.
    let killed = flag(row, sys_flag::SYS_DENIED)? && row.ret == i64::from(row.call);
    (!flag(row, sys_flag::SYS_NO_RETURN)? && !killed).then_some(row.ret)
}

/// How long it took, ns; None for a call whose entry or return was not seen.
fn duration(row: &Row) -> Option<i64> {
    let unknown = sys_flag::SYS_DENIED.0 | sys_flag::SYS_NO_ENTRY.0 | sys_flag::SYS_NO_RETURN.0;
    let known = match row.kind {
        Kind::Syscall => u32::from(row.flags) & unknown == 0,
        Kind::Gap | Kind::Counts => true,
        Kind::Process | Kind::Container => false,
    };
    known.then_some(row.duration as i64)
}

/// Interns the errno name of each result that is one, and lists them by number.
fn errors(batch: &mut Batch, rows: &[Row]) -> Vec<Text> {
    let mut errors = vec![NONE; ERRORS];
    let failed = rows.iter().filter_map(ret).filter(|ret| *ret < 0);
    for number in failed.filter_map(i64::checked_neg) {
        let Some(text @ &mut NONE) = errors.get_mut(number as usize) else {
            continue;
        };
        if let Some(name) = ctrace_schema::errno::name(number as i32) {
            *text = batch.strings.intern(name);
        }
    }
    errors
}

/// What of a row must be the same over a run.
fn run_key(row: &Row) -> (u32, Kind, u16, u8) {
    let compat = row.flags & sys_flag::SYS_COMPAT.0 as u8;
    (row.task, row.kind, row.call, compat)
}

fn runs(rows: &[Row]) -> Vec<Run> {
    let mut runs = vec![];
    let (mut start, mut named) = (0, false);
    for end in 1..=rows.len() {
        let last = &rows[end - 1];
        named |= last.detail != NONE && last.kind == Kind::Syscall;
        let same = |next: &Row| next.task != NONE && run_key(next) == run_key(last);
        if !rows.get(end).is_some_and(same) {
            let rows = start..end;
            runs.push(Run { rows, named });
            (start, named) = (end, false);
        }
    }
    runs
}

fn objects(rows: &[Row]) -> Vec<(u32, usize)> {
    let same = rows.chunk_by(|a, b| a.object == b.object);
    same.map(|rows| (rows[0].object, rows.len())).collect()
}

/// The rows in the order of the file, and their arguments, for a column after the other reads them in that order.
fn in_order(batch: &mut Batch, order: &[u32]) -> Vec<Row> {
    let unordered = std::mem::take(&mut batch.rows);
    let mut args = Vec::with_capacity(batch.args.len());
    let mut take = |i: &u32| {
        let mut row = unordered[*i as usize];
        let from = row.args as usize;
        row.args = args.len() as u32;
        args.extend_from_slice(&batch.args[from..from + usize::from(row.nargs)]);
        row
    };
    let rows = order.iter().map(&mut take).collect();
    batch.args = args;
    rows
}
