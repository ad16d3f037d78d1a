//! Tables of the page: which columns of an answer they show, under which heads, and how.

use std::collections::HashMap;
use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use ctrace_schema::{human, strace};

use crate::commands::report::clock::Clock;
use crate::commands::report::page::escape;

/// A column of the page, made from those of an answer. What no row has is left out, with its head.
pub struct Column {
    head: &'static str,
    show: Show,
}

/// How a column is shown.
enum Show {
    Text(&'static str),
    /// Those that are there, with this between them.
    Joined(&'static [&'static str], &'static str),
    Number(&'static str),
    Bytes(&'static str),
    /// Microseconds, as people read a time.
    Took(&'static str),
    /// From when to when.
    Between(&'static str, &'static str),
    /// How a process ended: by a signal, else its exit code.
    End(&'static str, &'static str),
}

const fn column(head: &'static str, show: Show) -> Column {
    Column { head, show }
}

const CONTAINER: Column = column("Container", Show::Text("container"));
const COMMAND: Column = column("Command", Show::Text("comm"));
const SEEN: Column = column("When", Show::Between("first_seen", "last_seen"));
const CALLS: Column = column("Calls", Show::Number("calls"));
const REFUSED: Column = column("Refused", Show::Number("denied"));
const SENT: Column = column("Sent", Show::Bytes("bytes_sent"));
const RECEIVED: Column = column("Received", Show::Bytes("bytes_received"));
const FAILED: Column = column("Failed", Show::Number("failed"));
const CONNECTIONS: Column = column("Connections", Show::Number("connections"));

pub const CONTAINERS: &[Column] = &[
    CONTAINER,
    column("Id", Show::Text("id")),
    column("Image", Show::Text("image")),
    column("Runtime", Show::Text("runtime")),
    column("Pod", Show::Joined(&["namespace", "pod"], "/")),
    column("Began – ended", Show::Between("started", "stopped")),
    column("Processes", Show::Number("processes")),
    CALLS,
    column("Errors", Show::Number("errors")),
    REFUSED,
    column("Lost", Show::Number("lost")),
];
pub const ERRORS: &[Column] = &[
    CONTAINER,
    column("Call", Show::Text("syscall")),
    column("Error", Show::Text("error")),
    column("On", Show::Text("subject")),
    column("Times", Show::Number("calls")),
    COMMAND,
    SEEN,
];
pub const DENIED: &[Column] = &[
    CONTAINER,
    column("Call", Show::Text("syscall")),
    column("Error", Show::Text("error")),
    column("Times", Show::Number("calls")),
    column("Program", Show::Text("exe")),
    column("Such as", Show::Text("example")),
    SEEN,
];
pub const FILES: &[Column] = &[
    CONTAINER,
    column("Path", Show::Text("path")),
    CALLS,
    column("Opened", Show::Number("opens")),
    column("Executed", Show::Number("execs")),
    column("Read", Show::Bytes("bytes_read")),
    column("Written", Show::Bytes("bytes_written")),
    FAILED,
    column("Error", Show::Text("error")),
    COMMAND,
    SEEN,
];
pub const PEERS: &[Column] = &[
    CONTAINER,
    column("Direction", Show::Joined(&["direction", "protocol"], ", ")),
    column("Address", Show::Joined(&["address", "port"], ":")),
    column("Client", Show::Text("client")),
    column("Name", Show::Text("dns_name")),
    CONNECTIONS,
    FAILED,
    column("Error", Show::Text("error")),
    SENT,
    RECEIVED,
    COMMAND,
    SEEN,
];
pub const LINKS: &[Column] = &[
    column("From", Show::Text("source")),
    column("To", Show::Text("target")),
    column("By", Show::Text("protocol")),
    column("Address", Show::Text("address")),
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    SEEN,
];
pub const SYSCALLS: &[Column] = &[
    CONTAINER,
    column("Call", Show::Text("syscall")),
    column("Times", Show::Number("calls")),
    column("Errors", Show::Number("errors")),
    REFUSED,
    column("Bytes", Show::Bytes("bytes")),
    column("Took in all", Show::Took("total_us")),
    column("On average", Show::Took("mean_us")),
    column("99 of 100 below", Show::Took("p99_us")),
    column("At most", Show::Took("max_us")),
];
pub const PROCESSES: &[Column] = &[
    CONTAINER,
    column("Process", Show::Text("process")),
    column("Pid", Show::Text("pid")),
    column("Parent", Show::Text("ppid")),
    column("User", Show::Text("uid")),
    column("Began – ended", Show::Between("started", "exited")),
    column("End", Show::End("exit_code", "exit_signal")),
];
pub const GAPS: &[Column] = &[
    column("When", Show::Between("from_time", "to_time")),
    column("Host", Show::Text("host")),
    CONTAINER,
    column("Class", Show::Text("class")),
    column("Lost", Show::Number("lost")),
    column("Why", Show::Text("reason")),
];

/// Rows of an answer, as text; times in ns since 1970.
pub struct Rows {
    columns: HashMap<String, StringArray>,
    pub count: usize,
}

impl Rows {
    /// The first `limit` of them.
    ///
    /// # Errors
    /// That a value cannot be shown.
    pub fn of(batches: &[RecordBatch], limit: usize) -> anyhow::Result<Rows> {
        let Some(first) = batches.first() else {
            let columns = HashMap::new();
            return Ok(Rows { columns, count: 0 });
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
        Ok(Rows { columns, count })
    }

    /// A value, if it is there.
    pub fn text(&self, column: &str, row: usize) -> Option<&str> {
        let column = self.columns.get(column)?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn number<T: std::str::FromStr>(&self, column: &str, row: usize) -> Option<T> {
        self.text(column, row)?.parse().ok()
    }
}

impl Column {
    fn cell(&self, rows: &Rows, row: usize, clock: Clock) -> Option<String> {
        match self.show {
            Show::Text(name) => rows.text(name, row).map(String::from),
            Show::Joined(names, between) => {
                let parts = names.iter().filter_map(|name| rows.text(name, row));
                let text = parts.collect::<Vec<_>>().join(between);
                (!text.is_empty()).then_some(text)
            }
            Show::Number(name) => rows.text(name, row).map(thousands),
            Show::Bytes(name) => rows.number::<i64>(name, row).map(|n| match n {
                0 => "0".to_string(),
                n => human::bytes(n.unsigned_abs()),
            }),
            Show::Took(name) => {
                let us = rows.number::<f64>(name, row);
                us.map(|us| human::duration((us * 1e3) as i64))
            }
            Show::Between(first, last) => {
                clock.between(rows.number(first, row), rows.number(last, row))
            }
            Show::End(code, signal) => {
                let signal = rows.number::<i64>(signal, row).map(strace::signal);
                let code = rows.text(code, row).map(|code| format!("exit code {code}"));
                signal.or(code)
            }
        }
    }

    fn class(&self) -> &'static str {
        match self.show {
            Show::Number(_) | Show::Bytes(_) | Show::Took(_) => " class=\"n\"",
            Show::Between(..) | Show::End(..) => " class=\"w\"",
            Show::Text(
                "container" | "syscall" | "error" | "id" | "pid" | "ppid" | "comm" | "source"
                | "target",
            ) => " class=\"k\"",
            _ => "",
        }
    }
}

/// A table in HTML.
pub fn table(rows: &Rows, columns: &[Column], clock: Clock) -> String {
    let cells = |column: &Column| -> Vec<Option<String>> {
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
        let _ = write!(out, "<th{}>{}</th>", column.class(), column.head);
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
                    column.head,
                    escape(text)
                ),
                None => write!(out, "<td></td>"),
            };
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table>\n"
}

/// A whole number with its thousands apart; any other text as it is.
pub fn thousands(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_string(), human::count)
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::questions::window::Span;

    #[test]
    fn columns_that_no_row_has_are_left_out() {
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
        let rows = Rows::of(&[batch], 25).unwrap();
        let html = table(&rows, CONTAINERS, Clock::of(Span::NONE));
        assert!(
            html.contains(">&lt;web&gt;</td>") && html.contains(">shop/web-1</td>"),
            "{html}"
        );
        assert!(html.contains(">1,234,567</td>"), "{html}");
        assert!(!html.contains("Image") && !html.contains("Began"), "{html}");
        assert_eq!(thousands("2.50s"), "2.50s");
    }
}
