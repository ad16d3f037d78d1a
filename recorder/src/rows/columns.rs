//! From a batch to Arrow columns, one at a time, so that no more than one is in memory.
//!
//! Rows of a thread and a syscall stand together, and most columns are the same or absent over such a run: these cost
//! a run, not a row.

use std::ops::Range;
use std::sync::Arc;

use crate::calls::{CallInfo, Calls};
use crate::rows::batch::{
    Batch, CallCounts, CallDetail, ContainerName, EventDetail, EventKind, NONE, Object, Row,
    StringIndex, Task,
};
use crate::rows::buffers::ColumnBuffers;
use crate::wire::types::sys_flag;

/// The kept rows of a batch, in the order of the file.
pub(crate) struct Columns {
    pub(super) batch: Batch,
    pub(super) calls: Arc<Calls>,
    pub(super) room: ColumnBuffers,
    pub(super) rows: Vec<Row>,
    /// A row without a thread is a run of its own.
    pub(super) runs: Vec<ThreadRun>,
    /// Neighbours of one object: its index, and which they are.
    pub(super) objects: Vec<(u32, Span)>,
    pub(super) host: StringIndex,
    /// Name and id by container.
    pub(super) containers: Vec<(StringIndex, StringIndex)>,
    /// Errno names by number.
    pub(super) errors: Vec<StringIndex>,
    pub(super) kinds: [StringIndex; 5],
}

/// From which row to which, the last one not included: small, for there may be as many as rows.
pub(super) type Span = Range<u32>;

/// Rows of one thread and one call.
pub(super) struct ThreadRun {
    pub(super) rows: Span,
    /// Whether some of them have what only some calls have.
    pub(super) has_details: bool,
}

/// Above every errno: MAX_ERRNO of linux/err.h. Results that are addresses come near only where they are errors.
const ERRORS: usize = 4096;

impl Columns {
    /// Takes those rows whose containers are kept. With `cluster`, rows of a thread and a syscall stand together, which
    /// makes the file smaller and questions faster; `time` and `seq` give the order back.
    pub(crate) fn new(
        mut batch: Batch,
        calls: &Arc<Calls>,
        containers: &[ContainerName],
        host: &str,
        cluster: bool,
        mut room: ColumnBuffers,
    ) -> Columns {
        room.order(&batch, containers, cluster);
        let rows = room.arrange(&mut batch);
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
            EventKind::Syscall,
            EventKind::Process,
            EventKind::Container,
            EventKind::Gap,
            EventKind::Counts,
        ]
        .map(|kind| strings.intern(kind.as_str()));
        let mut columns = Columns {
            runs: runs(&rows),
            objects: objects(&rows),
            errors: errors(&mut batch, &rows),
            batch,
            calls: calls.clone(),
            room,
            rows,
            host,
            containers,
            kinds,
        };
        columns.intern_words();
        columns
    }

    /// The batch, with rows and arguments in another order and some words more, and the room for the next.
    pub(crate) fn into_parts(mut self) -> (Batch, ColumnBuffers) {
        self.batch.rows = self.rows;
        (self.batch, self.room)
    }

    pub(super) fn call(&self, row: &Row) -> Option<&CallInfo> {
        self.calls.get(compat(row)?, row.call)
    }

    pub(super) fn counted(&self, row: &Row) -> Option<&CallCounts> {
        self.batch.event_detail(row)?.counted.as_deref()
    }

    pub(super) fn task_of(&self, row: &Row) -> Option<&Task> {
        self.batch.tasks.get(row.task as usize)
    }

    pub(super) fn object(&self, row: &Row) -> Option<&Object> {
        self.batch.objects.get(row.object as usize)
    }

    pub(super) fn call_detail(&self, row: &Row) -> Option<&CallDetail> {
        match row.kind {
            EventKind::Syscall => self.batch.call_details.get(row.detail as usize),
            _ => None,
        }
    }

    /// Argument `i` of a call.
    pub(super) fn value(&self, call: &CallInfo, i: usize, row: &Row) -> Option<i64> {
        let from = row.args as usize;
        let args = self
            .batch
            .args
            .get(from..from + usize::from(row.arg_count))?;
        call.arg(i, args)
    }

    pub(super) fn fd(&self, call: &CallInfo, row: &Row) -> Option<i32> {
        if row.flags & sys_flag::SYS_RET_KEY.0 as u8 != 0 {
            return Some(row.ret as i32);
        }
        if row.flags & sys_flag::SYS_NO_FD.0 as u8 != 0 {
            return None;
        }
        Some(self.value(call, call.fd?, row)? as i32)
    }

    pub(super) fn word(&self, word: &str) -> Option<i64> {
        self.batch.strings.get(word).and_then(some)
    }

    /// Interns the few fixed words that are not kept as indices.
    fn intern_words(&mut self) {
        for run in &self.runs {
            let row = &self.rows[run.rows.start as usize];
            let strings = &mut self.batch.strings;
            if let Some(compat) = compat(row)
                && let Some(call) = self.calls.get(compat, row.call)
            {
                strings.intern_shared(&call.name);
                strings.intern(call.class);
            }
        }
        let Batch {
            event_details,
            strings,
            ..
        } = &mut self.batch;
        for EventDetail {
            action,
            class,
            description,
            ..
        } in event_details.iter()
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
}

/// The value of a text that may not be there.
pub(super) fn some(text: StringIndex) -> Option<i64> {
    (text != NONE).then_some(text.into())
}

/// Whether it is about a 32-bit call, or such calls; None: it is not about calls.
pub(super) fn compat(row: &Row) -> Option<bool> {
    let calls = matches!(row.kind, EventKind::Syscall | EventKind::Counts);
    calls.then_some(u32::from(row.flags) & sys_flag::SYS_COMPAT.0 != 0)
}

/// A flag of a call; None: the row is not about one.
pub(super) fn flag(row: &Row, flag: sys_flag) -> Option<bool> {
    (row.kind == EventKind::Syscall).then_some(u32::from(row.flags) & flag.0 != 0)
}

/// The result of a call that has returned.
pub(super) fn ret(row: &Row) -> Option<i64> {
    // A seccomp filter that kills or traps leaves the call's number where its result would be.
    let killed = flag(row, sys_flag::SYS_DENIED)? && row.ret == i64::from(row.call);
    (!flag(row, sys_flag::SYS_NO_RETURN)? && !killed).then_some(row.ret)
}

/// How long it took, ns; None for a call whose entry or return was not seen.
pub(super) fn duration(row: &Row) -> Option<i64> {
    let unknown = sys_flag::SYS_DENIED.0 | sys_flag::SYS_NO_ENTRY.0 | sys_flag::SYS_NO_RETURN.0;
    let known = match row.kind {
        EventKind::Syscall => u32::from(row.flags) & unknown == 0,
        EventKind::Gap | EventKind::Counts => true,
        EventKind::Process | EventKind::Container => false,
    };
    known.then_some(row.duration as i64)
}

/// Interns the errno name of each result that is one, and lists them by number.
fn errors(batch: &mut Batch, rows: &[Row]) -> Vec<StringIndex> {
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
fn run_key(row: &Row) -> (u32, EventKind, u16, u8) {
    let compat = row.flags & sys_flag::SYS_COMPAT.0 as u8;
    (row.task, row.kind, row.call, compat)
}

fn runs(rows: &[Row]) -> Vec<ThreadRun> {
    let mut runs = vec![];
    let (mut start, mut has_details) = (0, false);
    for end in 1..=rows.len() {
        let last = &rows[end - 1];
        has_details |= last.detail != NONE && last.kind == EventKind::Syscall;
        let same = |next: &Row| next.task != NONE && run_key(next) == run_key(last);
        if !rows.get(end).is_some_and(same) {
            let rows = start as u32..end as u32;
            runs.push(ThreadRun { rows, has_details });
            (start, has_details) = (end, false);
        }
    }
    runs
}

fn objects(rows: &[Row]) -> Vec<(u32, Span)> {
    let same = rows.chunk_by(|a, b| a.object == b.object);
    let mut end = 0;
    same.map(|rows| {
        let start = end;
        end += rows.len() as u32;
        (rows[0].object, start..end)
    })
    .collect()
}
