//! From a batch to Arrow columns, one at a time, so that no more than one is in memory.
//!
//! Rows of a thread and a syscall stand together, and most columns are the same or absent over such a run: these cost
//! a run, not a row.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, PrimitiveBuilder, RecordBatch,
    StringArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Int32Type, Int64Type, Schema, TimestampNanosecondType,
    UInt32Type,
};
use arrow::error::ArrowError;
use ctrace_schema::columns::{COLUMNS, Type};

use crate::batch::{Batch, Description, Ends, Kind, NONE, Names, Note, Object, Row, Task, Text};
use crate::calls::{CallInfo, Calls};
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
    schema: Arc<Schema>,
    /// Index in the batch of each kept row.
    order: Vec<u32>,
    rows: Vec<Row>,
    /// Rows of one thread and one call; a row without a thread is a run of its own.
    runs: Vec<Range<usize>>,
    host: Text,
    /// Name and id by container.
    containers: Vec<(Text, Text)>,
    /// Errno names by number.
    errors: Vec<Text>,
    kinds: [Text; 4],
    values: ArrayRef,
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
        schema: &Arc<Schema>,
        cluster: bool,
    ) -> Columns {
        let order = order(&batch, containers, cluster);
        let rows: Vec<Row> = order.iter().map(|&i| batch.rows[i as usize]).collect();
        batch.rows = vec![];
        let strings = &mut batch.strings;
        let host = strings.intern(host);
        let containers = containers
            .iter()
            .map(|c| {
                let name = strings.intern_opt(c.name.as_deref());
                (name, strings.intern_opt(c.id.as_deref()))
            })
            .collect();
        let kinds = [Kind::Syscall, Kind::Process, Kind::Container, Kind::Gap]
            .map(|kind| strings.intern(kind.as_str()));
        let mut columns = Columns {
            runs: runs(&rows),
            errors: errors(&mut batch, &rows),
            batch,
            calls: calls.clone(),
            schema: schema.clone(),
            order,
            rows,
            host,
            containers,
            kinds,
            values: Arc::new(StringArray::new_null(0)),
        };
        columns.intern_words();
        let strings = &columns.batch.strings.list;
        columns.values = Arc::new(StringArray::from_iter_values(strings.iter()));
        columns
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The schema of the columns: [`encoded_schema`].
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// All columns at once.
    ///
    /// # Errors
    /// None that a user can cause: the columns do not fit the schema.
    pub fn batch(&self) -> Result<RecordBatch, ArrowError> {
        let columns = COLUMNS.iter().map(|c| self.column(c.name)).collect();
        RecordBatch::try_new(self.schema.clone(), columns)
    }

    /// One column of [`encoded_schema`], by its name.
    pub fn column(&self, name: &str) -> ArrayRef {
        match name {
            "time" => Arc::new(
                PrimitiveArray::<TimestampNanosecondType>::from_iter_values(
                    self.rows.iter().map(|r| r.time),
                )
                .with_timezone("UTC"),
            ),
            "seq" => {
                let seq = |&i| (self.batch.first_seq + u64::from(i)) as i64;
                let seqs = self.order.iter().map(seq);
                Arc::new(PrimitiveArray::<Int64Type>::from_iter_values(seqs))
            }
            "duration" => self.long(duration),
            "ret" => self.long(ret),
            "compat" => self.bools(|r| flag(r, sys_flag::SYS_COMPAT)),
            "denied" => self.bools(|r| flag(r, sys_flag::SYS_DENIED)),
            "arg0" => self.arg(0),
            "arg1" => self.arg(1),
            "arg2" => self.arg(2),
            "arg3" => self.arg(3),
            "arg4" => self.arg(4),
            "arg5" => self.arg(5),
            "flags" => self.by_call::<Int64Type>(
                |_| true,
                |call, r| match call.flags {
                    Some(i) => self.value(call, i, r),
                    None => self.names(r)?.flags,
                },
            ),
            "mode" => self.by_call::<Int32Type>(
                |_| true,
                |call, r| match call.mode {
                    Some(i) => Some((self.value(call, i, r)? & 0o7777) as i32),
                    None => self.names(r)?.mode,
                },
            ),
            "bytes" => {
                self.by_call::<Int64Type>(|call| call.moves_bytes, |_, r| Some(ret(r)?.max(0)))
            }
            "fd" => self.by_call::<Int32Type>(|_| true, |call, r| self.fd(call, r)),
            "inode" => self.long(|r| Some(self.object(r)?.inode? as i64)),
            "lost" => Arc::new(
                self.by_list::<Int64Type, _>(&self.batch.notes, |r| self.batch.note(r)?.lost),
            ),
            "pid" => self.task(|t| t.pid),
            "tid" => self.task(|t| t.tid),
            "ppid" => self.task(|t| t.ppid),
            "ns_pid" => self.task(|t| t.ns_pid),
            "uid" => Arc::new(self.by_run::<UInt32Type>(|r| Some(self.task_of(r)?.uid))),
            "local_port" => self.end_port(|e| e.local_port),
            "peer_port" => self.end_port(|e| e.peer_port),
            "child_pid" => Arc::new(
                self.by_list::<Int32Type, _>(&self.batch.names, |r| self.names(r)?.child_pid),
            ),
            "exit_code" => Arc::new(
                self.by_list::<Int32Type, _>(&self.batch.notes, |r| self.batch.note(r)?.exit_code),
            ),
            "exit_signal" => {
                Arc::new(self.by_list::<Int32Type, _>(&self.batch.notes, |r| {
                    self.batch.note(r)?.exit_signal
                }))
            }
            _ => self.text_column(name),
        }
    }

    fn text_column(&self, name: &str) -> ArrayRef {
        let container = |r: &Row| {
            let index = self.batch.container(r) as usize;
            self.containers.get(index).copied().unwrap_or((NONE, NONE))
        };
        match name {
            "container" => self.run_text(|r| Some(container(r).0)),
            "container_id" => self.run_text(|r| Some(container(r).1)),
            "host" => self.run_text(|_| Some(self.host)),
            "comm" => self.run_text(|r| Some(self.task_of(r)?.comm)),
            "exe" => self.run_text(|r| Some(self.task_of(r)?.exe)),
            "kind" => self.run_text(|r| Some(self.kinds[r.kind as usize])),
            "action" => self.run_text(|r| self.word(self.batch.note(r)?.action)),
            "class" => self.run_text(|r| match self.call(r) {
                Some(call) => self.word(call.class),
                None => self.word(self.batch.note(r)?.class),
            }),
            "syscall" => self.run_text(|r| self.word(&self.call(r)?.name)),
            "error" => self.text(|r| {
                let number = ret(r)?.checked_neg()?;
                self.errors.get(usize::try_from(number).ok()?).copied()
            }),
            "path" => self.text(|r| match self.object(r) {
                Some(object) if object.path != NONE => Some(object.path),
                _ => Some(self.names(r)?.path),
            }),
            "path_arg" => self.named(|n| n.path_arg),
            "path2" => self.named(|n| n.path2),
            "argv" => self.named(|n| n.argv),
            "dev" => self.text(|r| Some(self.object(r)?.dev)),
            "family" => self.end_text(|e| e.family),
            "protocol" => self.end_text(|e| e.protocol),
            "local_addr" => self.end_text(|e| e.local_addr),
            "peer_addr" => self.end_text(|e| e.peer_addr),
            "peer_path" => self.end_text(|e| e.peer_path),
            "image" => self.described(|d| &d.image),
            "runtime" => self.described(|d| &d.runtime),
            "pod" => self.described(|d| &d.pod),
            "namespace" => self.described(|d| &d.namespace),
            "labels" => self.described(|d| &d.labels),
            // dns_name: answers are not decoded yet. A column that is forgotten here is null, and a test fails.
            _ => self.run_text(|_| None),
        }
    }

    fn call(&self, row: &Row) -> Option<&CallInfo> {
        let compat = flag(row, sys_flag::SYS_COMPAT)?;
        self.calls.get(compat, row.call)
    }

    fn task_of(&self, row: &Row) -> Option<&Task> {
        self.batch.tasks.get(row.task as usize)
    }

    fn object(&self, row: &Row) -> Option<&Object> {
        self.batch.objects.get(row.object as usize)
    }

    fn ends(&self, row: &Row) -> Option<&Ends> {
        self.batch.ends.get(self.object(row)?.ends as usize)
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

    fn word(&self, word: &str) -> Option<Text> {
        self.batch.strings.get(word)
    }

    /// Interns the few fixed words that are not kept as indices.
    fn intern_words(&mut self) {
        for run in &self.runs {
            let row = &self.rows[run.start];
            let strings = &mut self.batch.strings;
            if row.kind == Kind::Syscall {
                let compat = row.flags & sys_flag::SYS_COMPAT.0 as u8 != 0;
                if let Some(call) = self.calls.get(compat, row.call) {
                    strings.intern_shared(&call.name);
                    strings.intern(call.class);
                }
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
    fn by_run<T: ArrowPrimitiveType>(
        &self,
        get: impl Fn(&Row) -> Option<T::Native>,
    ) -> PrimitiveArray<T> {
        let mut column = PrimitiveBuilder::<T>::with_capacity(self.rows.len());
        for run in &self.runs {
            match get(&self.rows[run.start]) {
                Some(value) => column.append_value_n(value, run.len()),
                None => column.append_nulls(run.len()),
            }
        }
        column.finish()
    }

    /// A column of its own for each row.
    fn by_row<T: ArrowPrimitiveType>(
        &self,
        get: impl Fn(&Row) -> Option<T::Native>,
    ) -> PrimitiveArray<T> {
        self.rows.iter().map(get).collect()
    }

    /// A column of what a list of the batch holds: null in no time where nothing is in it.
    fn by_list<T: ArrowPrimitiveType, L>(
        &self,
        list: &[L],
        get: impl Fn(&Row) -> Option<T::Native>,
    ) -> PrimitiveArray<T> {
        if list.is_empty() {
            PrimitiveArray::new_null(self.rows.len())
        } else {
            self.by_row(get)
        }
    }

    /// A column of calls, of which only some have it.
    fn by_call<T: ArrowPrimitiveType>(
        &self,
        has: impl Fn(&CallInfo) -> bool,
        get: impl Fn(&CallInfo, &Row) -> Option<T::Native>,
    ) -> ArrayRef {
        let mut column = PrimitiveBuilder::<T>::with_capacity(self.rows.len());
        for run in &self.runs {
            let rows = &self.rows[run.clone()];
            match self.call(&rows[0]).filter(|call| has(call)) {
                Some(call) => rows.iter().for_each(|r| column.append_option(get(call, r))),
                None => column.append_nulls(rows.len()),
            }
        }
        Arc::new(column.finish())
    }

    fn arg(&self, i: usize) -> ArrayRef {
        self.by_call::<Int64Type>(|call| call.has_arg(i), |call, r| self.value(call, i, r))
    }

    fn long(&self, get: impl Fn(&Row) -> Option<i64>) -> ArrayRef {
        Arc::new(self.by_row::<Int64Type>(get))
    }

    fn bools(&self, get: impl Fn(&Row) -> Option<bool>) -> ArrayRef {
        Arc::new(self.rows.iter().map(get).collect::<BooleanArray>())
    }

    fn task(&self, get: impl Fn(&Task) -> u32) -> ArrayRef {
        Arc::new(self.by_run::<Int32Type>(|r| Some(get(self.task_of(r)?) as i32)))
    }

    fn dictionary(&self, keys: PrimitiveArray<UInt32Type>) -> ArrayRef {
        Arc::new(DictionaryArray::new(keys, self.values.clone()))
    }

    fn text(&self, get: impl Fn(&Row) -> Option<Text>) -> ArrayRef {
        let some = |text: &Text| *text != NONE;
        self.dictionary(self.by_row(|r| get(r).filter(some)))
    }

    fn named(&self, get: impl Fn(&Names) -> Text) -> ArrayRef {
        let text = |r: &Row| Some(get(self.names(r)?)).filter(|text| *text != NONE);
        self.dictionary(self.by_list(&self.batch.names, text))
    }

    fn end_text(&self, get: impl Fn(&Ends) -> Text) -> ArrayRef {
        let text = |r: &Row| Some(get(self.ends(r)?)).filter(|text| *text != NONE);
        self.dictionary(self.by_list(&self.batch.ends, text))
    }

    fn end_port(&self, get: impl Fn(&Ends) -> Option<u16>) -> ArrayRef {
        let port = |r: &Row| Some(get(self.ends(r)?)?.into());
        Arc::new(self.by_list::<Int32Type, _>(&self.batch.ends, port))
    }

    fn run_text(&self, get: impl Fn(&Row) -> Option<Text>) -> ArrayRef {
        let some = |text: &Text| *text != NONE;
        self.dictionary(self.by_run(|r| get(r).filter(some)))
    }

    fn described(&self, get: impl Fn(&Description) -> &Option<String>) -> ArrayRef {
        self.run_text(|r| {
            let description = self.batch.note(r)?.description.as_deref()?;
            self.word(get(description).as_deref()?)
        })
    }
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
        Kind::Gap => true,
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

fn runs(rows: &[Row]) -> Vec<Range<usize>> {
    let mut runs = vec![];
    let mut start = 0;
    for end in 1..=rows.len() {
        let same = |next: &Row| next.task != NONE && run_key(next) == run_key(&rows[start]);
        if !rows.get(end).is_some_and(same) {
            runs.push(start..end);
            start = end;
        }
    }
    runs
}

/// Indices of the rows that are kept, in the order of the file.
fn order(batch: &Batch, containers: &[ContainerName], cluster: bool) -> Vec<u32> {
    let keep = |row: &Row| {
        containers
            .get(batch.container(row) as usize)
            .is_none_or(|c| c.keep)
    };
    let rows = &batch.rows;
    let kept = (0..rows.len() as u32).filter(|&i| keep(&rows[i as usize]));
    if !cluster {
        return kept.collect();
    }
    // By container, thread and syscall. Two stable counting sorts, the minor key first, keep the order of time.
    let mut ranks: Vec<u32> = (0..batch.tasks.len() as u32).collect();
    ranks.sort_by_key(|&i| {
        let t = &batch.tasks[i as usize];
        (t.container, t.tid)
    });
    let mut rank_of = vec![0; ranks.len()];
    ranks
        .iter()
        .enumerate()
        .for_each(|(rank, &i)| rank_of[i as usize] = rank as u32 + 1);
    let by_call = counting_sort(kept.collect(), |i| {
        let row = &rows[i as usize];
        u32::from(row.call) << 1 | u32::from(row.flags) & sys_flag::SYS_COMPAT.0
    });
    counting_sort(by_call, |i| {
        rank_of
            .get(rows[i as usize].task as usize)
            .copied()
            .unwrap_or(0)
    })
}

/// Sorts by a small key, stably, in linear time.
fn counting_sort(items: Vec<u32>, key: impl Fn(u32) -> u32) -> Vec<u32> {
    let keys = items
        .iter()
        .map(|&i| key(i))
        .max()
        .map_or(0, |max| max as usize + 1);
    let mut starts = vec![0usize; keys + 1];
    items.iter().for_each(|&i| starts[key(i) as usize + 1] += 1);
    (0..keys).for_each(|k| starts[k + 1] += starts[k]);
    let mut out = vec![0; items.len()];
    for i in items {
        let at = &mut starts[key(i) as usize];
        out[*at] = i;
        *at += 1;
    }
    out
}
