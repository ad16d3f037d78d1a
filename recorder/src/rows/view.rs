//! The columns of a batch, or of a range of its rows.
//!
//! [`ColumnsView::known_column`] is the list of all columns by name, and of the function that computes each: by run of
//! one thread and call, by object, or by row.

use std::ops::Range;
use std::sync::Arc;

use crate::calls::CallInfo;
use crate::containers::facts::{ContainerFacts, TEXT_COLUMNS};
use crate::rows::Events;
use crate::rows::batch::{
    Arrival, CallDetail, ConnectionDetail, DnsDetail, Endpoints, EventDetail, EventKind, NONE,
    Object, Row, SignalDetail, StringIndex, Task,
};
use crate::rows::columns::{
    Columns, ContainerTexts, Span, ThreadRun, compat, duration, flag, ret, text_value,
};
use crate::rows::runs::Series;
use crate::wire::types::sys_flag;

/// A range of the rows of a batch, in the order of the file.
pub(crate) struct ColumnsView<'a> {
    columns: &'a Columns,
    rows: Range<usize>,
    /// Runs that overlap `rows`.
    runs: &'a [ThreadRun],
    /// Runs of one object that overlap `rows`.
    objects: &'a [(u32, Span)],
}

/// Returns the runs that overlap `rows`. `runs` are adjacent and ascending.
fn overlapping<'a, T>(runs: &'a [T], rows: &Range<usize>, span: impl Fn(&T) -> &Span) -> &'a [T] {
    let from = runs.partition_point(|run| span(run).end as usize <= rows.start);
    let until = runs.partition_point(|run| (span(run).start as usize) < rows.end);
    &runs[from..until]
}

impl<'a> ColumnsView<'a> {
    pub(super) fn new(columns: &'a Columns, rows: Range<usize>) -> ColumnsView<'a> {
        ColumnsView {
            columns,
            runs: overlapping(&columns.runs, &rows, |run| &run.rows),
            objects: overlapping(&columns.objects, &rows, |(_, rows)| rows),
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
        self.buffers.take_buffer(rows)
    }

    fn return_buffer(&self, series: Series) {
        self.buffers.return_buffer(series);
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
        self.known_column(name)
            .unwrap_or_else(|| self.by_run(|_| None))
    }

    fn take_buffer(&self, rows: usize) -> Series {
        self.columns.take_buffer(rows)
    }

    fn return_buffer(&self, series: Series) {
        self.columns.return_buffer(series);
    }
}

impl ColumnsView<'_> {
    /// Computes a column. Returns `None` for a name that is not a column.
    fn known_column(&self, name: &str) -> Option<Series> {
        Some(match name {
            "time" => self.by_row(|r| Some(r.time)),
            "seq" => {
                let mut series = self.take_buffer(self.rows.len());
                for i in &self.columns.buffers.order[self.rows.clone()] {
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
            "arg0" => self.by_arg(0),
            "arg1" => self.by_arg(1),
            "arg2" => self.by_arg(2),
            "arg3" => self.by_arg(3),
            "arg4" => self.by_arg(4),
            "arg5" => self.by_arg(5),
            "flags" => self.by_call(
                |call, run| call.flags.is_some() || run.has_details,
                |call, r| match call.flags {
                    Some(i) => self.columns.arg(call, i, r),
                    None => self.columns.call_detail(r)?.flags,
                },
            ),
            "mode" => self.by_call(
                |call, run| call.mode.is_some() || run.has_details,
                |call, r| match call.mode {
                    Some(i) => Some(self.columns.arg(call, i, r)? & 0o7777),
                    None => self.columns.call_detail(r)?.mode.map(Into::into),
                },
            ),
            "bytes" => self.by_call(
                |call, run| call.moves_bytes || call.moves_messages && run.has_details,
                |call, r| match self.columns.counted(r) {
                    Some(counted) => Some(counted.bytes),
                    None => self.columns.bytes(call, r),
                },
            ),
            "fd" => self.by_call(
                |_, _| true,
                |call, r| self.columns.fd(call, r).map(Into::into),
            ),
            _ => return self.referenced_number(name),
        })
    }

    /// Computes a numeric column of a thread, an object or an event detail; a text column for all other names. Returns
    /// `None` for an unknown name.
    fn referenced_number(&self, name: &str) -> Option<Series> {
        Some(match name {
            "inode" => self.by_object(|o| Some(o.inode? as i64)),
            "lifetime" => self.by_connection(|c| c.lifetime),
            "bytes_sent" => self.by_connection(|c| c.bytes_sent),
            "bytes_received" => self.by_connection(|c| c.bytes_received),
            "rtt" => self.by_connection(|c| c.rtt),
            "retransmits" => self.by_connection(|c| c.retransmits),
            "signal" => self.by_signal(|s| Some(s.number.into())),
            "sender_pid" => self.by_signal(|s| s.sender_pid.map(Into::into)),
            "memory_limit" => self.by_signal(|s| s.memory_limit),
            "started" => self.by_event_detail(|n| n.started),
            "lost" => self.by_event_detail(|n| n.lost),
            "cpu" => self.by_event_detail(|n| n.cpu.map(Into::into)),
            "calls" => self.by_event_detail(|n| Some(n.counted.as_ref()?.calls)),
            "errors" => self.by_event_detail(|n| Some(n.counted.as_ref()?.errors)),
            "pid" => self.by_task(|t| t.pid),
            "tid" => self.by_task(|t| t.tid),
            "ppid" => self.by_task(|t| t.ppid),
            "mount_ns" => self.by_arrival(|_, a| (a.mount_ns != 0).then_some(a.mount_ns.into())),
            "setup" => self.by_arrival(|t, a| (t.container != 0).then_some(a.setup.into())),
            "entered" => self.by_arrival(|t, a| (t.container != 0).then_some(a.entered.into())),
            "ns_pid" => self.by_task(|t| t.ns_pid),
            "uid" => self.by_task(|t| t.uid),
            "local_port" => self.by_endpoints(|e| e.local_port.map(Into::into)),
            "peer_port" => self.by_endpoints(|e| e.peer_port.map(Into::into)),
            "inode2" => self.by_call_detail(|n| Some(n.inode2? as i64)),
            "child_pid" => self.by_call_detail(|n| n.child_pid.map(Into::into)),
            "exit_code" => self.by_event_detail(|n| n.exit_code.map(Into::into)),
            "privileged" => self.by_facts(|f| f.powers.privileged.map(Into::into)),
            "restarts" => self.by_facts(|f| f.restarts),
            "exit_signal" => self.by_event_detail(|n| n.exit_signal.map(Into::into)),
            _ => return self.text(name),
        })
    }

    /// Computes a text column. Returns `None` for an unknown name.
    fn text(&self, name: &str) -> Option<Series> {
        Some(match name {
            "container" => self.by_container(|c| c.name),
            "container_id" => self.by_container(|c| c.id),
            "namespace" => self.by_container(|c| c.namespace),
            "pod" => self.by_container(|c| c.pod),
            "pod_uid" => self.by_container(|c| c.pod_uid),
            "pod_container" => self.by_container(|c| c.pod_container),
            "host" => self.by_run(|_| text_value(self.columns.host)),
            "boot_id" => self.by_run(|_| text_value(self.columns.boot_id)),
            "comm" => self.by_run(|r| match self.columns.task(r) {
                Some(task) => text_value(task.comm),
                None => text_value(self.columns.counted(r)?.comm),
            }),
            "exe" => self.by_run(|r| text_value(self.columns.task(r)?.exe)),
            "kind" => self.by_run(|r| text_value(self.columns.kinds[r.kind as usize])),
            "action" => self.by_event_detail(|n| self.columns.interned(n.action)),
            "class" => self.by_run(|r| match self.columns.call(r) {
                Some(call) => self.columns.interned(call.class),
                None => self
                    .columns
                    .interned(self.columns.batch.event_detail(r)?.class),
            }),
            "syscall" => self.by_run(|r| self.columns.interned(&self.columns.call(r)?.name)),
            "error" => self.by_row(|r| self.error(r)),
            "path" => self.by_row(|r| match self.columns.object(r) {
                Some(object) if object.path != NONE => text_value(object.path),
                _ => text_value(self.columns.call_detail(r)?.path),
            }),
            "host_path" => self.by_object_in_container(|o| text_value(o.host_path)),
            "exe_origin" => self.by_call_detail(|n| text_value(n.exe_origin)),
            "dev2" => self.by_call_detail(|n| text_value(n.dev2)),
            "path_arg" => self.by_call_detail(|n| text_value(n.path_arg)),
            "path2" => self.by_call_detail(|n| text_value(n.path2)),
            "argv" => self.by_row(|r| match self.columns.call_detail(r) {
                Some(detail) => text_value(detail.argv),
                None => text_value(self.columns.batch.event_detail(r)?.argv?),
            }),
            "latency" => self.by_event_detail(|n| text_value(n.counted.as_ref()?.latency)),
            "dev" => self.by_object(|o| text_value(o.dev)),
            "sender_comm" => self.by_signal(|s| text_value(s.sender_comm)),
            "sender_container" => self
                .by_signal(|s| text_value(self.columns.containers.get(s.sender? as usize)?.name)),
            "from_cgroup" => self.by_event_detail(|n| text_value(n.moved.as_ref()?.from)),
            "to_cgroup" => self.by_event_detail(|n| text_value(n.moved.as_ref()?.to)),
            "direction" => self.by_connection(|c| self.columns.interned(c.direction)),
            "socket_error" => self.by_call_detail(|n| text_value(n.socket_error)),
            "reason" => self.by_event_detail(|n| self.columns.interned(n.reason)),
            _ => return self.text_of_peer(name),
        })
    }

    /// Computes a text column of addresses or DNS queries. Returns `None` for an unknown name.
    fn text_of_peer(&self, name: &str) -> Option<Series> {
        Some(match name {
            "family" => self.by_endpoints(|e| text_value(e.family)),
            "protocol" => self.by_endpoints(|e| text_value(e.protocol)),
            "local_addr" => self.by_endpoints(|e| text_value(e.local_addr)),
            "peer_addr" => self.by_endpoints(|e| text_value(e.peer_addr)),
            "peer_path" => self.by_endpoints(|e| text_value(e.peer_path)),
            "dns_name" => self.by_endpoints(|e| text_value(e.dns_name)),
            "dns_type" => self.by_dns(|d| text_value(d.ty)),
            "dns_code" => self.by_dns(|d| text_value(d.code)),
            "dns_answers" => self.by_dns(|d| text_value(d.answers)),
            _ => return self.text_of_container(name),
        })
    }

    /// Computes a column of [`TEXT_COLUMNS`]. Returns `None` for an unknown name.
    fn text_of_container(&self, name: &str) -> Option<Series> {
        let i = TEXT_COLUMNS.iter().position(|column| *column == name)?;
        Some(self.by_facts(|facts| self.columns.interned(facts.texts()[i]?)))
    }

    /// Computes the column `error` of a row.
    fn error(&self, row: &Row) -> Option<i64> {
        if let Some(connection) = self.columns.connection(row) {
            return text_value(connection.error);
        }
        if let Some(dns) = self.columns.dns(row) {
            return text_value(dns.error);
        }
        let number = ret(row).filter(|ret| *ret < 0)?.checked_neg()?;
        text_value(*self.columns.errnos.get(usize::try_from(number).ok()?)?)
    }

    /// Returns the rows of a run that are in the view.
    fn clip(&self, rows: &Span) -> Range<usize> {
        self.rows.start.max(rows.start as usize)..self.rows.end.min(rows.end as usize)
    }

    /// Returns each run, with its rows that are in the view.
    fn runs(&self) -> impl Iterator<Item = (&ThreadRun, &[Row])> {
        let rows = |run: &ThreadRun| self.clip(&run.rows);
        self.runs
            .iter()
            .map(move |run| (run, &self.columns.rows[rows(run)]))
    }

    /// Computes a column that is equal over each run of one thread and call.
    fn by_run(&self, get: impl Fn(&Row) -> Option<i64>) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        for (_, rows) in self.runs() {
            series.push(get(&rows[0]), rows.len());
        }
        series
    }

    /// Computes a column row by row.
    fn by_row(&self, get: impl Fn(&Row) -> Option<i64>) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        let rows = &self.columns.rows[self.rows.clone()];
        rows.iter().for_each(|row| series.push(get(row), 1));
        series
    }

    /// Computes a column row by row in the runs for which `has` is true; the column is null in all others.
    fn by_row_in(
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

    /// Computes a column of [`CallDetail`].
    fn by_call_detail(&self, get: impl Fn(&CallDetail) -> Option<i64>) -> Series {
        self.by_row_in(|run| run.has_details, |r| get(self.columns.call_detail(r)?))
    }

    /// Computes a column of [`EventDetail`].
    fn by_event_detail(&self, get: impl Fn(&EventDetail) -> Option<i64>) -> Series {
        let has =
            |run: &ThreadRun| self.columns.rows[run.rows.start as usize].kind != EventKind::Syscall;
        self.by_row_in(has, |r| get(self.columns.batch.event_detail(r)?))
    }

    /// Computes a column of [`ConnectionDetail`].
    fn by_connection(&self, get: impl Fn(&ConnectionDetail) -> Option<i64>) -> Series {
        self.by_event_detail(|detail| get(detail.connection.as_deref()?))
    }

    /// Computes a column of [`DnsDetail`].
    fn by_dns(&self, get: impl Fn(&DnsDetail) -> Option<i64>) -> Series {
        self.by_event_detail(|detail| get(detail.dns.as_deref()?))
    }

    /// Computes a column of [`SignalDetail`].
    fn by_signal(&self, get: impl Fn(&SignalDetail) -> Option<i64>) -> Series {
        self.by_event_detail(|detail| get(detail.signal.as_deref()?))
    }

    /// Computes a column of the file or socket that the call refers to.
    fn by_object(&self, get: impl Fn(&Object) -> Option<i64>) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        for (object, rows) in self.objects {
            let object = self.columns.batch.objects.get(*object as usize);
            series.push(object.and_then(&get), self.clip(rows).len());
        }
        series
    }

    /// Computes a column of the file that the call refers to; null in rows of the host.
    fn by_object_in_container(&self, get: impl Fn(&Object) -> Option<i64>) -> Series {
        let mut series = self.take_buffer(self.rows.len());
        for (object, rows) in self.objects {
            let rows = self.clip(rows);
            let object = self.columns.batch.objects.get(*object as usize);
            match object.and_then(&get) {
                None => series.push(None, rows.len()),
                value => {
                    for row in &self.columns.rows[rows] {
                        let is_host = self.columns.batch.container(row) == 0;
                        series.push(value.filter(|_| !is_host), 1);
                    }
                }
            }
        }
        series
    }

    /// Computes a column of a socket's endpoints.
    fn by_endpoints(&self, get: impl Fn(&Endpoints) -> Option<i64>) -> Series {
        self.by_object(|object| {
            get(self
                .columns
                .batch
                .endpoints
                .get(object.endpoints as usize)?)
        })
    }

    /// Computes a column row by row in the runs of calls for which `has` is true; the column is null in all others.
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

    /// Computes the column of argument `i`.
    fn by_arg(&self, i: usize) -> Series {
        self.by_call(
            |call, _| call.has_arg(i),
            |call, r| self.columns.arg(call, i, r),
        )
    }

    /// Computes a numeric column of the thread.
    fn by_task(&self, get: impl Fn(&Task) -> u32) -> Series {
        self.by_run(|r| Some(get(self.columns.task(r)?).into()))
    }

    /// Computes a column of [`Arrival`].
    fn by_arrival(&self, get: impl Fn(&Task, Arrival) -> Option<i64>) -> Series {
        self.by_run(|r| {
            let task = self.columns.task(r)?;
            get(task, task.arrival?)
        })
    }

    /// Computes a text column that all rows of a container have.
    fn by_container(&self, get: impl Fn(&ContainerTexts) -> StringIndex) -> Series {
        self.by_run(|r| text_value(get(self.columns.container(r)?)))
    }

    /// Computes a column of rows about a container itself.
    fn by_facts(&self, get: impl Fn(&ContainerFacts) -> Option<i64>) -> Series {
        self.by_run(|r| get(self.columns.facts(r)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use ctrace_schema::columns::COLUMNS;

    use super::*;
    use crate::calls::Calls;
    use crate::rows::batch::{Batch, Boot};
    use crate::rows::buffers::ColumnBuffers;

    /// Checks that each column has an arm: a column without one would be null in every recording.
    #[test]
    fn each_column_of_the_schema_is_computed() {
        let calls = Arc::new(Calls::new("x86_64").unwrap());
        let buffers = ColumnBuffers::default();
        let columns = Columns::new(
            Batch::default(),
            &calls,
            &[],
            &Boot::default(),
            true,
            buffers,
        );
        let view = ColumnsView::new(&columns, 0..0);
        for column in COLUMNS {
            assert!(view.known_column(column.name).is_some(), "{}", column.name);
        }
        assert!(view.known_column("no such column").is_none());
    }
}
