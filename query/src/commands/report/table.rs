//! The tables of the page: their columns, headings and cell formats.

use std::collections::HashMap;
use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use ctrace_schema::{human, strace};

use crate::commands::report::clock::PageClock;
use crate::commands::report::page::escape;

/// A column of a table, computed from the columns of an answer. A column without values is left out.
pub(crate) struct PageColumn {
    heading: &'static str,
    format: CellFormat,
}

/// The format of the cells of a column, and the names of the answer's columns.
enum CellFormat {
    Text(&'static str),
    /// The values that are not null, with a separator.
    Joined(&'static [&'static str], &'static str),
    Number(&'static str),
    Bytes(&'static str),
    /// A duration, from microseconds.
    Duration(&'static str),
    Time(&'static str),
    /// A span between two times.
    Span(&'static str, &'static str),
    /// The end of a process: the signal, else the exit code.
    End(&'static str, &'static str),
}

const fn column(heading: &'static str, format: CellFormat) -> PageColumn {
    PageColumn { heading, format }
}

const CONTAINER: PageColumn = column("Container", CellFormat::Joined(&["host", "container"], "/"));
/// The id, where two containers have the same name.
const ID: PageColumn = column("Id", CellFormat::Text("id"));
const COMMAND: PageColumn = column("Command", CellFormat::Text("comm"));
const SEEN: PageColumn = column("When", CellFormat::Span("first_seen", "last_seen"));
const CALLS: PageColumn = column("Calls", CellFormat::Number("calls"));
const REFUSED: PageColumn = column("Refused", CellFormat::Number("denied"));
const SENT: PageColumn = column("Sent", CellFormat::Bytes("bytes_sent"));
const RECEIVED: PageColumn = column("Received", CellFormat::Bytes("bytes_received"));
const FAILED: PageColumn = column("Failed", CellFormat::Number("failed"));
const CONNECTIONS: PageColumn = column("Connections", CellFormat::Number("connections"));

pub(crate) const CONTAINERS: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Image", CellFormat::Text("image")),
    column("Runtime", CellFormat::Text("runtime")),
    column("Pod", CellFormat::Joined(&["namespace", "pod"], "/")),
    column("Began – ended", CellFormat::Span("started", "stopped")),
    column("Processes", CellFormat::Number("processes")),
    CALLS,
    column("Errors", CellFormat::Number("errors")),
    REFUSED,
    column("Lost", CellFormat::Number("lost")),
];
pub(crate) const POWERS: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Pod", CellFormat::Text("pod")),
    column("Privileged", CellFormat::Text("privileged")),
    column("Added capabilities", CellFormat::Text("added_capabilities")),
    column(
        "Namespaces of the machine",
        CellFormat::Text("host_namespaces"),
    ),
    column("Can write to", CellFormat::Text("writable_host_paths")),
    column("Seccomp", CellFormat::Text("seccomp")),
    column("AppArmor", CellFormat::Text("apparmor")),
    column("User", CellFormat::Text("run_as")),
    column("Limits", CellFormat::Text("limits")),
];
pub(crate) const ERRORS: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Call", CellFormat::Text("syscall")),
    column("Error", CellFormat::Text("error")),
    column("On", CellFormat::Text("subject")),
    column("Times", CellFormat::Number("calls")),
    COMMAND,
    SEEN,
];
pub(crate) const DENIED: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Call", CellFormat::Text("syscall")),
    column("Error", CellFormat::Text("error")),
    column("Times", CellFormat::Number("calls")),
    column("Program", CellFormat::Text("exe")),
    column("Such as", CellFormat::Text("example")),
    SEEN,
];
pub(crate) const FILES: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Path", CellFormat::Text("path")),
    column("On the machine", CellFormat::Text("host_path")),
    CALLS,
    column("Opened", CellFormat::Number("opens")),
    column("Executed", CellFormat::Number("execs")),
    column("Read", CellFormat::Bytes("bytes_read")),
    column("Written", CellFormat::Bytes("bytes_written")),
    FAILED,
    column("Error", CellFormat::Text("error")),
    COMMAND,
    SEEN,
];
pub(crate) const PEERS: &[PageColumn] = &[
    CONTAINER,
    ID,
    column(
        "Direction",
        CellFormat::Joined(&["direction", "protocol"], ", "),
    ),
    column("Address", CellFormat::Joined(&["address", "port"], ":")),
    column("Client", CellFormat::Text("client")),
    column("Name", CellFormat::Text("dns_name")),
    CONNECTIONS,
    FAILED,
    column("Error", CellFormat::Text("error")),
    SENT,
    RECEIVED,
    COMMAND,
    SEEN,
];
pub(crate) const LINKS: &[PageColumn] = &[
    column("From", CellFormat::Joined(&["source", "source_id"], " ")),
    column("To", CellFormat::Joined(&["target", "target_id"], " ")),
    column("By", CellFormat::Text("protocol")),
    column("Address", CellFormat::Text("address")),
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    SEEN,
];
pub(crate) const DNS: &[PageColumn] = &[
    CONTAINER,
    column("Name", CellFormat::Text("name")),
    column("Type", CellFormat::Text("type")),
    column("Answer", CellFormat::Text("code")),
    column("Server", CellFormat::Text("server")),
    column("Times", CellFormat::Number("questions")),
    column("Median", CellFormat::Duration("median_us")),
    column("Slowest", CellFormat::Duration("max_us")),
    column("Records", CellFormat::Text("answers")),
    COMMAND,
    SEEN,
];
pub(crate) const SYSCALLS: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Call", CellFormat::Text("syscall")),
    column("Times", CellFormat::Number("calls")),
    column("Errors", CellFormat::Number("errors")),
    REFUSED,
    column("Bytes", CellFormat::Bytes("bytes")),
    column("Took in all", CellFormat::Duration("total_us")),
    column("On average", CellFormat::Duration("mean_us")),
    column("99 of 100 below", CellFormat::Duration("p99_us")),
    column("At most", CellFormat::Duration("max_us")),
];
pub(crate) const PROCESSES: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Process", CellFormat::Text("process")),
    column("Pid", CellFormat::Text("pid")),
    column("Parent", CellFormat::Text("ppid")),
    column("User", CellFormat::Text("uid")),
    column("Began – ended", CellFormat::Span("started", "exited")),
    column("End", CellFormat::End("exit_code", "exit_signal")),
    column("From outside", CellFormat::Text("entered")),
    column("Restarts", CellFormat::Text("restarts")),
];
pub(crate) const STUCK: &[PageColumn] = &[
    CONTAINER,
    ID,
    COMMAND,
    column("Call", CellFormat::Text("syscall")),
    column("Waits for", CellFormat::Text("waits_for")),
    column("State", CellFormat::Text("state")),
    column("Times", CellFormat::Number("calls")),
    column("Longest", CellFormat::Text("longest")),
    column("Since", CellFormat::Time("since")),
];
pub(crate) const DRIFT: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Program", CellFormat::Text("path")),
    column("From", CellFormat::Text("origin")),
    column("Arguments", CellFormat::Text("argv")),
    column("Runs", CellFormat::Number("runs")),
    column("Written by", CellFormat::Text("written_by")),
    column("When", CellFormat::Span("first_run", "last_run")),
];
pub(crate) const GAPS: &[PageColumn] = &[
    column("When", CellFormat::Span("from_time", "to_time")),
    column("Host", CellFormat::Text("host")),
    CONTAINER,
    ID,
    column("Class", CellFormat::Text("class")),
    column("Lost", CellFormat::Number("lost")),
    column("Why", CellFormat::Text("reason")),
];

/// Rows of an answer as text; times are ns since 1970.
pub(crate) struct AnswerRows {
    columns: HashMap<String, StringArray>,
    pub(crate) count: usize,
}

impl AnswerRows {
    /// Takes the first `limit` rows of `batches`.
    ///
    /// # Errors
    /// A value cannot be cast to text.
    pub(crate) fn new(batches: &[RecordBatch], limit: usize) -> anyhow::Result<AnswerRows> {
        let Some(first) = batches.first() else {
            let columns = HashMap::new();
            return Ok(AnswerRows { columns, count: 0 });
        };
        let all = arrow::compute::concat_batches(&first.schema(), batches)?;
        let all = all.slice(0, all.num_rows().min(limit));
        let mut columns = HashMap::new();
        for (field, column) in all.schema().fields().iter().zip(all.columns()) {
            let column = match column.data_type() {
                DataType::Timestamp(..) => cast(column, &DataType::Int64)?,
                _ => column.clone(),
            };
            let text = cast(&column, &DataType::Utf8)?;
            columns.insert(field.name().clone(), text.as_string().clone());
        }
        let count = all.num_rows();
        Ok(AnswerRows { columns, count })
    }

    /// Returns a value, if not null.
    pub(crate) fn text(&self, column: &str, row: usize) -> Option<&str> {
        let column = self.columns.get(column)?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn number<T: std::str::FromStr>(&self, column: &str, row: usize) -> Option<T> {
        self.text(column, row)?.parse().ok()
    }
}

impl PageColumn {
    fn cell(&self, rows: &AnswerRows, row: usize, clock: PageClock) -> Option<String> {
        match self.format {
            CellFormat::Text(name) => rows.text(name, row).map(String::from),
            CellFormat::Joined(names, between) => {
                let parts = names.iter().filter_map(|name| rows.text(name, row));
                let text = parts.collect::<Vec<_>>().join(between);
                (!text.is_empty()).then_some(text)
            }
            CellFormat::Number(name) => rows.text(name, row).map(thousands),
            CellFormat::Bytes(name) => rows.number::<i64>(name, row).map(|n| match n {
                0 => "0".to_string(),
                n => human::bytes(n.unsigned_abs()),
            }),
            CellFormat::Duration(name) => {
                let us = rows.number::<f64>(name, row);
                us.map(|us| human::duration((us * 1e3) as i64))
            }
            CellFormat::Time(name) => rows.number(name, row).map(|ns| clock.time(ns)),
            CellFormat::Span(first, last) => {
                clock.between(rows.number(first, row), rows.number(last, row))
            }
            CellFormat::End(code, signal) => {
                let signal = rows.number::<i64>(signal, row).map(strace::signal);
                let code = rows.text(code, row).map(|code| format!("exit code {code}"));
                signal.or(code)
            }
        }
    }

    fn class(&self) -> &'static str {
        match self.format {
            CellFormat::Number(_) | CellFormat::Bytes(_) | CellFormat::Duration(_) => {
                " class=\"n\""
            }
            CellFormat::Time(_) | CellFormat::Span(..) | CellFormat::End(..) => " class=\"w\"",
            CellFormat::Text(
                "container" | "syscall" | "error" | "id" | "pid" | "ppid" | "comm" | "source"
                | "target",
            ) => " class=\"k\"",
            _ => "",
        }
    }
}

/// Formats a table as HTML.
pub(crate) fn html_table(rows: &AnswerRows, columns: &[PageColumn], clock: PageClock) -> String {
    let cells = |column: &PageColumn| -> Vec<Option<String>> {
        (0..rows.count)
            .map(|row| column.cell(rows, row, clock))
            .collect()
    };
    let shown = columns.iter().map(|column| (column, cells(column)));
    let shown: Vec<_> = shown
        .filter(|(_, cells)| cells.iter().any(Option::is_some))
        .collect();
    let mut out = String::from("<table>\n<thead><tr>");
    // Writing to a String cannot fail.
    for (column, _) in &shown {
        let _ = write!(out, "<th{}>{}</th>", column.class(), column.heading);
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in 0..rows.count {
        out += "<tr>";
        for (column, cells) in &shown {
            let _ = match &cells[row] {
                Some(text) => write!(
                    out,
                    "<td{} data-h=\"{}\">{}</td>",
                    column.class(),
                    column.heading,
                    escape(text)
                ),
                None => write!(out, "<td></td>"),
            };
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table>\n"
}

/// Separates the thousands of a whole number; returns other text unchanged.
pub(crate) fn thousands(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_string(), human::count)
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::source::TimeSpan;

    #[test]
    fn columns_without_values_are_left_out() {
        let text = |text: Option<&str>| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("container", text(Some("<web>")), true),
            ("image", text(None), true),
            ("namespace", text(Some("shop")), true),
            ("pod", text(Some("web-1")), true),
            (
                "calls",
                Arc::new(Int64Array::from(vec![1_234_567])) as ArrayRef,
                true,
            ),
        ])
        .unwrap();
        let rows = AnswerRows::new(&[batch], 25).unwrap();
        let html = html_table(&rows, CONTAINERS, PageClock::new(TimeSpan::EPOCH));
        assert!(
            html.contains(">&lt;web&gt;</td>") && html.contains(">shop/web-1</td>"),
            "{html}"
        );
        assert!(html.contains(">1,234,567</td>"), "{html}");
        assert!(!html.contains("Image") && !html.contains("Began"), "{html}");
        assert_eq!(thousands("2.50s"), "2.50s");
    }
}
