//! Lines on stdout in the format of strace(1), one per event.

use std::fmt::Write as _;
use std::io::{BufWriter, Stdout, Write};

use anyhow::Result;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use ctrace_schema::columns;
use ctrace_schema::strace::{End, Event, Socket};

use crate::rows::Events;
use crate::sink::stdout::detect_closed_pipe;
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, Sink};

pub(crate) struct StraceLines {
    out: BufWriter<Stdout>,
    bytes: u64,
    arch: String,
}

impl StraceLines {
    /// Creates the sink. `arch` is the architecture of the recorded machine, as `uname -m` prints it.
    pub(crate) fn new(arch: &str) -> StraceLines {
        StraceLines {
            out: BufWriter::new(std::io::stdout()),
            bytes: 0,
            arch: arch.to_string(),
        }
    }
}

impl Sink for StraceLines {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy::LINES
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        let batch = &columns.record_batch()?;
        let rows = BatchColumns { batch };
        let mut lines = String::new();
        for row in 0..batch.num_rows() {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{}", rows.event(row, &self.arch));
        }
        self.bytes += lines.len() as u64;
        detect_closed_pipe(
            self.out
                .write_all(lines.as_bytes())
                .and_then(|()| self.out.flush()),
        )
    }

    fn finish(mut self: Box<Self>, _: &Summary) -> Result<u64> {
        detect_closed_pipe(self.out.flush())?;
        Ok(self.bytes)
    }
}

/// Access to the columns of an encoded batch by name.
struct BatchColumns<'a> {
    batch: &'a RecordBatch,
}

impl<'a> BatchColumns<'a> {
    fn text(&self, name: &str, row: usize) -> Option<&'a str> {
        let column = self
            .batch
            .column(columns::index(name)?)
            .as_dictionary_opt::<UInt32Type>()?;
        let key = column.key(row)?;
        Some(column.values().as_string_opt::<i32>()?.value(key))
    }

    fn long(&self, name: &str, row: usize) -> Option<i64> {
        let column = self.batch.column(columns::index(name)?);
        if let Some(column) = column.as_primitive_opt::<TimestampNanosecondType>() {
            return column.is_valid(row).then(|| column.value(row));
        }
        let column = column.as_primitive_opt::<Int64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn int(&self, name: &str, row: usize) -> Option<i32> {
        let column = self
            .batch
            .column(columns::index(name)?)
            .as_primitive_opt::<Int32Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn bool(&self, name: &str, row: usize) -> Option<bool> {
        let column = self.batch.column(columns::index(name)?).as_boolean_opt()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// Returns the values of a row that stand in its line.
    fn event(&self, row: usize, arch: &'a str) -> Event<'a> {
        let text = |name| self.text(name, row);
        let int = |name| self.int(name, row).map(i64::from);
        let flag = |name| self.bool(name, row).unwrap_or(false);
        let args = ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5"];
        Event {
            time: self.long("time", row),
            duration: self.long("duration", row),
            container: text("container"),
            comm: text("comm"),
            tid: int("tid"),
            kind: text("kind").unwrap_or_default(),
            action: text("action"),
            class: text("class"),
            syscall: text("syscall"),
            compat: flag("compat"),
            ret: self.long("ret", row),
            error: text("error"),
            denied: flag("denied"),
            args: args.map(|name| self.long(name, row)),
            path: text("path"),
            path_arg: text("path_arg"),
            path2: text("path2"),
            socket: self.socket(row),
            dns_name: text("dns_name"),
            dns_type: text("dns_type"),
            dns_code: text("dns_code"),
            dns_answers: text("dns_answers"),
            argv: text("argv"),
            exit_code: int("exit_code"),
            exit_signal: int("exit_signal"),
            image: text("image"),
            lost: self.long("lost", row),
            arch,
        }
    }

    fn socket(&self, row: usize) -> Socket<'a> {
        let end = |addr, port| End {
            addr: self.text(addr, row),
            port: self.int(port, row).map(i64::from),
        };
        Socket {
            family: self.text("family", row),
            protocol: self.text("protocol", row),
            local: end("local_addr", "local_port"),
            peer: end("peer_addr", "peer_port"),
            peer_path: self.text("peer_path", row),
        }
    }
}
