//! A sorted batch, as columns. A column is computed when it is read, so that no more than one is in memory.
//!
//! Rows of a thread and a syscall are adjacent, and over such a run most columns are equal or null: computing such a
//! column takes time per run, not per row.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::calls::{CallInfo, Calls};
use crate::containers::facts::ContainerFacts;
use crate::rows::batch::{
    Batch, Boot, CallCounts, CallDetail, ConnectionDetail, ContainerName, DnsDetail, EventDetail,
    EventKind, NONE, Object, Row, StringIndex, Strings, Task,
};
use crate::rows::buffers::ColumnBuffers;
use crate::wire::types::sys_flag;

/// The recorded rows of a batch, in the order of the file.
pub(crate) struct Columns {
    pub(super) batch: Batch,
    pub(super) calls: Arc<Calls>,
    pub(super) buffers: ColumnBuffers,
    pub(super) rows: Vec<Row>,
    /// Runs of rows of one thread and call. A row without a thread is a run of its own.
    pub(super) runs: Vec<ThreadRun>,
    /// Runs of rows of one object: the index of the object, and the rows.
    pub(super) objects: Vec<(u32, Span)>,
    pub(super) host: StringIndex,
    pub(super) boot_id: StringIndex,
    pub(super) containers: Vec<ContainerTexts>,
    /// Name of each errno.
    pub(super) errnos: Vec<StringIndex>,
    /// Value of the column `kind` for each [`EventKind`].
    pub(super) kinds: [StringIndex; 8],
}

/// A container, whose texts are the columns that all its rows have.
pub(super) struct ContainerTexts {
    pub(super) name: StringIndex,
    pub(super) id: StringIndex,
    pub(super) namespace: StringIndex,
    pub(super) pod: StringIndex,
    pub(super) pod_uid: StringIndex,
    pub(super) pod_container: StringIndex,
    /// The facts that only rows about the container have.
    pub(super) facts: Option<Arc<ContainerFacts>>,
}

impl ContainerTexts {
    fn new(container: &ContainerName, strings: &mut Strings) -> ContainerTexts {
        let facts = container.facts.as_deref();
        let mut intern = |text: Option<&str>| strings.intern_opt(text);
        ContainerTexts {
            name: intern(container.name.as_deref()),
            id: intern(container.id.as_deref()),
            namespace: intern(facts.and_then(|f| f.namespace.as_deref())),
            pod: intern(facts.and_then(|f| f.pod.as_deref())),
            pod_uid: intern(facts.and_then(|f| f.pod_uid.as_deref())),
            pod_container: intern(facts.and_then(|f| f.pod_container.as_deref())),
            facts: container.facts.clone(),
        }
    }
}

/// A range of rows. Smaller than `Range<usize>`, because there may be as many ranges as rows.
pub(super) type Span = Range<u32>;

/// Adjacent rows of one thread and one call.
pub(super) struct ThreadRun {
    pub(super) rows: Span,
    /// True if any of the rows has a [`CallDetail`].
    pub(super) has_details: bool,
}

/// A number above every errno: MAX_ERRNO of linux/err.h is 4095. A result that is an address is this close to 0 only if it
/// is an error.
const ERRNOS: usize = 4096;

impl Columns {
    /// Takes the rows of `batch` whose containers are recorded. With `cluster`, they are sorted as [`super::order`]
    /// says; without, they keep their order.
    pub(crate) fn new(
        mut batch: Batch,
        calls: &Arc<Calls>,
        containers: &[ContainerName],
        boot: &Boot,
        cluster: bool,
        mut buffers: ColumnBuffers,
    ) -> Columns {
        buffers.order(&batch, containers, cluster);
        let rows = buffers.arrange(&mut batch);
        let strings = &mut batch.strings;
        let host = strings.intern(&boot.host);
        let boot_id = strings.intern_opt(boot.id.as_deref());
        let containers = containers
            .iter()
            .map(|c| ContainerTexts::new(c, strings))
            .collect();
        let kinds = [
            EventKind::Syscall,
            EventKind::Process,
            EventKind::Container,
            EventKind::Gap,
            EventKind::Counts,
            EventKind::Connection,
            EventKind::Signal,
            EventKind::Dns,
        ]
        .map(|kind| strings.intern(kind.as_str()));
        let mut columns = Columns {
            runs: thread_runs(&rows),
            objects: object_runs(&rows),
            errnos: errnos(&mut batch, &rows),
            batch,
            calls: calls.clone(),
            buffers,
            rows,
            host,
            boot_id,
            containers,
            kinds,
        };
        columns.intern_texts();
        columns
    }

    /// Returns the batch, with its rows and arguments reordered and strings added, and the buffers for the next batch.
    pub(crate) fn into_parts(mut self) -> (Batch, ColumnBuffers) {
        self.batch.rows = self.rows;
        (self.batch, self.buffers)
    }

    pub(super) fn call(&self, row: &Row) -> Option<&CallInfo> {
        self.calls.get(compat(row)?, row.call)
    }

    pub(super) fn counted(&self, row: &Row) -> Option<&CallCounts> {
        self.batch.event_detail(row)?.counted.as_deref()
    }

    pub(super) fn connection(&self, row: &Row) -> Option<&ConnectionDetail> {
        self.batch.event_detail(row)?.connection.as_deref()
    }

    pub(super) fn dns(&self, row: &Row) -> Option<&DnsDetail> {
        self.batch.event_detail(row)?.dns.as_deref()
    }

    pub(super) fn container(&self, row: &Row) -> Option<&ContainerTexts> {
        self.containers.get(self.batch.container(row) as usize)
    }

    /// Returns the facts about a container, of a row about the container.
    pub(super) fn facts(&self, row: &Row) -> Option<&ContainerFacts> {
        let is_own = row.kind == EventKind::Container;
        self.container(row).filter(|_| is_own)?.facts.as_deref()
    }

    pub(super) fn task(&self, row: &Row) -> Option<&Task> {
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

    /// Returns argument `i` of a call.
    pub(super) fn arg(&self, call: &CallInfo, i: usize, row: &Row) -> Option<i64> {
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
        if let Some(fd) = self.call_detail(row).and_then(|detail| detail.fd) {
            return Some(fd);
        }
        Some(self.arg(call, call.fd?, row)? as i32)
    }

    /// Returns the bytes that a call transferred. A call that receives may return the length of a message of which it
    /// has copied fewer bytes: then the kernel side has sent their number, or the buffer limits it.
    pub(super) fn bytes(&self, call: &CallInfo, row: &Row) -> Option<i64> {
        if let Some(bytes) = self.call_detail(row).and_then(|detail| detail.bytes) {
            return Some(bytes);
        }
        if !call.moves_bytes {
            return None;
        }
        let ret = ret(row)?.max(0);
        if ret == 0 || !call.result_is_length.holds(|i| self.arg(call, i, row)) {
            return Some(ret);
        }
        Some(ret.min(self.arg(call, call.size?, row)?))
    }

    /// Returns the value of a text that was interned, such as a name of a syscall or class.
    pub(super) fn interned(&self, text: &str) -> Option<i64> {
        self.batch.strings.get(text).and_then(text_value)
    }

    /// Interns the texts that rows refer to by other means than an index: names and classes of calls, and the texts of
    /// event details.
    fn intern_texts(&mut self) {
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
            reason,
            connection,
            ..
        } in event_details.iter()
        {
            strings.intern(action);
            strings.intern(class);
            if let Some(connection) = connection {
                strings.intern(connection.direction);
            }
            strings.intern(reason);
        }
        let about_containers = self.rows.iter().filter(|r| r.kind == EventKind::Container);
        let indices: FxHashSet<u32> = about_containers.map(|r| self.batch.container(r)).collect();
        for index in indices {
            let container = self.containers.get(index as usize);
            let facts = container.and_then(|c| c.facts.as_deref());
            for text in facts.iter().flat_map(|f| f.texts()) {
                self.batch.strings.intern_opt(text);
            }
        }
    }
}

/// Returns the column value of a text; `None` for [`NONE`].
pub(super) fn text_value(text: StringIndex) -> Option<i64> {
    (text != NONE).then_some(text.into())
}

/// Returns whether `row` is about a 32-bit call, or counts such calls; `None` if `row` is not about calls.
pub(super) fn compat(row: &Row) -> Option<bool> {
    let calls = matches!(row.kind, EventKind::Syscall | EventKind::Counts);
    calls.then_some(u32::from(row.flags) & sys_flag::SYS_COMPAT.0 != 0)
}

/// Returns a flag of a call; `None` if `row` is not about a call.
pub(super) fn flag(row: &Row, flag: sys_flag) -> Option<bool> {
    (row.kind == EventKind::Syscall).then_some(u32::from(row.flags) & flag.0 != 0)
}

/// Returns the result of a call; `None` for a call that has not returned.
pub(super) fn ret(row: &Row) -> Option<i64> {
    // A seccomp filter that kills or traps leaves the syscall number in the register of the result.
    let killed = flag(row, sys_flag::SYS_DENIED)? && row.ret == i64::from(row.call);
    (!flag(row, sys_flag::SYS_NO_RETURN)? && !killed).then_some(row.ret)
}

/// Returns the duration in ns; `None` for a call whose entry or return was not seen.
pub(super) fn duration(row: &Row) -> Option<i64> {
    let unknown = sys_flag::SYS_DENIED.0 | sys_flag::SYS_NO_ENTRY.0 | sys_flag::SYS_NO_RETURN.0;
    let known = match row.kind {
        EventKind::Syscall => u32::from(row.flags) & unknown == 0,
        EventKind::Gap | EventKind::Counts | EventKind::Dns => true,
        // A connection that has ended has a lifetime instead.
        EventKind::Connection => row.duration > 0,
        EventKind::Process | EventKind::Container | EventKind::Signal => false,
    };
    known.then_some(row.duration as i64)
}

/// Interns the errno name of each result that is an error, and returns the names by number.
fn errnos(batch: &mut Batch, rows: &[Row]) -> Vec<StringIndex> {
    let mut errnos = vec![NONE; ERRNOS];
    let failed = rows.iter().filter_map(ret).filter(|ret| *ret < 0);
    for number in failed.filter_map(i64::checked_neg) {
        let Some(text @ &mut NONE) = errnos.get_mut(number as usize) else {
            continue;
        };
        if let Some(name) = ctrace_schema::errno::name(number as i32) {
            *text = batch.strings.intern(name);
        }
    }
    errnos
}

/// Returns the part of a row that is equal over a run.
fn run_key(row: &Row) -> (u32, EventKind, u16, u8) {
    let compat = row.flags & sys_flag::SYS_COMPAT.0 as u8;
    (row.task, row.kind, row.call, compat)
}

/// Divides `rows` into runs of one thread and call.
fn thread_runs(rows: &[Row]) -> Vec<ThreadRun> {
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

/// Divides `rows` into runs of one object.
fn object_runs(rows: &[Row]) -> Vec<(u32, Span)> {
    let same = rows.chunk_by(|a, b| a.object == b.object);
    let mut end = 0;
    same.map(|rows| {
        let start = end;
        end += rows.len() as u32;
        (rows[0].object, start..end)
    })
    .collect()
}
