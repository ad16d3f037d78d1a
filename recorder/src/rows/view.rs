//! The values of a column, of all rows of a batch or of some.

use std::ops::Range;
use std::sync::Arc;

use crate::calls::CallInfo;
use crate::containers::facts::ContainerFacts;
use crate::rows::Events;
use crate::rows::batch::{CallDetail, Endpoints, EventDetail, EventKind, NONE, Object, Row, Task};
use crate::rows::columns::{Columns, Span, ThreadRun, compat, duration, flag, ret, some};
use crate::rows::runs::Series;
use crate::wire::types::sys_flag;

/// Some neighbouring rows of a batch, in the order of the file.
pub(crate) struct ColumnsView<'a> {
    columns: &'a Columns,
    rows: Range<usize>,
    runs: &'a [ThreadRun],
    objects: &'a [(u32, Span)],
}

/// Those of `all`, which follow each other, that have some of `rows`.
fn within<'a, T>(all: &'a [T], rows: &Range<usize>, of: impl Fn(&T) -> &Span) -> &'a [T] {
    let from = all.partition_point(|one| of(one).end as usize <= rows.start);
    let until = all.partition_point(|one| (of(one).start as usize) < rows.end);
    &all[from..until]
}

impl<'a> ColumnsView<'a> {
    pub(super) fn new(columns: &'a Columns, rows: Range<usize>) -> ColumnsView<'a> {
        ColumnsView {
            columns,
            runs: within(&columns.runs, &rows, |run| &run.rows),
            objects: within(&columns.objects, &rows, |(_, rows)| rows),
            rows,
        }
    }
}

impl Events for Columns {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn strings(&self) -> &[Arc<str>] {
        &self.batch.strings.list
    }

    fn column(&self, name: &str) -> Series {
        ColumnsView::new(self, 0..self.rows.len()).column(name)
    }

    fn slice(&self, rows: Range<usize>) -> Option<Box<dyn Events + '_>> {
        Some(Box::new(ColumnsView::new(self, rows)))
    }

    fn take_buffer(&self, rows: usize) -> Series {
        self.room.take_buffer(rows)
    }

    fn return_buffer(&self, series: Series) {
        self.room.return_buffer(series);
    }
}

impl Events for ColumnsView<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn strings(&self) -> &[Arc<str>] {
        self.columns.strings()
    }

    fn column(&self, name: &str) -> Series {
        match name {
            "time" => self.by_row(|r| Some(r.time)),
            "seq" => {
                let mut series = self.take_buffer(self.rows.len());
                for i in &self.columns.room.order[self.rows.clone()] {
                    series.push(
                        Some((self.columns.batch.first_seq + u64::from(*i)) as i64),
                        1,
                    );
                }
                series
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
                |call, run| call.flags.is_some() || run.has_details,
                |call, r| match call.flags {
                    Some(i) => self.columns.value(call, i, r),
                    None => self.columns.call_detail(r)?.flags,
                },
            ),
            "mode" => self.by_call(
                |call, run| call.mode.is_some() || run.has_details,
                |call, r| match call.mode {
                    Some(i) => Some(self.columns.value(call, i, r)? & 0o7777),
                    None => self.columns.call_detail(r)?.mode.map(Into::into),
                },
            ),
            "bytes" => self.by_call(
                |call, run| call.moves_bytes || call.moves_messages && run.has_details,
                |call, r| match (self.columns.counted(r), call.moves_bytes) {
                    (Some(counted), _) => Some(counted.bytes),
                    (None, true) => Some(ret(r)?.max(0)),
                    (None, false) => self.columns.call_detail(r)?.bytes,
                },
            ),
            "fd" => self.by_call(
                |_, _| true,
                |call, r| self.columns.fd(call, r).map(Into::into),
            ),
            "inode" => self.by_object(|o| Some(o.inode? as i64)),
            "lost" => self.by_event_detail(|n| n.lost),
            "cpu" => self.by_event_detail(|n| n.cpu.map(Into::into)),
            "calls" => self.by_event_detail(|n| Some(n.counted.as_ref()?.calls)),
            "errors" => self.by_event_detail(|n| Some(n.counted.as_ref()?.errors)),
            "pid" => self.task(|t| t.pid),
            "tid" => self.task(|t| t.tid),
            "ppid" => self.task(|t| t.ppid),
            "ns_pid" => self.task(|t| t.ns_pid),
            "uid" => self.task(|t| t.uid),
            "local_port" => self.by_endpoints(|e| e.local_port.map(Into::into)),
            "peer_port" => self.by_endpoints(|e| e.peer_port.map(Into::into)),
            "child_pid" => self.by_call_detail(|n| n.child_pid.map(Into::into)),
            "exit_code" => self.by_event_detail(|n| n.exit_code.map(Into::into)),
            "exit_signal" => self.by_event_detail(|n| n.exit_signal.map(Into::into)),
            _ => self.text_series(name),
        }
    }

    fn take_buffer(&self, rows: usize) -> Series {
        self.columns.take_buffer(rows)
    }

    fn return_buffer(&self, series: Series) {
        self.columns.return_buffer(series);
    }
}

impl ColumnsView<'_> {
    fn text_series(&self, name: &str) -> Series {
        let container = |r: &Row| {
            let index = self.columns.batch.container(r) as usize;
            self.columns
                .containers
                .get(index)
                .copied()
                .unwrap_or((NONE, NONE))
        };
        match name {
            "container" => self.by_run(|r| some(container(r).0)),
            "container_id" => self.by_run(|r| some(container(r).1)),
            "host" => self.by_run(|_| some(self.columns.host)),
            "comm" => self.by_run(|r| match self.columns.task_of(r) {
                Some(task) => some(task.comm),
                None => some(self.columns.counted(r)?.comm),
            }),
            "exe" => self.by_run(|r| some(self.columns.task_of(r)?.exe)),
            "kind" => self.by_run(|r| some(self.columns.kinds[r.kind as usize])),
            "action" => self.by_run(|r| {
                self.columns
                    .word(self.columns.batch.event_detail(r)?.action)
            }),
            "class" => self.by_run(|r| match self.columns.call(r) {
                Some(call) => self.columns.word(call.class),
                None => self.columns.word(self.columns.batch.event_detail(r)?.class),
            }),
            "syscall" => self.by_run(|r| self.columns.word(&self.columns.call(r)?.name)),
            "error" => self.by_row(|r| {
                let number = ret(r).filter(|ret| *ret < 0)?.checked_neg()?;
                some(*self.columns.errors.get(usize::try_from(number).ok()?)?)
            }),
            "path" => self.by_row(|r| match self.columns.object(r) {
                Some(object) if object.path != NONE => some(object.path),
                _ => some(self.columns.call_detail(r)?.path),
            }),
            "path_arg" => self.by_call_detail(|n| some(n.path_arg)),
            "path2" => self.by_call_detail(|n| some(n.path2)),
            "argv" => self.by_call_detail(|n| some(n.argv)),
            "latency" => self.by_event_detail(|n| some(n.counted.as_ref()?.latency)),
            "dev" => self.by_object(|o| some(o.dev)),
            "family" => self.by_endpoints(|e| some(e.family)),
            "protocol" => self.by_endpoints(|e| some(e.protocol)),
            "local_addr" => self.by_endpoints(|e| some(e.local_addr)),
            "peer_addr" => self.by_endpoints(|e| some(e.peer_addr)),
            "peer_path" => self.by_endpoints(|e| some(e.peer_path)),
            "dns_name" => self.by_endpoints(|e| some(e.dns_name)),
            "image" => self.described(|d| &d.image),
            "runtime" => self.described(|d| &d.runtime),
            "pod" => self.described(|d| &d.pod),
            "namespace" => self.described(|d| &d.namespace),
            "labels" => self.described(|d| &d.labels),
            // A column that is forgotten here is null, and a test fails.
            _ => self.by_run(|_| None),
        }
    }

    /// What of some rows is in it.
    fn inside(&self, rows: &Span) -> Range<usize> {
        self.rows.start.max(rows.start as usize)..self.rows.end.min(rows.end as usize)
    }

    /// The runs, with those of their rows that are in it.
    fn runs(&self) -> impl Iterator<Item = (&ThreadRun, &[Row])> {
        let rows = |run: &ThreadRun| self.inside(&run.rows);
        self.runs
            .iter()
            .map(move |run| (run, &self.columns.rows[rows(run)]))
    }

    /// A column that is the same over a run.
    fn by_run(&self, get: impl Fn(&Row) -> Option<i64>) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        for (_, rows) in self.runs() {
            series.push(get(&rows[0]), rows.len());
        }
        series
    }

    /// A column of its own for each row.
    fn by_row(&self, get: impl Fn(&Row) -> Option<i64>) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        let rows = &self.columns.rows[self.rows.clone()];
        rows.iter().for_each(|row| series.push(get(row), 1));
        series
    }

    /// A column of its own for each row of some runs.
    fn by_row_where(
        &self,
        has: impl Fn(&ThreadRun) -> bool,
        get: impl Fn(&Row) -> Option<i64>,
    ) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        for (run, rows) in self.runs() {
            if has(run) {
                rows.iter().for_each(|row| series.push(get(row), 1));
            } else {
                series.push(None, rows.len());
            }
        }
        series
    }

    /// A column of what only some calls have.
    fn by_call_detail(&self, get: impl Fn(&CallDetail) -> Option<i64>) -> Series {
        self.by_row_where(|run| run.has_details, |r| get(self.columns.call_detail(r)?))
    }

    /// A column of what rows say that are not about calls.
    fn by_event_detail(&self, get: impl Fn(&EventDetail) -> Option<i64>) -> Series {
        let has =
            |run: &ThreadRun| self.columns.rows[run.rows.start as usize].kind != EventKind::Syscall;
        self.by_row_where(has, |r| get(self.columns.batch.event_detail(r)?))
    }

    /// A column of what an object is.
    fn by_object(&self, get: impl Fn(&Object) -> Option<i64>) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        for (object, rows) in self.objects {
            let object = self.columns.batch.objects.get(*object as usize);
            series.push(object.and_then(&get), self.inside(rows).len());
        }
        series
    }

    /// A column of what a socket is.
    fn by_endpoints(&self, get: impl Fn(&Endpoints) -> Option<i64>) -> Series {
        self.by_object(|object| {
            get(self
                .columns
                .batch
                .endpoints
                .get(object.endpoints as usize)?)
        })
    }

    /// A column of calls, of which only some have it.
    fn by_call(
        &self,
        has: impl Fn(&CallInfo, &ThreadRun) -> bool,
        get: impl Fn(&CallInfo, &Row) -> Option<i64>,
    ) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        for (run, rows) in self.runs() {
            match self.columns.call(&rows[0]).filter(|call| has(call, run)) {
                Some(call) => rows.iter().for_each(|r| series.push(get(call, r), 1)),
                None => series.push(None, rows.len()),
            }
        }
        series
    }

    fn arg(&self, i: usize) -> Series {
        self.by_call(
            |call, _| call.has_arg(i),
            |call, r| self.columns.value(call, i, r),
        )
    }

    fn task(&self, get: impl Fn(&Task) -> u32) -> Series {
        self.by_run(|r| Some(get(self.columns.task_of(r)?).into()))
    }

    fn described(&self, get: impl Fn(&ContainerFacts) -> &Option<String>) -> Series {
        self.by_run(|r| {
            let description = self.columns.batch.event_detail(r)?.description.as_deref()?;
            self.columns.word(get(description).as_deref()?)
        })
    }
}
